//! What the chain's owner changes outside of any block.

use litesvm::LiteSVM;
use solana_account::Account;
use solana_instruction::Instruction;
use solana_message::{Message, VersionedMessage};
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use solana_transaction::versioned::VersionedTransaction;

use solana_program_error::ProgramError;
use solana_system_interface::instruction::create_account;
use spl_associated_token_account_interface::{
    address::get_associated_token_address_with_program_id, instruction::create_associated_token_account_idempotent,
};
use spl_token_2022_interface::instruction;

use super::{chain::Error, ledger::Ledger, mint::MintConfig, tokens};

/// A change by the chain's owner. It is in no block, no fork undoes it, and it is there at every commitment.
#[derive(Clone, Debug)]
pub(super) enum Edit {
    /// Adds lamports.
    Lamports(Pubkey, u64),
    /// Puts an account where it says; without lamports it goes away.
    Account(Pubkey, Account),
    /// Runs instructions, whoever must have signed them.
    Run(Vec<Instruction>),
}

impl Ledger {
    /// Makes a change.
    ///
    /// It is made in every state that is kept. Where an older one has no place for it, that state stays as it is.
    pub(super) fn edit(&mut self, edit: Edit) -> Result<(), Error> {
        let mut states = self.states();
        if let Some(newest) = states.next() {
            apply(newest, &edit)?;
        }
        for state in states {
            drop(apply(state, &edit));
        }
        Ok(())
    }
}

impl Ledger {
    /// Creates a mint at this address.
    pub(super) fn create_mint(&mut self, mint: Pubkey, config: &MintConfig) -> Result<(), Error> {
        let owner = self.svm.airdrop_pubkey();
        let (size, steps) = config.build(mint, owner)?;
        let lamports = self.svm.minimum_balance_for_rent_exemption(size);
        let mut all = vec![create_account(&owner, &mint, lamports, size as u64, &config.program.id())];
        all.extend(steps);
        self.edit(Edit::Run(all))
    }

    /// The program that keeps a mint.
    pub(super) fn program_of(&self, mint: &Pubkey) -> Result<Pubkey, Error> {
        let account = tokens::read(&self.svm, mint).filter(|account| tokens::is_token_program(&account.owner));
        account.map(|account| account.owner).ok_or(Error::NoMint(*mint))
    }

    /// Creates an associated token account if there is none, and returns it.
    pub(super) fn create_token_account(&mut self, owner: Pubkey, mint: Pubkey) -> Result<Pubkey, Error> {
        let program = self.program_of(&mint)?;
        let payer = self.svm.airdrop_pubkey();
        self.edit(Edit::Run(vec![create_associated_token_account_idempotent(&payer, &owner, &mint, &program)]))?;
        Ok(get_associated_token_address_with_program_id(&owner, &mint, &program))
    }

    /// Mints to an owner's associated token account, creating that if need be, and returns it.
    pub(super) fn mint_to(&mut self, owner: Pubkey, mint: Pubkey, amount: u64) -> Result<Pubkey, Error> {
        let account = self.create_token_account(owner, mint)?;
        let by = self.svm.airdrop_pubkey();
        self.run_token(&mint, |id| instruction::mint_to(id, &mint, &account, &by, &[], amount))?;
        Ok(account)
    }

    /// Runs an instruction that the two token programs have in common.
    pub(super) fn run_token(
        &mut self,
        mint: &Pubkey,
        make: impl FnOnce(&Pubkey) -> Result<Instruction, ProgramError>,
    ) -> Result<(), Error> {
        let program_id = self.program_of(mint)?;
        let step = make(&tokens::TOKEN_2022)?;
        self.edit(Edit::Run(vec![Instruction { program_id, ..step }]))
    }
}

fn apply(state: &mut LiteSVM, edit: &Edit) -> Result<(), Error> {
    match edit {
        Edit::Lamports(key, lamports) => {
            let mut account = state.get_account(key).unwrap_or_default();
            account.lamports = account.lamports.saturating_add(*lamports);
            account.rent_epoch = u64::MAX;
            put(state, *key, account)
        }
        Edit::Account(key, account) => put(state, *key, account.clone()),
        Edit::Run(instructions) => {
            // Signatures are not checked here, so that the owner can act for everybody.
            let message = VersionedMessage::Legacy(Message::new(instructions, Some(&state.airdrop_pubkey())));
            let signatures = vec![Signature::default(); usize::from(message.header().num_required_signatures)];
            let run = state.send_transaction(VersionedTransaction { signatures, message });
            run.map(drop).map_err(|failed| Error::Failed { error: failed.err, logs: failed.meta.logs })
        }
    }
}

fn put(state: &mut LiteSVM, key: Pubkey, account: Account) -> Result<(), Error> {
    state.set_account(key, account).map_err(|error| Error::Account(error.to_string()))
}
