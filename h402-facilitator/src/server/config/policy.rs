//! What an operator allows: payees, and the code of assets.

use super::{ConfigError, NetworkSection, value};
use crate::{
    CostLimit, Payees,
    evm::{CodePin, ContractPayers},
};
use alloy_primitives::B256;
use h402_core::{Address, Amount, Assets, EvmAddress, Network, asset_id};

/// Hundredths of a payment that settling it may cost, if it is not said.
const HALF: u32 = 50;

impl NetworkSection {
    /// Whom payments are settled to.
    pub(super) fn payees(&self, network: Network, allowed: &Assets) -> Result<Payees, ConfigError> {
        let read = |name: &str, texts: &[String]| {
            let address = |text: &String| match asset_id(network, text) {
                Ok(id) => Ok(id.address),
                Err(why) => Err(value(format!("network {network} {name} {text}"), why)),
            };
            texts.iter().map(address).collect::<Result<Vec<Address>, ConfigError>>()
        };
        let any_asset = self.payees.as_deref().map(|texts| read("payees", texts)).transpose()?;
        let mut by_asset = Vec::new();
        for (symbol, texts) in &self.payees_of {
            let asset = self.listed("payees_of", symbol, network, allowed)?;
            by_asset.push((asset.id.address, read("payees_of", texts)?));
        }
        Ok(Payees { any_asset, by_asset })
    }

    /// The daily budget, in the smallest unit of the network's coin.
    pub(super) fn coins(&self, decimals: u8) -> Result<Option<Amount>, ConfigError> {
        let key = || format!("network {} daily_budget", self.id);
        self.daily_budget.as_deref().map(|text| Amount::from_units(text, decimals).map_err(|why| value(key(), why))).transpose()
    }

    /// How much of a payment settling it may cost.
    pub(super) fn cost_limit(&self) -> Result<Option<CostLimit>, ConfigError> {
        let key = |part: &str| format!("network {} {part}", self.id);
        match (self.coin_usd.as_deref(), self.max_cost_percent) {
            (None, None) => Ok(None),
            (None, Some(_)) => Err(value(key("max_cost_percent"), "needs coin_usd, too")),
            (Some(_), Some(0)) => Err(value(key("max_cost_percent"), "is at least 1")),
            (Some(text), percent) => {
                let coin_usd = Amount::from_units(text, 18).map_err(|why| value(key("coin_usd"), why))?;
                Ok(Some(CostLimit { coin_usd, percent: percent.unwrap_or(HALF) }))
            }
        }
    }

    /// Whether payers may be contracts, and how far.
    pub(super) fn contract_payers(&self) -> Result<Option<ContractPayers>, ConfigError> {
        let key = |text: &str| format!("network {} factories {text}", self.id);
        if !self.contract_payers {
            return match self.factories.first() {
                Some(text) => Err(value(key(text), "needs contract_payers, too")),
                None => Ok(None),
            };
        }
        let read = |text: &String| match text.parse() {
            Ok(Address::Evm(address)) => Ok(address),
            _ => Err(value(key(text), "is no address")),
        };
        let factories = self.factories.iter().map(read).collect::<Result<_, _>>()?;
        Ok(Some(ContractPayers { factories, ..ContractPayers::default() }))
    }

    /// The code that must stand behind tokens.
    pub(super) fn pins(&self, network: Network, allowed: &Assets) -> Result<Vec<(EvmAddress, CodePin)>, ConfigError> {
        let hash = |name: &str, symbol: &String, text: &String| {
            let key = || format!("network {network} {name} {symbol}");
            let hash = text.strip_prefix("0x").and_then(|_| text.parse::<B256>().ok());
            hash.ok_or_else(|| value(key(), "is not 0x and 64 hex digits"))
        };
        if let Some(symbol) = self.implementation_hash.keys().find(|symbol| !self.code_hash.contains_key(*symbol)) {
            return Err(value(format!("network {network} implementation_hash {symbol}"), "needs its code_hash, too"));
        }
        let mut pins = Vec::new();
        for (symbol, text) in &self.code_hash {
            let asset = self.listed("code_hash", symbol, network, allowed)?;
            let Some(token) = asset.id.address.evm().filter(|_| !asset.is_native()) else {
                return Err(value(format!("network {network} code_hash {symbol}"), "has no contract"));
            };
            let implementation = self.implementation_hash.get(symbol).map(|text| hash("implementation_hash", symbol, text)).transpose()?;
            pins.push((token, CodePin { code: hash("code_hash", symbol, text)?, implementation }));
        }
        Ok(pins)
    }
}
