use super::*;
use proptest::prelude::*;

#[test]
fn decimal_text_becomes_the_exact_integer() {
    // Expected values by hand.
    let cases = [
        ("0.01", 6, 10_000),
        ("1", 6, 1_000_000),
        ("1e-6", 6, 1),
        ("1E2", 2, 10_000),
        ("0.100000", 1, 1),
        ("8.2", 6, 8_200_000),
        ("1.005", 6, 1_005_000),
        ("000.5", 1, 5),
        ("1.1", 18, 1_100_000_000_000_000_000),
        ("12e+3", 0, 12_000),
    ];
    for (text, decimals, atomic) in cases {
        assert_eq!(Amount::from_units(text, decimals), Ok(Amount::from_atomic(atomic)), "{text}@{decimals}");
    }
}

#[test]
fn bad_text_is_refused_with_its_reason() {
    let long = "1".repeat(97);
    let cases = [
        ("", 6, AmountError::Syntax),
        (".5", 6, AmountError::Syntax),
        ("5.", 6, AmountError::Syntax),
        ("+1", 6, AmountError::Syntax),
        ("-1", 6, AmountError::Syntax),
        (" 1", 6, AmountError::Syntax),
        ("1_000", 6, AmountError::Syntax),
        ("0x10", 6, AmountError::Syntax),
        ("1e", 6, AmountError::Syntax),
        ("1e81", 6, AmountError::Syntax),
        ("1e-31", 6, AmountError::Syntax),
        ("NaN", 6, AmountError::Syntax),
        ("١", 6, AmountError::Syntax),
        ("1.2.3", 6, AmountError::Syntax),
        (long.as_str(), 6, AmountError::Syntax),
        ("0", 6, AmountError::Zero),
        ("0.000", 6, AmountError::Zero),
        ("0.0000001", 6, AmountError::Precision { decimals: 6 }),
        ("1e-7", 6, AmountError::Precision { decimals: 6 }),
        ("1e80", 6, AmountError::TooLarge),
    ];
    for (text, decimals, error) in cases {
        assert_eq!(Amount::from_units(text, decimals), Err(error), "{text}@{decimals}");
    }
}

/// T030: only canonical decimal integers are taken where a signature's number is expected.
#[test]
fn t030_atomic_text_has_one_spelling() {
    for bad in ["1e4", "0x2710", " 10000", "10000 ", "+10000", "010000", "10000.0", "1e400", "-1", "１００", "", "00", "1,0"] {
        assert_eq!(Amount::from_atomic_text(bad), Err(AmountError::Syntax), "{bad:?}");
    }
    let max = "115792089237316195423570985008687907853269984665640564039457584007913129639935";
    assert_eq!(Amount::from_atomic_text(max).map(Amount::to_u256), Ok(U256::MAX));
    let above = "115792089237316195423570985008687907853269984665640564039457584007913129639936";
    assert_eq!(Amount::from_atomic_text(above), Err(AmountError::TooLarge));
    assert_eq!(Amount::from_atomic_text("10000"), Ok(Amount::from_atomic(10_000)));
}

#[test]
fn float_clients_are_predicted_as_recorded() {
    // Recorded runs of the reference client: wire/h402.md section 6.
    let cases = [
        ("8.2", 6, 8_199_999),
        ("1.005", 6, 1_004_999),
        ("1.1", 18, 1_100_000_000_000_000_128),
        ("0.07", 18, 70_000_000_000_000_008),
        ("1e-7", 6, 0),
    ];
    for (text, decimals, atomic) in cases {
        assert_eq!(Amount::as_float_client_reads(text, decimals), Ok(Amount::from_atomic(atomic)), "{text}");
    }
}

/// T063: a price that float clients would misread is refused when it is built, and its neighbour is named.
#[test]
fn t063_prices_that_float_clients_misread_are_refused() {
    let price = Amount::from_units("1.1", 18).unwrap();
    let Err(AmountError::NotExactAsFloat { nearest }) = price.to_wire(18) else { panic!("1.1@18 has no exact float") };
    let near = Amount::from_units(&nearest, 18).unwrap();
    assert_eq!(near.to_wire(18).unwrap().to_amount(18), Ok(near), "the named neighbour is a good price");
    let good = Amount::from_units("0.5", 18).unwrap();
    assert_eq!(good.to_wire(18).unwrap(), WireAmount { literal: "0.5".into(), format: AmountFormat::HumanReadable });
}

/// T062, T063: every cent price converts back to itself, whichever way it is written.
#[test]
fn t062_t063_all_prices_from_a_tenth_of_a_cent_to_ten_dollars_round_trip() {
    for mills in 1..=10_000u128 {
        let text = format!("{}.{:03}", mills / 1000, mills % 1000);
        let amount = Amount::from_units(&text, 6).unwrap();
        assert_eq!(amount, Amount::from_atomic(mills * 1000), "{text}");
        let wire = amount.to_wire(6).unwrap();
        assert_eq!((wire.format, wire.to_amount(6)), (AmountFormat::SmallestUnit, Ok(amount)), "{text}");
        assert_eq!(Amount::from_units(&amount.to_units(6), 6), Ok(amount), "{text}");
    }
}

proptest! {
    #[test]
    fn units_and_back_is_the_identity(atomic in 1u128.., decimals in 0u8..30) {
        let amount = Amount::from_atomic(atomic);
        prop_assert_eq!(Amount::from_units(&amount.to_units(decimals), decimals), Ok(amount));
        prop_assert_eq!(Amount::from_atomic_text(&amount.to_string()), Ok(amount));
        prop_assert_eq!(Amount::from_be_bytes(amount.to_be_bytes()), amount);
    }

    #[test]
    fn no_text_panics(text in "[0-9eE.+x -]{0,100}", decimals: u8) {
        drop(Amount::from_units(&text, decimals));
        drop(Amount::from_atomic_text(&text));
        drop(Amount::as_float_client_reads(&text, decimals));
    }

    #[test]
    fn a_wire_amount_means_what_it_says(atomic in 1u128.., decimals in 0u8..=18) {
        let amount = Amount::from_atomic(atomic);
        if let Ok(wire) = amount.to_wire(decimals) {
            prop_assert_eq!(wire.to_amount(decimals), Ok(amount));
        }
    }
}
