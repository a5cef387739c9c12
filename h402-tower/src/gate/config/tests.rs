use crate::gate::{Gate, GateConfigError as E, MemoryGrants, Origin, Price, Pricing, Quote};
use h402_core::{
    CallerKey, Checked, Claimed, Facilitator, Lookup, PaymentKey, Receipt, SettleError, Supported, Undecided, Verified, VerifyError,
};
use std::time::Duration;

/// Is never asked anything here.
struct Silent;

impl Facilitator for Silent {
    async fn supported(&self) -> Result<Supported, Undecided> {
        Err(Undecided::Facilitator)
    }
    async fn verify(&self, _: Checked, _: CallerKey) -> Result<Verified, VerifyError> {
        Err(Undecided::Facilitator.into())
    }
    async fn settle(&self, _: &Claimed, _: CallerKey) -> Result<Receipt, SettleError> {
        Err(Undecided::Facilitator.into())
    }
    async fn lookup(&self, _: &PaymentKey) -> Result<Lookup, Undecided> {
        Err(Undecided::Facilitator)
    }
}

fn gate(price: impl Pricing) -> Gate<Silent, MemoryGrants> {
    Gate::new(Silent, MemoryGrants::new().unwrap(), Origin::parse("https://api.example").unwrap(), price)
}

fn capture() -> Price {
    Price::per_request(|_| Ok(Quote::Free))
}

fn upfront() -> Price {
    capture().upfront()
}

fn by_body() -> Price {
    Price::by_body(|_, _| Ok(Quote::Free))
}

/// Each mistake is found when the gate is built; its honest twin stands beside it.
#[test]
fn what_can_be_wrong_is_found_when_the_gate_is_built() {
    let s = Duration::from_secs;
    let cases = [
        ("defaults", gate(capture()), None),
        ("free", gate(Price::free()), None),
        ("handler timeout at its limit", gate(capture()).with_handler_timeout(s(20)), None),
        ("beyond it", gate(capture()).with_handler_timeout(s(21)).with_deadline(s(60)), Some(E::HandlerTimeout(s(21)))),
        ("upfront beyond it", gate(upfront()).with_handler_timeout(s(21)).with_deadline(s(60)), None),
        ("upfront at its limit", gate(upfront()).with_handler_timeout(s(540)).with_deadline(s(550)), None),
        ("beyond that", gate(upfront()).with_handler_timeout(s(541)).with_deadline(s(600)), Some(E::HandlerTimeout(s(541)))),
        ("no time at all", gate(capture()).with_handler_timeout(s(0)), Some(E::HandlerTimeout(s(0)))),
        ("deadline", gate(capture()).with_deadline(s(20)), None),
        ("too short", gate(capture()).with_deadline(s(19)), Some(E::Deadline { deadline: s(19), least: s(20) })),
        ("quote_ttl", gate(capture()).with_quote_ttl(s(3600)), None),
        ("too long", gate(capture()).with_quote_ttl(s(3601)), Some(E::QuoteTtl(s(3601)))),
        ("reads the body", gate(by_body()), Some(E::PriceReadsBody)),
        ("changeably", gate(by_body().changeable().0), Some(E::PriceReadsBody)),
        ("max_unsettled", gate(capture()).with_max_unsettled(1), None),
        ("none", gate(capture()).with_max_unsettled(0), Some(E::MaxUnsettled)),
        ("header cap", gate(capture()).with_header_cap(1024), None),
        ("too small", gate(capture()).with_header_cap(1023), Some(E::HeaderCap(1023))),
        ("too large", gate(capture()).with_header_cap(16385), Some(E::HeaderCap(16385))),
        ("hosts", gate(capture()).with_allowed_hosts(["a.example", "127.0.0.1:80", "[::1]:80"]), None),
        ("no host", gate(capture()).with_allowed_hosts(["https://a"]), Some(E::AllowedHost("https://a".to_owned()))),
        ("mount", gate(capture()).with_mount("/v1"), None),
        ("no path", gate(capture()).with_mount("v1"), Some(E::Mount("v1".to_owned()))),
        ("ends with a slash", gate(capture()).with_mount("/v1/"), Some(E::Mount("/v1/".to_owned()))),
        ("secret", gate(capture()).accept_sent_payments([1; 32]), None),
        ("no secret", gate(capture()).accept_sent_payments([0; 32]), Some(E::Secret)),
    ];
    for (case, gate, want) in cases {
        assert_eq!(gate.build().err(), want, "{case}");
    }
    assert!(gate(by_body()).with_collected_body().build().is_ok());
}

#[test]
fn nothing_secret_is_shown() {
    let gate = gate(capture()).accept_sent_payments([0x5a; 32]);
    let layer = format!("{gate:?}");
    assert!(!layer.contains("90") && !layer.contains("5a") && layer.contains("api.example"), "{layer}");
    let layer = format!("{:?}", gate.build().unwrap());
    assert!(!layer.contains("90") && !layer.contains("5a"), "{layer}");
}
