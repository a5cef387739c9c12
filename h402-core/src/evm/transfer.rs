use crate::{Amount, Authorization, EvmAddress, Reject};
use alloy_primitives::{B256, U256};
use alloy_sol_types::{Eip712Domain, SolStruct, sol};

sol! {
    struct TransferWithAuthorization {
        address from;
        address to;
        uint256 value;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
    }
}

/// The token calls that payments use.
#[allow(missing_docs, clippy::too_many_arguments)]
mod interface {
    alloy_sol_types::sol! {
        #[derive(Debug)]
        interface Erc20 {
            event Transfer(address indexed from, address indexed to, uint256 value);
            event AuthorizationUsed(address indexed authorizer, bytes32 indexed nonce);
            function transfer(address to, uint256 amount) external returns (bool);
            function balanceOf(address account) external view returns (uint256);
            function allowance(address owner, address spender) external view returns (uint256);
            function nonces(address owner) external view returns (uint256);
            function decimals() external view returns (uint8);
            function authorizationState(address authorizer, bytes32 nonce) external view returns (bool);
            function DOMAIN_SEPARATOR() external view returns (bytes32);
            function transferWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, uint8 v, bytes32 r, bytes32 s) external;
        }

        /// The same with a signature of any length, for payers that are contracts, and what such a contract is asked.
        #[derive(Debug)]
        interface ContractPayer {
            function transferWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, bytes signature) external;
            function isValidSignature(bytes32 hash, bytes signature) external view returns (bytes4);
        }
    }
}
pub use interface::{ContractPayer, Erc20};

/// The EIP-712 hash that the payer of an EIP-3009 authorization signs.
#[must_use]
pub fn transfer_with_authorization_hash(authorization: &Authorization, domain: &Eip712Domain) -> B256 {
    TransferWithAuthorization {
        from: authorization.from,
        to: authorization.to,
        value: authorization.value.to_u256(),
        validAfter: authorization.valid_after,
        validBefore: authorization.valid_before,
        nonce: authorization.nonce,
    }
    .eip712_signing_hash(domain)
}

/// `transfer(address,uint256)`, decoded strictly: exactly 68 bytes, the address word clean (T046).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Erc20Transfer {
    /// Who is paid.
    pub to: EvmAddress,
    /// How much.
    pub amount: Amount,
}

impl Erc20Transfer {
    const SELECTOR: [u8; 4] = [0xa9, 0x05, 0x9c, 0xbb];

    /// Reads call data.
    ///
    /// # Errors
    /// [`Reject::TransactionKind`] for anything but a plain transfer.
    pub fn decode(data: &[u8]) -> Result<Self, Reject> {
        let refuse = |why| Err(Reject::TransactionKind(why));
        let Ok(data) = <&[u8; 68]>::try_from(data) else {
            return refuse("call data is not exactly transfer(address,uint256)");
        };
        let (selector, words) = data.split_at(4);
        if selector != Self::SELECTOR {
            return refuse("call is not transfer(address,uint256)");
        }
        let (to, amount) = words.split_at(32);
        let (padding, to) = to.split_at(12);
        if padding.iter().any(|byte| *byte != 0) {
            return refuse("address word is not clean");
        }
        Ok(Self { to: EvmAddress::from_slice(to), amount: U256::from_be_slice(amount).into() })
    }

    /// Writes call data.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut data = Vec::with_capacity(68);
        data.extend_from_slice(&Self::SELECTOR);
        data.extend_from_slice(&[0; 12]);
        data.extend_from_slice(self.to.as_slice());
        data.extend_from_slice(&self.amount.to_be_bytes());
        data
    }
}
