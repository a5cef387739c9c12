//! Payments built and signed, without asking any node.

use super::{SolanaKey, SolanaPayment, SolanaTransaction, associated_token_account, program, transaction::write_length, transfer};
use crate::{Address, Amount, Offer, Reject, SignedSolanaTransaction, SolanaAddress, SolanaReject, TokenProgram};
use alloy_primitives::Bytes;

/// What a payment is built with beside the offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SolanaTerms {
    /// A recent blockhash: the payment can land for 150 blocks after that one.
    pub blockhash: [u8; 32],
    /// Who pays the fee; none if the payer does.
    pub fee_payer: Option<SolanaAddress>,
    /// Whether the payee's token account is created if there is none, at the payer's cost. The payee may take the
    /// deposit out again, and so may ask for it with each payment (T082).
    pub creates_account: bool,
    /// Bytes that no other payment with this blockhash has. Two payments of one amount to one payee would otherwise be
    /// one transaction, and pay once. Where the payer pays the fee, only 18 bits of the first three bytes count.
    pub unique: [u8; 16],
}

impl SolanaTerms {
    /// The most lamports that `payer` pays beside the amount: for the fee, unless it is sponsored, and for the deposit of
    /// an account that may have to be created.
    #[must_use]
    pub fn most_lamports(&self, payer: &SolanaAddress, offer: &Offer) -> u64 {
        let fee = match self.fee_payer {
            Some(sponsor) if sponsor != *payer => 0,
            _ => SolanaPayment::LAMPORTS_PER_SIGNATURE.saturating_add(PRIORITY_FEE),
        };
        let deposit = match offer.asset.token_program {
            Some(TokenProgram::Token) if self.creates_account => TOKEN_DEPOSIT,
            Some(TokenProgram::Token2022) if self.creates_account => TOKEN_2022_DEPOSIT,
            _ => 0,
        };
        deposit.saturating_add(fee)
    }
}

/// Why a payment is not signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SolanaSignError {
    /// The offer is of another kind of network.
    #[error("the offer is not on Solana")]
    Network,
    /// Token programs count in 64 bits.
    #[error("the amount is zero or beyond 64 bits")]
    Amount,
    /// Payer, payee and fee payer must be three, or two if the payer pays the fee.
    #[error("payer, payee and fee payer are not all different")]
    Parties,
}

/// Units for two budget instructions and a transfer of lamports.
const NATIVE_UNITS: u32 = 1_000;
/// Units for a token transfer into an account that may have to be created.
const TOKEN_UNITS: u32 = 100_000;
/// Units for a transfer and a memo, where somebody else pays.
const SPONSORED_UNITS: u32 = 40_000;
/// In millionths of a lamport; the reference's.
const UNIT_PRICE: u64 = 1;
/// What all units cost together, in lamports: there are fewer than a million, and what is begun counts as one.
const PRIORITY_FEE: u64 = 1;
/// Of an account of 165 bytes, in lamports.
const TOKEN_DEPOSIT: u64 = 2_039_280;
/// More than of an account with all extensions that mints put on new accounts, in lamports.
const TOKEN_2022_DEPOSIT: u64 = 2_500_000;

