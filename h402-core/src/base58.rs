//! Base58 of exactly so many bytes: addresses, hashes and signatures of Solana.

/// Reads `N` bytes; `None` if the text is anything else.
pub(crate) fn read<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    // A text of fewer bytes is decoded, too, and would leave zeros behind them.
    matches!(bs58::decode(text).onto(&mut bytes), Ok(length) if length == N).then_some(bytes)
}

#[cfg(test)]
mod tests {
    /// Ones are zero bytes, so their number is the length.
    #[test]
    fn only_the_exact_length_is_read() {
        assert_eq!(super::read::<4>("1111"), Some([0; 4]));
        assert_eq!(super::read::<4>("2VfUX"), Some([1, 2, 3, 4]));
        for other in ["", "111", "11111", "2VfU", "12VfUX", "2VfU0", " 2VfUX"] {
            assert_eq!(super::read::<4>(other), None, "{other:?}");
        }
    }
}
