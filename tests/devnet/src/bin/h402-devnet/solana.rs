//! The Solana chain's options, and what it says of itself.

use h402_devnet::{
    BlockTime,
    solana::{SolanaChain, SolanaConfig, accounts},
};
use std::time::Duration;

use solana_signer::Signer;

use super::{Outcome, block_time, interrupted};

pub(crate) fn parse(options: &[(&str, &str)]) -> Result<SolanaConfig, String> {
    // As on the real chains, unless something else is asked for.
    let mut config = SolanaConfig::default().slot_time(BlockTime::Every(Duration::from_millis(400)));
    for (option, value) in options {
        let wrong = || format!("{option} cannot be {value}");
        config = match *option {
            "--port" => config.port(value.parse().map_err(|_| wrong())?),
            "--slot-time" => config.slot_time(block_time(value).ok_or_else(wrong)?),
            _ => return Err(format!("unknown option: {option}")),
        };
    }
    Ok(config)
}

pub(crate) async fn run(config: SolanaConfig) -> Outcome {
    let chain = SolanaChain::start(config).await?;
    println!("url        {}", chain.url());
    println!("genesis    {}", chain.genesis_hash());
    println!("token      {}", chain.usdc());
    for (index, account) in accounts().iter().enumerate() {
        println!("account {index}  {} key {}", account.pubkey(), account.to_base58_string());
    }
    interrupted().await?;
    chain.stop().await;
    Ok(())
}
