//! A chain of either make: ours, or anvil where `H402_TEST_EVM=anvil` names it and `ANVIL` the program.
//!
//! Driven through JSON-RPC alone, so that both are driven alike.

use crate::rig::{PAYEE, key, nonce, now};
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::{SolCall, sol};
use h402_core::{
    Amount, Asset, Assets, Authorization, Dialect, Matched, Network, Offer, Payload, PaymentPayload, Peg, Requirements, Resource, Scheme,
    asset_id, evm::Erc20, wire::h402,
};
use h402_devnet::evm::{BlockTime, Chain, MULTICALL3, TokenKind, USDC_BASE_SEPOLIA, account, multicall3, permit2_contracts};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::Arc,
};

sol! {
    function mint(address to, uint256 amount) external;
}

/// The chain id of either.
pub const CHAIN_ID: u64 = 84532;

/// A running chain with a token, ended with it.
pub struct Node {
    /// Where it answers.
    pub url: String,
    /// Its token.
    pub token: Address,
    made: Made,
}

enum Made {
    Devnet(Chain),
    Anvil(Child),
}

impl Node {
    /// Starts the chain that the environment asks for, mining every transaction at once.
    pub async fn start() -> Self {
        match std::env::var("H402_TEST_EVM").as_deref() {
            Err(_) | Ok("devnet") => {
                let chain = Chain::builder().chain_id(CHAIN_ID).start().await.unwrap();
                Self { url: chain.url(), token: chain.usdc(), made: Made::Devnet(chain) }
            }
            Ok("anvil") => Self::anvil().await,
            Ok(other) => panic!("H402_TEST_EVM is devnet or anvil, not {other}"),
        }
    }

    /// Starts anvil, which `ANVIL` names, with the token where USDC is on Base Sepolia.
    pub async fn anvil() -> Self {
        let program = std::env::var_os("ANVIL").expect("ANVIL names the program");
        let mut child = Command::new(program)
            .args(["--host", "127.0.0.1", "--port", "0", "--chain-id", &CHAIN_ID.to_string()])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("anvil starts");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let said = lines.find_map(|line| line.ok()?.strip_prefix("Listening on ").map(str::to_owned));
        // Whatever it says later has to go somewhere.
        std::thread::spawn(move || lines.for_each(drop));
        let node = Self { url: format!("http://{}", said.expect("anvil listens")), token: USDC_BASE_SEPOLIA, made: Made::Anvil(child) };
        node.rpc("anvil_setCode", json!([MULTICALL3, multicall3().unwrap()])).await;
        for (address, code) in permit2_contracts().unwrap() {
            node.rpc("anvil_setCode", json!([address, code])).await;
        }
        node.place(node.token, TokenKind::usdc("USDC").init_code().unwrap()).await;
        for index in 0..9 {
            node.mint(account(index).address, 1_000_000_000_000).await;
        }
        node
    }

    /// Puts a contract where it is wanted: its constructor runs there, as the code of a call, and then gives way to what it made.
    async fn place(&self, at: Address, init_code: Bytes) {
        self.rpc("anvil_setCode", json!([at, init_code])).await;
        let code = self.rpc("eth_call", json!([{ "from": account(9).address, "to": at }, "latest"])).await;
        self.execute(at, Bytes::new()).await;
        self.rpc("anvil_setCode", json!([at, code])).await;
    }

    /// Gives somebody new tokens; on anvil only.
    pub async fn mint(&self, to: Address, amount: u64) {
        self.execute(self.token, mintCall { to, amount: U256::from(amount) }.abi_encode().into()).await;
    }

