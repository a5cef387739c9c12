//! The proxy before a real node, paid on two chains: an unmodified Solana client behind the forwarder, and every offer.

use super::{DEFAULT, Proxy, SEND, asked, call, is_charged, node::Node, post, settings};
use h402_core::{Address, Amount, Network, PaymentPayload};
use h402_devnet::{
    BlockTime,
    solana::{Pubkey, SolanaChain, SolanaConfig, account},
};
use h402_examples::{
    https,
    paying_forwarder::{self, Destination},
    solana_rpc_proxy::{Accepted, PriceTable, Tariff, Upstreams, routes},
};
use h402_tests::{
    cluster::{Cluster, PAYEE, PAYER, SPONSOR, address, key, network},
    raw::Reply,
    rig::{Rig, RigOptions},
    shop::{self, ORIGIN, Shop},
};
use h402_tower::{
    gate::{MemoryGrants, Origin},
    pay::{Cap, Pay, SolanaWallet},
};
use solana_rpc_client::nonblocking::rpc_client::RpcClient;
use solana_signer::Signer as _;
use solana_system_interface::instruction::transfer;
use solana_transaction::Transaction;
use std::{sync::Arc, time::Duration};
use tokio::net::TcpListener;
use tower::ServiceBuilder;

/// How much SOL counts as a dollar.
const LAMPORTS_PER_DOLLAR: u128 = 6_700_000;

/// A facilitator for an EVM chain and a Solana cluster.
async fn both(slots: BlockTime) -> (Rig, Cluster) {
    let chain = SolanaChain::start(SolanaConfig::default().slot_time(slots)).await.unwrap();
    let cluster = Cluster::new(&chain);
    let configured = cluster.clone();
    let engine = Box::new(move |config: &mut h402_facilitator::EngineConfig| {
        config.assets = config.assets.clone().with((*configured.sol).clone()).with((*configured.usdc).clone());
        config.networks.push(configured.network().into());
    });
    (Rig::with(RigOptions { engine, ..RigOptions::default() }).await, cluster)
}

/// Everything that is accepted at once: USDC and SOL on Solana, USDC on EVM.
fn table(rig: &Rig, cluster: &Cluster) -> PriceTable {
    let tariff = Tariff {
        default: "0.0001".into(),
        free: vec!["getHealth".into()],
        upfront: vec!["sendTransaction".into()],
        methods: [("sendTransaction".to_owned(), "0.001".to_owned())].into(),
        ..Tariff::default()
    };
    let on_solana = Address::Solana(address(PAYEE));
    let on_evm = rig.offer(1).pay_to;
    let rate = Some(Amount::from_atomic(LAMPORTS_PER_DOLLAR));
    let accepted = [
        Accepted { asset: cluster.usdc.clone(), pay_to: on_solana, per_dollar: None },
        Accepted { asset: cluster.sol.clone(), pay_to: on_solana, per_dollar: rate },
        Accepted { asset: rig.asset.clone(), pay_to: on_evm, per_dollar: None },
    ];
    PriceTable::new(&tariff, &accepted).unwrap()
}

