//! Payments bent by chance: as instructions, as a compiled message, and as bytes.

use h402_core::SolanaKey;
use h402_devnet::solana::{Hash, Pubkey, SolanaChain};
use h402_tests::{
    cluster::{self, PAYEE, PAYER, SPONSOR},
    dice::Dice,
};
use solana_instruction::{AccountMeta, Instruction};
use solana_message::{
    Message, VersionedMessage,
    v0::{self, MessageAddressTableLookup},
};
use solana_transaction::versioned::VersionedTransaction;

/// Who has nothing to do with the payment, and a key that the payer may have too.
pub(super) const STRANGER: usize = 3;

/// What is paid with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Coin {
    /// None for SOL.
    pub(super) mint: Option<Pubkey>,
    pub(super) program: Pubkey,
}

/// Everything that a mutation may point to.
pub(super) struct World {
    pub(super) chain: SolanaChain,
    pub(super) coins: [Coin; 3],
    /// By account.
    owners: [Pubkey; 4],
    /// By coin and account; the owner itself for SOL.
    places: Vec<[Pubkey; 4]>,
    /// All of them and more.
    known: Vec<Pubkey>,
    keys: [SolanaKey; 2],
}

fn program(text: &str) -> Pubkey {
    text.parse().unwrap()
}

fn budget(tag: u8, value: &[u8]) -> Instruction {
    Instruction { program_id: program("ComputeBudget111111111111111111111111111111"), accounts: vec![], data: [&[tag], value].concat() }
}

fn memo(text: &[u8], signers: &[Pubkey]) -> Instruction {
    let accounts = signers.iter().map(|key| AccountMeta::new_readonly(*key, true)).collect();
    Instruction { program_id: program("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr"), accounts, data: text.to_vec() }
}

/// An instruction of the System program.
fn system(tag: u32, accounts: Vec<AccountMeta>, rest: &[u8]) -> Instruction {
    Instruction { program_id: Pubkey::default(), accounts, data: [&tag.to_le_bytes(), rest].concat() }
}

impl World {
    pub(super) fn new(chain: SolanaChain, coins: [Coin; 3]) -> Self {
        let owners = [SPONSOR, PAYEE, PAYER, STRANGER].map(|index| cluster::pubkey(cluster::address(index)));
        let place = |coin: &Coin, owner| coin.mint.map_or(owner, |mint| chain.token_account(owner, mint).unwrap());
        let places: Vec<[Pubkey; 4]> = coins.iter().map(|coin| owners.map(|owner| place(coin, owner))).collect();
        let programs = ["ComputeBudget111111111111111111111111111111", "ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL"];
        let mut known: Vec<Pubkey> = owners.into_iter().chain(places.iter().flatten().copied()).collect();
        known.extend(coins.iter().filter_map(|coin| coin.mint).chain(coins.iter().map(|coin| coin.program)));
        known.extend(programs.map(program));
        known.push(made(77));
        Self { chain, coins, owners, places, known, keys: [PAYER, STRANGER].map(cluster::key) }
    }

    fn owner(&self, index: usize) -> Pubkey {
        self.owners[index]
    }

    /// Where somebody keeps a coin.
    pub(super) fn place(&self, coin: usize, owner: usize) -> Pubkey {
        self.places[coin][owner]
    }

    fn transfer(&self, coin: usize, from: usize, to: usize, amount: u64) -> Instruction {
        let (source, destination, owner) = (self.place(coin, from), self.place(coin, to), self.owner(from));
        let Some(mint) = self.coins[coin].mint else {
            return system(2, vec![AccountMeta::new(source, true), AccountMeta::new(destination, false)], &amount.to_le_bytes());
        };
        let accounts = vec![
            AccountMeta::new(source, false),
            AccountMeta::new_readonly(mint, false),
            AccountMeta::new(destination, false),
            AccountMeta::new_readonly(owner, true),
        ];
        Instruction { program_id: self.coins[coin].program, accounts, data: [&[12][..], &amount.to_le_bytes(), &[6]].concat() }
    }

