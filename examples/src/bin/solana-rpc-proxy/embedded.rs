//! To try it: payments on a chain in this process, and what to type.

use super::{Error, Listeners, say, sell};
use alloy_primitives::{B256, U256};
use h402_core::{
    Address, Amount, Assets, Authorization, Clock, Dialect, EvmKey, GenesisPrefix, Network, Payload, PaymentPayload, Scheme, SolanaKey,
    wire::h402,
};
use h402_devnet::{
    BlockTime,
    evm::{Chain, account},
    solana::{SolanaChain, SolanaConfig, account as solana_account},
};
use h402_examples::solana_rpc_proxy::{Accepted, PriceTable, Settings, Tariff, Upstreams};
use h402_facilitator::{
    Engine, EngineConfig, EvmNetwork, LocalFacilitator, Signer, SolanaNetwork, SystemClock,
    evm::{EvmChain, EvmConfig},
    rpc::{Rpc, RpcConfig},
    solana,
    sqlite::{OpenOptions, SqliteStore},
};
use h402_tower::gate::Origin;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::net::TcpListener;

/// Development accounts: who pays for gas and fees, who is paid, who pays.
const OPERATOR: usize = 0;
const PAYEE: usize = 1;
const AGENT: usize = 2;
/// What a method costs that the tariff does not name.
const DEFAULT: &str = "0.0001";
/// How much SOL counts as a dollar here.
const SOL_PER_DOLLAR: &str = "0.0067";
/// What the chains in this process pass for: they have the names, the tokens and nothing else of these.
const SOLANA: Network = Network::Solana(GenesisPrefix::DEVNET);

/// The two chains.
struct Chains {
    evm: Chain,
    solana: SolanaChain,
}

