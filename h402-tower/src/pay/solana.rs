//! A wallet with one Solana key.

use super::{Means, NoHints, SignError, Terms, Unusable, Wallet};
use core::fmt;
use h402_core::{
    Dialect, GenesisPrefix, Hints, Network, Payload, PaymentPayload, Requirements, SolanaAddress, SolanaKey,
    solana::{SolanaSignError, SolanaTerms, associated_token_account, program, sign_payment},
};
use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

/// Pays with one Solana key: SOL, and tokens of both token programs, by a signed transaction that is not sent.
///
/// A payment needs a recent blockhash and a fee payer. Servers name both in their 402 where they can, so that the wallet
/// asks nobody. Of what a server names nothing can cost the payer more: who pays the fee is used for that alone, units and
/// their price are the wallet's own, and what a payment costs beside its price is bounded by [`with_max_cost`].
///
/// Made by [`from_key`] it pays where somebody else pays the fee, on the main network; the rest is to be allowed.
///
/// [`from_key`]: SolanaWallet::from_key
/// [`with_max_cost`]: SolanaWallet::with_max_cost
///
/// ```
/// use h402_core::SolanaKey;
/// use h402_tower::pay::SolanaWallet;
///
/// // As `solana-keygen` writes it; base58, as wallets export it, is read as well.
/// let key = SolanaKey::from_seed(&[7; 32]);
/// let wallet = SolanaWallet::from_key(key).with_max_cost(5_001);
/// assert_eq!(wallet.address().to_string(), "GmaDrppBC7P5ARKV8g3djiwP89vz1jLK23V2GBjuAEGB");
/// ```
#[derive(Clone)]
#[must_use]
pub struct SolanaWallet<H = NoHints> {
    key: SolanaKey,
    hints: Option<H>,
    max_lamports: u64,
    only: Option<Network>,
    own_fee: bool,
    /// Tells payments of one wallet apart. It starts anywhere, for there may be others with the same key.
    count: Arc<AtomicU32>,
}

impl SolanaWallet {
    /// Pays nothing beside the price, and takes blockhashes from servers.
    pub fn from_key(key: SolanaKey) -> Self {
        let mut start = [0; 4];
        // Without randomness for it nothing is signed, see below.
        let _none = getrandom::fill(&mut start);
        let count = Arc::new(AtomicU32::new(u32::from_le_bytes(start)));
        Self { key, hints: None, max_lamports: 0, only: None, own_fee: false, count }
    }
}

impl<H> SolanaWallet<H> {
    /// Asks `hints` for a blockhash where the server names none, or none that may be used.
    pub fn with_hints<I: Hints>(self, hints: I) -> SolanaWallet<I> {
        let Self { key, max_lamports, only, own_fee, count, .. } = self;
        SolanaWallet { key, hints: Some(hints), max_lamports, only, own_fee, count }
    }

    /// Pays up to `lamports` beside the price of each payment; it comes on top of the [`Cap`](super::Cap).
    ///
    /// 5 001 are enough for the fee where nobody else pays it. From 2 045 000 on (for Token-2022 2 506 000) payments
    /// create the payee's token account where there is none, at this wallet's cost; the payee may close it and keep what
    /// it cost, every time.
    ///
    /// # Units
    /// Lamports: a thousand millionth of a SOL each.
    pub fn with_max_cost(mut self, lamports: u64) -> Self {
        self.max_lamports = lamports;
        self
    }

    /// Pays the fee itself, even where the server names somebody who would.
    pub fn with_own_fee(mut self) -> Self {
        self.own_fee = true;
        self
    }

    /// Pays on this cluster only, and takes blockhashes from servers there, too.
    ///
    /// # Security
    /// A transaction says by its blockhash alone on which cluster it moves money. The same key must hold nothing on any
    /// other: a server that asks for play money and names a blockhash of the main network would be paid there. Without
    /// this, blockhashes of servers are used for payments on the main network only (T117).
    pub fn with_key_of_cluster_only(mut self, network: Network) -> Self {
        self.only = Some(network);
        self
    }

    /// The account that pays.
    #[must_use]
    pub fn address(&self) -> SolanaAddress {
        self.key.address()
    }

    /// Whether a blockhash that a server names for this cluster can be one of this cluster alone, or does no harm if not.
    fn believes(&self, network: Network) -> bool {
        network == Network::Solana(GenesisPrefix::MAINNET) || self.only == Some(network)
    }

    /// The blockhash that the server names, if it may be used.
    fn told(&self, requirements: &Requirements) -> Option<[u8; 32]> {
        requirements.solana?.blockhash.filter(|_| self.believes(requirements.offer.network()))
    }

