//! The recorded requests to the reference facilitator, sent to ours over a socket.

use super::{difference::Found, recording::Recording};
use h402_tests::{
    raw::{Ask, Line},
    rig::Rig,
};

/// Compares the answers.
pub(super) async fn compare(recording: &Recording, rig: &Rig, found: &mut Found) {
    for (index, question) in recording.questions().enumerate() {
        let mut ask = Ask::new(&question.request.method, &question.request.path, "").without("host");
        let framing = |name: &str| name.eq_ignore_ascii_case("content-length") || name.eq_ignore_ascii_case("transfer-encoding");
        for (name, value) in question.request.headers.iter().filter(|(name, _)| !framing(name)) {
            ask = ask.with(name, value);
        }
        if let Some(body) = &question.request.body {
            ask = ask.body(body.bytes());
        }
        let address = rig.url.trim_start_matches("http://").parse().unwrap();
        let reply = Line::open(address).await.ask(&ask).await;
        found.answers(&format!("http: answer {}", index + 1), question.response.as_ref(), reply.as_ref());
    }
}
