//! Payments through Permit2 on a local chain, as a payer makes them.

use crate::rig::{GAS, PAYEE, Wallets, key, nonce, now};
use alloy_consensus::TxEip1559;
use alloy_primitives::{Address, Bytes, TxKind, U256};
use alloy_sol_types::{SolCall, sol};
use h402_core::{
    Amount, Dialect, Matched, Network, Offer, Offers, Payload, PaymentPayload, Permit, Permit2Authorization, Permit2Witness, Reject,
    Scheme, SignedPermit, SignedPermit2, evm,
};
use h402_devnet::evm::account;
use std::sync::Arc;

sol! {
    function approve(address spender, uint256 value) external returns (bool);
    function allowance(address owner, address spender) external view returns (uint256);
    function nonces(address owner) external view returns (uint256);
    function invalidateUnorderedNonces(uint256 wordPos, uint256 mask) external;
}

impl Wallets {
    /// An offer of the chain's token to the payee through Permit2.
    pub fn permit2_offer(&self, scheme: Scheme, amount: u128) -> Arc<Offer> {
        let offer = Offer::clone(&self.offer(amount));
        Arc::new(if scheme == Scheme::Upto { offer.upto() } else { offer.with_permit2() })
    }

    /// A fresh transfer, unsigned, to be settled by the account that pays for gas.
    pub fn permit2_terms(&self, payer: usize, scheme: Scheme, amount: u128) -> Permit2Authorization {
        Permit2Authorization {
            from: account(payer).address,
            token: self.chain.usdc(),
            amount: Amount::from_atomic(amount),
            spender: evm::permit2_proxy(scheme),
            nonce: nonce().into(),
            deadline: U256::from(now() + 120),
            witness: Permit2Witness {
                to: account(PAYEE).address,
                valid_after: U256::from(now() - 60),
                facilitator: (scheme == Scheme::Upto).then(|| account(GAS).address),
            },
        }
    }

    /// The transfer, signed by its payer.
    pub fn permit2_signed(&self, payer: usize, terms: Permit2Authorization) -> SignedPermit2 {
        key(payer).sign_permit2(terms, self.chain.chain_id()).unwrap()
    }

    /// A payment by a signed transfer.
    pub fn permit2_payment(&self, scheme: Scheme, signed: SignedPermit2) -> PaymentPayload {
        PaymentPayload {
            dialect: Dialect::X402V2,
            scheme,
            network: Network::Evm(self.chain.chain_id()),
            resource: Some("http://127.0.0.1/paid".into()),
            payload: Payload::Permit2(signed),
        }
    }

    /// A fresh payment, matched with the offer of so much.
    pub fn permit2(&self, payer: usize, scheme: Scheme, amount: u128) -> Matched {
        let signed = self.permit2_signed(payer, self.permit2_terms(payer, scheme, amount));
        self.permit2_matched(scheme, signed, amount).unwrap()
    }

    /// Matches a signed transfer with the offer of so much.
    pub fn permit2_matched(&self, scheme: Scheme, signed: SignedPermit2, amount: u128) -> Result<Matched, Reject> {
        let offers = Offers::new(vec![self.permit2_offer(scheme, amount)]).unwrap();
        Matched::new(self.permit2_payment(scheme, signed), &offers, &self.requirements(amount).resource, Some(70))
    }

    /// Has a payer approve Permit2 in a transaction of its own, and waits until it is mined.
    pub async fn approve_permit2(&self, payer: usize, amount: u128) {
        let input = approveCall { spender: evm::PERMIT2, value: U256::from(amount) }.abi_encode();
        self.call_from(payer, self.chain.usdc(), input.into()).await;
        assert_eq!(self.permit2_allowance(payer), U256::from(amount));
    }

    /// A payer's approval of Permit2 for so much, by its signature alone.
    pub fn permit2_approval(&self, payer: usize, amount: u128) -> SignedPermit {
        let owner = account(payer).address;
        let nonce = self.view(self.chain.usdc(), noncesCall { owner }.abi_encode());
        let permit = Permit {
            owner,
            token: self.chain.usdc(),
            spender: evm::PERMIT2,
            value: Amount::from_atomic(amount),
            nonce,
            deadline: U256::from(now() + 120),
        };
        key(payer).sign_permit(permit, self.asset.permit2612.as_ref().unwrap(), self.chain.chain_id()).unwrap()
    }

    /// How much of the chain's token Permit2 may move for a payer.
    pub fn permit2_allowance(&self, payer: usize) -> U256 {
        self.view(self.chain.usdc(), allowanceCall { owner: account(payer).address, spender: evm::PERMIT2 }.abi_encode())
    }

    /// Has a payer take a nonce out of use.
    pub async fn invalidate_permit2(&self, payer: usize, nonce: U256) {
        let (word, mask) = evm::permit2_nonce_position(nonce);
        self.call_from(payer, evm::PERMIT2, invalidateUnorderedNoncesCall { wordPos: word, mask }.abi_encode().into()).await;
    }

    /// Whether Permit2 has used a nonce.
    pub fn permit2_used(&self, payer: usize, nonce: U256) -> bool {
        let (word, mask) = evm::permit2_nonce_position(nonce);
        let call = evm::Permit2::nonceBitmapCall { owner: account(payer).address, word };
        !(self.view(evm::PERMIT2, call.abi_encode()) & mask).is_zero()
    }

    /// A call of a contract in an account's next transaction.
    pub fn contract_call(&self, from: usize, to: Address, input: Bytes) -> TxEip1559 {
        TxEip1559 { to: TxKind::Call(to), input, gas_limit: 500_000, ..self.native_transfer(from, to, 0) }
    }

    /// Makes a call of a contract from an account, on a chain that mines at once, and waits until it is mined.
    pub async fn call_from(&self, from: usize, to: Address, input: Bytes) {
        let hash = self.send(from, self.contract_call(from, to, input)).await;
        for _ in 0..3000 {
            if let Some(outcome) = self.chain.outcome(hash) {
                assert!(outcome.success, "{outcome:?}");
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("{hash} was never mined");
    }

    fn view(&self, to: Address, call: Vec<u8>) -> U256 {
        U256::from_be_slice(&self.chain.call(to, call.into()).unwrap())
    }
}