    fn create(&self, coin: usize, funder: usize, owner: usize, tag: u8) -> Instruction {
        let accounts = vec![
            AccountMeta::new(self.owner(funder), true),
            AccountMeta::new(self.place(coin, owner), false),
            AccountMeta::new_readonly(self.owner(owner), false),
            AccountMeta::new_readonly(self.coins[coin].mint.unwrap_or_default(), false),
            AccountMeta::new_readonly(Pubkey::default(), false),
            AccountMeta::new_readonly(self.coins[coin].program, false),
        ];
        Instruction { program_id: program("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL"), accounts, data: vec![tag] }
    }

    /// The instructions of an honest payment, as wallets order them.
    pub(super) fn honest(&self, dice: &mut Dice, coin: usize, sponsored: bool, amount: u64) -> Vec<Instruction> {
        let unique = dice.roll(1 << 40).to_string();
        let mut instructions = vec![budget(2, &60_000_u32.to_le_bytes()), budget(3, &1_u64.to_le_bytes())];
        if self.coins[coin].mint.is_some() && !sponsored {
            instructions.push(self.create(coin, PAYER, PAYEE, 1));
        }
        instructions.push(self.transfer(coin, PAYER, PAYEE, amount));
        instructions.push(memo(unique.as_bytes(), &[]));
        instructions
    }

    /// What a thief would like to have in a transaction that a sponsor signs or a payee trusts.
    fn hostile(&self, dice: &mut Dice, amount: u64) -> Instruction {
        let any = |dice: &mut Dice, sides: u64| usize::try_from(dice.roll(sides)).unwrap();
        let (coin, from, to) = (any(dice, 3), any(dice, 4), any(dice, 4));
        let small = dice.roll(2 * amount + 1);
        let token = |tag: u8, accounts: Vec<AccountMeta>, rest: &[u8]| Instruction {
            program_id: self.coins[coin].program,
            accounts,
            data: [&[tag], rest].concat(),
        };
        let (source, destination) = (AccountMeta::new(self.place(coin, from), false), AccountMeta::new(self.place(coin, to), false));
        let authority = AccountMeta::new_readonly(self.owner(from), true);
        match dice.roll(24) {
            0..=3 => self.transfer(coin, from, to, small),
            4 => self.transfer(coin, SPONSOR, STRANGER, 1_000_000),
            5 => self.transfer(coin, PAYEE, PAYER, amount),
            6 => self.create(coin, SPONSOR, to, 1),
            7 => self.create(coin, from, to, u8::try_from(dice.roll(3)).unwrap()),
            8 => token(3, vec![source, destination, authority], &small.to_le_bytes()),
            9 => token(4, vec![source, AccountMeta::new_readonly(self.owner(STRANGER), false), authority], &u64::MAX.to_le_bytes()),
            10 => token(9, vec![source, destination, authority], &[]),
            11 => token(6, vec![source, authority], &[2, 1, 9, 9, 9, 9, 9, 9, 9, 9]),
            12 => token(8, vec![source, AccountMeta::new(self.coins[1].mint.unwrap_or_default(), false), authority], &small.to_le_bytes()),
            13 => {
                let made = made(u8::try_from(dice.roll(200)).unwrap());
                let rest = [&1_000_000_u64.to_le_bytes()[..], &0_u64.to_le_bytes(), &[0; 32]].concat();
                system(0, vec![AccountMeta::new(self.owner(from), true), AccountMeta::new(made, true)], &rest)
            }
            14 => system(
                u32::try_from(dice.roll(13)).unwrap(),
                vec![AccountMeta::new(self.owner(from), true), destination],
                &small.to_le_bytes(),
            ),
            15 => system(4, vec![destination, AccountMeta::new_readonly(self.owner(from), false), authority], &[]),
            16 => budget(2, &u32::try_from(dice.roll(2_000_000)).unwrap().to_le_bytes()),
            17 => budget(3, &dice.roll(20_000_000).to_le_bytes()),
            18 => budget(u8::try_from(dice.roll(6)).unwrap(), &dice.roll(u64::MAX).to_le_bytes()[..4]),
            19 => memo(b"thanks", &[self.owner(from)]),
            20..=22 => memo(dice.roll(u64::MAX).to_string().as_bytes(), &[]),
            _ => Instruction {
                program_id: program("L2TExMFKdjpN9kozasaurPirfHy9P8sbXoAN1qA3S95"),
                accounts: vec![destination],
                data: vec![u8::try_from(dice.roll(20)).unwrap(), u8::try_from(dice.roll(8)).unwrap(), 0, 0],
            },
        }
    }

