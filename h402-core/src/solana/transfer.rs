//! What a message pays: exactly one transfer, among instructions that can neither add to it nor take from it.

use super::{
    instruction::{self, CreateAccount, Instruction, TransferredToken},
    message::SolanaMessage,
    payment::SolanaPayment,
};
use crate::SolanaReject;

/// A payment read from a message, before anybody has compared it with an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) payment: SolanaPayment,
    /// None for lamports.
    pub(crate) token: Option<TransferredToken>,
    /// The account it creates, at whose cost and for whom.
    pub(crate) creation: Option<CreateAccount>,
}

/// Highest price of a unit, in millionths of a lamport: the reference's.
const MAX_UNIT_PRICE: u64 = 5_000_000;
/// Most units of a transaction whose fee somebody else pays.
const MAX_SPONSORED_UNITS: u32 = 400_000;

/// Reads the one transfer. The order of instructions does not matter; which they are, and whose, does.
///
/// # Errors
/// A [`SolanaReject`] for whatever is not exactly a payment.
pub(crate) fn find(message: &SolanaMessage) -> Result<Found, SolanaReject> {
    if message.lookups() > 0 {
        return Err(SolanaReject::LookupTables);
    }
    let (mut limit, mut price, mut creation, mut transfer) = (None, None, None, None);
    for read in message.instructions().iter().map(|instruction| instruction::read(message, instruction)) {
        match read? {
            Instruction::UnitLimit(units) => once(&mut limit, units, SolanaReject::ComputeBudget("the limit is set twice"))?,
            Instruction::UnitPrice(unit) => once(&mut price, unit, SolanaReject::ComputeBudget("the price is set twice"))?,
            Instruction::CreateAccount(create) => {
                once(&mut creation, create, SolanaReject::Instruction("more than one account is created"))?;
            }
            Instruction::Transfer(found) => once(&mut transfer, found, SolanaReject::TwoTransfers)?,
            Instruction::Memo | Instruction::Assertion => {}
        }
    }
    let transfer = transfer.ok_or(SolanaReject::NoTransfer)?;
    let payment = SolanaPayment {
        payer: transfer.authority,
        fee_payer: message.fee_payer(),
        source: transfer.source,
        destination: transfer.destination,
        amount: transfer.amount,
        unit_limit: limit,
        unit_price: price.unwrap_or(0),
        creates_destination: creation.is_some(),
        blockhash: *message.blockhash(),
    };
    check_signers(message, &payment)?;
    if payment.source == payment.destination {
        return Err(SolanaReject::Instruction("source and destination are the same"));
    }
    if payment.unit_price > MAX_UNIT_PRICE {
        return Err(SolanaReject::ComputeBudget("the price of a unit is too high"));
    }
    let most = if payment.is_sponsored() { MAX_SPONSORED_UNITS } else { SolanaPayment::MAX_UNITS };
    if payment.unit_limit.unwrap_or(SolanaPayment::MAX_UNITS) > most {
        return Err(SolanaReject::ComputeBudget("the limit is too high, or none is set where somebody else pays"));
    }
    // Anything else would let the payer spend what is not the payer's, or leave the payee to pay for the account.
    if creation.is_some_and(|creation| creation.funder != payment.payer || creation.account != payment.destination) {
        return Err(SolanaReject::Instruction("the created account is not the payee's, or not at the payer's cost"));
    }
    Ok(Found { payment, token: transfer.token, creation })
}

/// The payer signs alone, or after a fee payer that is used for nothing else: in no instruction's accounts, and so not
/// debited, not an authority, not anybody's funder (T077, T081). That it is no program either, decoding has seen to.
fn check_signers(message: &SolanaMessage, payment: &SolanaPayment) -> Result<(), SolanaReject> {
    match message.signers() {
        [payer] if *payer == payment.payer => Ok(()),
        [_, payer] if *payer == payment.payer => {
            let used = message.instructions().iter().any(|instruction| instruction.accounts.contains(&0));
            if used { Err(SolanaReject::FeePayerUsed) } else { Ok(()) }
        }
        _ => Err(SolanaReject::Signers),
    }
}

fn once<T>(place: &mut Option<T>, value: T, otherwise: SolanaReject) -> Result<(), SolanaReject> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(otherwise),
    }
}
