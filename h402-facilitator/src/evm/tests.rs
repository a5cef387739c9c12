use super::*;
use crate::{
    StartError,
    rpc::{Endpoint, RpcConfig},
};
use alloy_consensus::TxEip1559;
use alloy_primitives::{B256, TxKind, keccak256};
use h402_core::{
    Amount, Asset, AssetId, Authorization, CheckPolicy, Checked, Dialect, EvmKey, Offer, Offers, Payload, PaymentPayload, Resource, Scheme,
    SentEvmTransaction, SignedEvmTransaction, SignedTransaction, UnixSeconds,
};
use h402_devnet::evm::{BlockTime, Chain, account};
use std::time::Duration;

mod facts;
mod faults;
mod nodes;
mod own;
mod reads;
mod sharing;

const PAYEE: usize = 9;

/// A devnet, a client of it, and payments on it.
struct Bench {
    chain: Chain,
    evm: EvmChain,
}

impl Bench {
    async fn start() -> Self {
        Self::on(Chain::builder().start().await.unwrap())
    }

    fn on(chain: Chain) -> Self {
        let evm = client(&chain, Some(chain.multicall3()), vec![chain.url().parse().unwrap()]);
        Self { chain, evm }
    }

    /// The same chain read without Multicall3.
    fn plainly(&self) -> EvmChain {
        client(&self.chain, None, vec![self.chain.url().parse().unwrap()])
    }

    fn usdc(&self) -> Asset {
        self.token(self.chain.usdc(), self.chain.usdc_name(), self.chain.usdc_version())
    }

    fn token(&self, address: EvmAddress, name: &str, version: &str) -> Asset {
        let id = AssetId { network: Network::Evm(self.chain.chain_id()), address: address.into() };
        Asset::new(id, 6, "USDC").with_eip3009(name, version)
    }

    fn coin(&self) -> Asset {
        Asset::native(Network::Evm(self.chain.chain_id()), "ETH")
    }

    /// An authorization of account `payer` over `amount` of `asset` with nonce `tag` repeated.
    fn authorization(&self, asset: Asset, payer: usize, amount: u128, tag: u8) -> Checked {
        let terms = Authorization {
            from: account(payer).address,
            to: account(PAYEE).address,
            value: Amount::from_atomic(amount),
            valid_after: U256::ZERO,
            valid_before: U256::from(self.chain.now() + 300),
            nonce: B256::repeat_byte(tag),
        };
        let signed = key(payer).sign_authorization(terms, &asset.eip712_domain().unwrap()).unwrap();
        self.checked(asset, amount, Payload::Authorization(signed))
    }

    fn payment(&self, payer: usize, amount: u128, tag: u8) -> Checked {
        self.authorization(self.usdc(), payer, amount, tag)
    }

    /// A transaction of account `payer`, signed and not sent.
    fn signed(&self, asset: Asset, payer: usize, amount: u128, transaction: TxEip1559) -> (Checked, SignedTransaction) {
        let signed = key(payer).sign_eip1559(transaction).unwrap();
        let signed_message = key(payer).sign_message(RESOURCE).unwrap();
        let payload = Payload::EvmTransaction(SignedEvmTransaction { raw: signed.raw.clone(), signed_message });
        (self.checked(asset, amount, payload), signed)
    }

    /// The hash of a transaction as a payment of account `payer`.
    fn sent(&self, asset: Asset, payer: usize, amount: u128, hash: B256) -> Checked {
        let signed_message = key(payer).sign_message(RESOURCE).unwrap();
        self.checked(asset, amount, Payload::EvmSent(SentEvmTransaction { hash, signed_message }))
    }

    fn checked(&self, asset: Asset, amount: u128, payload: Payload) -> Checked {
        let network = asset.id.network;
        let offer = Offer::new(Arc::new(asset), Amount::from_atomic(amount), account(PAYEE).address.into()).unwrap();
        let offers = Offers::new(vec![Arc::new(offer)]).unwrap();
        let payload = PaymentPayload { dialect: Dialect::H402V1, scheme: Scheme::Exact, network, resource: None, payload };
        let resource = Arc::new(Resource { url: RESOURCE.to_owned(), ..Resource::default() });
        let matched = Matched::new(payload, &offers, &resource, None).unwrap();
        matched.check(&CheckPolicy::facilitator(UnixSeconds(self.chain.now()).millis())).unwrap()
    }

