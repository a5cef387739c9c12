//! The words of refusals in every dialect: one table.
//!
//! h402 has 35 words and free text; x402 version 1 has the words of its specification, version 2 those of its reference
//! programs, which name EVM and Solana apart.

use crate::{Dialect, ErrorReason, Network, Reject, SolanaReject, Undecided};

/// One row: a refusal in our own word and in those of the three dialects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Words {
    /// The nearest of h402's 35.
    pub(crate) h402: ErrorReason,
    /// Our own, finer one.
    pub(crate) ours: &'static str,
    evm: Pair,
    solana: Pair,
}

/// The words of x402.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pair {
    v1: &'static str,
    v2: &'static str,
}

const fn row(h402: ErrorReason, ours: &'static str, v1: &'static str, v2: &'static str) -> Words {
    let both = Pair { v1, v2 };
    Words { h402, ours, evm: both, solana: both }
}

impl Words {
    const fn on_solana(self, v1: &'static str, v2: &'static str) -> Self {
        Self { solana: Pair { v1, v2 }, ..self }
    }

    fn in_dialect(self, dialect: Dialect, network: Option<Network>) -> &'static str {
        let pair = if matches!(network, Some(Network::Solana(_))) { self.solana } else { self.evm };
        match dialect {
            Dialect::H402V1 => self.h402.as_str(),
            Dialect::X402V1 => pair.v1,
            Dialect::X402V2 => pair.v2,
        }
    }
}

const PAYLOAD: &str = "invalid_payload";
const TERMS: &str = "invalid_payment_requirements";
const STATE: &str = "invalid_transaction_state";
const FUNDS: &str = "insufficient_funds";
const DUPLICATE: &str = "duplicate_settlement";
const VERIFY: &str = "unexpected_verify_error";
const SETTLE: &str = "unexpected_settle_error";
/// The word of a settlement whose outcome is not known yet.
pub(crate) const PENDING: &str = "settlement_pending";
const EVM_VALID_AFTER: &str = "invalid_exact_evm_payload_authorization_valid_after";
const EVM_VALID_BEFORE: &str = "invalid_exact_evm_payload_authorization_valid_before";
const EVM_SIGNATURE_V1: &str = "invalid_exact_evm_payload_signature";
const EVM_SIGNATURE_V2: &str = "invalid_exact_evm_signature";
const UNDEPLOYED_WALLET: &str = "invalid_exact_evm_payload_undeployed_smart_wallet";
const PAYLOAD_TYPE: &str = "unsupported_payload_type";
const SVM_SIMULATION_V1: &str = "transaction_simulation_failed";
const SVM_SIMULATION_V2: &str = "invalid_exact_svm_transaction_simulation_failed";
const SVM_INSTRUCTION: &str = "invalid_exact_svm_payload_unknown_optional_instruction";
const SVM_PRICE: &str = "invalid_exact_svm_payload_transaction_instructions_compute_price_instruction_too_high";

