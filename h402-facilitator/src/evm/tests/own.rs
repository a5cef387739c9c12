//! What accounts have sent, read from blocks that are too large to be read at once.

use super::*;
use h402_devnet::fault::{Fault, Times};

/// The longest answer that is read.
const MOST: usize = 100 << 10;

/// A client of the chain that reads no long answers.
fn narrow(bench: &Bench) -> EvmChain {
    let config = RpcConfig { timeout: Duration::from_secs(30), max_body: MOST, ..RpcConfig::new(vec![bench.chain.url().parse().unwrap()]) };
    let (chain_id, multicall3) = (bench.chain.chain_id(), Some(bench.chain.multicall3()));
    EvmChain::new(EvmConfig { chain_id, multicall3, simulate_from: account(0).address, rpc: Rpc::new(config) })
}

/// Sends a transaction with so many bytes of call data.
async fn send(bench: &Bench, from: usize, nonce: u64, bytes: usize) -> B256 {
    let gas_limit = 21_000 + 48 * u64::try_from(bytes).unwrap();
    let signed = key(from).sign_eip1559(TxEip1559 { gas_limit, input: vec![1; bytes].into(), ..bench.coins(nonce, 0) }).unwrap();
    assert_eq!(bench.evm.send(&signed.raw).await, Sent::Accepted);
    signed.hash
}

fn hashes(own: &OwnTransactions) -> Vec<B256> {
    own.transactions.iter().map(|own| own.hash).collect()
}

/// T159: blocks that nothing of ours is in are not read, however large they are; the others are, as many at once as the node gives.
#[tokio::test]
async fn t159_large_blocks_hide_nothing_of_ours() {
    let bench = Bench::start().await;
    let ours = [account(0).address, account(3).address];
    for nonce in 0..20 {
        // Two of these are longer than an answer may be.
        send(&bench, 1, nonce, 40 << 10).await;
    }
    let before = bench.chain.block_number();
    let evm = narrow(&bench);
    let read = bench.chain.faults().calls("eth_getBlockByNumber");
    assert_eq!(evm.sent_by(&ours, 0, before).await, Ok(OwnTransactions { transactions: vec![], upto: before }));
    assert_eq!(bench.chain.faults().calls("eth_getBlockByNumber"), read, "their nonces say it all");

    let mut sent = Vec::new();
    for nonce in 0..20 {
        sent.push(send(&bench, 0, nonce, 10 << 10).await);
    }
    sent.push(send(&bench, 3, 0, 0).await);
    let last = bench.chain.block_number();
    // Fewer at once after the first that was too long.
    let found = evm.sent_by(&ours, before, last).await.unwrap();
    assert_eq!((hashes(&found), found.upto), (sent.clone(), last));
    assert_eq!((found.transactions[20].from, found.transactions[20].to), (account(3).address, Some(account(PAYEE).address)));
    // What is not asked for is not told.
    let found = evm.sent_by(&ours[1..], before, last).await.unwrap();
    assert_eq!(hashes(&found), sent[20..]);
    // A node that has forgotten the nonces of old blocks still has the blocks.
    let forgotten = h402_devnet::RpcError::server("missing trie node");
    bench.chain.faults().add("eth_getTransactionCount", Fault::Error(forgotten), Times::Always);
    assert_eq!(hashes(&narrow(&bench).sent_by(&ours, before, last).await.unwrap()), sent);
}

/// T159: a block that is too long by itself is read in pieces. Where even a piece is too long, everything before it is told, and
/// that it ends there.
#[tokio::test]
async fn t159_a_block_that_cannot_be_read_does_not_undo_those_before_it() {
    let bench = Bench::on(Chain::builder().block_time(BlockTime::Manual).start().await.unwrap());
    let ours = [account(0).address];
    let mut sent = Vec::new();
    for nonce in 0..12 {
        sent.push(send(&bench, 0, nonce, 10 << 10).await);
    }
    bench.chain.mine().await;
    let whole = bench.chain.block_number();
    let evm = narrow(&bench);
    let found = evm.sent_by(&ours, 0, whole).await.unwrap();
    let mut found_hashes = hashes(&found);
    found_hashes.sort_unstable();
    sent.sort_unstable();
    assert_eq!((found_hashes, found.upto), (sent, whole));

    let readable = send(&bench, 0, 12, 0).await;
    bench.chain.mine().await;
    send(&bench, 0, 13, 60 << 10).await;
    bench.chain.mine().await;
    let found = evm.sent_by(&ours, whole, whole + 2).await.unwrap();
    assert_eq!((hashes(&found), found.upto), (vec![readable], whole + 1));
    assert_eq!(evm.sent_by(&ours, whole + 1, whole + 2).await, Err(Undecided::Chain));
    let found = bench.evm.sent_by(&ours, whole + 1, whole + 2).await.unwrap();
    assert_eq!((found.transactions.len(), found.upto), (1, whole + 2), "the twin: a client that reads longer answers");
}
