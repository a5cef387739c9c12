//! EVM networks, as a configuration describes them.

use super::{ConfigError, NetworkSection, keystore, value};
use crate::{
    EvmNetwork, Signer,
    evm::{EvmChain, EvmConfig},
};
use h402_core::{Address, EvmKey};
use std::{path::Path, time::Duration};
use zeroize::Zeroizing;

/// Where Multicall3 is on most chains.
const MULTICALL3: &str = "0xcA11bde05977b3631167028862bE2a173976CA11";

impl NetworkSection {
    /// An EVM network, without its least and large amounts.
    pub(super) fn evm(&self, chain_id: u64, env: &impl Fn(&str) -> Option<String>) -> Result<EvmNetwork, ConfigError> {
        let key = |part: &str| format!("network {} {part}", self.id);
        let solanas = [
            ("commitment", self.commitment.is_some()),
            ("max_fee_lamports", self.max_fee_lamports.is_some()),
            ("min_blocks_left", self.min_blocks_left.is_some()),
            ("extensions", !self.extensions.is_empty()),
        ];
        self.refuse(&solanas, "Solana")?;
        let rpc = self.rpc()?;
        let multicall3 = match self.multicall3.as_deref().unwrap_or(MULTICALL3) {
            "none" => None,
            text => match text.parse() {
                Ok(Address::Evm(address)) => Some(address),
                _ => return Err(value(key("multicall3"), "neither an address nor \"none\"")),
            },
        };
        let mut signers = self.keys(chain_id, env)?.into_iter().map(Signer::Local);
        let Some(signer) = signers.next() else { return Err(value(key("key_file"), "is missing")) };
        let chain = EvmChain::new(EvmConfig { chain_id, multicall3, simulate_from: signer.address(), rpc });
        let mut defaults = EvmNetwork::new(chain, signer);
        defaults.signers.extend(signers);
        Ok(EvmNetwork {
            accept_depth: self.accept_depth.unwrap_or(defaults.accept_depth).max(1),
            final_depth: self.final_depth.unwrap_or(defaults.final_depth).max(1),
            max_gas: self.max_gas.unwrap_or(defaults.max_gas),
            max_fee_per_gas: self.max_fee_gwei.map_or(defaults.max_fee_per_gas, |gwei| u128::from(gwei) * 1_000_000_000),
            max_block_age: self.max_block_age_s.map_or(defaults.max_block_age, |seconds| Duration::from_secs(seconds.max(1))),
            poll: self.poll_ms.map_or(defaults.poll, |ms| Duration::from_millis(ms.max(10))),
            ..defaults
        })
    }

    fn keys(&self, chain_id: u64, env: &impl Fn(&str) -> Option<String>) -> Result<Vec<EvmKey>, ConfigError> {
        let variable = format!("H402_KEY_{chain_id}");
        if let Some(text) = env(&variable).map(Zeroizing::new) {
            return text.split(',').map(|text| EvmKey::from_hex(text).map_err(|why| value(variable.clone(), why))).collect();
        }
        let key = |part: &str| format!("network {} {part}", self.id);
        let mut keys = Vec::new();
        match (&self.key_file, &self.keystore_file) {
            (Some(path), None) => keys.push(key_in(path)?),
            (None, Some(path)) => {
                let secret = keystore::open(path, &key("keystore_file"), &format!("H402_KEYSTORE_PASSWORD_{chain_id}"), env)?;
                keys.push(EvmKey::from_bytes(&secret).map_err(|why| value(path.display().to_string(), why))?);
            }
            (Some(_), Some(_)) => return Err(value(key("key_file"), "and keystore_file are both given")),
            (None, None) if !self.key_files.is_empty() => {}
            (None, None) => return Err(value(key("key_file"), format!("is missing, as is keystore_file, and {variable} is not set"))),
        }
        for path in &self.key_files {
            keys.push(key_in(path)?);
        }
        Ok(keys)
    }
}

fn key_in(path: &Path) -> Result<EvmKey, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|error| ConfigError::File { path: path.to_owned(), error })?;
    EvmKey::from_hex(&Zeroizing::new(text)).map_err(|why| value(path.display().to_string(), why))
}
