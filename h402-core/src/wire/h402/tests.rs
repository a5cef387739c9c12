mod answers;
mod captured;
mod challenges;
mod hints;
mod hostile;
mod payments;
mod requests;
mod round_trips;

use crate::{Address, Amount, Asset, Assets, EvmKey, Network, Offer, Requirements, Resource, asset_id};
use base64::{Engine, engine::general_purpose::STANDARD};
use std::sync::Arc;

/// Reference servers' tests pay this account.
const PAYEE: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
/// The first account of the usual development mnemonic; its key is [`PAYER_KEY`].
const PAYER: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
const PAYER_KEY: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
const USDC: &str = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913";
const BASE: Network = Network::Evm(8453);

/// A payment header of a JSON text.
fn header(json: &str) -> Vec<u8> {
    STANDARD.encode(json).into_bytes()
}

fn unpacked(header: &str) -> String {
    String::from_utf8(STANDARD.decode(header).unwrap()).unwrap()
}

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

fn payer_key() -> EvmKey {
    EvmKey::from_hex(PAYER_KEY).unwrap()
}

fn asset(network: Network, token: &str) -> Arc<Asset> {
    Assets::known().get(&asset_id(network, token).unwrap()).unwrap().clone()
}

fn requirements(asset: Arc<Asset>, amount: u128, url: &str) -> Requirements {
    let offer = Offer::new(asset, Amount::from_atomic(amount), address(PAYEE)).unwrap();
    let resource = Resource { url: url.to_owned(), ..Resource::default() };
    Requirements { offer: Arc::new(offer), resource: Arc::new(resource), lifetime_seconds: None, solana: None, facilitator: None }
}
