//! The configuration is compared with the cluster before anything is taken.

use super::{PRICE, settle, verify};
use h402_core::{Asset, Assets, GenesisPrefix};
use h402_devnet::solana::{MintConfig, SolanaChain, SolanaConfig};
use h402_facilitator::{
    Engine, EngineConfig, SolanaNetwork, StartError, SystemClock,
    rpc::{Rpc, RpcConfig},
    solana,
    sqlite::{OpenOptions, SqliteStore},
};
use h402_tests::{
    cluster::{Cluster, ClusterRig, PAYER, address, pubkey},
    rig::Folder,
};
use std::sync::Arc;

async fn start(network: SolanaNetwork, asset: Asset) -> Result<bool, StartError> {
    let folder = Folder::new();
    let store = SqliteStore::open(folder.path().join("ledger.sqlite"), OpenOptions::default()).await.unwrap();
    let config = EngineConfig::new(Assets::none().with(asset), vec![network.into()]);
    let engine = Engine::start(config, store, SystemClock).await?;
    for _ in 0..200 {
        if engine.ready().await.is_ready() {
            return Ok(true);
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    Ok(false)
}

/// T092, T085: another cluster, another mint, other decimals, the other program, or an extension that is not allowed: it does
/// not start. As configured it does, and with a node that is away it waits.
#[tokio::test(flavor = "multi_thread")]
async fn t092_a_cluster_that_is_not_as_configured_is_not_started_on() {
    let chain = SolanaChain::start(SolanaConfig::default()).await.unwrap();
    let cluster = Cluster::new(&chain);
    let plain = cluster.token(chain.create_mint(MintConfig::token_2022()).unwrap(), 6).with_token_2022();
    let fee = cluster.token(chain.create_mint(MintConfig::token_2022().transfer_fee(100, 5_000)).unwrap(), 6).with_token_2022();
    let nothing = cluster.token(pubkey(address(PAYER)), 6);
    let usdc = (*cluster.usdc).clone();
    let cases = [
        ("as configured", usdc.clone(), true),
        ("a mint of Token-2022", plain.clone(), true),
        ("other decimals", Asset { decimals: 9, ..usdc.clone() }, false),
        ("the other program", usdc.clone().with_token_2022(), false),
        ("no mint", nothing, false),
        ("an extension", fee.clone(), false),
    ];
    for (name, asset, good) in cases {
        let started = start(cluster.network(), asset).await;
        assert_eq!(started.is_ok(), good, "{name}: {started:?}");
        assert!(good || matches!(started, Err(StartError::Mismatch { .. })), "{name}: {started:?}");
    }
    let mut allowing = cluster.network();
    allowing.extensions.transfer_fee = true;
    assert_eq!(start(allowing, fee).await, Ok(true));

    let rpc = Rpc::new(RpcConfig::new(vec![chain.url().parse().unwrap()]));
    let elsewhere = solana::SolanaChain::new(solana::SolanaConfig { genesis: GenesisPrefix::MAINNET, rpc });
    let sol = Asset::native(elsewhere.network(), "SOL");
    assert!(matches!(start(SolanaNetwork::new(elsewhere), sol).await, Err(StartError::Mismatch { .. })));

    chain.pause().await;
    assert_eq!(start(cluster.network(), usdc).await, Ok(false), "nothing is known");
}

/// T085: a payee is promised what arrives: of a mint that keeps a share the price is not paid by its amount alone.
#[tokio::test(flavor = "multi_thread")]
async fn t085_what_a_mint_keeps_is_not_paid() {
    let chain = SolanaChain::start(SolanaConfig::default()).await.unwrap();
    let mint = chain.create_mint(MintConfig::token_2022().transfer_fee(100, 5_000_000)).unwrap();
    let asset = Cluster::new(&chain).token(mint, 6).with_token_2022();
    let allow = |config: &mut EngineConfig| h402_tests::cluster::solana(config).extensions.transfer_fee = true;
    let rig = ClusterRig::on(&chain, vec![asset.clone()], Box::new(allow)).await;
    chain.mint_to(pubkey(address(PAYER)), mint, 10_000_000).unwrap();
    let asset = Arc::new(asset);
    let short = rig.payment(PAYER, &asset, PRICE, None);
    assert_eq!(verify(&rig, &short, &asset, Some("shop")).await.word(), "invalid_exact_solana_payload_authorization_value");
    let enough = rig.payment(PAYER, &asset, PRICE + PRICE / 50, None);
    assert!(settle(&rig, &enough, &asset, Some("shop")).await.is_settled());
    assert!(u128::from(rig.received(&asset)) >= PRICE);
}
