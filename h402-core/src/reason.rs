//! The 35 error reasons of h402 version 1.

use core::fmt;

macro_rules! reasons {
    ($($variant:ident = $word:literal,)*) => {
        /// A word of the h402 version 1 error vocabulary (docs/wire.md#reasons).
        ///
        /// ```
        /// use h402_core::ErrorReason;
        /// assert_eq!(ErrorReason::ALL.len(), 35);
        /// assert_eq!(ErrorReason::from_word("invalid_payload"), Some(ErrorReason::InvalidPayload));
        /// ```
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ErrorReason {
            $(#[doc = concat!("`", $word, "`")] $variant,)*
        }

        impl ErrorReason {
            /// All words, in the order of the specification.
            pub const ALL: [Self; 35] = [$(Self::$variant,)*];

            /// The word on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// Reads a word; a newer peer's word is `None`.
            #[must_use]
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

reasons! {
    InsufficientFunds = "insufficient_funds",
    EvmValidAfter = "invalid_exact_evm_payload_authorization_valid_after",
    EvmValidBefore = "invalid_exact_evm_payload_authorization_valid_before",
    EvmValue = "invalid_exact_evm_payload_authorization_value",
    EvmSignature = "invalid_exact_evm_payload_signature",
    EvmRecipientMismatch = "invalid_exact_evm_payload_recipient_mismatch",
    SolanaValidAfter = "invalid_exact_solana_payload_authorization_valid_after",
    SolanaValidBefore = "invalid_exact_solana_payload_authorization_valid_before",
    SolanaValue = "invalid_exact_solana_payload_authorization_value",
    SolanaSignature = "invalid_exact_solana_payload_signature",
    SolanaRecipientMismatch = "invalid_exact_solana_payload_recipient_mismatch",
    ArkadeTxId = "invalid_exact_arkade_payload_txId",
    ArkadeTxInput = "invalid_exact_arkade_payload_tx_input_invalid",
    ArkadeRecipientMismatch = "invalid_exact_arkade_payload_tx_recipient_mismatch",
    ArkadeAmountMismatch = "invalid_exact_arkade_payload_tx_amount_mismatch",
    ArkadeDust = "invalid_exact_arkade_payload_tx_amount_less_than_dust",
    ArkadeOutputNotFound = "invalid_exact_arkade_payload_tx_output_not_found",
    ArkadeSignerPubkey = "invalid_exact_arkade_payload_signer_pubkey",
    ArkadeTxIdNotFound = "invalid_exact_arkade_payload_txId_not_found",
    ArkadePsbtEmpty = "invalid_exact_arkade_payload_psbt_empty",
    ArkadeSenderNotFound = "invalid_exact_arkade_payload_tx_sender_pubkey_not_found",
    ArkadeMissingWitness = "invalid_exact_arkade_payload_tx_input_missing_witness",
    ArkadeMissingTapleaf = "invalid_exact_arkade_payload_tx_input_missing_tapleaf",
    ArkadeUnsigned = "invalid_exact_arkade_payload_tx_input_unsigned",
    ArkadeSignatureMismatch = "invalid_exact_arkade_payload_signed_message_signature_mismatch",
    ArkadeSignedMessage = "invalid_exact_arkade_payload_signedMessage",
    InvalidNetwork = "invalid_network",
    InvalidPayload = "invalid_payload",
    InvalidPaymentRequirements = "invalid_payment_requirements",
    InvalidScheme = "invalid_scheme",
    UnsupportedScheme = "unsupported_scheme",
    InvalidH402Version = "invalid_h402_version",
    InvalidTransactionState = "invalid_transaction_state",
    UnexpectedVerifyError = "unexpected_verify_error",
    UnexpectedSettleError = "unexpected_settle_error",
}

impl fmt::Display for ErrorReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_reads_back_and_none_is_twice() {
        for (at, reason) in ErrorReason::ALL.into_iter().enumerate() {
            assert_eq!(ErrorReason::from_word(reason.as_str()), Some(reason));
            assert!(ErrorReason::ALL.iter().skip(at + 1).all(|other| other.as_str() != reason.as_str()));
        }
        assert_eq!(ErrorReason::from_word("made_up"), None);
    }
}
