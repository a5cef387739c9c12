//! The built-in assets. Where a published table of others was wrong, this one is corrected; docs/wire.md#assets
//! says which rows. None has been compared with its chain by this project yet (`checked_on_chain`): the
//! facilitator compares each configured asset at start and refuses to run on a mismatch.

use super::{Asset, AssetId, Assets, Peg, asset_id};
use crate::{Network, network::GenesisPrefix};

struct Row {
    chain: u64,
    native: &'static str,
    tokens: &'static [Token],
}

struct Token {
    symbol: &'static str,
    address: &'static str,
    decimals: u8,
    /// EIP-712 name and version, where the token has EIP-3009.
    eip3009: Option<(&'static str, &'static str)>,
}

const fn usdc(address: &'static str, name: &'static str) -> Token {
    Token { symbol: "USDC", address, decimals: 6, eip3009: Some((name, "2")) }
}

const fn plain(symbol: &'static str, address: &'static str, decimals: u8) -> Token {
    Token { symbol, address, decimals, eip3009: None }
}

const EVM: [Row; 12] = [
    Row {
        chain: 8453,
        native: "ETH",
        tokens: &[
            usdc("0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913", "USD Coin"),
            plain("USDT", "0xfde4C96c8593536E31F229EA8f37b2ADa2699bb2", 6),
        ],
    },
    Row { chain: 84532, native: "ETH", tokens: &[usdc("0x036CbD53842c5426634e7929541eC2318f3dCF7e", "USDC")] },
    Row {
        chain: 56,
        native: "BNB",
        tokens: &[
            plain("USDC", "0x8AC76a51cc950d9822D68b83fE1Ad97B32Cd580d", 18),
            plain("USDT", "0x55d398326f99059fF775485246999027B3197955", 18),
        ],
    },
    Row {
        chain: 137,
        native: "POL",
        tokens: &[
            usdc("0x3c499c542cEF5E3811e1192ce70d8cC03d5c3359", "USD Coin"),
            plain("USDT", "0xc2132D05D31c914a87C6611C10748AEb04B58e8F", 6),
        ],
    },
    Row {
        chain: 1329,
        native: "SEI",
        tokens: &[
            usdc("0xe15fc38f6d8c56af07bbcbe3baf5708a2bf42392", "USDC"),
            plain("USDT", "0x9151434b16b9763660705744891fa906f660ecc5", 6),
        ],
    },
    Row { chain: 1514, native: "IP", tokens: &[usdc("0xF1815bd50389c46847f0Bda824eC8da914045D14", "Bridged USDC")] },
    Row { chain: 2741, native: "ETH", tokens: &[usdc("0x84a71ccd554cc1b02749b35d22f684cc8ec987e1", "Bridged USDC")] },
    Row { chain: 3338, native: "PEAQ", tokens: &[usdc("0xbbA60da06c2c5424f03f7434542280FCAd453d10", "USDC")] },
    Row { chain: 43114, native: "AVAX", tokens: &[usdc("0xB97EF9Ef8734C71904D8002F8b6Bc66Dd9c48a6E", "USD Coin")] },
    Row { chain: 43113, native: "AVAX", tokens: &[usdc("0x5425890298aed601595a70AB815c96711a31Bc65", "USD Coin")] },
    Row { chain: 4689, native: "IOTX", tokens: &[usdc("0xcdf79194c6c285077a58da47641d4dbe51f63542", "Bridged USDC")] },
    Row {
        chain: 1,
        native: "ETH",
        tokens: &[
            usdc("0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48", "USD Coin"),
            plain("USDT", "0xdAC17F958D2ee523a2206206994597C13D831ec7", 6),
        ],
    },
];

const SOLANA_USDC: [(GenesisPrefix, &str); 2] = [
    (GenesisPrefix::MAINNET, "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"),
    (GenesisPrefix::DEVNET, "4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU"),
];

pub(super) fn known() -> Assets {
    let mut assets = Assets::none();
    for row in EVM {
        let network = Network::Evm(row.chain);
        assets = assets.with(Asset::native(network, row.native));
        for token in row.tokens {
            let Ok(id) = asset_id(network, token.address) else { continue };
            let mut asset = stablecoin(id, token.decimals, token.symbol);
            if let Some((name, version)) = token.eip3009 {
                asset = asset.with_eip3009(name, version).with_permit2612(name, version);
            }
            assets = assets.with(asset);
        }
    }
    for (genesis, mint) in SOLANA_USDC {
        let network = Network::Solana(genesis);
        assets = assets.with(Asset::native(network, "SOL"));
        if let Ok(id) = asset_id(network, mint) {
            assets = assets.with(stablecoin(id, 6, "USDC"));
        }
    }
    assets
}

fn stablecoin(id: AssetId, decimals: u8, symbol: &str) -> Asset {
    Asset::new(id, decimals, symbol).with_peg(Peg::Usd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_table_is_read() {
        let tokens: usize = EVM.iter().map(|row| row.tokens.len()).sum();
        assert_eq!(known().iter().count(), EVM.len() + tokens + 2 * SOLANA_USDC.len());
    }

    #[test]
    fn the_domain_separator_of_usdc_on_base_is_the_one_on_chain() {
        // Published in block explorers for 0x8335…2913 and recomputed by hand with keccak256 of the five words.
        let assets = known();
        let usdc = assets.by_symbol(Network::Evm(8453), "USDC").unwrap();
        assert_eq!(usdc.domain_separator().unwrap().to_string(), "0x02fa7265e7c5d81118673727957699e4d68f74cd74b7db77da710fe8a2c7834f");
    }
}
