//! The accounts in which programs and readers find the clock and the recent blockhashes.

use solana_account::Account;
use solana_clock::Clock;
use solana_pubkey::Pubkey;

use super::ledger::{Block, Ledger};

pub(super) const CLOCK: Pubkey = Pubkey::from_str_const("SysvarC1ock11111111111111111111111111111111");
pub(super) const RECENT_BLOCKHASHES: Pubkey = Pubkey::from_str_const("SysvarRecentB1ockHashes11111111111111111111");
const SYSVAR: Pubkey = Pubkey::from_str_const("Sysvar1111111111111111111111111111111111111");

/// How many hashes the account has; one more than that is live.
const RECENT: usize = 150;
pub(super) const SLOTS_IN_EPOCH: u64 = 432_000;
/// What a signature costs in lamports; the account gives it with each hash.
const LAMPORTS_PER_SIGNATURE: u64 = 5_000;

/// The clock at a block.
pub(super) fn clock(block: &Block) -> Clock {
    let epoch = block.slot / SLOTS_IN_EPOCH;
    Clock { slot: block.slot, epoch_start_timestamp: block.time, epoch, leader_schedule_epoch: epoch + 1, unix_timestamp: block.time }
}

impl Ledger {
    /// The data of a sysvar as it is at a block of this height, if it changes with each block.
    pub(super) fn sysvar(&self, key: &Pubkey, height: u64) -> Option<Account> {
        let data = match *key {
            CLOCK => {
                let clock = clock(self.block(height)?);
                let mut data = Vec::with_capacity(40);
                data.extend(clock.slot.to_le_bytes());
                data.extend(clock.epoch_start_timestamp.to_le_bytes());
                data.extend(clock.epoch.to_le_bytes());
                data.extend(clock.leader_schedule_epoch.to_le_bytes());
                data.extend(clock.unix_timestamp.to_le_bytes());
                data
            }
            RECENT_BLOCKHASHES => {
                let newest = self.blocks_up_to(height);
                let mut data = Vec::with_capacity(8 + RECENT * 40);
                data.extend((newest.len().min(RECENT) as u64).to_le_bytes());
                for block in newest.iter().rev().take(RECENT) {
                    data.extend(block.hash.to_bytes());
                    data.extend(LAMPORTS_PER_SIGNATURE.to_le_bytes());
                }
                data
            }
            _ => return None,
        };
        let lamports = self.svm.minimum_balance_for_rent_exemption(data.len());
        Some(Account { lamports, data, owner: SYSVAR, executable: false, rent_epoch: u64::MAX })
    }
}
