//! The EVM chain's options, and what it says of itself.

use h402_devnet::evm::{Builder, Chain, accounts};

use super::{Outcome, block_time, interrupted};

pub(crate) fn parse(options: &[(&str, &str)]) -> Result<Builder, String> {
    let mut builder = Chain::builder();
    for (option, value) in options {
        let wrong = || format!("{option} cannot be {value}");
        builder = match *option {
            "--port" => builder.port(value.parse().map_err(|_| wrong())?),
            "--chain-id" => builder.chain_id(value.parse().map_err(|_| wrong())?),
            "--block-time" => builder.block_time(block_time(value).ok_or_else(wrong)?),
            _ => return Err(format!("unknown option: {option}")),
        };
    }
    Ok(builder)
}

pub(crate) async fn run(builder: Builder) -> Outcome {
    let chain = builder.start().await?;
    println!("url        {}", chain.url());
    println!("chain id   {}", chain.chain_id());
    println!("token      {} (name {:?}, version {:?})", chain.usdc(), chain.usdc_name(), chain.usdc_version());
    println!("multicall3 {}", chain.multicall3());
    for (index, account) in accounts().iter().enumerate() {
        println!("account {index}  {} key 0x{}", account.address, hex::encode(account.secret_key));
    }
    interrupted().await?;
    chain.stop().await;
    Ok(())
}
