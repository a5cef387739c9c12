//! `serve | check-config | init`.

use super::{
    SolanaRpc,
    config::{Config, ConfigError},
};
use crate::{
    Engine, StartError, SystemClock,
    sqlite::{OpenOptions, SqliteStore},
};
use clap::{Parser, Subcommand};
use std::{
    ffi::OsString,
    io::{IsTerminal as _, Write},
    path::{Path, PathBuf},
};
use tokio::signal::unix::{SignalKind, signal};

/// Verifies and settles signed blockchain payments.
#[derive(Debug, Parser)]
#[command(name = "h402-facilitator", version)]
struct Arguments {
    /// The configuration file.
    #[arg(long, global = true, default_value = "h402.toml")]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves until SIGTERM or SIGINT.
    Serve {
        /// Allow a listener that is reachable from outside this machine.
        #[arg(long)]
        public: bool,
    },
    /// Checks the configuration, without asking any chain.
    CheckConfig,
    /// Writes a configuration to start from.
    Init,
}

/// Why the program ends.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A chain contradicts the configuration.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The ledger.
    #[error("{0}")]
    Store(String),
    /// Anything of the operating system.
    #[error("{what}: {error}")]
    Io {
        /// What was tried.
        what: String,
        /// What came of it.
        error: std::io::Error,
    },
}

/// Runs the program with its arguments.
///
/// # Errors
/// [`CliError`], to be shown to the operator; it holds no secret.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Result<(), CliError> {
    let Arguments { config, command } = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        // Help and version are not errors; for the rest clap's own text and exit code are what people expect.
        Err(error) => error.exit(),
    };
    match command {
        Command::Init => init(&config),
        Command::CheckConfig => {
            let config = read(&config)?;
            config.engine(from_env)?;
            config.solana_rpc.as_ref().map(|section| section.proxy(from_env)).transpose()?;
            say(&format!("configuration is good: {} network(s), listening on {}", config.network.len(), config.listen))
        }
        Command::Serve { public } => {
            let config = read(&config)?;
            config.check_bind(public)?;
            log_to_stderr();
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(io("start the runtime"))?;
            runtime.block_on(serve(config))
        }
    }
}

async fn serve(config: Config) -> Result<(), CliError> {
    let store = SqliteStore::open(&config.database, OpenOptions::default()).await.map_err(|error| CliError::Store(error.to_string()))?;
    let solana_rpc = config.solana_rpc.as_ref().map(|section| section.proxy(from_env)).transpose()?.map(SolanaRpc::new);
    let engine = Engine::start(config.engine(from_env)?, store.clone(), SystemClock).await?;
    let listener = tokio::net::TcpListener::bind(config.listen).await.map_err(io(&format!("listen on {}", config.listen)))?;
    let address = listener.local_addr().map_err(io("listen"))?;
    let mut terminate = signal(SignalKind::terminate()).map_err(io("listen for SIGTERM"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(io("listen for SIGINT"))?;
    say(&format!("h402-facilitator listens on http://{address}"))?;
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
    };
    super::serve_with(listener, engine, solana_rpc, stop).await.map_err(io("serve"))?;
    store.close().await.map_err(|error| CliError::Store(error.to_string()))
}

fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("H402_LOG").unwrap_or_else(|_| "info".into());
    // Colours are for people: in a file or a log collector their codes only stand in the way. See <https://no-color.org>.
    let colours = std::io::stderr().is_terminal() && from_env("NO_COLOR").is_none();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr).init();
}

fn read(path: &Path) -> Result<Config, CliError> {
    let text = std::fs::read_to_string(path).map_err(|error| ConfigError::File { path: path.to_owned(), error })?;
    let mut config: Config = text.parse()?;
    config.override_from(from_env)?;
    Ok(config)
}

fn init(path: &Path) -> Result<(), CliError> {
    let what = format!("write {}", path.display());
    // An existing file may hold an operator's only copy of a setting.
    let mut file = std::fs::File::create_new(path).map_err(io(&what))?;
    file.write_all(include_bytes!("starter.toml")).map_err(io(&what))?;
    say(&format!("wrote {}; set the RPC URL and the key, then run `h402-facilitator check-config`", path.display()))
}

fn from_env(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

fn io(what: &str) -> impl FnOnce(std::io::Error) -> CliError {
    let what = what.to_owned();
    move |error| CliError::Io { what, error }
}

fn say(text: &str) -> Result<(), CliError> {
    writeln!(std::io::stdout(), "{text}").map_err(io("write to standard output"))
}
