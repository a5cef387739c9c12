use crate::SolanaAddress;

/// What a server knows of a cluster and a payer would otherwise have to ask it. Facts for payers, which decide
/// nothing: a payment is judged by what was signed and by what the chain says then.
///
/// ```
/// use h402_core::SolanaHints;
/// let none = SolanaHints::default();
/// assert!(none.fee_payer.is_none() && none.blockhash.is_none());
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SolanaHints {
    /// Who pays the fee for the payer, if somebody does.
    pub fee_payer: Option<SolanaAddress>,
    /// A recent blockhash.
    pub blockhash: Option<[u8; 32]>,
    /// The block height until which a transaction with that blockhash can land.
    pub last_valid_block_height: Option<u64>,
}
