//! Payments as other programs make them: compiled, signed and encoded by Solana's own crates.

pub(super) use super::super::fixture::{NOW, URL, now, payload, resource};
use crate::*;
pub(super) use solana_instruction::{AccountMeta, Instruction};
pub(super) use solana_keypair::Keypair;
use solana_message::{VersionedMessage, v0};
pub(super) use solana_pubkey::Pubkey;
pub(super) use solana_signer::Signer;
use solana_transaction::versioned::VersionedTransaction;
use spl_associated_token_account_interface::{address::get_associated_token_address_with_program_id, instruction as ata};
use std::{str::FromStr, sync::Arc};

pub(super) const SOLANA: Network = Network::Solana(GenesisPrefix::MAINNET);
pub(super) const PAYEE: &str = "4pX5LbCK85Sf6iLXMwUodo2f5rvQKAofyhANT6TUwG3f";
pub(super) const USDC: &str = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v";
pub(super) const T22: &str = "2b1kV6DkPAnxd5ixfnxCpjxmKwqjjaYmCZfHsFu24GXo";
pub(super) const PRICE: u64 = 10_000;

pub(super) fn key(text: &str) -> Pubkey {
    Pubkey::from_str(text).unwrap()
}

pub(super) fn ours(key: &Pubkey) -> SolanaAddress {
    key.to_bytes().into()
}

pub(super) fn payer() -> Keypair {
    Keypair::new_from_array([7; 32])
}

pub(super) fn sponsor() -> Keypair {
    Keypair::new_from_array([8; 32])
}

pub(super) fn stranger() -> Keypair {
    Keypair::new_from_array([9; 32])
}

pub(super) fn payee() -> Pubkey {
    key(PAYEE)
}

/// What is paid with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Coin {
    Sol,
    Usdc,
    T22,
}

impl Coin {
    pub(super) const ALL: [Self; 3] = [Self::Sol, Self::Usdc, Self::T22];
    pub(super) const TOKENS: [Self; 2] = [Self::Usdc, Self::T22];

    pub(super) fn mint(self) -> Pubkey {
        key(if self == Self::T22 { T22 } else { USDC })
    }

    pub(super) fn program(self) -> Pubkey {
        if self == Self::T22 { key("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb") } else { spl_token_interface::ID }
    }

    pub(super) fn account(self, owner: &Pubkey) -> Pubkey {
        get_associated_token_address_with_program_id(owner, &self.mint(), &self.program())
    }

    pub(super) fn asset(self) -> Arc<Asset> {
        let assets = Assets::known();
        match self {
            Self::Sol => assets.by_symbol(SOLANA, "SOL").unwrap().clone(),
            Self::Usdc => assets.by_symbol(SOLANA, "USDC").unwrap().clone(),
            Self::T22 => Arc::new(Asset::new(asset_id(SOLANA, T22).unwrap(), 6, "T22").with_token_2022()),
        }
    }

    pub(super) fn offer(self) -> Arc<Offer> {
        Arc::new(Offer::new(self.asset(), Amount::from_atomic(u128::from(PRICE)), PAYEE.parse().unwrap()).unwrap())
    }

    /// The one instruction that pays.
    pub(super) fn transfer(self, from: &Pubkey, to: &Pubkey, amount: u64) -> Instruction {
        match self {
            Self::Sol => solana_system_interface::instruction::transfer(from, to, amount),
            _ => self.move_tokens(&self.account(from), &self.account(to), from, amount, 6),
        }
    }

    pub(super) fn move_tokens(self, source: &Pubkey, destination: &Pubkey, owner: &Pubkey, amount: u64, decimals: u8) -> Instruction {
        let transfer = spl_token_interface::instruction::transfer_checked;
        let mut instruction = transfer(&spl_token_interface::ID, source, &self.mint(), destination, owner, &[], amount, decimals).unwrap();
        instruction.program_id = self.program();
        instruction
    }

    pub(super) fn create(self, funder: &Pubkey, owner: &Pubkey) -> Instruction {
        ata::create_associated_token_account_idempotent(funder, owner, &self.mint(), &self.program())
    }

    /// The instructions of a good payment, as the reference client orders them.
    pub(super) fn good(self) -> Vec<Instruction> {
        let mut instructions = vec![limit(100_000), price(1)];
        if self != Self::Sol {
            instructions.push(self.create(&payer().pubkey(), &payee()));
        }
        instructions.push(self.transfer(&payer().pubkey(), &payee(), PRICE));
        instructions
    }

    /// The instructions of a good payment whose fee another pays, as x402 orders them.
    pub(super) fn sponsored(self) -> Vec<Instruction> {
        vec![limit(20_000), price(1), self.transfer(&payer().pubkey(), &payee(), PRICE), memo(b"5f1e0c0de5f1e0c0de5f1e0c0de5f1e0")]
    }
}

pub(super) fn plain(program: &str, accounts: &[AccountMeta], data: &[u8]) -> Instruction {
    Instruction { program_id: key(program), accounts: accounts.to_vec(), data: data.to_vec() }
}

pub(super) fn budget(data: &[u8]) -> Instruction {
    plain("ComputeBudget111111111111111111111111111111", &[], data)
}

pub(super) fn limit(units: u32) -> Instruction {
    budget(&[&[2], units.to_le_bytes().as_slice()].concat())
}

pub(super) fn price(unit: u64) -> Instruction {
    budget(&[&[3], unit.to_le_bytes().as_slice()].concat())
}

