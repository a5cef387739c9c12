//! Solana clusters, as a configuration describes them.

use super::{ConfigError, NetworkSection, value};
use crate::{
    SolanaNetwork,
    solana::{Commitment, SolanaChain, SolanaConfig},
};
use h402_core::{AllowedExtensions, GenesisPrefix, SolanaKey};
use serde::Deserialize;
use std::time::Duration;
use zeroize::Zeroizing;

/// How sure a block must be.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CommitmentWord {
    /// Two thirds of the stake have voted for it.
    Confirmed,
    /// It cannot be undone.
    Finalized,
}

/// What a mint of Token-2022 may be able to do.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExtensionWord {
    /// Take a share of each transfer.
    TransferFee,
    /// Call another program.
    TransferHook,
    /// Let somebody move or burn anybody's tokens.
    PermanentDelegate,
    /// Let somebody stop all transfers.
    Pausable,
    /// Freeze new accounts.
    DefaultFrozen,
    /// Hide amounts.
    Confidential,
}

impl NetworkSection {
    /// A Solana cluster, without its least and large amounts.
    pub(super) fn solana(&self, genesis: GenesisPrefix, env: &impl Fn(&str) -> Option<String>) -> Result<SolanaNetwork, ConfigError> {
        let evms = [
            ("keystore_file", self.keystore_file.is_some()),
            ("key_files", !self.key_files.is_empty()),
            ("multicall3", self.multicall3.is_some()),
            ("accept_depth", self.accept_depth.is_some()),
            ("final_depth", self.final_depth.is_some()),
            ("max_gas", self.max_gas.is_some()),
            ("max_fee_gwei", self.max_fee_gwei.is_some()),
            ("coin_usd", self.coin_usd.is_some()),
            ("max_cost_percent", self.max_cost_percent.is_some()),
            ("l1_fee", self.l1_fee),
            ("contract_payers", self.contract_payers),
            ("permit2", self.permit2),
            ("factories", !self.factories.is_empty()),
            ("code_hash", !self.code_hash.is_empty()),
            ("implementation_hash", !self.implementation_hash.is_empty()),
        ];
        self.refuse(&evms, "EVM")?;
        let defaults = SolanaNetwork::new(SolanaChain::new(SolanaConfig { genesis, rpc: self.rpc()? }));
        let mut extensions = AllowedExtensions::default();
        for word in &self.extensions {
            match word {
                ExtensionWord::TransferFee => extensions.transfer_fee = true,
                ExtensionWord::TransferHook => extensions.transfer_hook = true,
                ExtensionWord::PermanentDelegate => extensions.permanent_delegate = true,
                ExtensionWord::Pausable => extensions.pausable = true,
                ExtensionWord::DefaultFrozen => extensions.default_frozen = true,
                ExtensionWord::Confidential => extensions.confidential = true,
            }
        }
        Ok(SolanaNetwork {
            sponsor: self.sponsor(env)?,
            max_fee_lamports: self.max_fee_lamports.unwrap_or(defaults.max_fee_lamports),
            accept: match self.commitment {
                None => defaults.accept,
                Some(CommitmentWord::Confirmed) => Commitment::Confirmed,
                Some(CommitmentWord::Finalized) => Commitment::Finalized,
            },
            min_blocks_left: self.min_blocks_left.unwrap_or(defaults.min_blocks_left),
            extensions,
            max_block_age: self.max_block_age_s.map_or(defaults.max_block_age, |seconds| Duration::from_secs(seconds.max(1))),
            poll: self.poll_ms.map_or(defaults.poll, |ms| Duration::from_millis(ms.max(10))),
            ..defaults
        })
    }

    /// The key that pays the fees of others, if there is one.
    fn sponsor(&self, env: &impl Fn(&str) -> Option<String>) -> Result<Option<SolanaKey>, ConfigError> {
        let variable = format!("H402_KEY_{}", self.reference());
        if let Some(text) = env(&variable).map(Zeroizing::new) {
            return SolanaKey::from_text(&text).map(Some).map_err(|why| value(variable, why));
        }
        let Some(path) = &self.key_file else { return Ok(None) };
        let text = std::fs::read_to_string(path).map_err(|error| ConfigError::File { path: path.clone(), error })?;
        SolanaKey::from_text(&Zeroizing::new(text)).map(Some).map_err(|why| value(path.display().to_string(), why))
    }
}
