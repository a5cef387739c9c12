//! What the ledger says of itself: `GET /reconciliation` for operators, `GET /metrics` for Prometheus.

use super::routes::{Answer, error, json, undecided};
use crate::Engine;
use axum::{
    body::Body,
    extract::{ConnectInfo, State},
    http::{HeaderValue, Request, Response, StatusCode, header},
};
use h402_core::{Clock, Network, Settlement, Store, wire::h402};
use std::{fmt::Write as _, net::SocketAddr};

/// How ledger and chains stand to each other. Told to this machine only: who sees it knows what the operator does not.
pub(super) async fn reconciliation<S: Store, C: Clock>(State(engine): State<Engine<S, C>>, request: Request<Body>) -> Answer {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    if !peer.is_some_and(|ConnectInfo(peer)| peer.ip().is_loopback()) {
        return error(StatusCode::NOT_FOUND, "not_found", "no such path");
    }
    let mut all = Vec::new();
    for network in engine.networks().collect::<Vec<Network>>() {
        match engine.reconciliation(network).await {
            Ok(found) => all.push((network, found)),
            Err(why) => return undecided(&why),
        }
    }
    json(StatusCode::OK, h402::encode_reconciliations(&all))
}

/// Counters of the ledger, in Prometheus' text form. Labels are networks and states, nothing that anybody else has written. What
/// was received is the sum of what is counted in the same look, so numbers of one answer always add up (T158).
pub(super) async fn metrics<S: Store, C: Clock>(State(engine): State<Engine<S, C>>) -> Answer {
    let totals = match engine.totals().await {
        Ok(totals) => totals,
        Err(why) => return undecided(&why),
    };
    let mut text = String::new();
    let mut networks: Vec<Network> = engine.networks().chain(totals.iter().map(|total| total.network)).collect();
    networks.sort_unstable();
    networks.dedup();
    let count = |network: Network, state: &str| {
        totals.iter().filter(|total| total.network == network && total.state == state).map(|total| total.count).sum::<u64>()
    };
    head(&mut text, "h402_payments", "gauge", "Payments in the ledger by state.");
    for network in &networks {
        for state in Settlement::WORDS {
            line(&mut text, format_args!("h402_payments{{network=\"{network}\",state=\"{state}\"}} {}", count(*network, state)));
        }
    }
    head(&mut text, "h402_payments_received_total", "counter", "Payments ever taken on.");
    for network in &networks {
        let received: u64 = Settlement::WORDS.iter().map(|state| count(*network, state)).sum();
        line(&mut text, format_args!("h402_payments_received_total{{network=\"{network}\"}} {received}"));
    }
    let mut compared = Vec::new();
    for network in engine.networks().collect::<Vec<Network>>() {
        match engine.reconciliation(network).await {
            Ok(found) => compared.push((network, found)),
            Err(why) => return undecided(&why),
        }
    }
    head(&mut text, "h402_ledger_differences", "gauge", "Differences of ledger and chain that nobody has accepted.");
    for (network, found) in &compared {
        line(&mut text, format_args!("h402_ledger_differences{{network=\"{network}\"}} {}", found.open));
    }
    head(&mut text, "h402_ledger_compared_timestamp_seconds", "gauge", "When ledger and chain were last compared; 0 if never.");
    for (network, found) in &compared {
        let at = found.at.map_or(0, |at| at.seconds().0);
        line(&mut text, format_args!("h402_ledger_compared_timestamp_seconds{{network=\"{network}\"}} {at}"));
    }
    head(&mut text, "h402_ledger_compared_block", "gauge", "Up to which block or slot that was; none before the first time.");
    for (network, block) in compared.iter().filter_map(|(network, found)| Some((network, found.reached.block?))) {
        line(&mut text, format_args!("h402_ledger_compared_block{{network=\"{network}\"}} {block}"));
    }
    let mut answer = Response::new(Body::from(text));
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4"));
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    line(text, format_args!("# HELP {name} {help}\n# TYPE {name} {kind}"));
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a text does not fail.
    let _written = writeln!(text, "{line}");
}