/// What reached the payee: USDC and SOL on Solana, transfers on EVM.
fn received(rig: &Rig, cluster: &Cluster) -> (u64, u64, usize) {
    (cluster.received(&cluster.usdc), cluster.received(&cluster.sol), rig.transfers())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_offer_can_be_paid() {
    let (rig, cluster) = both(BlockTime::Auto).await;
    let prices = table(&rig, &cluster);
    let node = Node::start(&rig).await;
    let proxy = Proxy::before(&rig, vec![node], shop::local(&rig), MemoryGrants::new().unwrap(), |settings| settings.prices = prices).await;
    let price = 670;
    assert_eq!(asked(&proxy.ask(&call("getSlot")).await), [DEFAULT, price, DEFAULT]);
    let bearer = |payment: PaymentPayload| shop::header(&PaymentPayload { resource: Some(format!("{ORIGIN}/")), ..payment });
    let ways = [
        (bearer(cluster.payment(PAYER, &cluster.usdc, DEFAULT, Some(SPONSOR))), (100, 0, 0)),
        (bearer(cluster.payment(PAYER, &cluster.usdc, DEFAULT, None)), (100, 0, 0)),
        (bearer(cluster.payment(PAYER, &cluster.sol, price, Some(SPONSOR))), (0, 670, 0)),
        (bearer(cluster.payment(PAYER, &cluster.sol, price, None)), (0, 670, 0)),
        (super::paying(&rig, h402_tests::rig::PAYER, DEFAULT), (0, 0, 1)),
    ];
    for (payment, want) in ways {
        let before = received(&rig, &cluster);
        let reply = proxy.pay(&payment, &call("getSlot")).await;
        assert_eq!((reply.status, is_charged(&reply)), (200, true), "{reply:?}");
        let now = received(&rig, &cluster);
        assert_eq!((now.0 - before.0, now.1 - before.1, now.2 - before.2), want);
        assert_eq!(proxy.pay(&payment, &call("getSlot")).await.content(), reply.content(), "the same again");
        assert_eq!(proxy.pay(&payment, &call("getBlock")).await.status, 409, "another call");
        assert_eq!(received(&rig, &cluster), now);
    }
    // A payment of less is refused, and so is one in SOL of as many units as USDC would be.
    let less = [
        cluster.payment(PAYER, &cluster.usdc, DEFAULT - 1, Some(SPONSOR)),
        cluster.payment(PAYER, &cluster.sol, price - 1, Some(SPONSOR)),
        cluster.payment(PAYER, &cluster.sol, DEFAULT, Some(SPONSOR)),
    ];
    let before = received(&rig, &cluster);
    for payment in less {
        assert_eq!(proxy.pay(&bearer(payment), &call("getSlot")).await.status, 402);
    }
    assert_eq!((received(&rig, &cluster), proxy.node().seen().len()), (before, 5));
}

/// An error is not charged on Solana either, though the payment's bytes are complete.
#[tokio::test(flavor = "multi_thread")]
async fn an_error_moves_nothing_on_solana() {
    let (rig, cluster) = both(BlockTime::Auto).await;
    let prices = table(&rig, &cluster);
    let node = Node::start(&rig).await;
    let proxy = Proxy::before(&rig, vec![node], shop::local(&rig), MemoryGrants::new().unwrap(), |settings| settings.prices = prices).await;
    let before = received(&rig, &cluster);
    let payment = shop::header(&PaymentPayload {
        resource: Some(format!("{ORIGIN}/")),
        ..cluster.payment(PAYER, &cluster.usdc, DEFAULT, Some(SPONSOR))
    });
    let statuses: Vec<(u16, bool)> = {
        let mut statuses = Vec::new();
        for _ in 0..4 {
            let reply: Reply = proxy.shop.ask(&post(&call("error")).paying(&payment)).await;
            statuses.push((reply.status, is_charged(&reply)));
        }
        statuses
    };
    assert_eq!(statuses, [(200, false), (200, false), (200, false), (409, false)]);
    assert_eq!((received(&rig, &cluster), cluster.chain.landed().len()), (before, 0));
}

/// Solana's own client, as anybody uses it, pointed at a forwarder with a key: it reads, it sends a transaction and sees
/// it confirmed, and every call of it that costs something is paid for on the same chain.
#[tokio::test(flavor = "multi_thread")]
async fn an_unmodified_solana_client_pays_for_its_calls() {
    let (rig, cluster) = both(BlockTime::Every(Duration::from_millis(100))).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let mut settings = settings(&rig, &[]);
    settings.origin = Origin::parse(&origin).unwrap();
    settings.prices = table(&rig, &cluster);
    settings.upstreams = Arc::new(Upstreams::new(vec![cluster.chain.url().parse().unwrap()]));
    let (routes, metrics) = routes(settings, shop::local(&rig), MemoryGrants::new().unwrap()).unwrap();
    let _proxy = Shop::at(listener, routes);
    let forwarder = forwarder(&cluster, &origin).await;

    let before = received(&rig, &cluster);
    let agent = account(PAYER);
    let client = RpcClient::new(format!("http://{}", forwarder.address));
    client.get_health().await.unwrap();
    assert_eq!(client.get_genesis_hash().await.unwrap(), cluster.chain.genesis_hash());
    let held = client.get_balance(&agent.pubkey()).await.unwrap();
    assert_eq!(held, cluster.chain.lamports(agent.pubkey()), "a sponsor pays the fees of all those payments");
    assert!(client.get_slot().await.unwrap() > 0);
    let stranger = Pubkey::new_from_array([9; 32]);
    assert!(client.get_account(&stranger).await.is_err(), "there is no such account");
    let blockhash = client.get_latest_blockhash().await.unwrap();
    let gift = transfer(&agent.pubkey(), &stranger, 1_000_000_000);
    let transaction = Transaction::new_signed_with_payer(&[gift], Some(&agent.pubkey()), &[&agent], blockhash);
    let signature = client.send_and_confirm_transaction(&transaction).await.unwrap();
    assert_eq!(client.get_balance(&stranger).await.unwrap(), 1_000_000_000);
    assert!(client.get_signature_statuses(&[signature]).await.unwrap().value[0].is_some());

    let paid = |method| u128::from(metrics.calls(method, h402_examples::solana_rpc_proxy::Outcome::Paid));
    assert_eq!((paid("sendTransaction"), paid("getHealth")), (1, 0));
    assert!(paid("other") >= 8, "{}", metrics.render());
    let now = received(&rig, &cluster);
    let moved = u128::from(now.0 - before.0);
    assert_eq!(moved, paid("other") * DEFAULT + SEND, "each call once, at its price");
    assert_eq!((now.1, now.2), (before.1, before.2));
}

/// A forwarder that pays in USDC on the cluster, and lets others pay its fees.
async fn forwarder(cluster: &Cluster, origin: &str) -> Shop {
    let network: Network = network(&cluster.chain);
    let wallet = SolanaWallet::from_key(key(PAYER)).with_key_of_cluster_only(network);
    let cap = Cap::new().allow(cluster.usdc.clone(), Amount::from_atomic(SEND));
    let agent = ServiceBuilder::new().layer(Pay::new(wallet, cap)).service(https::client());
    let to: Destination = origin.parse().unwrap();
    Shop::open(paying_forwarder::routes(to, agent)).await
}
