//! `GET /discovery/resources`: what the operator lists, off unless it is configured.
//!
//! Nothing is listed because somebody paid for it: strangers would write here what they like.

use super::routes::{Answer, error, json};
use crate::Engine;
use axum::http::{StatusCode, Uri};
use h402_core::{
    Clock, Dialect, SolanaHints, Store, Supported,
    wire::x402::{Listed, Wanted, encode_discovery},
};
use std::{borrow::Cow, sync::Arc};

/// What is listed. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Discovery(Arc<[Listed]>);

impl Discovery {
    /// Lists these, in this order. Who pays the fees of payments on Solana is added where this facilitator does.
    #[must_use]
    pub fn new(listed: Vec<Listed>) -> Self {
        Self(listed.into())
    }

    pub(super) async fn answer<S: Store, C: Clock>(&self, engine: &Engine<S, C>, uri: &Uri) -> Answer {
        let pairs: Vec<(Cow<'_, str>, Cow<'_, str>)> = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).collect();
        let wanted = match Wanted::read(pairs.iter().map(|(key, value)| (&**key, &**value))) {
            Ok(wanted) => wanted,
            Err(why) => return error(StatusCode::BAD_REQUEST, "invalid_request", &why.to_string()),
        };
        let supported = engine.supported().await;
        let listed: Vec<Listed> = self.0.iter().map(|listed| with_fee_payers(listed, &supported)).collect();
        json(StatusCode::OK, encode_discovery(&listed, &wanted))
    }
}

/// x402 cannot offer a payment on Solana without saying who pays its fee.
fn with_fee_payers(listed: &Listed, supported: &Supported) -> Listed {
    let mut listed = listed.clone();
    for terms in &mut listed.terms {
        let network = terms.requirements.offer.network();
        let kind = supported.kinds.iter().find(|kind| kind.dialect == Dialect::X402V2 && kind.network == network);
        let fee_payer = kind.and_then(|kind| kind.solana?.fee_payer);
        terms.requirements.solana = fee_payer.map(|fee_payer| SolanaHints { fee_payer: Some(fee_payer), ..SolanaHints::default() });
    }
    listed
}