    fn any_known(&self, dice: &mut Dice) -> Pubkey {
        *pick(dice, &self.known)
    }

    /// Bends a list of instructions in one place.
    pub(super) fn bend_instructions(&self, dice: &mut Dice, instructions: &mut Vec<Instruction>, amount: u64) {
        if instructions.is_empty() {
            return;
        }
        let (one, two) = (at(dice, instructions.len()), at(dice, instructions.len()));
        match dice.roll(14) {
            0..=2 => instructions.swap(one, two),
            3 => instructions.insert(two, instructions[one].clone()),
            4 => drop(instructions.remove(one)),
            5..=8 => instructions.insert(one, self.hostile(dice, amount)),
            9 | 10 => {
                let key = self.any_known(dice);
                if let Some(account) = pick_mut(dice, &mut instructions[one].accounts) {
                    account.pubkey = key;
                }
            }
            11 => {
                let accounts = &mut instructions[one].accounts;
                if accounts.len() > 1 {
                    let (from, to) = (at(dice, accounts.len()), at(dice, accounts.len()));
                    accounts.swap(from, to);
                }
            }
            12 => {
                if let Some(account) = pick_mut(dice, &mut instructions[one].accounts) {
                    match dice.roll(2) {
                        0 => account.is_signer ^= true,
                        _ => account.is_writable ^= true,
                    }
                }
            }
            _ => bend_bytes(dice, &mut instructions[one].data),
        }
    }

    /// Compiles, as legacy or version 0; `None` if that cannot be done.
    pub(super) fn compile(&self, dice: &mut Dice, instructions: &[Instruction], fee_payer: usize) -> Option<VersionedMessage> {
        let (payer, blockhash) = (self.owner(fee_payer), self.chain.latest_blockhash().0);
        if dice.roll(3) == 0 {
            return Some(VersionedMessage::Legacy(Message::new_with_blockhash(instructions, Some(&payer), &blockhash)));
        }
        v0::Message::try_compile(&payer, instructions, &[], blockhash).ok().map(VersionedMessage::V0)
    }

    /// Bends a compiled message in one place: header, keys, indices, data, blockhash.
    pub(super) fn bend_message(&self, dice: &mut Dice, message: &mut VersionedMessage) {
        let key = self.any_known(dice);
        if let VersionedMessage::V0(message) = message
            && dice.roll(30) == 0
        {
            let table = MessageAddressTableLookup { account_key: key, writable_indexes: vec![1], readonly_indexes: vec![] };
            return message.address_table_lookups.push(table);
        }
        let (header, keys, blockhash, instructions) = match message {
            VersionedMessage::Legacy(message) => {
                (&mut message.header, &mut message.account_keys, &mut message.recent_blockhash, &mut message.instructions)
            }
            VersionedMessage::V0(message) => {
                (&mut message.header, &mut message.account_keys, &mut message.recent_blockhash, &mut message.instructions)
            }
            VersionedMessage::V1(_) => return,
        };
        let byte = u8::try_from(dice.roll(256)).unwrap();
        let near = |dice: &mut Dice, value: &mut u8| *value = if dice.roll(2) == 0 { value.wrapping_add(1) } else { value.wrapping_sub(1) };
        let index = keys.len() as u64;
        match dice.roll(12) {
            0 => near(dice, &mut header.num_required_signatures),
            1 => near(dice, &mut header.num_readonly_signed_accounts),
            2 => near(dice, &mut header.num_readonly_unsigned_accounts),
            3 | 4 if keys.len() > 1 => {
                let (one, two) = (at(dice, keys.len()), at(dice, keys.len()));
                keys.swap(one, two);
            }
            5 => drop(pick_mut(dice, keys).map(|place| *place = key)),
            6 => keys.push(key),
            7 => *blockhash = Hash::new_from_array([byte; 32]),
            8 => drop(pick_mut(dice, instructions).map(|instruction| {
                instruction.program_id_index = u8::try_from(dice.roll(index + 2)).unwrap_or(byte);
            })),
            9 | 10 => {
                if let Some(instruction) = pick_mut(dice, instructions)
                    && let Some(account) = pick_mut(dice, &mut instruction.accounts)
                {
                    *account = u8::try_from(dice.roll(index + 2)).unwrap_or(byte);
                }
            }
            _ => drop(pick_mut(dice, instructions).map(|instruction| bend_bytes(dice, &mut instruction.data))),
        }
    }