/// Builds and signs a payment of `amount` as `offer` asks.
///
/// Paid by the payer it is of the reference's shape (docs/wire.md#solana): limit, price, perhaps the creation of the
/// payee's token account, transfer. Paid by another it is of x402's: limit, price, transfer, memo; the slot of the fee
/// payer's signature is left empty.
///
/// # Errors
/// [`SolanaSignError`].
///
/// ```
/// use h402_core::{Amount, Assets, GenesisPrefix, Network, Offer, SolanaKey, solana::*};
/// let usdc = Assets::known().by_symbol(Network::Solana(GenesisPrefix::MAINNET), "USDC").unwrap().clone();
/// let price = Amount::from_atomic(10_000);
/// let offer = Offer::new(usdc, price, "4pX5LbCK85Sf6iLXMwUodo2f5rvQKAofyhANT6TUwG3f".parse()?)?;
/// let (payer, sponsor) = (SolanaKey::from_seed(&[7; 32]), SolanaKey::from_seed(&[8; 32]));
/// let fee_payer = Some(sponsor.address());
/// let terms = SolanaTerms { blockhash: [5; 32], fee_payer, creates_account: false, unique: [6; 16] };
/// let signed = sign_payment(&payer, &offer, price, &terms)?;
///
/// let transaction = SolanaTransaction::decode(&signed.transaction)?;
/// assert_eq!(transaction.message.signers(), [sponsor.address(), payer.address()]);
/// let to_send = cosign(&transaction, &sponsor)?;
/// assert_eq!(to_send.len(), signed.transaction.len());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn sign_payment(
    key: &SolanaKey,
    offer: &Offer,
    amount: Amount,
    terms: &SolanaTerms,
) -> Result<SignedSolanaTransaction, SolanaSignError> {
    let payer = key.address();
    let sponsor = terms.fee_payer.filter(|sponsor| *sponsor != payer);
    let payee = offer.pay_to.solana().ok_or(SolanaSignError::Network)?;
    if payee == payer || sponsor == Some(payee) {
        return Err(SolanaSignError::Parties);
    }
    let amount = u64::try_from(amount.to_u256()).ok().filter(|amount| *amount > 0).ok_or(SolanaSignError::Amount)?;
    let mut draft = Draft::default();
    draft.key(sponsor.unwrap_or(payer), true, true);
    draft.budget(&units(offer, terms, sponsor).to_le_bytes(), 2);
    draft.budget(&UNIT_PRICE.to_le_bytes(), 3);
    match (offer.asset.id.address, offer.asset.token_program) {
        (Address::Solana(mint), Some(program)) => {
            let source = associated_token_account(&payer, &mint, program).ok_or(SolanaSignError::Network)?;
            let destination = offer.destination.ok_or(SolanaSignError::Network)?;
            if terms.creates_account {
                draft.create(payer, destination, payee, mint, program);
            }
            draft.transfer_tokens(source, mint, destination, payer, program, amount, offer.asset.decimals);
        }
        _ => draft.transfer_lamports(payer, payee, amount),
    }
    if sponsor.is_some() {
        draft.instruction(program::MEMO, &[], hex::encode(terms.unique).into_bytes());
    }
    let message = draft.encode(&terms.blockhash);
    let signature = key.sign(&message);
    let mut bytes = Vec::with_capacity(SolanaTransaction::MAX_LENGTH);
    match sponsor {
        None => bytes.push(1),
        Some(_) => {
            bytes.push(2);
            bytes.extend_from_slice(&[0; 64]);
        }
    }
    bytes.extend_from_slice(&signature);
    bytes.extend_from_slice(&message);
    Ok(SignedSolanaTransaction { signature: sponsor.is_none().then_some(signature), transaction: bytes.into() })
}

/// Where the payer pays there is no memo to tell payments apart: what the limit is beyond the needed does, and costs
/// nothing, since a fee is at least a lamport and the price a millionth.
fn units(offer: &Offer, terms: &SolanaTerms, sponsor: Option<SolanaAddress>) -> u32 {
    let tokens = !offer.asset.is_native();
    if sponsor.is_some() {
        return if tokens && terms.creates_account { TOKEN_UNITS } else { SPONSORED_UNITS };
    }
    let [a, b, c, ..] = terms.unique;
    let needed = if tokens { TOKEN_UNITS } else { NATIVE_UNITS };
    needed.saturating_add(u32::from_le_bytes([a, b, c & 3, 0]))
}

/// Fills the fee payer's slot, and answers the bytes to send: the same every time.
///
/// # Errors
/// A [`SolanaReject`] if the message is no payment whose fee the key's account pays for another.
pub fn cosign(transaction: &SolanaTransaction, key: &SolanaKey) -> Result<Bytes, Reject> {
    // Seen to once more where the key is used: nothing else is ever signed with it.
    let payment = transfer::find(&transaction.message)?.payment;
    if !payment.is_sponsored() || payment.fee_payer != key.address() {
        return Err(SolanaReject::FeePayerUnknown.into());
    }
    let mut signed = transaction.clone();
    let slot = signed.signatures.first_mut().ok_or(SolanaReject::Signers)?;
    *slot = key.sign(transaction.message.bytes());
    Ok(signed.encode())
}

