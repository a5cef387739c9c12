//! An agent pays for HTTP calls: a chain, a facilitator, a gated API and the agent, over real sockets in one process.
//!
//! `cargo run -p h402-examples --bin quickstart` tells the story and ends;
//! with `-- --serve` everything stays up for curl.

mod house;
mod story;

use std::{
    io::{self, Write},
    process::ExitCode,
};

/// Prints one line; a closed pipe ends the story without noise.
fn say(line: impl std::fmt::Display) -> io::Result<()> {
    writeln!(io::stdout(), "{line}")
}

#[tokio::main]
async fn main() -> ExitCode {
    let serve = match std::env::args().nth(1).as_deref() {
        None => false,
        Some("--serve") => true,
        Some(_) => {
            eprintln!("usage: quickstart [--serve]");
            return ExitCode::from(2);
        }
    };
    match run(serve).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("quickstart: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(serve: bool) -> Result<(), Box<dyn std::error::Error>> {
    let house = house::House::start().await?;
    story::tell(&house).await?;
    if serve {
        story::invite(&house)?;
        tokio::signal::ctrl_c().await?;
        say("\nStopping.")?;
    }
    house.stop().await?;
    Ok(())
}
