//! Contracts that payers and operators of a real chain may have.

use alloy_primitives::{Address, Bytes, U256};
use alloy_sol_types::SolValue;

use super::{chain::Error, contracts::Artifact};

/// A contract to deploy that is no token. Its source is in `contracts/Wallets.sol`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contract {
    /// An ERC-1271 account whose owner signs the hash itself, and that says no all the same on some occasion.
    TrapWallet {
        /// Whose signatures are its own.
        owner: Address,
        /// When it says no.
        trap: Trap,
    },
    /// An ERC-1271 account that takes any signature and burns all gas that it is given.
    BurnerWallet,
    /// Makes ERC-1271 accounts of one owner at addresses that are known before.
    WalletFactory,
    /// An EIP-1967 proxy; anybody may exchange what is behind it.
    Proxy {
        /// What is behind it.
        implementation: Address,
    },
    /// The oracle of OP-stack chains for the fee of the chain below, to be placed at its address.
    GasPriceOracle,
}

/// On what occasion an account refuses what its owner has signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trap {
    /// The block has a base fee, as all have.
    BaseFee,
    /// The transaction pays for gas, as all do.
    GasPrice,
    /// The block has a beneficiary.
    Coinbase,
    /// The owner has switched it off.
    Switched,
}

impl Contract {
    /// The code that creates it, for deploying it on a chain that is not ours.
    ///
    /// # Errors
    /// [`Error::Artifact`] if the embedded artifact is broken.
    pub fn init_code(&self) -> Result<Bytes, Error> {
        let artifact = self.artifact()?;
        let arguments = match self {
            Self::TrapWallet { owner, trap } => {
                let trap = match trap {
                    Trap::BaseFee => 0,
                    Trap::GasPrice => 1,
                    Trap::Coinbase => 2,
                    Trap::Switched => 3,
                };
                (*owner, U256::from(trap)).abi_encode_params()
            }
            Self::Proxy { implementation } => implementation.abi_encode(),
            Self::BurnerWallet | Self::WalletFactory | Self::GasPriceOracle => Vec::new(),
        };
        Ok([&artifact.bytecode[..], &arguments].concat().into())
    }

    /// The code that it has once it is there; not that of accounts, which depends on their owner.
    ///
    /// # Errors
    /// [`Error::Artifact`] if the embedded artifact is broken.
    pub fn code(&self) -> Result<Bytes, Error> {
        Ok(self.artifact()?.deployed_bytecode)
    }

    fn artifact(&self) -> Result<Artifact, Error> {
        Artifact::parse(match self {
            Self::TrapWallet { .. } => include_str!("../../contracts/artifacts/TrapWallet.json"),
            Self::BurnerWallet => include_str!("../../contracts/artifacts/BurnerWallet.json"),
            Self::WalletFactory => include_str!("../../contracts/artifacts/WalletFactory.json"),
            Self::Proxy { .. } => include_str!("../../contracts/artifacts/Proxy.json"),
            Self::GasPriceOracle => include_str!("../../contracts/artifacts/GasPriceOracle.json"),
        })
    }
}
