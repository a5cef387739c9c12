//! Accounts, code and storage as of the newest block, and the way back to older ones.

use std::{collections::HashMap, convert::Infallible};

use alloy_primitives::{Address, B256, KECCAK256_EMPTY, U256};
use revm::{
    Database,
    bytecode::Bytecode,
    state::{AccountInfo, EvmState},
};

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Account {
    pub(super) nonce: u64,
    pub(super) balance: U256,
    pub(super) code_hash: B256,
}

impl Default for Account {
    fn default() -> Self {
        Self { nonce: 0, balance: U256::ZERO, code_hash: KECCAK256_EMPTY }
    }
}

type Slot = (Address, U256);

/// What a piece of history overwrote: the values from before its first write.
#[derive(Debug, Default)]
pub(super) struct Undo {
    accounts: HashMap<Address, Account>,
    slots: HashMap<Slot, U256>,
}

/// The newest state.
#[derive(Debug, Default)]
pub(super) struct State {
    accounts: HashMap<Address, Account>,
    slots: HashMap<Slot, U256>,
    // Code is kept by hash for good, so going back does not need to restore it.
    codes: HashMap<B256, Bytecode>,
    /// The hashes of the blocks, by number.
    pub(super) hashes: Vec<B256>,
}

impl State {
    pub(super) fn account(&self, address: &Address) -> Account {
        self.accounts.get(address).copied().unwrap_or_default()
    }

    pub(super) fn set_account(&mut self, address: Address, account: Account, undo: &mut Undo) {
        let old = self.account(&address);
        if old != account {
            undo.accounts.entry(address).or_insert(old);
            self.accounts.insert(address, account);
        }
    }

    pub(super) fn set_slot(&mut self, address: Address, index: U256, value: U256, undo: &mut Undo) {
        let old = self.slots.get(&(address, index)).copied().unwrap_or_default();
        if old != value {
            undo.slots.entry((address, index)).or_insert(old);
            self.put_slot((address, index), value);
        }
    }

    fn put_slot(&mut self, slot: Slot, value: U256) {
        if value.is_zero() {
            self.slots.remove(&slot);
        } else {
            self.slots.insert(slot, value);
        }
    }

    /// Keeps code and returns its hash.
    pub(super) fn keep_code(&mut self, code: Bytecode) -> B256 {
        let hash = code.hash_slow();
        self.codes.entry(hash).or_insert(code);
        hash
    }

    /// Writes the changes of one transaction.
    pub(super) fn apply(&mut self, changes: EvmState, undo: &mut Undo) {
        for (address, change) in changes {
            if !change.is_touched() {
                continue;
            }
            if change.is_selfdestructed() {
                // Since EIP-6780 only what was created in the same transaction goes, and that has no older slots.
                self.set_account(address, Account::default(), undo);
                continue;
            }
            let AccountInfo { balance, nonce, code_hash, code, .. } = change.info;
            let code_hash = if code_hash.is_zero() { KECCAK256_EMPTY } else { code_hash };
            if code_hash != KECCAK256_EMPTY
                && let Some(code) = code
            {
                self.codes.entry(code_hash).or_insert(code);
            }
            self.set_account(address, Account { nonce, balance, code_hash }, undo);
            for (index, slot) in change.storage {
                self.set_slot(address, index, slot.present_value, undo);
            }
        }
    }

    /// Puts back what was overwritten.
    pub(super) fn revert(&mut self, undo: Undo) {
        self.accounts.extend(undo.accounts);
        for (slot, value) in undo.slots {
            self.put_slot(slot, value);
        }
    }

    /// Copies code and storage of one account to another address.
    pub(super) fn copy_contract(&mut self, from: Address, to: Address, undo: &mut Undo) {
        let code_hash = self.account(&from).code_hash;
        self.set_account(to, Account { nonce: 1, code_hash, ..self.account(&to) }, undo);
        let slots: Vec<_> = self.slots.iter().filter(|((owner, _), _)| *owner == from).map(|(k, v)| (k.1, *v)).collect();
        for (index, value) in slots {
            self.set_slot(to, index, value, undo);
        }
    }

    /// The state as it is.
    pub(super) fn now(&self) -> View<'_> {
        View { state: self, past: None }
    }

    /// The state before the given pieces of history, which come newest first.
    pub(super) fn before<'u>(&self, undone: impl Iterator<Item = &'u Undo>) -> View<'_> {
        let mut past = Undo::default();
        for undo in undone {
            past.accounts.extend(&undo.accounts);
            past.slots.extend(&undo.slots);
        }
        View { state: self, past: Some(past) }
    }
}

/// The state of one moment, to read.
#[derive(Debug)]
pub(super) struct View<'a> {
    state: &'a State,
    past: Option<Undo>,
}

impl View<'_> {
    pub(super) fn account(&self, address: &Address) -> Account {
        let past = self.past.as_ref().and_then(|past| past.accounts.get(address).copied());
        past.unwrap_or_else(|| self.state.account(address))
    }

    pub(super) fn slot(&self, address: Address, index: U256) -> U256 {
        let past = self.past.as_ref().and_then(|past| past.slots.get(&(address, index)));
        past.or_else(|| self.state.slots.get(&(address, index))).copied().unwrap_or_default()
    }

    pub(super) fn code(&self, address: &Address) -> Bytecode {
        self.state.codes.get(&self.account(address).code_hash).cloned().unwrap_or_default()
    }
}

impl Database for View<'_> {
    type Error = Infallible;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, Infallible> {
        let Account { nonce, balance, code_hash } = self.account(&address);
        let info = AccountInfo { balance, nonce, code_hash, code: None, ..AccountInfo::default() };
        Ok((!info.is_empty()).then_some(info))
    }

    fn code_by_hash(&mut self, code_hash: B256) -> Result<Bytecode, Infallible> {
        Ok(self.state.codes.get(&code_hash).cloned().unwrap_or_default())
    }

    fn storage(&mut self, address: Address, index: U256) -> Result<U256, Infallible> {
        Ok(self.slot(address, index))
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, Infallible> {
        let hash = usize::try_from(number).ok().and_then(|number| self.state.hashes.get(number));
        Ok(hash.copied().unwrap_or_default())
    }
}