impl Reject {
    /// The words of every dialect. No `_` arm: a new variant does not compile without a row.
    pub(crate) fn words(&self) -> Words {
        use ErrorReason as R;
        match self {
            Self::Undecodable(_) | Self::Malformed(_) => row(R::InvalidPayload, PAYLOAD, PAYLOAD, PAYLOAD),
            Self::Version => row(R::InvalidH402Version, "invalid_h402_version", "invalid_x402_version", "invalid_x402_version"),
            Self::Scheme => row(R::UnsupportedScheme, "unsupported_scheme", "unsupported_scheme", "unsupported_scheme"),
            Self::PayloadType(_) => row(R::InvalidPayload, PAYLOAD_TYPE, PAYLOAD, PAYLOAD_TYPE),
            Self::Network(_) => row(R::InvalidNetwork, "invalid_network", "invalid_network", "invalid_exact_evm_network_mismatch")
                .on_solana("invalid_network", "invalid_exact_svm_payload_network_mismatch"),
            Self::Asset => row(R::InvalidPaymentRequirements, "unsupported_asset", TERMS, TERMS),
            Self::NoOffer => row(R::InvalidPaymentRequirements, "no_matching_offer", TERMS, TERMS),
            Self::Ambiguous => row(R::InvalidPaymentRequirements, "ambiguous_offer", TERMS, TERMS),
            Self::Requirements(_) => row(R::InvalidPaymentRequirements, TERMS, TERMS, TERMS),
            Self::Domain => row(R::InvalidPaymentRequirements, "token_domain_mismatch", TERMS, "invalid_exact_evm_token_name_mismatch"),
            Self::ValidAfter => row(R::EvmValidAfter, EVM_VALID_AFTER, EVM_VALID_AFTER, EVM_VALID_AFTER),
            Self::ExpiresTooSoon { .. } | Self::ExpiresTooLate { .. } => {
                row(R::EvmValidBefore, EVM_VALID_BEFORE, EVM_VALID_BEFORE, EVM_VALID_BEFORE)
            }
            Self::Value { .. } => row(
                R::EvmValue,
                "invalid_exact_evm_payload_authorization_value",
                "invalid_exact_evm_payload_authorization_value",
                "invalid_exact_evm_payload_authorization_value_mismatch",
            ),
            Self::Recipient { .. } => row(
                R::EvmRecipientMismatch,
                "invalid_exact_evm_payload_recipient_mismatch",
                "invalid_exact_evm_payload_recipient_mismatch",
                "invalid_exact_evm_recipient_mismatch",
            ),
            Self::Signature(_) => row(R::EvmSignature, EVM_SIGNATURE_V1, EVM_SIGNATURE_V1, EVM_SIGNATURE_V2),
            Self::PayerHasCode => row(R::EvmSignature, "unsupported_payer", EVM_SIGNATURE_V1, EVM_SIGNATURE_V2),
            Self::InsufficientFunds { .. } => {
                row(R::InsufficientFunds, FUNDS, FUNDS, "invalid_exact_evm_insufficient_balance").on_solana(FUNDS, FUNDS)
            }
            Self::Allowance { .. } => row(R::InsufficientFunds, "permit2_allowance_required", FUNDS, "permit2_allowance_required"),
            Self::Spender => row(R::InvalidPayload, "invalid_permit2_spender", PAYLOAD, "invalid_permit2_spender"),
            Self::Facilitator => row(R::InvalidPayload, "upto_facilitator_mismatch", PAYLOAD, "upto_facilitator_mismatch"),
            Self::AuthorizationUsed => row(R::InvalidTransactionState, "authorization_used", STATE, "invalid_exact_evm_nonce_already_used"),
            Self::TransactionState(_) => row(R::InvalidTransactionState, STATE, STATE, STATE),
            Self::Reverts(_) => {
                row(R::InvalidTransactionState, "transfer_reverts", STATE, "invalid_exact_evm_transaction_simulation_failed")
                    .on_solana(SVM_SIMULATION_V1, SVM_SIMULATION_V2)
            }
            Self::TransferNotObserved => row(R::InvalidTransactionState, "transfer_not_observed", STATE, STATE),
            Self::Lost => row(R::InvalidTransactionState, "payment_lost", STATE, STATE),
            Self::TransactionKind(_) => row(R::InvalidPayload, "unsupported_transaction_type", PAYLOAD, PAYLOAD_TYPE),
            Self::TooOld => row(R::InvalidTransactionState, "payment_expired_for_claim", STATE, STATE),
            Self::Cost { .. } | Self::BelowMinimum { .. } => {
                row(R::InvalidPaymentRequirements, "settlement_cost_exceeds_limit", TERMS, TERMS)
            }
            Self::GasWasted => row(R::InvalidTransactionState, "gas_wasted", STATE, STATE),
            Self::Factory => row(R::EvmSignature, "eip6492_factory_not_allowed", EVM_SIGNATURE_V1, UNDEPLOYED_WALLET),
            Self::Payee => row(R::InvalidPaymentRequirements, "unsupported_payee", TERMS, TERMS),
            Self::Resource => row(R::InvalidPayload, "resource_mismatch", PAYLOAD, PAYLOAD),
            Self::InProgress => row(R::InvalidTransactionState, "payment_in_progress", STATE, STATE),
            Self::AlreadyUsed => row(R::InvalidTransactionState, "payment_already_used", DUPLICATE, DUPLICATE),
            Self::DuplicateSettlement { .. } => row(R::InvalidTransactionState, DUPLICATE, DUPLICATE, DUPLICATE),
            Self::TooManyOpen => row(R::InvalidTransactionState, "too_many_open_payments", STATE, STATE),
            Self::Solana(reject) => reject.words(),
            Self::Other { reason, word, .. } => match heard(word) {
                Some(_) => row(*reason, word, word, word),
                None => row(*reason, word, in_x402(*reason), in_x402(*reason)),
            },
        }
    }