    /// Signs the bytes of a message with every key that a thief can have: the payer's own and a stranger's. The other slots
    /// hold anything.
    pub(super) fn sign(&self, dice: &mut Dice, message: &VersionedMessage) -> Vec<u8> {
        let bytes = message.serialize();
        let required = usize::from(message.header().num_required_signatures).min(12);
        let mut signatures = Vec::new();
        for slot in 0..required {
            let key = message.static_account_keys().get(slot);
            let own = self.keys.iter().find(|own| key.is_some_and(|key| key.to_bytes() == *own.address().as_bytes()));
            signatures.push(own.map_or_else(|| [u8::try_from(dice.roll(256)).unwrap(); 64], |own| own.sign(&bytes)));
        }
        joined(&signatures, &bytes)
    }

    /// The payer's signature anew where the last one is: bytes that were bent need not fail for their signature.
    pub(super) fn sign_again(&self, raw: &mut [u8]) {
        let count = usize::from(raw.first().copied().unwrap_or(0)).min(12);
        let start = 1 + 64 * count;
        if count == 0 || raw.len() <= start {
            return;
        }
        let signature = self.keys[0].sign(&raw[start..]);
        raw[start - 64..start].copy_from_slice(&signature);
    }
}

/// The transaction with the sponsor's signature in it, whatever it says.
pub(super) fn signed_blindly(transaction: &mut VersionedTransaction) {
    let key = cluster::key(SPONSOR);
    let bytes = transaction.message.serialize();
    let slots = transaction.signatures.iter_mut().zip(transaction.message.static_account_keys());
    for (slot, _) in slots.filter(|(_, key_of)| key_of.to_bytes() == *key.address().as_bytes()) {
        *slot = key.sign(&bytes).into();
    }
}

fn joined(signatures: &[[u8; 64]], message: &[u8]) -> Vec<u8> {
    let mut raw = vec![u8::try_from(signatures.len()).unwrap()];
    signatures.iter().for_each(|signature| raw.extend_from_slice(signature));
    raw.extend_from_slice(message);
    raw
}

/// Bends bytes in one place.
pub(super) fn bend_bytes(dice: &mut Dice, bytes: &mut Vec<u8>) {
    let place = at(dice, bytes.len().max(1));
    let byte = u8::try_from(dice.roll(256)).unwrap();
    match dice.roll(6) {
        0..=2 => drop(bytes.get_mut(place).map(|bent| *bent ^= 1 << (byte % 8))),
        3 => drop(bytes.get_mut(place).map(|bent| *bent = byte)),
        4 => bytes.truncate(place),
        _ => bytes.insert(place.min(bytes.len()), byte),
    }
}

pub(super) fn at(dice: &mut Dice, length: usize) -> usize {
    usize::try_from(dice.roll(length as u64)).unwrap()
}

fn pick<'a, T>(dice: &mut Dice, all: &'a [T]) -> &'a T {
    &all[at(dice, all.len())]
}

fn pick_mut<'a, T>(dice: &mut Dice, all: &'a mut [T]) -> Option<&'a mut T> {
    if all.is_empty() { None } else { Some(&mut all[at(dice, all.len())]) }
}

/// The address of some key.
fn made(seed: u8) -> Pubkey {
    cluster::pubkey(SolanaKey::from_seed(&[seed; 32]).address())
}
