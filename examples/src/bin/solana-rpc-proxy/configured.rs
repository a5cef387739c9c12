//! In earnest: everything comes from a file, and the facilitator is another program or runs in this one.

use super::{Error, Listeners, say, sell};
use h402_examples::solana_rpc_proxy::{Config, FacilitatorSection};
use h402_facilitator::{
    Engine, LocalFacilitator, SystemClock, server,
    sqlite::{OpenOptions, SqlGrants, SqliteStore},
};
use h402_tower::remote::RemoteFacilitator;
use std::{io::Write as _, path::Path};
use tokio::net::TcpListener;

pub(super) fn init(path: &Path) -> Result<(), Error> {
    // An existing file may hold an operator's only copy of a setting.
    let mut file = std::fs::File::create_new(path).map_err(|error| format!("write {}: {error}", path.display()))?;
    file.write_all(Config::STARTER.as_bytes())?;
    say(format!("wrote {}; set upstreams, prices and who is paid, then run with --check", path.display()));
    Ok(())
}

pub(super) fn check(path: &Path) -> Result<(), Error> {
    let config = read(path, &[])?;
    let settings = config.settings()?;
    say(format!("configuration is good: {} upstream(s), listening on {}", settings.upstreams.counts().len(), config.listen));
    Ok(())
}

pub(super) async fn run(path: &Path, upstreams: &[String], public: bool) -> Result<(), Error> {
    let config = read(path, upstreams)?;
    config.check_bind(public)?;
    let settings = config.settings()?;
    let grants = SqlGrants::open(&config.database, OpenOptions::default()).await?;
    let proxy = listen(config.listen).await?;
    let metrics = match config.metrics {
        Some(address) => Some(listen(address).await?),
        None => None,
    };
    say(format!("solana-rpc-proxy listens on http://{}, as {}", proxy.local_addr()?, config.origin));
    if let Some(metrics) = &metrics {
        say(format!("metrics on http://{}/metrics", metrics.local_addr()?));
    }
    let listeners = Listeners { proxy, metrics };
    match &config.facilitator {
        FacilitatorSection { url: Some(url), config: None } => {
            let facilitator = RemoteFacilitator::new(url)?;
            sell(settings, listeners, config.probe(), facilitator, grants.clone()).await?;
        }
        FacilitatorSection { url: None, config: Some(path) } => {
            let text = std::fs::read_to_string(path).map_err(|error| format!("read {}: {error}", path.display()))?;
            let mut facilitator: server::config::Config = text.parse()?;
            facilitator.override_from(env)?;
            let server::config::Database::File(path) = &facilitator.database else {
                return Err("facilitator: inside the proxy its ledger is a file; give the url of one that runs by itself".into());
            };
            let ledger = SqliteStore::open(path, OpenOptions::default()).await?;
            let engine = Engine::start(facilitator.engine(env)?, ledger.clone(), SystemClock).await?;
            sell(settings, listeners, config.probe(), LocalFacilitator::new(engine.clone()), grants.clone()).await?;
            engine.shutdown(std::time::Duration::from_secs(25)).await;
            ledger.close().await?;
        }
        _ => return Err("facilitator: give either url or config".into()),
    }
    Ok(grants.close().await?)
}

async fn listen(address: std::net::SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|error| format!("listen on {address}: {error}").into())
}

fn read(path: &Path, upstreams: &[String]) -> Result<Config, Error> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("read {}: {error}", path.display()))?;
    let mut config: Config = text.parse()?;
    config.override_from(env);
    if !upstreams.is_empty() {
        config.ask_instead(upstreams);
    }
    Ok(config)
}

fn env(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}