    /// A transfer of the chain's own coin.
    fn coins(&self, nonce: u64, value: u128) -> TxEip1559 {
        TxEip1559 {
            chain_id: self.chain.chain_id(),
            nonce,
            gas_limit: 21_000,
            max_fee_per_gas: 3_000_000_000,
            max_priority_fee_per_gas: 1_000_000,
            to: TxKind::Call(account(PAYEE).address),
            value: U256::from(value),
            ..TxEip1559::default()
        }
    }

    /// A transfer of a token.
    fn tokens(&self, nonce: u64, token: EvmAddress, amount: u128) -> TxEip1559 {
        let call = Erc20::transferCall { to: account(PAYEE).address, amount: U256::from(amount) };
        TxEip1559 {
            gas_limit: 100_000,
            to: TxKind::Call(token),
            value: U256::ZERO,
            input: call.abi_encode().into(),
            ..self.coins(nonce, 0)
        }
    }

    /// Settles an authorization from account 0, which makes a block on an automatic chain.
    async fn settle(&self, payment: &Checked) -> B256 {
        let (token, input) = EvmChain::settlement_call(payment.matched()).unwrap();
        let nonce = self.chain.nonce(account(0).address);
        let transaction = TxEip1559 { gas_limit: 150_000, to: TxKind::Call(token), input, ..self.coins(nonce, 0) };
        let signed = key(0).sign_eip1559(transaction).unwrap();
        assert_eq!(self.evm.send(&signed.raw).await, Sent::Accepted);
        signed.hash
    }
}

const RESOURCE: &str = "https://api.example/item";

fn key(of: usize) -> EvmKey {
    EvmKey::from_bytes(&account(of).secret_key).unwrap()
}

fn client(chain: &Chain, multicall3: Option<EvmAddress>, endpoints: Vec<Endpoint>) -> EvmChain {
    let mut config = RpcConfig::new(endpoints);
    // Far beyond what the devnet needs, also on a busy machine.
    config.timeout = Duration::from_secs(30);
    EvmChain::new(EvmConfig { chain_id: chain.chain_id(), multicall3, simulate_from: account(0).address, rpc: Rpc::new(config) })
}

/// How often an HTTP request was made since `work` began, as the node counts.
async fn requests<T>(chain: &Chain, work: impl Future<Output = T>) -> (u64, T) {
    let before = chain.faults().requests();
    let result = work.await;
    (chain.faults().requests() - before, result)
}

#[tokio::test]
async fn settlement_calls_are_what_the_token_takes() {
    let bench = Bench::start().await;
    let payment = bench.payment(1, 1_500, 1);
    let (token, input) = EvmChain::settlement_call(payment.matched()).unwrap();
    // transferWithAuthorization(address,address,uint256,uint256,uint256,bytes32,uint8,bytes32,bytes32), by 4byte directories.
    assert_eq!((token, &input[..4], input.len()), (bench.chain.usdc(), &[0xe3, 0xee, 0x16, 0x0e][..], 4 + 9 * 32));
    let hash = bench.settle(&payment).await;
    assert!(bench.chain.outcome(hash).unwrap().success);
    assert_eq!(bench.chain.balance_of(token, account(PAYEE).address), U256::from(1_500));

    let (coins, _) = bench.signed(bench.coin(), 1, 5, bench.coins(0, 5));
    assert_eq!(EvmChain::settlement_call(coins.matched()), None, "nothing of ours settles the payer's own transaction");
}

#[tokio::test]
async fn nothing_shown_holds_more_than_the_host() {
    let endpoint: Endpoint = "http://canary@127.0.0.1:1/canary?canary".parse().unwrap();
    let chain = Chain::builder().start().await.unwrap();
    let shown = format!("{:?}", client(&chain, None, vec![endpoint]));
    assert!(shown.contains("http://127.0.0.1:1") && !shown.contains("canary"), "{shown}");
}