/// A message in the making.
#[derive(Default)]
struct Draft {
    keys: Vec<DraftKey>,
    instructions: Vec<(SolanaAddress, Vec<SolanaAddress>, Vec<u8>)>,
}

struct DraftKey {
    address: SolanaAddress,
    signs: bool,
    written: bool,
}

impl Draft {
    fn key(&mut self, address: SolanaAddress, signs: bool, written: bool) {
        match self.keys.iter_mut().find(|key| key.address == address) {
            Some(key) => (key.signs, key.written) = (key.signs || signs, key.written || written),
            None => self.keys.push(DraftKey { address, signs, written }),
        }
    }

    fn instruction(&mut self, program: SolanaAddress, accounts: &[(SolanaAddress, bool, bool)], data: Vec<u8>) {
        accounts.iter().for_each(|(address, signs, written)| self.key(*address, *signs, *written));
        self.key(program, false, false);
        self.instructions.push((program, accounts.iter().map(|(address, ..)| *address).collect(), data));
    }

    fn budget(&mut self, value: &[u8], tag: u8) {
        self.instruction(program::COMPUTE_BUDGET, &[], [&[tag], value].concat());
    }

    fn create(&mut self, funder: SolanaAddress, account: SolanaAddress, owner: SolanaAddress, mint: SolanaAddress, of: TokenProgram) {
        let accounts = [
            (funder, true, true),
            (account, false, true),
            (owner, false, false),
            (mint, false, false),
            (program::SYSTEM, false, false),
            (of.address(), false, false),
        ];
        self.instruction(program::ASSOCIATED_TOKEN, &accounts, vec![1]);
    }

    fn transfer_lamports(&mut self, from: SolanaAddress, to: SolanaAddress, lamports: u64) {
        let data = [2_u32.to_le_bytes().as_slice(), &lamports.to_le_bytes()].concat();
        self.instruction(program::SYSTEM, &[(from, true, true), (to, false, true)], data);
    }

    #[allow(clippy::too_many_arguments, reason = "they are the instruction's own")]
    fn transfer_tokens(
        &mut self,
        source: SolanaAddress,
        mint: SolanaAddress,
        destination: SolanaAddress,
        owner: SolanaAddress,
        of: TokenProgram,
        amount: u64,
        decimals: u8,
    ) {
        let accounts = [(source, false, true), (mint, false, false), (destination, false, true), (owner, true, false)];
        let data = [&[12], amount.to_le_bytes().as_slice(), &[decimals]].concat();
        self.instruction(of.address(), &accounts, data);
    }

    /// A version 0 message without lookup tables. The first key stays first: it signs and is written.
    fn encode(mut self, blockhash: &[u8; 32]) -> Vec<u8> {
        if let Some((_, rest)) = self.keys.split_first_mut() {
            rest.sort_by_key(|key| (!key.signs, !key.written, key.address));
        }
        let count = |is: fn(&DraftKey) -> bool| u8::try_from(self.keys.iter().filter(|key| is(key)).count()).unwrap_or(u8::MAX);
        let header = [count(|key| key.signs), count(|key| key.signs && !key.written), count(|key| !key.signs && !key.written)];
        let index = |address: &SolanaAddress| {
            let at = self.keys.iter().position(|key| key.address == *address);
            at.and_then(|at| u8::try_from(at).ok()).unwrap_or(u8::MAX)
        };
        let mut bytes = vec![0x80];
        bytes.extend_from_slice(&header);
        write_length(&mut bytes, self.keys.len());
        self.keys.iter().for_each(|key| bytes.extend_from_slice(key.address.as_bytes()));
        bytes.extend_from_slice(blockhash);
        write_length(&mut bytes, self.instructions.len());
        for (program, accounts, data) in &self.instructions {
            bytes.push(index(program));
            write_length(&mut bytes, accounts.len());
            bytes.extend(accounts.iter().map(index));
            write_length(&mut bytes, data.len());
            bytes.extend_from_slice(data);
        }
        bytes.push(0);
        bytes
    }
}

#[cfg(test)]
mod tests;
