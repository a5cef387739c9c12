//! A call that is cut short anywhere sends the same payment when it is made again (T122, G27).

use super::*;
use crate::pay::{CallKey, DirectoryJournal, Journal, JournalUnavailable, SignedPayment};
use futures_util::FutureExt;
use std::collections::HashMap;

/// Keeps records as a file would: as text.
#[derive(Clone, Default)]
struct Records(Arc<Mutex<HashMap<CallKey, String>>>);

impl Journal for Records {
    async fn find(&self, call: &CallKey) -> Result<Option<SignedPayment>, JournalUnavailable> {
        let record = self.0.lock().unwrap().get(call).cloned();
        Ok(record.map(|record| SignedPayment::from_record(&record, cap().assets()).unwrap()))
    }

    async fn signed(&self, call: &CallKey, payment: SignedPayment) -> Result<SignedPayment, JournalUnavailable> {
        let record = self.0.lock().unwrap().entry(call.clone()).or_insert_with(|| payment.to_record()).clone();
        Ok(SignedPayment::from_record(&record, cap().assets()).unwrap())
    }
}

/// Cannot be written.
struct Full_;

impl Journal for Full_ {
    async fn find(&self, _: &CallKey) -> Result<Option<SignedPayment>, JournalUnavailable> {
        Ok(None)
    }

    async fn signed(&self, _: &CallKey, _: SignedPayment) -> Result<SignedPayment, JournalUnavailable> {
        Err(JournalUnavailable("disk is full".to_owned()))
    }
}

fn keyed(key: &str) -> Request<Full<Bytes>> {
    Request::get(URL).extension(CallKey::new(key)).body(Full::default()).unwrap()
}

/// T122: the process dies while the payment is under way; the call is made again and pays the same payment.
#[tokio::test]
async fn t122_a_call_made_again_after_a_crash_sends_the_same_payment() {
    let records = Records::default();
    let shop = Shop::asking([Act::Hang]);
    let pay = Pay::new(spy(), cap()).with_journal(records.clone());
    // Dropped as soon as the payment has left.
    let mut first = Box::pin(call(&pay, &shop, keyed("order-1")));
    while shop.payments().len() < 2 {
        assert!((&mut first).now_or_never().is_none());
    }
    drop(first);

    let (restarted, wallet) = (Shop::new([answer(200, "bought")]), spy());
    let pay = Pay::new(wallet.clone(), cap()).with_journal(records);
    call(&pay, &restarted, keyed("order-1")).await.unwrap();
    assert_eq!((restarted.payments(), wallet.signatures()), (vec![Some(shop.payment())], 0));

    // Another call is another payment.
    let other = Shop::asking([answer(200, "bought")]);
    call(&pay, &other, keyed("order-2")).await.unwrap();
    assert_ne!(other.payment(), shop.payment());
}

/// T122: two calls of one key at once may both sign; only one signature is ever sent.
#[tokio::test]
async fn calls_of_one_key_send_one_payment() {
    let pay = Pay::new(spy(), cap()).with_journal(Records::default());
    let shops = [Shop::asking([answer(200, "bought")]), Shop::asking([answer(200, "bought")])];
    let (first, second) = tokio::join!(call(&pay, &shops[0], keyed("order")), call(&pay, &shops[1], keyed("order")));
    assert!(first.is_ok() && second.is_ok());
    assert_eq!(shops[0].payment(), shops[1].payment());
}

#[tokio::test]
async fn nothing_is_sent_that_could_not_be_journaled() {
    let shop = Shop::asking([answer(200, "bought")]);
    let pay = Pay::new(spy(), cap()).with_journal(Full_);
    let outcome = call(&pay, &shop, keyed("order")).await;
    assert!(matches!(outcome, Err(PayError::Journal(_))), "{outcome:?}");
    assert_eq!(shop.payments(), [None]);
}