    /// How this would be paid, but for the blockhash: by whoever is named for it rather than by the payer, and with the
    /// payee's account created if that may be paid for.
    fn plan(&self, requirements: &Requirements) -> Result<SolanaTerms, Unusable> {
        let offer = &requirements.offer;
        let network = offer.network();
        let (Network::Solana(_), Some(payee)) = (network, offer.pay_to.solana()) else { return Err(Unusable::Wallet) };
        if payee == self.address() || self.only.is_some_and(|only| only != network) {
            return Err(Unusable::Wallet);
        }
        let sponsor = requirements
            .solana
            .and_then(|hints| hints.fee_payer)
            .filter(|named| !self.own_fee && self.can_be_sponsor(*named, requirements));
        let terms = SolanaTerms { blockhash: [0; 32], fee_payer: sponsor, creates_account: true, unique: [0; 16] };
        let ways = [terms, SolanaTerms { creates_account: false, ..terms }];
        let cost = |way: &SolanaTerms| way.most_lamports(&self.address(), offer);
        let lamports = ways.iter().map(cost).min().unwrap_or(u64::MAX);
        let way = ways.into_iter().find(|way| cost(way) <= self.max_lamports);
        way.ok_or(Unusable::Fee { lamports, limit: self.max_lamports })
    }

    /// Whether this account can pay the fee and be nothing else in the transaction.
    fn can_be_sponsor(&self, named: SolanaAddress, requirements: &Requirements) -> bool {
        let offer = &requirements.offer;
        let mint = offer.asset.id.address.solana();
        let source = mint.zip(offer.asset.token_program).and_then(|(mint, of)| associated_token_account(&self.address(), &mint, of));
        let own = [Some(self.address()), source, offer.pay_to.solana(), offer.destination, mint];
        let programs =
            [program::SYSTEM, program::TOKEN, program::TOKEN_2022, program::ASSOCIATED_TOKEN, program::COMPUTE_BUDGET, program::MEMO];
        !own.contains(&Some(named)) && !programs.contains(&named)
    }
}

impl<H> fmt::Debug for SolanaWallet<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SolanaWallet")
            .field("address", &self.address())
            .field("max_lamports", &self.max_lamports)
            .field("only", &self.only)
            .finish_non_exhaustive()
    }
}

impl<H: Hints> Wallet for SolanaWallet<H> {
    fn can_pay(&self, requirements: &Requirements) -> Option<Means> {
        self.plan(requirements).ok()?;
        (self.told(requirements).is_some() || self.hints.is_some()).then_some(Means::SolanaTransaction)
    }

    fn why_not(&self, requirements: &Requirements) -> Unusable {
        let why = self.plan(requirements).err();
        let hints = requirements.solana.unwrap_or_default();
        match why {
            // Perhaps the server was just not ready to say it.
            None if hints.blockhash.is_none() && self.believes(requirements.offer.network()) => Unusable::NoHints,
            Some(Unusable::Fee { .. }) if requirements.solana.is_none() => Unusable::NoHints,
            None => Unusable::Cluster,
            Some(why) => why,
        }
    }

    async fn sign(&self, terms: &Terms) -> Result<PaymentPayload, SignError> {
        let requirements = &terms.requirements;
        let offer = &requirements.offer;
        let plan = self.plan(requirements).map_err(|_| SignError::Unsupported)?;
        let blockhash = match (self.told(requirements), &self.hints) {
            (Some(told), _) => told,
            (None, Some(hints)) => hints.blockhash(offer.network()).await?,
            (None, None) => return Err(SignError::Unsupported),
        };
        let plan = SolanaTerms { blockhash, unique: self.unique()?, ..plan };
        let signed = sign_payment(&self.key, offer, terms.amount, &plan).map_err(|error| match error {
            SolanaSignError::Amount => SignError::Amount(terms.amount),
            SolanaSignError::Network | SolanaSignError::Parties => SignError::Unsupported,
        })?;
        Ok(PaymentPayload {
            dialect: Dialect::H402V1,
            scheme: offer.scheme,
            network: offer.network(),
            resource: Some(terms.resource.clone()),
            payload: Payload::SolanaTransaction(signed),
        })
    }
}

impl<H> SolanaWallet<H> {
    /// Counted in the first bytes, so that this wallet's payments differ where few bits count; random behind them.
    fn unique(&self) -> Result<[u8; 16], SignError> {
        let mut unique = [0; 16];
        getrandom::fill(&mut unique).map_err(|_| SignError::Randomness)?;
        let counted = self.count.fetch_add(1, Ordering::Relaxed).to_le_bytes();
        unique.iter_mut().zip(counted).for_each(|(byte, count)| *byte = count);
        Ok(unique)
    }
}
