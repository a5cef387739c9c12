//! Runs a chain until it is interrupted.

mod evm;
mod solana;

use std::{process::ExitCode, time::Duration};

use h402_devnet::BlockTime;
use tokio::signal::unix::{SignalKind, signal};

const USAGE: &str = "usage: h402-devnet evm [--port N] [--chain-id N] [--block-time MS|auto]
       h402-devnet solana [--port N] [--slot-time MS|auto]";

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// The chain that was asked for, with its settings.
enum Chosen {
    Evm(h402_devnet::evm::Builder),
    Solana(h402_devnet::solana::SolanaConfig),
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let chosen = match parse(&arguments) {
        Ok(chosen) => chosen,
        Err(message) => {
            eprintln!("{message}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(chosen) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn parse(arguments: &[String]) -> Result<Chosen, String> {
    let [kind, options @ ..] = arguments else { return Err("which chain?".to_owned()) };
    let mut pairs = Vec::new();
    for pair in options.chunks(2) {
        let [option, value] = pair else { return Err(format!("{} needs a value", pair[0])) };
        pairs.push((option.as_str(), value.as_str()));
    }
    match kind.as_str() {
        "evm" => evm::parse(&pairs).map(Chosen::Evm),
        "solana" => solana::parse(&pairs).map(Chosen::Solana),
        _ => Err(format!("unknown chain: {kind}")),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn run(chosen: Chosen) -> Outcome {
    match chosen {
        Chosen::Evm(builder) => evm::run(builder).await,
        Chosen::Solana(config) => solana::run(config).await,
    }
}

/// The time between blocks, if the text says one.
fn block_time(text: &str) -> Option<BlockTime> {
    match text {
        "auto" => Some(BlockTime::Auto),
        millis => millis.parse().ok().filter(|millis| *millis > 0).map(|millis| BlockTime::Every(Duration::from_millis(millis))),
    }
}

async fn interrupted() -> Outcome {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}