    /// Its word in a dialect, which may be one for the kind of network it is about.
    ///
    /// ```
    /// use h402_core::{Dialect, Network, Reject};
    /// let word = |dialect| Reject::Signature("not the payer's").word_in(dialect, Some(Network::Evm(8453)));
    /// assert_eq!(word(Dialect::H402V1), "invalid_exact_evm_payload_signature");
    /// assert_eq!(word(Dialect::X402V2), "invalid_exact_evm_signature");
    /// ```
    #[must_use]
    pub fn word_in(&self, dialect: Dialect, network: Option<Network>) -> &'static str {
        self.words().in_dialect(dialect, network)
    }
}

impl SolanaReject {
    pub(crate) fn words(&self) -> Words {
        use ErrorReason as R;
        match self {
            Self::Undecodable(_) => {
                let word = "invalid_exact_svm_payload_transaction_could_not_be_decoded";
                row(R::InvalidPayload, "solana_undecodable", word, word)
            }
            Self::Signature(_) => row(R::SolanaSignature, "invalid_exact_solana_payload_signature", SVM_SIMULATION_V1, SVM_SIMULATION_V2),
            Self::Signers => row(R::SolanaSignature, "solana_signer_set", PAYLOAD, PAYLOAD),
            Self::LookupTables => row(R::InvalidPayload, "solana_lookup_tables", PAYLOAD, PAYLOAD),
            Self::DurableNonce => row(R::InvalidPayload, "solana_durable_nonce", SVM_INSTRUCTION, SVM_INSTRUCTION),
            Self::Instruction(_) => row(R::InvalidPayload, "solana_instruction", SVM_INSTRUCTION, SVM_INSTRUCTION),
            Self::ComputeBudget(_) => row(R::InvalidPayload, "solana_compute_budget", SVM_PRICE, SVM_PRICE),
            Self::Fee { .. } => row(R::InvalidPayload, "solana_fee_exceeds_limit", SVM_PRICE, SVM_PRICE),
            Self::FeePayerUsed => {
                let word = "invalid_exact_svm_payload_transaction_fee_payer_transferring_funds";
                row(R::InvalidPayload, "solana_fee_payer_used", word, word)
            }
            Self::FeeWasted => row(R::InvalidPayload, "solana_fee_wasted", STATE, STATE),
            Self::FeePayerUnknown => {
                let word = "invalid_exact_svm_fee_payer_not_managed_by_facilitator";
                row(R::InvalidPayload, "solana_fee_payer_unknown", word, word)
            }
            Self::FeePayerDiffers => {
                let word = "invalid_exact_svm_fee_payer_mismatch";
                row(R::InvalidPayload, "solana_fee_payer_differs", word, word)
            }
            Self::Memo => {
                let word = "invalid_exact_svm_payload_memo_mismatch";
                row(R::InvalidPayload, "solana_memo", word, word)
            }
            Self::NoTransfer => {
                let word = "invalid_exact_svm_payload_no_transfer_instruction";
                row(R::InvalidPayload, "solana_no_transfer", word, word)
            }
            Self::TwoTransfers => row(R::InvalidPayload, "solana_two_transfers", SVM_INSTRUCTION, SVM_INSTRUCTION),
            Self::Recipient { .. } => row(
                R::SolanaRecipientMismatch,
                "invalid_exact_solana_payload_recipient_mismatch",
                "invalid_exact_svm_payload_transaction_transfer_to_incorrect_ata",
                "invalid_exact_svm_payload_recipient_mismatch",
            ),
            Self::Value { .. } => row(
                R::SolanaValue,
                "invalid_exact_solana_payload_authorization_value",
                "invalid_exact_svm_payload_transaction_amount_mismatch",
                "invalid_exact_svm_payload_amount_mismatch",
            ),
            Self::Expires { .. } => {
                row(R::SolanaValidBefore, "invalid_exact_solana_payload_authorization_valid_before", SVM_SIMULATION_V1, SVM_SIMULATION_V2)
            }
            Self::TokenAccount(_) => row(R::InvalidTransactionState, "solana_token_account", SVM_SIMULATION_V1, SVM_SIMULATION_V2),
            Self::Extension(_) => row(R::InvalidPaymentRequirements, "solana_token_extension", TERMS, TERMS),
        }
    }
}

