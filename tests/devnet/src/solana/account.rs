//! The accounts that hold funds at genesis.

use solana_keypair::Keypair;

/// How many there are.
const COUNT: usize = 10;

/// The ten development accounts, whose keys everyone knows: each has 10,000 SOL, and all but the last 1,000,000 of the test token.
pub fn accounts() -> Vec<Keypair> {
    (0..COUNT).map(account).collect()
}

/// One of the ten development accounts; the index wraps around.
pub fn account(index: usize) -> Keypair {
    let mut seed = *b"the h402 development account  #0";
    seed[31] += (index % COUNT) as u8;
    Keypair::new_from_array(seed)
}