pub(super) async fn run(upstreams: &[String], listen: SocketAddr) -> Result<(), Error> {
    if !listen.ip().is_loopback() {
        return Err("without a configuration it listens on loopback only".into());
    }
    let folder = std::env::temp_dir().join(format!("solana-rpc-proxy-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let slots = SolanaConfig::default().slot_time(BlockTime::Every(Duration::from_millis(400)));
    let chains = Chains { evm: Chain::builder().start().await?, solana: SolanaChain::start(slots).await? };
    let ledger = SqliteStore::open(folder.join("proxy.sqlite"), OpenOptions::default()).await?;
    let engine = Engine::start(engine(&chains)?, ledger.clone(), SystemClock).await?;
    while !engine.ready().await.is_ready() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let proxy = TcpListener::bind(listen).await.map_err(|error| format!("listen on {listen}: {error}"))?;
    let metrics = TcpListener::bind("127.0.0.1:0").await?;
    let origin = format!("http://{}", proxy.local_addr()?);
    let sold = if upstreams.is_empty() { vec![chains.solana.url()] } else { upstreams.to_vec() };
    let settings = settings(&origin, &sold, &chains)?;
    invite(&origin, &format!("http://{}/metrics", metrics.local_addr()?), &chains)?;
    let listeners = Listeners { proxy, metrics: Some(metrics) };
    let probe = Some(Duration::from_secs(10));
    sell(settings, listeners, probe, LocalFacilitator::new(engine.clone()), ledger.grants()).await?;
    engine.shutdown(Duration::from_secs(10)).await;
    ledger.close().await?;
    chains.evm.stop().await;
    chains.solana.stop().await;
    Ok(std::fs::remove_dir_all(&folder)?)
}

/// What is accepted, first choice first: all of it is in the built-in table.
fn accepted(chains: &Chains) -> Result<Vec<Accepted>, Error> {
    let known = Assets::known();
    let asset = |network, symbol| known.by_symbol(network, symbol).cloned().ok_or("the built-in table lacks an asset");
    let on_solana = Address::Solana(solana_key(PAYEE).address());
    let on_evm = Address::Evm(account(PAYEE).address);
    let sol = asset(SOLANA, "SOL")?;
    let rate = Amount::from_units(SOL_PER_DOLLAR, sol.decimals)?;
    Ok(vec![
        Accepted { asset: asset(SOLANA, "USDC")?, pay_to: on_solana, per_dollar: None },
        Accepted { asset: sol, pay_to: on_solana, per_dollar: Some(rate) },
        Accepted { asset: asset(Network::Evm(chains.evm.chain_id()), "USDC")?, pay_to: on_evm, per_dollar: None },
    ])
}

fn engine(chains: &Chains) -> Result<EngineConfig, Error> {
    let rpc = |url: String| -> Result<Rpc, Error> { Ok(Rpc::new(RpcConfig::new(vec![url.parse()?]))) };
    let signer = Signer::Local(EvmKey::from_bytes(&account(OPERATOR).secret_key)?);
    let chain = &chains.evm;
    let evm = EvmConfig {
        chain_id: chain.chain_id(),
        multicall3: Some(chain.multicall3()),
        simulate_from: signer.address(),
        rpc: rpc(chain.url())?,
    };
    let evm = EvmNetwork { poll: Duration::from_millis(100), ..EvmNetwork::new(EvmChain::new(evm), signer) };
    let cluster = solana::SolanaConfig { genesis: GenesisPrefix::DEVNET, rpc: rpc(chains.solana.url())? };
    // The operator pays the fee, so an agent needs nothing but what it pays with.
    let cluster = SolanaNetwork::new(solana::SolanaChain::new(cluster)).with_sponsor(solana_key(OPERATOR));
    let assets = accepted(chains)?.into_iter().fold(Assets::none(), |assets, way| assets.with(Arc::unwrap_or_clone(way.asset)));
    Ok(EngineConfig::new(assets, vec![cluster.into(), evm.into()]))
}

fn solana_key(index: usize) -> SolanaKey {
    SolanaKey::from_seed(solana_account(index).secret_bytes())
}

fn settings(origin: &str, upstreams: &[String], chains: &Chains) -> Result<Settings, Error> {
    let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let tariff = Tariff {
        default: DEFAULT.to_owned(),
        free: list(&["getHealth", "getVersion", "getGenesisHash", "getLatestBlockhash"]),
        deny: list(&["requestAirdrop"]),
        upfront: list(&["sendTransaction"]),
        methods: [("sendTransaction".to_owned(), "0.001".to_owned()), ("getProgramAccounts".to_owned(), "0.005".to_owned())].into(),
        minimum: None,
    };
    let endpoints: Result<Vec<_>, _> = upstreams.iter().map(|url| url.parse()).collect();
    Ok(Settings {
        origin: Origin::parse(origin)?,
        allowed_hosts: Vec::new(),
        prices: PriceTable::new(&tariff, &accepted(chains)?)?,
        upstreams: Arc::new(Upstreams::new(endpoints?)),
        timeout: Duration::from_secs(10),
        max_body: 128 * 1024,
        max_batch: 50,
        max_in_flight: 256,
        redeliveries: 0,
    })
}

/// Says what to try. Every line can be pasted as it is.
fn invite(origin: &str, metrics: &str, chains: &Chains) -> Result<(), Error> {
    let curl = |method: &str, more: &str| {
        format!(r#"  curl -si {origin} -H 'content-type: application/json'{more} -d '{{"jsonrpc":"2.0","id":1,"method":"{method}"}}'"#)
    };
    let evm = Network::Evm(chains.evm.chain_id());
    say(format!("solana-rpc-proxy listens on {origin}"));
    say(format!("Payments are made on two chains in this process, which pass for {SOLANA} and {evm}."));
    say("\nA free method:");
    say(curl("getHealth", ""));
    say(format!("\nOne that costs {DEFAULT} dollars; the answer is 402 and says how to pay:"));
    say(curl("getSlot", ""));
    say("\nThe same, paid for once by a development account; the payment is good for ten minutes:");
    say(curl("getSlot", &format!(" -H 'X-PAYMENT: {}'", sign(evm)?)));
    say("\nThe agent's side, in a second terminal: a forwarder that pays up to 0.01 dollars for a request, on Solana:");
    let key = solana_account(AGENT).to_base58_string();
    let to = format!("--to {origin} --cap 0.01 --cluster {SOLANA}");
    say(format!("  AGENT_SOLANA_KEY={key} cargo run -p h402-examples --bin paying-forwarder -- {to}"));
    say("\nand in a third any program that speaks Solana RPC, pointed at http://127.0.0.1:8898:");
    say(r#"  curl -si http://127.0.0.1:8898 -d '{"jsonrpc":"2.0","id":1,"method":"getSlot"}'"#);
    say(format!("\nWhat was sold: curl -s {metrics}"));
    say("Ctrl-C ends it.");
    Ok(())
}

/// A payment made by hand, to show that there is no magic in the pay layer.
fn sign(network: Network) -> Result<String, Error> {
    let known = Assets::known();
    let usdc = known.by_symbol(network, "USDC").ok_or("the built-in table lacks an asset")?;
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
