//! What the chain's owner changes outside of any block.

use alloy_primitives::{Address, Bytes, TxKind, U256, address};
use revm::{
    bytecode::Bytecode,
    context::{
        TxEnv,
        result::{ExecutionResult, Output, ResultAndState},
    },
};

use super::{
    chain::Error,
    execute::{self, Checks, Surroundings},
    ledger::Ledger,
    state::{Account, Undo},
};
use crate::RpcError;

/// Who makes the calls of the chain's owner, such as minting.
const OWNER: Address = address!("00000000000000000000000000000000000402ff");
/// What such a call may use, whatever the blocks' own limit is.
const OWNER_GAS: u64 = 30_000_000;

/// A change by the chain's owner, outside of any block.
#[derive(Clone, Debug)]
pub(super) enum Edit {
    Balance(Address, U256),
    Code(Address, Bytes),
    Call(Address, Bytes),
    Create(Bytes),
    /// Creates a contract and copies it, with its storage, to a given address.
    Place(Bytes, Address),
}

impl Ledger {
    /// Makes a change outside of any block.
    pub(super) fn edit(&mut self, edit: Edit) -> Result<Option<Address>, Error> {
        let mut undo = Undo::default();
        let created = self.change(edit.clone(), &mut undo);
        let last = self.blocks.len() - 1;
        if created.is_ok() {
            self.blocks[last].edits.push((edit, undo));
        } else {
            self.state.revert(undo);
        }
        created
    }

    fn change(&mut self, edit: Edit, undo: &mut Undo) -> Result<Option<Address>, Error> {
        match edit {
            Edit::Balance(who, balance) => {
                let account = Account { balance, ..self.state.account(&who) };
                self.state.set_account(who, account, undo);
                Ok(None)
            }
            Edit::Code(who, code) => {
                let code_hash =
                    self.state.keep_code(Bytecode::new_raw_checked(code.clone()).unwrap_or_else(|_| Bytecode::new_legacy(code)));
                let account = Account { code_hash, ..self.state.account(&who) };
                self.state.set_account(who, account, undo);
                Ok(None)
            }
            Edit::Call(to, data) => self.run_owned(TxKind::Call(to), data, undo),
            Edit::Create(code) => self.run_owned(TxKind::Create, code, undo),
            Edit::Place(code, to) => {
                let created = self.run_owned(TxKind::Create, code, undo)?;
                if let Some(from) = created {
                    self.state.copy_contract(from, to, undo);
                }
                Ok(Some(to))
            }
        }
    }

    fn run_owned(&mut self, kind: TxKind, data: Bytes, undo: &mut Undo) -> Result<Option<Address>, Error> {
        let nonce = self.state.account(&OWNER).nonce;
        let run = self.run_free(OWNER, nonce, kind, data)?;
        match run.result {
            ExecutionResult::Success { output, .. } => {
                self.state.apply(run.state, undo);
                match output {
                    Output::Create(_, created) => Ok(created),
                    Output::Call(_) => Ok(None),
                }
            }
            failed => Err(Error::Call(execute::output(failed).err().unwrap_or_else(|| RpcError::server("failed")))),
        }
    }

    /// Makes a call for nothing on the newest state, and leaves it as it is.
    pub(super) fn run_free(&self, from: Address, nonce: u64, kind: TxKind, data: Bytes) -> Result<ResultAndState, Error> {
        let at = self.at(self.head());
        let at = Surroundings { gas_limit: at.gas_limit.max(OWNER_GAS), ..at };
        let tx = TxEnv { nonce, ..execute::call(self.chain_id, from, kind, data, OWNER_GAS) };
        execute::run(self.state.now(), &at, tx, Checks::Free).map_err(|error| Error::Call(execute::invalid(&error)))
    }
}
