//! `serve | check-config | init | receipt`.

mod receipt;
mod reconcile;

use super::{
    Services, SolanaRpc,
    config::{Config, ConfigError, Database},
};
use crate::{
    Engine, EngineConfig, NetworkConfig, StartError, SystemClock,
    postgres::{self, PostgresStore},
    sqlite::{self, SqliteStore},
};
use clap::{Parser, Subcommand};
use h402_core::{BadReceipt, Store};
use std::{
    ffi::OsString,
    io::{IsTerminal as _, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};
use tokio::signal::unix::{SignalKind, signal};
use zeroize::Zeroizing;

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
    CheckConfig {
        /// Ask the EVM chains, too, and show the hashes of the code of assets, to be pinned.
        #[arg(long)]
        chain: bool,
    },
    /// Writes a configuration to start from.
    Init {
        /// Also makes a key that signs receipts, in `receipt.key` beside it.
        #[arg(long)]
        receipt_key: bool,
    },
    /// Compares the ledger with its chains, without settling anything. Exit code 0: they agree. 1: they differ. 2: that could
    /// not be found out. A ledger in a file must not be open elsewhere: stop the server first.
    Reconcile(reconcile::Comparison),
    /// Checks receipts, offline.
    Receipt {
        #[command(subcommand)]
        command: receipt::ReceiptCommand,
    },
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
    /// A receipt that proves nothing.
    #[error("receipt: {0}")]
    Receipt(#[from] BadReceipt),
    /// Ledger and chain differ.
    #[error("{0} difference(s) of ledger and chain; look into each, then accept them with --accept")]
    Differ(u64),
    /// Ledger and chain could not be compared.
    #[error("could not compare ledger and chain: {0}")]
    NotCompared(String),
    /// Nothing to check a receipt against.
    #[error("no key to trust: give --key, or --config of the facilitator that signed it ({0})")]
    NoTrustedKey(String),
    /// Anything of the operating system.
    #[error("{what}: {error}")]
    Io {
        /// What was tried.
        what: String,
        /// What came of it.
        error: std::io::Error,
    },
}

impl CliError {
    /// The program's exit code: 2 for a receipt that could not even be checked, else 1.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Receipt(BadReceipt::Issuer(_) | BadReceipt::Signature) => 1,
            Self::Receipt(_) | Self::NoTrustedKey(_) | Self::NotCompared(_) => 2,
            Self::Differ(_) => 1,
            Self::Config(_) | Self::Start(_) | Self::Store(_) | Self::Io { .. } => 1,
        }
    }
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
        Command::Init { receipt_key } => init(&config, receipt_key),
        Command::Reconcile(comparison) => {
            let config = read(&config)?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(io("start the runtime"))?;
            runtime.block_on(reconcile::run(&config, comparison))
        }
        Command::Receipt { command } => receipt::run(command, &config),
        Command::CheckConfig { chain } => {
            let config = read(&config)?;
            let engine = config.engine(from_env)?;
            config.solana_rpc.as_ref().map(|section| section.proxy(from_env)).transpose()?;
            config.discovery.as_ref().map(|section| section.discovery(&engine.assets)).transpose()?;
            config.connections.limits()?;
            say(&format!("configuration is good: {} network(s), listening on {}", config.network.len(), config.listen))?;
            if chain {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(io("start the runtime"))?;
                runtime.block_on(compare(&engine))?;
            }
            Ok(())
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

/// Shows what code stands behind the assets, then compares everything with the chains as a start does.
async fn compare(engine: &EngineConfig) -> Result<(), CliError> {
    for network in &engine.networks {
        let NetworkConfig::Evm(evm) = network else { continue };
        let id = evm.chain.network();
        let assets: Vec<_> = engine.assets.iter().filter(|asset| asset.id.network == id && !asset.is_native()).cloned().collect();
        let addresses: Vec<_> = assets.iter().filter_map(|asset| asset.id.address.evm()).collect();
        let found = evm.chain.code(&addresses).await.map_err(|_| StartError::Unreachable)?;
        for (asset, found) in assets.iter().zip(found) {
            say(&format!("{id} {} at {}: code_hash {}", asset.symbol, asset.id.address, found.code))?;
            if let Some(implementation) = found.implementation {
                say(&format!("{id} {} at {}: implementation_hash {implementation}", asset.symbol, asset.id.address))?;
            }
        }
        evm.check(&assets).await?;
        say(&format!("{id} is as configured"))?;
    }
    Ok(())
}

async fn serve(config: Config) -> Result<(), CliError> {
    match &config.database {
        Database::File(path) => {
            let store = SqliteStore::open(path, sqlite::OpenOptions::default()).await.map_err(ledger)?;
            serve_from(&config, store.clone()).await?;
            store.close().await.map_err(ledger)
        }
        Database::Postgres(url) => {
            let store = PostgresStore::open(url.reveal(), postgres::OpenOptions::default()).await.map_err(ledger)?;
            serve_from(&config, store.clone()).await?;
            store.close().await;
            Ok(())
        }
    }
}

fn ledger(error: impl std::fmt::Display) -> CliError {
    CliError::Store(error.to_string())
}

async fn serve_from<S: Store>(config: &Config, store: S) -> Result<(), CliError> {
    let solana_rpc = config.solana_rpc.as_ref().map(|section| section.proxy(from_env)).transpose()?.map(SolanaRpc::new);
    let limits = config.connections.limits()?;
    let engine = config.engine(from_env)?;
    let discovery = config.discovery.as_ref().map(|section| section.discovery(&engine.assets)).transpose()?;
    let engine = Engine::start(engine, store, SystemClock).await?;
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
    super::serve_with(listener, engine, Services { solana_rpc, discovery }, limits, stop).await.map_err(io("serve"))
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

fn init(path: &Path, receipt_key: bool) -> Result<(), CliError> {
    let what = format!("write {}", path.display());
    // An existing file may hold an operator's only copy of a setting.
    let mut file = std::fs::File::create_new(path).map_err(io(&what))?;
    file.write_all(include_bytes!("starter.toml")).map_err(io(&what))?;
    if receipt_key {
        let key = path.with_file_name("receipt.key");
        new_key(&key)?;
        let quoted = key.display().to_string().replace('\\', "\\\\").replace('"', "\\\"");
        let setting = format!("\n[receipts]\nkey_file = \"{quoted}\"\n");
        file.write_all(setting.as_bytes()).map_err(io(&what))?;
        say(&format!("wrote {}; keep it, and a copy of it where the ledger's copies are", key.display()))?;
    }
    say(&format!("wrote {}; set the RPC URL and the key, then run `h402-facilitator check-config`", path.display()))
}

/// Writes a new key into a file that only its owner can read.
fn new_key(path: &Path) -> Result<(), CliError> {
    let what = format!("write {}", path.display());
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut_slice()).map_err(|error| io(&what)(std::io::Error::other(error.to_string())))?;
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(io(&what))?;
    let text = Zeroizing::new(format!("{}\n", hex::encode(seed.as_slice())));
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(io(&what))
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
