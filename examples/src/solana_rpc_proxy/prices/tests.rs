use super::*;
use h402_core::{Assets, Network};

const EVM: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
const SOLANA: &str = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v";

fn evm_usdc() -> Accepted {
    let asset = Assets::known().by_symbol(Network::Evm(8453), "USDC").unwrap().clone();
    Accepted { asset, pay_to: EVM.parse().unwrap(), per_dollar: None }
}

/// A coin at 150 dollars.
fn sol() -> Accepted {
    let network: Network = "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp".parse().unwrap();
    let asset = Arc::new(Asset::native(network, "SOL"));
    Accepted { asset, pay_to: SOLANA.parse().unwrap(), per_dollar: Some(Amount::from_units("0.006666667", 9).unwrap()) }
}

fn tariff() -> Tariff {
    let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Tariff {
        default: "0.0001".into(),
        free: list(&["getHealth", "getVersion"]),
        deny: list(&["requestAirdrop"]),
        upfront: list(&["sendTransaction"]),
        methods: [("getProgramAccounts".to_owned(), "0.005".to_owned()), ("sendTransaction".to_owned(), "0.001".to_owned())].into(),
        minimum: None,
    }
}

fn calls(methods: &[&str]) -> Calls {
    let call = |method: &&str| format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}"}}"#);
    let members: Vec<String> = methods.iter().map(call).collect();
    let text = if members.len() == 1 { members[0].clone() } else { format!("[{}]", members.join(",")) };
    Calls::read(text.as_bytes(), 100).unwrap()
}

/// Amounts in the smallest units, and whether it is paid upfront. `None` is free.
fn quoted(table: &PriceTable, methods: &[&str]) -> Option<(Vec<String>, bool)> {
    match table.quote(&calls(methods)).unwrap() {
        Quote::Free => None,
        Quote::Offers(priced) => Some((priced.offers.iter().map(|offer| offer.amount.to_string()).collect(), priced.flow == Flow::Upfront)),
    }
}

#[test]
fn every_method_has_its_price_and_a_batch_their_sum() {
    let table = PriceTable::new(&tariff(), &[evm_usdc(), sol()]).unwrap();
    // At 0.006666667 SOL for a dollar, 0.0001 dollars are 666.6667 lamports, and no less than 667 will do.
    let cases: [(&[&str], Option<(&[&str], bool)>); 8] = [
        (&["getHealth"], None),
        (&["getHealth", "getVersion"], None),
        (&["getSlot"], Some((&["100", "667"], false))),
        (&["gethealth"], Some((&["100", "667"], false))),
        (&["getProgramAccounts"], Some((&["5000", "33334"], false))),
        (&["sendTransaction"], Some((&["1000", "6667"], true))),
        (&["getSlot", "getHealth", "getBlock"], Some((&["200", "1334"], false))),
        (&["getSlot", "sendTransaction", "getProgramAccounts"], Some((&["6100", "40668"], true))),
    ];
    for (methods, want) in cases {
        let want = want.map(|(amounts, upfront)| (amounts.iter().map(|amount| (*amount).to_owned()).collect(), upfront));
        assert_eq!(quoted(&table, methods), want, "{methods:?}");
    }
}

#[test]
fn a_request_costs_at_least_the_minimum() {
    let table = PriceTable::new(&Tariff { minimum: Some("0.001".into()), ..tariff() }, &[evm_usdc(), sol()]).unwrap();
    let cases: [(&[&str], Option<&[&str]>); 6] = [
        (&["getHealth"], None),
        (&["getSlot"], Some(&["1000", "6667"])),
        (&["getSlot", "getHealth"], Some(&["1000", "6667"])),
        (&["getSlot"; 9], Some(&["1000", "6667"])),
        (&["getSlot"; 11], Some(&["1100", "7337"])),
        (&["getProgramAccounts"], Some(&["5000", "33334"])),
    ];
    for (methods, want) in cases {
        let want = want.map(|amounts| (amounts.iter().map(|amount| (*amount).to_owned()).collect(), false));
        assert_eq!(quoted(&table, methods), want, "{methods:?}");
    }
    let bad = PriceTable::new(&Tariff { minimum: Some("free".into()), ..tariff() }, &[evm_usdc()]).unwrap_err();
    assert_eq!(bad.to_string(), "price of minimum: \"free\" in USDC: not a decimal number");
}