impl Undecided {
    /// The word of a verification that was not decided; the same in every dialect.
    pub(crate) const fn verify_word(&self) -> &'static str {
        VERIFY
    }

    /// The word of a settlement that was not decided; the same in every dialect.
    pub(crate) const fn settle_word(&self) -> &'static str {
        SETTLE
    }
}

/// The word of a settlement that was sent and failed on its chain.
pub(crate) const fn failed_on_chain(network: Option<Network>) -> &'static str {
    match network {
        Some(Network::Evm(_)) => "invalid_exact_evm_transaction_failed",
        Some(Network::Solana(_)) | None => "transaction_failed",
    }
}

/// An h402 word where x402 has no finer one.
const fn in_x402(reason: ErrorReason) -> &'static str {
    use ErrorReason as R;
    match reason {
        R::InvalidH402Version => "invalid_x402_version",
        R::InsufficientFunds
        | R::EvmValidAfter
        | R::EvmValidBefore
        | R::EvmValue
        | R::EvmSignature
        | R::EvmRecipientMismatch
        | R::InvalidNetwork
        | R::InvalidPayload
        | R::InvalidPaymentRequirements
        | R::InvalidScheme
        | R::UnsupportedScheme
        | R::InvalidTransactionState
        | R::UnexpectedVerifyError
        | R::UnexpectedSettleError => reason.as_str(),
        // Solana's and Arkade's words are h402's alone.
        _ => PAYLOAD,
    }
}

