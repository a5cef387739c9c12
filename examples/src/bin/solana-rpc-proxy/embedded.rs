//! To try it: payments on a chain in this process, and what to type.

use super::{Error, Listeners, say, sell};
use alloy_primitives::{B256, U256};
use h402_core::{
    Address, Amount, Asset, Assets, Authorization, Clock, Dialect, EvmKey, Network, Payload, PaymentPayload, Peg, Scheme, asset_id,
    wire::h402,
};
use h402_devnet::evm::{Chain, account};
use h402_examples::solana_rpc_proxy::{Accepted, PriceTable, Settings, Tariff, Upstreams};
use h402_facilitator::{
    Engine, EngineConfig, EvmNetwork, LocalFacilitator, Signer, SystemClock,
    evm::{EvmChain, EvmConfig},
    rpc::{Rpc, RpcConfig},
    sqlite::{OpenOptions, SqliteStore},
};
use h402_tower::gate::Origin;
use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};
use tokio::net::TcpListener;

/// Development accounts: who pays for gas, who is paid, who pays.
const GAS: usize = 0;
const PAYEE: usize = 1;
const AGENT: usize = 2;
/// What a method costs that the tariff does not name.
const DEFAULT: &str = "0.0001";

pub(super) async fn run(upstreams: &[String], listen: SocketAddr) -> Result<(), Error> {
    if upstreams.is_empty() {
        return Err("name a Solana RPC endpoint with --upstream, or a configuration with --config".into());
    }
    if !listen.ip().is_loopback() {
        return Err("without a configuration it listens on loopback only".into());
    }
    let folder = std::env::temp_dir().join(format!("solana-rpc-proxy-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let chain = Chain::builder().start().await?;
    let usdc = usdc(&chain)?;
    let ledger = SqliteStore::open(folder.join("proxy.sqlite"), OpenOptions::default()).await?;
    let engine = Engine::start(engine(&chain, &usdc)?, ledger.clone(), SystemClock).await?;
    while !engine.ready().await.is_ready() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let proxy = TcpListener::bind(listen).await.map_err(|error| format!("listen on {listen}: {error}"))?;
    let metrics = TcpListener::bind("127.0.0.1:0").await?;
    let origin = format!("http://{}", proxy.local_addr()?);
    invite(&origin, &format!("http://{}/metrics", metrics.local_addr()?), &chain, &usdc, &folder)?;
    let settings = settings(&origin, upstreams, &usdc)?;
    let listeners = Listeners { proxy, metrics: Some(metrics) };
    let probe = Some(Duration::from_secs(10));
    sell(settings, listeners, probe, LocalFacilitator::new(engine.clone()), ledger.grants()).await?;
    engine.shutdown(Duration::from_secs(10)).await;
    ledger.close().await?;
    chain.stop().await;
    Ok(std::fs::remove_dir_all(&folder)?)
}

fn usdc(chain: &Chain) -> Result<Asset, Error> {
    let id = asset_id(Network::Evm(chain.chain_id()), &chain.usdc().to_string())?;
    Ok(Asset::new(id, 6, "USDC").with_eip3009(chain.usdc_name(), chain.usdc_version()).with_peg(Peg::Usd))
}

fn engine(chain: &Chain, usdc: &Asset) -> Result<EngineConfig, Error> {
    let signer = Signer::Local(EvmKey::from_bytes(&account(GAS).secret_key)?);
    let rpc = Rpc::new(RpcConfig::new(vec![chain.url().parse()?]));
    let evm = EvmConfig { chain_id: chain.chain_id(), multicall3: Some(chain.multicall3()), simulate_from: signer.address(), rpc };
    let network = EvmNetwork { poll: Duration::from_millis(100), ..EvmNetwork::new(EvmChain::new(evm), signer) };
    Ok(EngineConfig::new(Assets::none().with(usdc.clone()), vec![network.into()]))
}

fn settings(origin: &str, upstreams: &[String], usdc: &Asset) -> Result<Settings, Error> {
    let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let tariff = Tariff {
        default: DEFAULT.to_owned(),
        free: list(&["getHealth", "getVersion", "getGenesisHash", "getLatestBlockhash"]),
        deny: list(&["requestAirdrop"]),
        upfront: list(&["sendTransaction"]),
        methods: [("sendTransaction".to_owned(), "0.001".to_owned()), ("getProgramAccounts".to_owned(), "0.005".to_owned())].into(),
    };
    let accepted = [Accepted { asset: Arc::new(usdc.clone()), pay_to: Address::Evm(account(PAYEE).address), per_dollar: None }];
    let endpoints: Result<Vec<_>, _> = upstreams.iter().map(|url| url.parse()).collect();
    Ok(Settings {
        origin: Origin::parse(origin)?,
        allowed_hosts: Vec::new(),
        prices: PriceTable::new(&tariff, &accepted)?,
        upstreams: Arc::new(Upstreams::new(endpoints?)),
        timeout: Duration::from_secs(10),
        max_body: 128 * 1024,
        max_batch: 50,
        redeliveries: 0,
    })
}

/// Says what to try. Every line can be pasted as it is.
fn invite(origin: &str, metrics: &str, chain: &Chain, usdc: &Asset, folder: &Path) -> Result<(), Error> {
    let assets = folder.join("assets.toml");
    let (network, address, name, version) = (usdc.id.network, usdc.id.address, chain.usdc_name(), chain.usdc_version());
    std::fs::write(
        &assets,
        format!(
            "[[asset]]\nnetwork = \"{network}\"\naddress = \"{address}\"\ndecimals = 6\nsymbol = \"USDC\"\npeg = \"usd\"\n\
             eip3009 = {{ name = \"{name}\", version = \"{version}\" }}\n"
        ),
    )?;
    let curl = |method: &str, more: &str| {
        format!(r#"  curl -si {origin} -H 'content-type: application/json'{more} -d '{{"jsonrpc":"2.0","id":1,"method":"{method}"}}'"#)
    };
    say(format!("solana-rpc-proxy listens on {origin}; payments are made on a chain in this process, {network}"));
    say("\nA free method:");
    say(curl("getHealth", ""));
    say(format!("\nOne that costs {DEFAULT} USDC; the answer is 402 and says how to pay:"));
    say(curl("getSlot", ""));
    say("\nThe same, paid for once by a development account; the payment is good for ten minutes:");
    say(curl("getSlot", &format!(" -H 'X-PAYMENT: {}'", sign(usdc)?)));
    say("\nThe agent's side, in a second terminal: a forwarder that pays up to 0.01 USDC for a request:");
    let key = alloy_primitives::hex::encode_prefixed(account(AGENT).secret_key);
    let assets = assets.display();
    say(format!("  AGENT_KEY={key} cargo run -p h402-examples --bin paying-forwarder -- --to {origin} --cap 0.01 --assets {assets}"));
    say("\nand in a third any program that speaks Solana RPC, pointed at http://127.0.0.1:8898:");
    say(r#"  curl -si http://127.0.0.1:8898 -d '{"jsonrpc":"2.0","id":1,"method":"getSlot"}'"#);
    say(format!("\nWhat was sold: curl -s {metrics}"));
    say("Ctrl-C ends it.");
    Ok(())
}

/// A payment made by hand, to show that there is no magic in the pay layer.
fn sign(usdc: &Asset) -> Result<String, Error> {
    let key = EvmKey::from_bytes(&account(AGENT).secret_key)?;
    let now = SystemClock.now().seconds().0;
    let mut nonce = B256::ZERO;
    getrandom::fill(nonce.as_mut_slice())?;
    let authorization = Authorization {
        from: key.address(),
        to: account(PAYEE).address,
        value: Amount::from_units(DEFAULT, usdc.decimals)?,
        valid_after: U256::from(now - 60),
        valid_before: U256::from(now + 590),
        nonce,
    };
    let domain = usdc.eip712_domain().ok_or("the token has no EIP-3009")?;
    let payload = PaymentPayload {
        dialect: Dialect::H402V1,
        scheme: Scheme::Exact,
        network: usdc.id.network,
        resource: None,
        payload: Payload::Authorization(key.sign_authorization(authorization, &domain)?),
    };
    Ok(h402::encode_payment(&payload)?)
}
