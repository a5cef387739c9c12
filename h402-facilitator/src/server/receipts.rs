//! `GET /payments/{id}/receipt` and `GET /receipts/key`.

use super::routes::{Answer, error, found, json};
use crate::Engine;
use axum::{
    extract::{Path, State, rejection::PathRejection},
    http::StatusCode,
};
use h402_core::{Clock, Store, wire::h402};

const UNSIGNED: &str = "receipts are not signed here";

/// The signed receipt of a settled payment, to whoever knows its id or its transaction.
pub(super) async fn receipt<S: Store, C: Clock>(State(engine): State<Engine<S, C>>, id: Result<Path<String>, PathRejection>) -> Answer {
    if engine.receipt_issuer().is_none() {
        return error(StatusCode::NOT_FOUND, "no_receipts", UNSIGNED);
    }
    let row = match found(&engine, id).await {
        Ok(row) => row,
        Err(answer) => return answer,
    };
    match engine.receipt(&row) {
        Some(receipt) => json(StatusCode::OK, h402::encode_signed_receipt(&receipt)),
        None => error(StatusCode::CONFLICT, "not_settled", "the payment is not settled, or not yet"),
    }
}

/// Under which key receipts are to be checked.
pub(super) async fn issuer<S: Store, C: Clock>(State(engine): State<Engine<S, C>>) -> Answer {
    match engine.receipt_issuer() {
        Some(issuer) => json(StatusCode::OK, h402::encode_receipt_issuer(&issuer)),
        None => error(StatusCode::NOT_FOUND, "no_receipts", UNSIGNED),
    }
}