    /// Calls a method; the test ends if the chain refuses.
    pub async fn rpc(&self, method: &str, params: Value) -> Value {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
        let request = http::Request::post(&self.url).header("content-type", "application/json").body(body.into()).unwrap();
        let (_, text) = crate::http::send(request).await;
        let mut answer: Value = serde_json::from_str(&text).unwrap();
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].take()
    }

    /// Has anvil send a transaction of its last development account, and waits until it is mined.
    async fn execute(&self, to: Address, input: Bytes) {
        let transaction = json!({ "from": account(9).address, "to": to, "input": input });
        let hash = self.rpc("eth_sendTransaction", json!([transaction])).await;
        // Anvil answers before it has mined.
        for _ in 0..1000 {
            let receipt = self.rpc("eth_getTransactionReceipt", json!([hash])).await;
            if !receipt.is_null() {
                assert_eq!(receipt["status"], "0x1", "{receipt}");
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("{hash} was never mined");
    }

    /// Stops or resumes mining transactions as they come.
    pub async fn set_automine(&self, on: bool) {
        match &self.made {
            Made::Devnet(chain) => chain.set_block_time(if on { BlockTime::Auto } else { BlockTime::Manual }),
            Made::Anvil(_) => drop(self.rpc("evm_setAutomine", json!([on])).await),
        }
    }

    /// Makes one block.
    pub async fn mine(&self) {
        match &self.made {
            Made::Devnet(chain) => drop(chain.mine().await),
            Made::Anvil(_) => drop(self.rpc("evm_mine", json!([])).await),
        }
    }

    /// Sets the base fee of the next block, in wei.
    pub async fn set_next_base_fee(&self, wei: u64) {
        match &self.made {
            Made::Devnet(chain) => chain.set_next_base_fee(wei),
            Made::Anvil(_) => drop(self.rpc("anvil_setNextBlockBaseFeePerGas", json!([format!("{wei:#x}")])).await),
        }
    }

    /// Makes the node forget a transaction that waits.
    pub async fn forget(&self, hash: B256) {
        match &self.made {
            Made::Devnet(chain) => assert!(chain.drop_pending(hash)),
            Made::Anvil(_) => drop(self.rpc("anvil_dropTransaction", json!([hash])).await),
        }
    }

    /// The transactions that wait for a block, in no order.
    pub async fn waiting(&self) -> Vec<B256> {
        if let Made::Devnet(chain) = &self.made {
            return chain.pending();
        }
        let pool = self.rpc("txpool_content", json!([])).await;
        let parts = ["pending", "queued"].into_iter().filter_map(|part| pool[part].as_object().cloned());
        let senders = parts.flatten().filter_map(|(_, nonces)| nonces.as_object().cloned());
        senders.flatten().map(|(_, transaction)| transaction["hash"].as_str().unwrap().parse().unwrap()).collect()
    }

    /// Hands signed bytes to the node, as anybody can.
    pub async fn submit(&self, raw: &Bytes) {
        self.rpc("eth_sendRawTransaction", json!([raw])).await;
    }

    /// A fresh payment by authorization to the payee, good for two minutes, as a facilitator reads it.
    pub fn payment(&self, payer: usize, amount: u128) -> Matched {
        let asset = Arc::new(self.usdc());
        let authorization = Authorization {
            from: account(payer).address,
            to: account(PAYEE).address,
            value: Amount::from_atomic(amount),
            valid_after: U256::ZERO,
            valid_before: U256::from(now() + 120),
            nonce: nonce(),
        };
        let signed = key(payer).sign_authorization(authorization, &asset.eip712_domain().unwrap()).unwrap();
        let payment = PaymentPayload {
            dialect: Dialect::H402V1,
            scheme: Scheme::Exact,
            network: Network::Evm(CHAIN_ID),
            resource: None,
            payload: Payload::Authorization(signed),
        };
        let offer = Offer::new(asset.clone(), Amount::from_atomic(amount), account(PAYEE).address.into()).unwrap();
        let resource = Arc::new(Resource { url: "http://127.0.0.1/paid".into(), description: None, mime_type: None });
        let terms = Requirements { offer: Arc::new(offer), resource, lifetime_seconds: Some(70), solana: None, facilitator: None };
        let body = h402::encode_request(&payment, &terms).unwrap();
        h402::decode_request(&body, &Assets::none().with((*asset).clone())).unwrap().matched().unwrap()
    }

    /// What an account holds of the token.
    pub async fn balance(&self, who: Address) -> U256 {
        let input: Bytes = Erc20::balanceOfCall { account: who }.abi_encode().into();
        let word = self.rpc("eth_call", json!([{ "to": self.token, "input": input }, "latest"])).await;
        quantity(&word)
    }

    /// What an account holds of the native coin, in wei.
    pub async fn native_balance(&self, who: Address) -> U256 {
        quantity(&self.rpc("eth_getBalance", json!([who, "latest"])).await)
    }

    /// How many transactions of an account are mined.
    pub async fn transactions(&self, who: Address) -> U256 {
        quantity(&self.rpc("eth_getTransactionCount", json!([who, "latest"])).await)
    }

    /// The token, as an operator would describe it.
    pub fn usdc(&self) -> Asset {
        let id = asset_id(Network::Evm(CHAIN_ID), &self.token.to_string()).unwrap();
        Asset::new(id, 6, "USDC").with_eip3009("USDC", "2").with_peg(Peg::Usd)
    }

    /// The native coin.
    pub fn ether(&self) -> Asset {
        Asset::native(Network::Evm(CHAIN_ID), "ETH")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Made::Anvil(child) = &mut self.made {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// A hex quantity or word.
fn quantity(value: &Value) -> U256 {
    U256::from_str_radix(value.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
}