pub(super) fn memo(text: &[u8]) -> Instruction {
    plain("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr", &[], text)
}

pub(super) fn lighthouse(accounts: &[AccountMeta], data: &[u8]) -> Instruction {
    plain("L2TExMFKdjpN9kozasaurPirfHy9P8sbXoAN1qA3S95", accounts, data)
}

/// A transaction that pays its fee with the payer's lamports, signed by the payer.
pub(super) fn paid(instructions: &[Instruction]) -> Vec<u8> {
    signed(instructions, &payer().pubkey(), &[&payer()])
}

/// A transaction whose fee the sponsor pays, signed by the payer only.
pub(super) fn sponsored(instructions: &[Instruction]) -> Vec<u8> {
    signed(instructions, &sponsor().pubkey(), &[&payer()])
}

/// Signers that are not given leave their slots empty.
pub(super) fn signed(instructions: &[Instruction], fee_payer: &Pubkey, signers: &[&Keypair]) -> Vec<u8> {
    encoded(VersionedMessage::V0(compiled(instructions, fee_payer)), signers)
}

pub(super) fn compiled(instructions: &[Instruction], fee_payer: &Pubkey) -> v0::Message {
    v0::Message::try_compile(fee_payer, instructions, &[], [5; 32].into()).unwrap()
}

pub(super) fn encoded(message: VersionedMessage, signers: &[&Keypair]) -> Vec<u8> {
    let required = usize::from(message.header().num_required_signatures);
    let bytes = message.serialize();
    let sign = |key: &Pubkey| signers.iter().find(|signer| signer.pubkey() == *key).map(|signer| signer.sign_message(&bytes));
    let signatures = message.static_account_keys().iter().take(required).map(|key| sign(key).unwrap_or_default()).collect();
    bincode::serialize(&VersionedTransaction { signatures, message }).unwrap()
}

pub(super) fn presented(raw: Vec<u8>) -> PaymentPayload {
    payload(SOLANA, Payload::SolanaTransaction(SignedSolanaTransaction { signature: None, transaction: raw.into() }))
}

pub(super) fn match_with(payload: PaymentPayload, offers: Vec<Arc<Offer>>) -> Result<Matched, Reject> {
    Matched::new(payload, &Offers::new(offers).unwrap(), &resource(), Some(70))
}

/// Matches against an offer in each coin.
pub(super) fn matched(raw: Vec<u8>) -> Result<Matched, Reject> {
    match_with(presented(raw), Coin::ALL.map(Coin::offer).to_vec())
}

/// The word of a refusal, or `accepted`.
pub(super) fn word(result: Result<Matched, Reject>) -> &'static str {
    result.map_or_else(|reject| reject.word(), |_| "accepted")
}

pub(super) fn payment(matched: &Matched) -> SolanaPaymentOf {
    let Proof::SolanaTransaction { payment, .. } = matched.proof() else { panic!("another proof") };
    *payment
}

type SolanaPaymentOf = solana::SolanaPayment;

/// What a cluster says about a good payment in `coin`.
pub(super) fn facts(coin: Coin) -> SolanaFacts {
    let program = if coin == Coin::T22 { TokenProgram::Token2022 } else { TokenProgram::Token };
    let account = |owner: &Pubkey, amount| {
        let (mint, owner) = (ours(&coin.mint()), ours(owner));
        (coin != Coin::Sol).then_some(TokenAccountFacts { program, mint, owner, amount, frozen: false })
    };
    SolanaFacts {
        genesis: GenesisPrefix::MAINNET,
        blockhash_age: Some(3),
        payer_lamports: if coin == Coin::Sol { PRICE + 5_001 } else { 5_001 },
        fee_payer_lamports: Some(890_880 + 10_001),
        source: account(&payer().pubkey(), PRICE),
        destination: account(&payee(), 0),
        mint: (coin != Coin::Sol).then_some(MintFacts { program, decimals: 6, extensions: vec![] }),
        simulation: Some(SolanaSimulation::Succeeds { units: 450 }),
        sent: None,
    }
}

pub(super) fn policy() -> SolanaPolicy {
    SolanaPolicy {
        now: NOW,
        reserved: Amount::ZERO,
        sponsor: Some(ours(&sponsor().pubkey())),
        max_fee_lamports: 10_001,
        min_blocks_left: SolanaPolicy::MIN_BLOCKS_LEFT,
        extensions: AllowedExtensions::default(),
        not_before: UnixSeconds(now() - 7200),
    }
}

pub(super) fn checked(matched: Result<Matched, Reject>) -> Checked {
    matched.unwrap().check(&CheckPolicy::facilitator(NOW)).unwrap()
}

/// The word of a verdict: `accepted`, that of the refusal, or that of what could not be decided.
pub(super) fn verdict(payment: &Checked, facts: &SolanaFacts, policy: &SolanaPolicy) -> &'static str {
    match payment.judge_solana(facts, policy) {
        Ok(_) => "accepted",
        Err(VerifyError::Rejected(reject)) => reject.word(),
        Err(VerifyError::Undecided(Undecided::WrongChain)) => "wrong chain",
        Err(VerifyError::Undecided(Undecided::Gas)) => "gas",
        Err(VerifyError::Undecided(Undecided::Unconfirmed)) => "unconfirmed",
        Err(VerifyError::Undecided(Undecided::Chain)) => "chain",
        Err(VerifyError::Undecided(other)) => panic!("{other:?}"),
    }
}
