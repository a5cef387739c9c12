//! Nothing that could be presented again is ever logged or answered (T114, T134).

use super::kit::*;
use h402_core::{Payload, Reject, SettleError, Undecided};
use std::{
    fmt::{self, Write as _},
    sync::{Arc, Mutex},
};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

/// Writes every event of every level into one text.
#[derive(Clone, Default)]
struct Everything(Arc<Mutex<String>>);

impl Subscriber for Everything {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, span: &span::Attributes<'_>) -> span::Id {
        span.record(&mut Text(&mut self.0.lock().unwrap()));
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, values: &span::Record<'_>) {
        values.record(&mut Text(&mut self.0.lock().unwrap()));
    }
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, event: &Event<'_>) {
        event.record(&mut Text(&mut self.0.lock().unwrap()));
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

struct Text<'a>(&'a mut String);

impl Visit for Text<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        writeln!(self.0, "{}={value:?}", field.name()).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn t134_no_payment_is_logged_or_answered() {
    let log = Everything::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    let mut answers = String::new();
    let verdicts: [Option<SettleError>; 4] =
        [None, Some(Reject::AuthorizationUsed.into()), Some(SettleError::Pending { transaction: None }), Some(Undecided::Chain.into())];
    let mut secrets = Vec::new();
    for (nonce, verdict) in (1u8..).zip(verdicts) {
        for upfront in [false, true] {
            let shop = Shop::new();
            let price = if upfront { price().upfront() } else { price() };
            let service = shop.open(shop.gate_at(price).accept_sent_payments([0x5a; 32]), hello);
            let cheque = Cheque::nonce(nonce);
            let Payload::Authorization(signed) = cheque.payload().payload else { unreachable!() };
            secrets.extend([cheque.header(), signed.signature.to_string(), format!("{:?}", signed.signature)]);
            shop.bank.next_verify(Reject::Reverts("scripted".to_owned()));
            shop.bank.next_verify(Undecided::Chain);
            if let Some(verdict) = verdict.clone() {
                shop.bank.next_settle(verdict);
            }
            shop.grants.fail_writes(3, 4);
            for _ in 0..5 {
                write!(answers, "{:?}", send(&service, paid(&cheque.header())).await).unwrap();
            }
            write!(answers, "{:?}", send(&service, with_payment(get("/other"), &cheque.header())).await).unwrap();
            write!(answers, "{:?}", send(&service, paid(&format!("{}x", cheque.header()))).await).unwrap();
        }
    }
    let log = log.0.lock().unwrap().clone();
    // The honest twin: something was logged, and it names the payment.
    assert!(log.contains(&format!("payment.id={}", Cheque::nonce(1).key())), "{log}");
    for secret in secrets {
        for part in [secret.as_str(), secret.trim_start_matches("0x"), &secret[..40.min(secret.len())]] {
            assert!(!log.contains(part), "{part}");
            assert!(!answers.contains(part), "{part}");
        }
    }
}
