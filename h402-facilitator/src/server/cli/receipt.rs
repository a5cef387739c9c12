//! `receipt verify`, `receipt key`: checks receipts offline.

use super::{CliError, from_env, io, read, say};
use clap::Subcommand;
use h402_core::{BadReceipt, ReceiptIssuer, SignedReceipt, Statement, wire::h402};
use std::{io::Read as _, path::Path};

#[derive(Debug, Subcommand)]
pub(super) enum ReceiptCommand {
    /// Checks a receipt without asking anybody. Exit code 0: a trusted key has signed it. 1: none has. 2: it cannot be read.
    Verify {
        /// The receipt, or a whole X-PAYMENT-RESPONSE; `-` reads it from standard input.
        receipt: String,
        /// A trusted key, 64 hex digits, as `GET /receipts/key` shows it; may be given more than once. Without one the key of the
        /// configuration is trusted.
        #[arg(long)]
        key: Vec<ReceiptIssuer>,
    },
    /// Shows the public half of the configured key.
    Key,
}

pub(super) fn run(command: ReceiptCommand, config: &Path) -> Result<(), CliError> {
    match command {
        ReceiptCommand::Key => say(&configured(config)?.to_string()),
        ReceiptCommand::Verify { receipt, key } => {
            let receipt = parse(&text(receipt)?)?;
            let trusted = if key.is_empty() { vec![configured(config)?] } else { key };
            let statement = receipt.verify(&trusted)?;
            say(&describe(statement, receipt.issuer()))
        }
    }
}

fn text(receipt: String) -> Result<String, CliError> {
    if receipt != "-" {
        return Ok(receipt);
    }
    let mut text = String::new();
    // A header value is the longest that makes sense.
    let longest = u64::try_from(h402::MAX_HEADER).unwrap_or(u64::MAX).saturating_add(1);
    std::io::stdin().take(longest).read_to_string(&mut text).map_err(io("read standard input"))?;
    Ok(text)
}

/// A receipt by itself, or in the header in which it came.
fn parse(text: &str) -> Result<SignedReceipt, BadReceipt> {
    let text = text.trim();
    match text.parse() {
        Ok(receipt) => Ok(receipt),
        Err(why) => h402::decode_receipt(text.as_bytes()).ok().and_then(|answer| answer.credit.or(answer.signed)).ok_or(why),
    }
}

/// The key of this machine's configuration: the only one that nobody had to be asked for.
fn configured(config: &Path) -> Result<ReceiptIssuer, CliError> {
    let config = read(config).map_err(|error| CliError::NoTrustedKey(error.to_string()))?;
    let key = config.receipt_key(from_env).map_err(|error| CliError::NoTrustedKey(error.to_string()))?;
    key.map(|key| key.issuer()).ok_or_else(|| CliError::NoTrustedKey("the configuration has no [receipts]".to_owned()))
}

fn describe(statement: &Statement, issuer: ReceiptIssuer) -> String {
    let Statement { purpose, payment, fingerprint, transaction, block, asset, amount, pay_to, payer, time } = statement;
    let unknown = || "not stated".to_owned();
    let request = fingerprint.as_ref().map_or_else(unknown, |fingerprint| format!("{fingerprint:?}"));
    let block = block.map_or_else(unknown, |block| format!("{} {}", block.number, block.hash));
    let rows = [
        ("good, signed by", issuer.to_string()),
        ("purpose", purpose.as_str().to_owned()),
        ("payment", payment.to_string()),
        ("request", request),
        ("network", asset.network.to_string()),
        ("transaction", transaction.to_string()),
        ("block", block),
        ("asset", asset.address.to_string()),
        ("amount", format!("{amount} (smallest unit)")),
        ("payee", pay_to.to_string()),
        ("payer", payer.to_string()),
        ("time", format!("{} (milliseconds since 1970)", time.0)),
    ];
    rows.map(|(name, value)| format!("{name:<16} {value}")).join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const VECTORS: &str = include_str!("../../../../tests/vectors/receipts/receipts.json");

    fn vector(name: &str) -> String {
        let (_, rest) = VECTORS.split_once(&format!("\"{name}\": \"")).unwrap();
        rest.split_once('"').unwrap().0.to_owned()
    }

    fn verify(receipt: String, keys: &[&str]) -> Result<(), CliError> {
        let key = keys.iter().map(|key| key.parse().unwrap()).collect();
        run(ReceiptCommand::Verify { receipt, key }, Path::new("/nowhere/h402.toml"))
    }

    /// The codes that scripts go by: good, not good, not read; and no key to trust is not "good".
    #[test]
    fn exit_codes_tell_good_from_bad_from_unread() {
        let (receipt, issuer) = (vector("receipt"), vector("issuer"));
        let stranger = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
        assert!(verify(receipt.clone(), &[&issuer]).is_ok());
        assert!(verify(receipt.clone(), &[stranger, &issuer]).is_ok());
        let code = |result: Result<(), CliError>| result.unwrap_err().exit_code();
        assert_eq!(code(verify(receipt.clone(), &[stranger])), 1);
        let mut bent = receipt.clone();
        bent.replace_range(bent.len() - 6..bent.len() - 5, if bent.as_bytes()[bent.len() - 6] == b'A' { "B" } else { "A" });
        assert_eq!(code(verify(bent, &[&issuer])), 1);
        assert_eq!(code(verify("not a receipt".into(), &[&issuer])), 2);
        assert_eq!(code(verify(receipt, &[])), 2, "no key to trust");
    }

    #[test]
    fn a_receipt_is_found_in_its_header() {
        let receipt: SignedReceipt = vector("receipt").parse().unwrap();
        let answer = h402::SettleAnswer { success: true, signed: Some(receipt), ..Default::default() };
        let header = h402::encode_receipt(&answer).unwrap();
        assert!(verify(format!(" {header}\n"), &[&vector("issuer")]).is_ok());
        let none = h402::encode_receipt(&h402::SettleAnswer { signed: None, ..answer }).unwrap();
        assert_eq!(verify(none, &[&vector("issuer")]).unwrap_err().exit_code(), 2);
    }
}