#[test]
fn a_denied_call_stops_its_batch() {
    let table = PriceTable::new(&tariff(), &[evm_usdc()]).unwrap();
    assert_eq!(table.check(&calls(&["getSlot", "getHealth"])), Ok(()));
    let alone = table.check(&calls(&["requestAirdrop"])).unwrap_err();
    assert_eq!((alone.status.as_u16(), alone.code, alone.id.as_deref()), (403, -32601, Some("1")));
    let batch = table.check(&calls(&["getHealth", "requestAirdrop"])).unwrap_err();
    assert_eq!((batch.status.as_u16(), batch.id), (403, None));
    assert_eq!(table.quote(&calls(&["requestAirdrop"])), Err(PriceError::NotFound));
}

#[test]
fn what_is_not_named_may_be_free_or_denied() {
    let free = PriceTable::new(&Tariff { default: "free".into(), upfront: vec![], ..tariff() }, &[evm_usdc()]).unwrap();
    assert_eq!(quoted(&free, &["getSlot"]), None);
    assert_eq!(quoted(&free, &["getSlot", "getProgramAccounts"]), Some((vec!["5000".to_owned()], false)));
    let closed = PriceTable::new(&Tariff { default: "deny".into(), ..tariff() }, &[evm_usdc()]).unwrap();
    assert!(closed.check(&calls(&["getSlot"])).is_err());
    assert!(closed.check(&calls(&["getProgramAccounts"])).is_ok());
}

#[test]
fn a_metric_names_only_methods_of_the_table() {
    let table = PriceTable::new(&tariff(), &[evm_usdc()]).unwrap();
    let labels: Vec<&str> = table.labels().collect();
    assert_eq!(labels, ["getHealth", "getProgramAccounts", "getVersion", "requestAirdrop", "sendTransaction", "other"]);
    for (at, label) in labels.iter().enumerate() {
        assert_eq!(table.label(label), at, "{label}");
    }
    assert_eq!(table.label("anything"), 5);
}

/// An asset of many decimals says large sums as fractions, and not every fraction survives a float.
#[test]
fn an_asset_that_cannot_say_the_sum_is_left_out() {
    let dai = Asset::new(h402_core::asset_id(Network::Evm(1), "0x6B175474E89094C44Da98b954EedeAC495271d0F").unwrap(), 18, "DAI");
    let dai = Accepted { asset: Arc::new(dai.with_peg(Peg::Usd)), ..evm_usdc() };
    let price = |price: &str| Tariff { default: price.into(), ..Tariff::default() };
    // One of these is the sum of prices that can be said, and cannot be said itself.
    let silent: Vec<usize> = (2..100)
        .filter(|count| {
            let methods = vec!["getSlot"; *count];
            let table = PriceTable::new(&price("0.01"), &[evm_usdc(), dai.clone()]).unwrap();
            quoted(&table, &methods).unwrap().0.len() == 1
        })
        .collect();
    assert!(!silent.is_empty(), "the case that this is about does not occur");
    let alone = PriceTable::new(&price("0.01"), &[dai]).unwrap();
    assert!(matches!(alone.quote(&calls(&vec!["getSlot"; silent[0]])), Err(PriceError::BadRequest(_))));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let with = |change: fn(&mut Tariff)| {
        let mut tariff = tariff();
        change(&mut tariff);
        PriceTable::new(&tariff, &[evm_usdc(), sol()]).map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(with(|_| {}), Ok(()));
    let cases: [(fn(&mut Tariff), &str); 8] = [
        (|tariff| tariff.default = String::new(), "price of default: \"\" in USDC: not a decimal number"),
        (|tariff| tariff.default = "0".into(), "price of default: \"0\" in USDC: amount is zero"),
        (|tariff| tariff.default = "0.0000001".into(), "more fraction digits than the asset's 6 decimals"),
        (|tariff| tariff.default = "-1".into(), "not a decimal number"),
        (|tariff| tariff.free.push("requestAirdrop".into()), "requestAirdrop is free and denied"),
        (|tariff| tariff.free.push("getProgramAccounts".into()), "getProgramAccounts is free and priced"),
        (|tariff| tariff.deny.push("getProgramAccounts".into()), "getProgramAccounts is denied and priced"),
        (|tariff| tariff.upfront.push("getHealth".into()), "getHealth is upfront and free or denied"),
    ];
    for (change, want) in cases {
        let error = with(change).unwrap_err();
        assert!(error.contains(want), "{error} / {want}");
    }
    let accepts = |accepted: &[Accepted]| PriceTable::new(&tariff(), accepted).map(drop).map_err(|error| error.to_string());
    assert!(accepts(&[]).unwrap_err().contains("no offer"));
    assert!(accepts(&[evm_usdc(), evm_usdc()]).unwrap_err().contains("two offers"));
    assert!(accepts(&[Accepted { per_dollar: None, ..sol() }]).unwrap_err().contains("is not pegged"));
    assert!(accepts(&[Accepted { per_dollar: sol().per_dollar, ..evm_usdc() }]).unwrap_err().contains("needs no"));
}
