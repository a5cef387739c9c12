//! `h402-devnet evm [--port N] [--chain-id N] [--block-time MS|auto]` runs a chain until it is interrupted.

use std::{process::ExitCode, time::Duration};

use h402_devnet::evm::{BlockTime, Builder, Chain, accounts};
use tokio::signal::unix::{SignalKind, signal};

const USAGE: &str = "usage: h402-devnet evm [--port N] [--chain-id N] [--block-time MS|auto]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let builder = match parse(&arguments) {
        Ok(builder) => builder,
        Err(message) => {
            eprintln!("{message}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(builder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn parse(arguments: &[String]) -> Result<Builder, String> {
    let [kind, options @ ..] = arguments else { return Err("which chain?".to_owned()) };
    if kind != "evm" {
        return Err(format!("unknown chain: {kind}"));
    }
    let mut builder = Chain::builder();
    for pair in options.chunks(2) {
        let [option, value] = pair else { return Err(format!("{} needs a value", pair[0])) };
        let wrong = || format!("{option} cannot be {value}");
        builder = match option.as_str() {
            "--port" => builder.port(value.parse().map_err(|_| wrong())?),
            "--chain-id" => builder.chain_id(value.parse().map_err(|_| wrong())?),
            "--block-time" if value == "auto" => builder.block_time(BlockTime::Auto),
            "--block-time" => match value.parse() {
                Ok(0) | Err(_) => return Err(wrong()),
                Ok(millis) => builder.block_time(BlockTime::Every(Duration::from_millis(millis))),
            },
            _ => return Err(format!("unknown option: {option}")),
        };
    }
    Ok(builder)
}

#[tokio::main(flavor = "current_thread")]
async fn run(builder: Builder) -> Result<(), Box<dyn std::error::Error>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let chain = builder.start().await?;
    println!("url        {}", chain.url());
    println!("chain id   {}", chain.chain_id());
    println!("token      {} (name {:?}, version {:?})", chain.usdc(), chain.usdc_name(), chain.usdc_version());
    println!("multicall3 {}", chain.multicall3());
    for (index, account) in accounts().iter().enumerate() {
        println!("account {index}  {} key 0x{}", account.address, hex::encode(account.secret_key));
    }
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    chain.stop().await;
    Ok(())
}
