//! A paid route on axum. `H402_FACILITATOR` names the facilitator, `H402_PAYEE` who is paid on Base Sepolia.

use axum::{Router, routing::get};
use h402_core::{Assets, Network};
use h402_facilitator::sqlite::{OpenOptions, SqlGrants};
use h402_tower::gate::{Gate, Origin, Payee, Price};
use h402_tower::remote::RemoteFacilitator;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let facilitator = RemoteFacilitator::new(&std::env::var("H402_FACILITATOR")?)?;
    let payee = Payee::new(Network::Evm(84532), std::env::var("H402_PAYEE")?.parse()?);
    let price = Price::usd("0.01").to(&[payee], &Assets::known())?;
    let grants = SqlGrants::open("grants.sqlite", OpenOptions::default()).await?;
    let gate = Gate::new(facilitator, grants, Origin::parse("http://127.0.0.1:3000")?, price).build()?;

    let app = Router::new().route("/report", get(async || "Sunny.\n")).route_layer(gate);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    Ok(axum::serve(listener, app).await?)
}
