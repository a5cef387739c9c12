mod hostile;
mod messages;
mod round_trips;

use super::Terms;
use crate::{Amount, Assets, Network, Offer, Requirements, Resource, SolanaHints, asset_id};
use base64::{Engine, engine::general_purpose::STANDARD};
use std::sync::Arc;

const PAYEE: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
const USDC: &str = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913";
const BASE: Network = Network::Evm(8453);
const SOLANA: Network = Network::Solana(crate::GenesisPrefix::MAINNET);
const SOLANA_USDC: &str = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v";
const FEE_PAYER: &str = "J2xccRtuG43drESLYznHhLhQkLTdfepcKYbiQ9BsJVaf";

fn header(json: &str) -> Vec<u8> {
    STANDARD.encode(json).into_bytes()
}

fn unpacked(header: &str) -> String {
    String::from_utf8(STANDARD.decode(header).unwrap()).unwrap()
}

fn offer(network: Network, token: &str, amount: u128) -> Offer {
    let asset = Assets::known().get(&asset_id(network, token).unwrap()).unwrap().clone();
    let payee = if network == SOLANA { "4pX5LbCK85Sf6iLXMwUodo2f5rvQKAofyhANT6TUwG3f" } else { PAYEE };
    Offer::new(asset, Amount::from_atomic(amount), payee.parse().unwrap()).unwrap()
}

fn terms_of(offer: Offer) -> Terms {
    let solana = matches!(offer.network(), Network::Solana(_))
        .then(|| SolanaHints { fee_payer: Some(FEE_PAYER.parse().unwrap()), ..SolanaHints::default() });
    let resource = Arc::new(Resource { url: "https://api.example/item?id=1".into(), ..Resource::default() });
    Terms::from(Requirements { offer: Arc::new(offer), resource, lifetime_seconds: Some(70), solana, facilitator: None })
}

/// One cent of USDC on Base.
fn terms() -> Terms {
    terms_of(offer(BASE, USDC, 10_000))
}