#[tokio::test]
async fn records_read_back_whole_or_not_at_all() {
    let records = Records::default();
    // A resource with line breaks, and a price no server of ours would ask.
    let odd = challenge().replace("?id=1\"", "\"").replace(r#""amountRequired":10000,"#, r#""amountRequired":0.012345,"#);
    let odd = odd.replace("smallestUnit", "humanReadable");
    let shop = Shop::new([answer(402, odd), answer(200, "bought")]);
    let pay = Pay::new(spy(), cap()).with_journal(records.clone());
    let response = call(&pay, &shop, keyed("order")).await.unwrap();
    let paid = response.extensions().get::<crate::pay::Paid>().unwrap();
    let record = records.0.lock().unwrap().values().next().unwrap().clone();
    assert_eq!(SignedPayment::from_record(&record, cap().assets()).as_ref(), Ok(&paid.payment));
    assert!(SignedPayment::from_record(&record, &Assets::none()).is_err(), "unknown asset");
    for (at, line) in record.split('\n').enumerate().filter(|(_, line)| !line.is_empty()).take(8) {
        let damaged = record.replacen(line, "?", 1);
        assert!(SignedPayment::from_record(&damaged, cap().assets()).is_err(), "line {at}");
    }
    let cut: String = record.split_inclusive('\n').take(8).collect();
    assert!(SignedPayment::from_record(&cut, cap().assets()).is_err());
}

/// A directory of this test alone, gone with it.
pub(super) struct Scratch(std::path::PathBuf);

impl Scratch {
    pub(super) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("h402-{name}-{}", std::process::id()));
        std::fs::remove_dir_all(&path).ok();
        Self(path)
    }

    fn open(&self) -> DirectoryJournal {
        self.open_for(&cap())
    }

    pub(super) fn open_for(&self, cap: &Cap) -> DirectoryJournal {
        DirectoryJournal::open(&self.0, cap.assets().clone()).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// T122: as above, with a journal on disk and a second process.
#[tokio::test]
async fn t122_a_payment_on_disk_outlives_its_process() {
    let scratch = Scratch::new("outlives");
    let shop = Shop::asking([answer(200, "lost on the way to the caller")]);
    call(&Pay::new(spy(), cap()).with_journal(scratch.open()), &shop, keyed("../order 1")).await.unwrap();

    let (again, wallet) = (Shop::new([answer(200, "bought")]), spy());
    let pay = Pay::new(wallet.clone(), cap()).with_journal(scratch.open());
    call(&pay, &again, keyed("../order 1")).await.unwrap();
    assert_eq!((again.payments(), wallet.signatures()), (vec![Some(shop.payment())], 0));

    // One file, named without the caller's text, for nobody else to read.
    let files: Vec<_> = std::fs::read_dir(&scratch.0).unwrap().map(|entry| entry.unwrap()).collect();
    assert_eq!(files.len(), 1);
    #[cfg(unix)]
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&files[0].metadata().unwrap().permissions()) & 0o777, 0o600);

    // A damaged file is trouble, not a reason to sign again.
    std::fs::write(files[0].path(), "?").unwrap();
    let outcome = call(&pay, &Shop::asking([answer(200, "bought")]), keyed("../order 1")).await;
    assert!(matches!(outcome, Err(PayError::Journal(_))), "{outcome:?}");
}

/// Of many calls of one key at once, all send what the first one stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_key_is_one_file() {
    let scratch = Scratch::new("one-file");
    let pay = Pay::new(spy(), cap()).with_journal(scratch.open());
    let calls = (0..32).map(|_| {
        let pay = pay.clone();
        tokio::spawn(async move {
            let shop = Shop::asking([answer(200, "bought")]);
            let outcome = call(&pay, &shop, keyed("order")).await;
            assert!(outcome.is_ok(), "{outcome:?}");
            shop.payment()
        })
    });
    let mut payments: Vec<String> = futures_util::future::join_all(calls).await.into_iter().map(Result::unwrap).collect();
    payments.dedup();
    assert_eq!(payments.len(), 1);
}
