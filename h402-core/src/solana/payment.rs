use crate::SolanaAddress;

/// What a transaction pays, found in its one transfer.
///
/// ```
/// use h402_core::solana::SolanaPayment;
/// let payment = SolanaPayment {
///     payer: [1; 32].into(),
///     fee_payer: [2; 32].into(),
///     source: [3; 32].into(),
///     destination: [4; 32].into(),
///     amount: 10_000,
///     unit_limit: Some(20_000),
///     unit_price: 1,
///     creates_destination: false,
///     blockhash: [5; 32],
/// };
/// // Two signatures, and twenty thousand units at a millionth of a lamport each.
/// assert_eq!((payment.is_sponsored(), payment.max_fee()), (true, 10_001));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SolanaPayment {
    /// Who pays: the owner of what is transferred.
    pub payer: SolanaAddress,
    /// Who pays the fee; the payer too unless the payment is sponsored.
    pub fee_payer: SolanaAddress,
    /// What is debited: the payer, or a token account of the payer.
    pub source: SolanaAddress,
    /// What is credited: the payee, or the payee's associated token account.
    pub destination: SolanaAddress,
    /// How much, in the smallest unit.
    pub amount: u64,
    /// Most compute units it may use, if it says.
    pub unit_limit: Option<u32>,
    /// Price of a unit in millionths of a lamport.
    pub unit_price: u64,
    /// Whether it creates the payee's token account if there is none, at the payer's cost.
    pub creates_destination: bool,
    /// The recent blockhash it lives by.
    pub blockhash: [u8; 32],
}

impl SolanaPayment {
    /// What each signature costs, in lamports.
    pub const LAMPORTS_PER_SIGNATURE: u64 = 5_000;
    /// Most units of any transaction, and so of one that names no limit.
    pub const MAX_UNITS: u32 = 1_400_000;

    /// Whether somebody else pays the fee.
    #[must_use]
    pub fn is_sponsored(&self) -> bool {
        self.fee_payer != self.payer
    }

    /// The most lamports its fee can be: for its signatures, and for all units that it may use.
    #[must_use]
    pub fn max_fee(&self) -> u64 {
        let signatures = if self.is_sponsored() { 2 } else { 1 };
        let units = u128::from(self.unit_limit.unwrap_or(Self::MAX_UNITS));
        let priority = units.saturating_mul(u128::from(self.unit_price)).div_ceil(1_000_000);
        u64::try_from(priority).unwrap_or(u64::MAX).saturating_add(signatures * Self::LAMPORTS_PER_SIGNATURE)
    }
}
