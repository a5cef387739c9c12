//! The bytes of a statement: written in one way only, and read in that way only.

use super::{BadReceipt, ReceiptIssuer, ReceiptPurpose, Statement};
use crate::{Address, Amount, AssetId, BlockRef, Fingerprint, Network, PaymentKey, SolanaAddress, TransactionId, UnixMillis};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

/// The first field: a receipt, and nothing else that anybody signs.
const VERSION: &[u8] = b"h402-receipt-1";

pub(super) fn to_base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Padding, other alphabets and nonzero trailing bits are refused: one receipt has one text.
pub(super) fn from_base64url(text: &str) -> Result<Vec<u8>, BadReceipt> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| BadReceipt::Base64)
}

pub(super) fn write(statement: &Statement, issuer: &ReceiptIssuer) -> Vec<u8> {
    let Statement { purpose, payment, fingerprint, transaction, block, asset, amount, pay_to, payer, time } = statement;
    let mut out = Vec::with_capacity(384);
    put(&mut out, VERSION);
    put(&mut out, purpose.as_str().as_bytes());
    put(&mut out, payment.as_bytes());
    put(&mut out, fingerprint.as_ref().map_or(&[], |fingerprint| fingerprint.as_bytes().as_slice()));
    put(&mut out, asset.network.to_string().as_bytes());
    match transaction {
        TransactionId::Evm(hash) => put(&mut out, hash.as_slice()),
        TransactionId::Solana(signature) => put(&mut out, signature),
    }
    let block = block.map(|block| [block.number.to_be_bytes().as_slice(), block.hash.as_slice()].concat());
    put(&mut out, &block.unwrap_or_default());
    put(&mut out, asset.address.as_bytes());
    put(&mut out, pay_to.as_bytes());
    put(&mut out, payer.as_bytes());
    put(&mut out, &amount.to_be_bytes());
    put(&mut out, &time.0.to_be_bytes());
    put(&mut out, issuer.as_bytes());
    out
}

/// No field is longer than a hundred bytes.
fn put(out: &mut Vec<u8>, field: &[u8]) {
    out.extend_from_slice(&u16::try_from(field.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.extend_from_slice(field);
}

pub(super) fn read(bytes: &[u8]) -> Result<(Statement, ReceiptIssuer), BadReceipt> {
    let mut fields = Fields(bytes);
    if fields.next() != Some(VERSION) {
        return Err(BadReceipt::Version);
    }
    let purpose = ReceiptPurpose::from_word(fields.field("purpose")?).ok_or(BadReceipt::Field("purpose"))?;
    let payment = PaymentKey::from_bytes(fields.exactly("payment")?);
    let fingerprint = match fields.field("request")? {
        [] => None,
        bytes => Some(Fingerprint::from_bytes(bytes.try_into().map_err(|_| BadReceipt::Field("request"))?)),
    };
    let network = core::str::from_utf8(fields.field("network")?).ok().and_then(|text| text.parse().ok());
    let network: Network = network.ok_or(BadReceipt::Field("network"))?;
    let transaction = match (network, fields.field("transaction")?) {
        (Network::Evm(_), hash) => TransactionId::Evm(hash.try_into().map_err(|_| BadReceipt::Field("transaction"))?),
        (Network::Solana(_), signature) => TransactionId::Solana(signature.try_into().map_err(|_| BadReceipt::Field("transaction"))?),
    };
    let block = match fields.field("block")? {
        [] => None,
        bytes => {
            let (number, hash) = bytes.split_first_chunk::<8>().ok_or(BadReceipt::Field("block"))?;
            let hash = hash.try_into().map_err(|_| BadReceipt::Field("block"))?;
            Some(BlockRef { number: u64::from_be_bytes(*number), hash })
        }
    };
    let asset = AssetId { network, address: fields.address(network, "asset")? };
    let pay_to = fields.address(network, "payee")?;
    let payer = fields.address(network, "payer")?;
    let amount = Amount::from_be_bytes(fields.exactly("amount")?);
    let time = UnixMillis(u64::from_be_bytes(fields.exactly("time")?));
    let issuer = ReceiptIssuer::from_bytes(fields.exactly("issuer")?);
    if !fields.0.is_empty() {
        return Err(BadReceipt::Field("what follows the issuer"));
    }
    Ok((Statement { purpose, payment, fingerprint, transaction, block, asset, amount, pay_to, payer, time }, issuer))
}

/// Whether addresses and transaction are of the network's kind; others could be written, and not be read again.
pub(super) fn is_of_one_kind(statement: &Statement) -> Result<(), BadReceipt> {
    let evm = matches!(statement.asset.network, Network::Evm(_));
    let kinds = [
        ("transaction", matches!(statement.transaction, TransactionId::Evm(_))),
        ("asset", matches!(statement.asset.address, Address::Evm(_))),
        ("payee", matches!(statement.pay_to, Address::Evm(_))),
        ("payer", matches!(statement.payer, Address::Evm(_))),
    ];
    match kinds.iter().find(|(_, kind)| *kind != evm) {
        Some((name, _)) => Err(BadReceipt::Field(name)),
        None => Ok(()),
    }
}

/// What is not read yet.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn next(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.0.split_first_chunk::<2>()?;
        let (field, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        self.0 = rest;
        Some(field)
    }

    fn field(&mut self, name: &'static str) -> Result<&'a [u8], BadReceipt> {
        self.next().ok_or(BadReceipt::Field(name))
    }

    fn exactly<const N: usize>(&mut self, name: &'static str) -> Result<[u8; N], BadReceipt> {
        self.field(name)?.try_into().map_err(|_| BadReceipt::Field(name))
    }

    fn address(&mut self, network: Network, name: &'static str) -> Result<Address, BadReceipt> {
        Ok(match network {
            Network::Evm(_) => Address::Evm(self.exactly::<20>(name)?.into()),
            Network::Solana(_) => Address::Solana(SolanaAddress::from_bytes(self.exactly(name)?)),
        })
    }
}
