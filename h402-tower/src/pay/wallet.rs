//! The port to whoever holds the keys.

use super::Unusable;
use core::future::Future;
use h402_core::{Amount, BadKey, PaymentPayload, Requirements, Undecided, UnixSeconds};

/// Signs payments. It is asked once per call and after every limit was checked.
///
/// A pair of wallets is a wallet:
///
/// ```
/// use h402_core::{Assets, EvmKey, SolanaKey};
/// use h402_tower::pay::{Cap, EvmWallet, Pay, SolanaWallet};
/// let evm = EvmWallet::from_key(EvmKey::from_bytes(&[1; 32])?);
/// let solana = SolanaWallet::from_key(SolanaKey::from_seed(&[2; 32]));
/// let layer = Pay::new((evm, solana), Cap::usd("0.05", &Assets::known())?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Wallet: Send + Sync + 'static {
    /// By what means it could pay this, if it could. Asks nobody.
    fn can_pay(&self, requirements: &Requirements) -> Option<Means>;

    /// Why it cannot pay this; only asked if it cannot. Told [`Unusable::NoHints`], the layer asks the server once more,
    /// which may just have been finding them out.
    fn why_not(&self, _requirements: &Requirements) -> Unusable {
        Unusable::Wallet
    }

    /// Signs a payment of exactly these terms. Sends nothing.
    ///
    /// # Errors
    /// [`SignError`]: nothing was signed. # Cancel safety: may be dropped at any time.
    fn sign(&self, terms: &Terms) -> impl Future<Output = Result<PaymentPayload, SignError>> + Send;
}

/// By what means a wallet pays; of several offers the one with the earlier means is taken: what can be used for the
/// shortest time, and costs the payer the least besides the price.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Means {
    /// A signed authorization: it expires by itself, and the payer needs no gas.
    Authorization,
    /// A signed transfer through Permit2: it expires by itself, and the payer needs no gas. But the payer has approved Permit2
    /// for more than this payment, or signs an approval with it.
    Permit2,
    /// A signed Solana transaction: it expires with its blockhash, after about a minute, and the payer pays a fee unless
    /// the facilitator does. When it has expired is not for the payer's clock to say, so it comes second.
    SolanaTransaction,
    /// A signed EVM transaction: valid until its account nonce is used, and the payer pays for gas.
    EvmTransaction,
}

/// What is to be signed, settled to the last field by the pay layer and not by the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// What the server asked for.
    pub requirements: Requirements,
    /// What is paid, in the asset's smallest unit: the price, or one unit above it where servers compute in floats.
    pub amount: Amount,
    /// The text that ties the payment to what is bought; payload types with a message sign it.
    pub resource: String,
    /// Start of the payment's validity.
    pub valid_after: UnixSeconds,
    /// End of the payment's validity.
    pub valid_before: UnixSeconds,
}

/// Why a wallet did not sign.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// It cannot pay these terms at all.
    #[error("the wallet cannot pay this")]
    Unsupported,
    /// The facts it needs from the chain could not be read.
    #[error("facts for the transaction: {0}")]
    Hints(#[from] Undecided),
    /// Permit2 may not move enough of the payer's token, and the token takes no approval by signature.
    #[error("Permit2 is approved for {approved}, {required} are needed")]
    Approval {
        /// What Permit2 may move.
        approved: Amount,
        /// Needed.
        required: Amount,
    },
    /// The gas alone would cost more than the wallet may spend on it.
    #[error("gas would cost up to {cost}, {limit} are allowed")]
    Gas {
        /// Greatest cost of the gas, in the native coin's smallest unit.
        cost: Amount,
        /// What is allowed.
        limit: Amount,
    },
    /// The price is more than the network can move at once.
    #[error("{0} is more than one transfer on this network can move")]
    Amount(Amount),
    /// The key does not sign.
    #[error(transparent)]
    Key(#[from] BadKey),
    /// No randomness for a nonce.
    #[error("the system has no randomness")]
    Randomness,
}

/// Two wallets as one: whichever has the better means for what is asked pays it, the first of them if both have the
/// same. So `(EvmWallet, SolanaWallet)` holds a key of each kind.
impl<A: Wallet, B: Wallet> Wallet for (A, B) {
    fn can_pay(&self, requirements: &Requirements) -> Option<Means> {
        let (first, second) = (self.0.can_pay(requirements), self.1.can_pay(requirements));
        first.into_iter().chain(second).min()
    }

    fn why_not(&self, requirements: &Requirements) -> Unusable {
        match self.0.why_not(requirements) {
            Unusable::Wallet => self.1.why_not(requirements),
            why => why,
        }
    }

    async fn sign(&self, terms: &Terms) -> Result<PaymentPayload, SignError> {
        match (self.0.can_pay(&terms.requirements), self.1.can_pay(&terms.requirements)) {
            (first, Some(second)) if first.is_none_or(|first| second < first) => self.1.sign(terms).await,
            _ => self.0.sign(terms).await,
        }
    }
}
