//! EVM networks, as a configuration describes them.

use super::{ConfigError, NetworkSection, value};
use crate::{
    EvmNetwork, Signer,
    evm::{EvmChain, EvmConfig},
};
use h402_core::{Address, EvmKey};
use std::time::Duration;
use zeroize::Zeroizing;

/// Where Multicall3 is on most chains.
const MULTICALL3: &str = "0xcA11bde05977b3631167028862bE2a173976CA11";

impl NetworkSection {
    /// An EVM network, without its least amounts.
    pub(super) fn evm(&self, chain_id: u64, env: &impl Fn(&str) -> Option<String>) -> Result<EvmNetwork, ConfigError> {
        let key = |part: &str| format!("network {} {part}", self.id);
        let solanas = [
            ("commitment", self.commitment.is_some()),
            ("large_amount", !self.large_amount.is_empty()),
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
        let signer = Signer::Local(self.key(chain_id, env)?);
        let chain = EvmChain::new(EvmConfig { chain_id, multicall3, simulate_from: signer.address(), rpc });
        let defaults = EvmNetwork::new(chain, signer);
        Ok(EvmNetwork {
            accept_depth: self.accept_depth.unwrap_or(defaults.accept_depth).max(1),
            final_depth: self.final_depth.unwrap_or(defaults.final_depth).max(1),
            max_gas: self.max_gas.unwrap_or(defaults.max_gas),
            max_fee_per_gas: self.max_fee_gwei.map_or(defaults.max_fee_per_gas, |gwei| u128::from(gwei) * 1_000_000_000),
            poll: self.poll_ms.map_or(defaults.poll, |ms| Duration::from_millis(ms.max(10))),
            ..defaults
        })
    }

    fn key(&self, chain_id: u64, env: &impl Fn(&str) -> Option<String>) -> Result<EvmKey, ConfigError> {
        let variable = format!("H402_KEY_{chain_id}");
        if let Some(text) = env(&variable) {
            return EvmKey::from_hex(&text).map_err(|why| value(variable, why));
        }
        let key = |part: &str| format!("network {} {part}", self.id);
        match (&self.key_file, &self.keystore_file) {
            (Some(path), None) => {
                let text = std::fs::read_to_string(path).map_err(|error| ConfigError::File { path: path.clone(), error })?;
                EvmKey::from_hex(&Zeroizing::new(text)).map_err(|why| value(path.display().to_string(), why))
            }
            (None, Some(path)) => {
                let variable = format!("H402_KEYSTORE_PASSWORD_{chain_id}");
                let password = Zeroizing::new(env(&variable).ok_or_else(|| value(key("keystore_file"), format!("{variable} is not set")))?);
                // The library's own errors may quote the file.
                let opened = eth_keystore::decrypt_key(path, password.as_bytes());
                let secret =
                    Zeroizing::new(opened.map_err(|_| value(path.display().to_string(), "is no keystore, or the password is wrong"))?);
                let secret =
                    <&[u8; 32]>::try_from(secret.as_slice()).map_err(|_| value(path.display().to_string(), "holds no 32-byte key"))?;
                EvmKey::from_bytes(secret).map_err(|why| value(path.display().to_string(), why))
            }
            (Some(_), Some(_)) => Err(value(key("key_file"), "and keystore_file are both given")),
            (None, None) => Err(value(key("key_file"), format!("is missing, as is keystore_file, and {variable} is not set"))),
        }
    }
}