/// Words of x402 programs, ours included, and the h402 word that is nearest: how a foreign facilitator's refusal is read.
const HEARD: [(&str, ErrorReason); 64] = {
    use ErrorReason as R;
    [
        (FUNDS, R::InsufficientFunds),
        (DUPLICATE, R::InvalidTransactionState),
        (STATE, R::InvalidTransactionState),
        (PAYLOAD, R::InvalidPayload),
        (TERMS, R::InvalidPaymentRequirements),
        (PAYLOAD_TYPE, R::InvalidPayload),
        (EVM_VALID_AFTER, R::EvmValidAfter),
        (EVM_VALID_BEFORE, R::EvmValidBefore),
        (EVM_SIGNATURE_V1, R::EvmSignature),
        (EVM_SIGNATURE_V2, R::EvmSignature),
        (UNDEPLOYED_WALLET, R::EvmSignature),
        (SVM_SIMULATION_V1, R::InvalidTransactionState),
        (SVM_SIMULATION_V2, R::InvalidTransactionState),
        (SVM_INSTRUCTION, R::InvalidPayload),
        (SVM_PRICE, R::InvalidPayload),
        ("unsupported_scheme", R::UnsupportedScheme),
        ("invalid_scheme", R::InvalidScheme),
        ("invalid_network", R::InvalidNetwork),
        ("invalid_x402_version", R::InvalidH402Version),
        ("invalid_payment", R::InvalidPayload),
        ("payment_expired", R::EvmValidBefore),
        ("asset_not_deployed_contract", R::InvalidPaymentRequirements),
        ("missing_eip712_domain", R::InvalidPaymentRequirements),
        ("transaction_failed", R::InvalidTransactionState),
        ("invalid_exact_evm_scheme", R::InvalidScheme),
        ("invalid_exact_evm_network_mismatch", R::InvalidNetwork),
        ("invalid_exact_evm_missing_eip712_domain", R::InvalidPaymentRequirements),
        ("invalid_exact_evm_token_name_mismatch", R::InvalidPaymentRequirements),
        ("invalid_exact_evm_token_version_mismatch", R::InvalidPaymentRequirements),
        ("invalid_exact_evm_eip3009_not_supported", R::InvalidPaymentRequirements),
        ("invalid_exact_evm_recipient_mismatch", R::EvmRecipientMismatch),
        ("invalid_exact_evm_payload_recipient_mismatch", R::EvmRecipientMismatch),
        ("invalid_exact_evm_authorization_value", R::EvmValue),
        ("invalid_exact_evm_payload_authorization_value", R::EvmValue),
        ("invalid_exact_evm_payload_authorization_value_mismatch", R::EvmValue),
        ("invalid_exact_evm_insufficient_balance", R::InsufficientFunds),
        ("invalid_exact_evm_nonce_already_used", R::InvalidTransactionState),
        ("invalid_exact_evm_transaction_simulation_failed", R::InvalidTransactionState),
        ("invalid_exact_evm_transaction_failed", R::InvalidTransactionState),
        ("permit2_allowance_required", R::InsufficientFunds),
        ("permit2_insufficient_balance", R::InsufficientFunds),
        ("permit2_amount_mismatch", R::EvmValue),
        ("permit2_deadline_expired", R::EvmValidBefore),
        ("permit2_not_yet_valid", R::EvmValidAfter),
        ("permit2_simulation_failed", R::InvalidTransactionState),
        ("permit2_token_mismatch", R::InvalidPayload),
        ("invalid_permit2_spender", R::InvalidPayload),
        ("upto_facilitator_mismatch", R::InvalidPayload),
        ("invalid_upto_evm_payload_settlement_exceeds_amount", R::InvalidPaymentRequirements),
        ("invalid_permit2_recipient_mismatch", R::EvmRecipientMismatch),
        ("invalid_permit2_signature", R::EvmSignature),
        ("invalid_exact_svm_fee_payer_mismatch", R::InvalidPayload),
        ("invalid_exact_svm_fee_payer_not_managed_by_facilitator", R::InvalidPayload),
        ("invalid_exact_svm_payload_missing_fee_payer", R::InvalidPaymentRequirements),
        ("invalid_exact_svm_payload_network_mismatch", R::InvalidNetwork),
        ("invalid_exact_svm_payload_amount_mismatch", R::SolanaValue),
        ("invalid_exact_svm_payload_transaction_amount_mismatch", R::SolanaValue),
        ("invalid_exact_svm_payload_recipient_mismatch", R::SolanaRecipientMismatch),
        ("invalid_exact_svm_payload_transaction_transfer_to_incorrect_ata", R::SolanaRecipientMismatch),
        ("invalid_exact_svm_payload_memo_mismatch", R::InvalidPayload),
        ("invalid_exact_svm_payload_no_transfer_instruction", R::InvalidPayload),
        ("invalid_exact_svm_payload_transaction_could_not_be_decoded", R::InvalidPayload),
        ("invalid_exact_svm_payload_transaction_fee_payer_transferring_funds", R::InvalidPayload),
        ("invalid_exact_svm_payload_transaction_instructions_length", R::InvalidPayload),
    ]
};

/// Whether a word says that nothing is decided. The last is what the Python package calls an outage of its node.
pub(crate) fn is_no_verdict(word: &str) -> bool {
    [VERIFY, SETTLE, "invalid_exact_evm_failed_to_verify_signature"].contains(&word)
}

/// Whether a word is that of a check which programs make before they send anything.
pub(crate) fn is_before_sending(word: &str) -> bool {
    let may_have_sent = [STATE, "transaction_failed", "invalid_exact_evm_transaction_failed"];
    !may_have_sent.contains(&word) && heard(word).is_some()
}

/// Finds a word of x402: as a text that lives for ever, with the nearest of h402's.
pub(crate) fn heard(word: &str) -> Option<(&'static str, ErrorReason)> {
    if let Some(found) = HEARD.iter().find(|(known, _)| *known == word) {
        return Some(*found);
    }
    // Longer words are finer ones of the same thing (`…_unknown_fourth_instruction`).
    word.starts_with("invalid_exact_svm_payload_").then_some((PAYLOAD, ErrorReason::InvalidPayload))
}

#[cfg(test)]
mod tests;
