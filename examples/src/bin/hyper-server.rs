//! A paid service on plain hyper. `H402_FACILITATOR` names the facilitator, `H402_PAYEE` who is paid on Base Sepolia.

use bytes::Bytes;
use h402_core::{Assets, Network};
use h402_facilitator::sqlite::{OpenOptions, SqlGrants};
use h402_tower::gate::{Gate, Origin, Payee, Price};
use h402_tower::remote::RemoteFacilitator;
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, server::conn::http1};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use std::convert::Infallible;
use tower::ServiceBuilder;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let facilitator = RemoteFacilitator::new(&std::env::var("H402_FACILITATOR")?)?;
    let payee = Payee::new(Network::Evm(84532), std::env::var("H402_PAYEE")?.parse()?);
    let price = Price::usd("0.01").to(&[payee], &Assets::known())?;
    let grants = SqlGrants::open("grants.sqlite", OpenOptions::default()).await?;
    let gate = Gate::new(facilitator, grants, Origin::parse("http://127.0.0.1:3000")?, price).build()?;

    let report = |_: Request<Incoming>| async { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("Sunny.\n")))) };
    let service = ServiceBuilder::new().layer(gate).service_fn(report);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    loop {
        let (stream, _) = listener.accept().await?;
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), TowerToHyperService::new(service.clone()));
        tokio::spawn(async move { connection.await.inspect_err(|error| eprintln!("connection: {error}")) });
    }
}
