//! Mints and what may be odd about them.

use solana_instruction::Instruction;
use solana_pubkey::Pubkey;
use spl_token_2022_interface::{
    extension::{ExtensionType, default_account_state, pausable, transfer_fee, transfer_hook},
    instruction,
    state::{AccountState, Mint},
};

use super::{
    chain::Error,
    tokens::{TOKEN, TOKEN_2022},
};

/// Which of the two token programs keeps a mint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// SPL Token.
    Token,
    /// Token-2022.
    Token2022,
}

impl Program {
    /// The program's address.
    pub fn id(self) -> Pubkey {
        match self {
            Self::Token => TOKEN,
            Self::Token2022 => TOKEN_2022,
        }
    }
}

/// A mint that is to be created; its authorities are the chain's owner unless it says otherwise.
///
/// Extensions need [`MintConfig::token_2022`]: SPL Token has none, and creating such a mint fails.
#[derive(Clone, Debug)]
pub struct MintConfig {
    pub(super) program: Program,
    decimals: u8,
    freezable: bool,
    fee: Option<(u16, u64)>,
    hook: Option<Option<Pubkey>>,
    delegate: Option<Pubkey>,
    close_authority: Option<Pubkey>,
    frozen: bool,
    pausable: bool,
    soulbound: bool,
}

impl MintConfig {
    /// A mint of SPL Token with 6 decimals and nothing odd about it.
    pub fn token() -> Self {
        Self::new(Program::Token)
    }

    /// A mint of Token-2022 with 6 decimals and no extensions.
    pub fn token_2022() -> Self {
        Self::new(Program::Token2022)
    }

    fn new(program: Program) -> Self {
        Self {
            program,
            decimals: 6,
            freezable: true,
            fee: None,
            hook: None,
            delegate: None,
            close_authority: None,
            frozen: false,
            pausable: false,
            soulbound: false,
        }
    }

    /// Sets how many decimals amounts have.
    #[must_use]
    pub fn decimals(mut self, decimals: u8) -> Self {
        self.decimals = decimals;
        self
    }

    /// Leaves out the freeze authority.
    #[must_use]
    pub fn without_freeze_authority(mut self) -> Self {
        self.freezable = false;
        self
    }

    /// Takes a fee of each transfer: hundredths of a percent, and at most so many atomic units.
    #[must_use]
    pub fn transfer_fee(mut self, basis_points: u16, maximum: u64) -> Self {
        self.fee = Some((basis_points, maximum));
        self
    }

    /// Calls a program on each transfer; `None` has the extension without a program yet.
    #[must_use]
    pub fn transfer_hook(mut self, program: Option<Pubkey>) -> Self {
        self.hook = Some(program);
        self
    }

    /// Lets somebody move and burn everybody's tokens.
    #[must_use]
    pub fn permanent_delegate(mut self, delegate: Pubkey) -> Self {
        self.delegate = Some(delegate);
        self
    }

    /// Lets somebody close the mint.
    #[must_use]
    pub fn close_authority(mut self, authority: Pubkey) -> Self {
        self.close_authority = Some(authority);
        self
    }

    /// Makes each new account frozen.
    #[must_use]
    pub fn default_frozen(mut self) -> Self {
        self.frozen = true;
        self
    }

    /// Lets the chain's owner pause all transfers.
    #[must_use]
    pub fn pausable(mut self) -> Self {
        self.pausable = true;
        self
    }

    /// Lets no tokens be transferred at all.
    #[must_use]
    pub fn non_transferable(mut self) -> Self {
        self.soulbound = true;
        self
    }

    /// The size of the mint's account, and the instructions that fill it.
    pub(super) fn build(&self, mint: Pubkey, owner: Pubkey) -> Result<(usize, Vec<Instruction>), Error> {
        let id = &TOKEN_2022;
        let mut extensions = Vec::new();
        let mut steps = Vec::new();
        let mut add = |extension, step: Result<Instruction, _>| {
            extensions.push(extension);
            step.map(|step| steps.push(step))
        };
        if let Some((basis_points, maximum)) = self.fee {
            let step =
                transfer_fee::instruction::initialize_transfer_fee_config(id, &mint, Some(&owner), Some(&owner), basis_points, maximum);
            add(ExtensionType::TransferFeeConfig, step)?;
        }
        if let Some(program) = self.hook {
            add(ExtensionType::TransferHook, transfer_hook::instruction::initialize(id, &mint, Some(owner), program))?;
        }
        if let Some(delegate) = self.delegate {
            add(ExtensionType::PermanentDelegate, instruction::initialize_permanent_delegate(id, &mint, &delegate))?;
        }
        if let Some(authority) = self.close_authority {
            add(ExtensionType::MintCloseAuthority, instruction::initialize_mint_close_authority(id, &mint, Some(&authority)))?;
        }
        if self.frozen {
            let step = default_account_state::instruction::initialize_default_account_state(id, &mint, &AccountState::Frozen);
            add(ExtensionType::DefaultAccountState, step)?;
        }
        if self.pausable {
            add(ExtensionType::Pausable, pausable::instruction::initialize(id, &mint, &owner))?;
        }
        if self.soulbound {
            add(ExtensionType::NonTransferable, instruction::initialize_non_transferable_mint(id, &mint))?;
        }
        if self.program == Program::Token && !steps.is_empty() {
            return Err(Error::NoExtensions);
        }
        let size = ExtensionType::try_calculate_account_len::<Mint>(&extensions)?;
        let freezer = self.freezable.then_some(&owner);
        // Both programs have the instruction in common.
        let mut last = instruction::initialize_mint2(id, &mint, &owner, freezer, self.decimals)?;
        last.program_id = self.program.id();
        steps.push(last);
        Ok((size, steps))
    }
}
