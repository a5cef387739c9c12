//! What can be verified and settled here.

use super::{Engine, network::NetworkEngine};
use futures_util::future::join_all;
use h402_core::{Clock, Dialect, EvmAddress, Network, Scheme, SolanaHints, Store, Supported, SupportedKind};

impl<S: Store, C: Clock> Engine<S, C> {
    /// What can be verified and settled here, with fresh hints for payers. Waits half a second at most, for what payers on
    /// Solana need if nobody has asked for it lately.
    ///
    /// # Cancel safety
    /// May be dropped at any time.
    pub async fn supported(&self) -> Supported {
        let told = self.shared.networks.iter().map(async |(network, engine)| kinds(*network, engine.hints().await, engine.facilitator()));
        let kinds = join_all(told).await.into_iter().flatten().collect();
        let signers = self.shared.networks.values().flat_map(NetworkEngine::signers).fold(Vec::new(), |mut all, signer| {
            // One key may serve several networks.
            if !all.contains(&signer) {
                all.push(signer);
            }
            all
        });
        Supported { kinds, reserves: true, signers }
    }
}

/// What is supported on a network, in each dialect. x402 gates take what they are told here into what payers sign, so there it
/// says nothing that changes; and its payers on Solana leave the fee to whoever is named.
fn kinds(network: Network, hints: Option<SolanaHints>, facilitator: Option<EvmAddress>) -> Vec<SupportedKind> {
    let payer = hints.and_then(|hints| hints.fee_payer);
    let lasting = payer.map(|fee_payer| SolanaHints { fee_payer: Some(fee_payer), ..SolanaHints::default() });
    let exact = |dialect, solana| SupportedKind { dialect, scheme: Scheme::Exact, network, solana, facilitator: None };
    let mut kinds = vec![exact(Dialect::H402V1, hints)];
    if matches!(network, Network::Evm(_)) || lasting.is_some() {
        kinds.extend([Dialect::X402V1, Dialect::X402V2].map(|dialect| exact(dialect, lasting)));
    }
    if facilitator.is_some() {
        kinds.push(SupportedKind { dialect: Dialect::X402V2, scheme: Scheme::Upto, network, solana: None, facilitator });
    }
    kinds
}
