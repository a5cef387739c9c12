//! Somebody else's requests, handed on.

use super::*;

#[tokio::test]
async fn a_request_and_its_answer_are_not_written_anew() {
    let request = br#" { "id" : "0", "method":"getAccountInfo" ,"params":[18446744073709551615, 1e400, 0.10]}"#;
    let answers = [
        r#"{"jsonrpc" : "2.0",  "result":{"value":{"lamports":18446744073709551615,"ui":1.10}},"id":"0"}"#,
        r#"{"id":1,"result":null}"#,
        r#"[{"id":1,"result":7},{"id":2,"error":{"code":-32602,"message":"Invalid params"}}]"#,
        "\n[]",
    ];
    for answer in answers {
        let fake = Fake::start(move |body| {
            assert_eq!(body, request, "the node sees what came");
            json(answer)
        })
        .await;
        let rpc = rpc(&[&fake]);
        assert_eq!(rpc.relay(&request.as_slice().into()).await.as_deref(), Ok(answer.as_bytes()));
        assert_eq!(rpc.counters().requests, 1);
    }
}

#[tokio::test]
async fn what_is_no_answer_goes_to_the_next_endpoint_with_the_same_bytes() {
    let replies = [
        || Reply::Status(429, String::new()),
        || Reply::Status(500, r#"{"id":1,"result":7}"#.to_owned()),
        || Reply::Close,
        || json("<html>Just a moment...</html>"),
        || json(r#"{"id":1}"#),
        || json(r#"{"id":1,"result":7"#),
        || json(r#""text""#),
        || json(r#"{"id":1,"error":{"code":429,"message":"slow down"}}"#),
        || json(r#"[{"id":1,"result":7},{"id":2,"error":{"code":-32005,"message":"Node is behind"}}]"#),
        || json(r#"{"id":1,"error":"text"}"#),
    ];
    for (index, reply) in replies.into_iter().enumerate() {
        let bad = Fake::start(move |_| reply()).await;
        let good = Fake::start(|body| {
            assert_eq!(body, b"[ 1 ]");
            json(r#"{"id":1,"result":7}"#)
        })
        .await;
        let answer = rpc(&[&bad, &good]).relay(&b"[ 1 ]".as_slice().into()).await;
        assert_eq!(answer.as_deref(), Ok(br#"{"id":1,"result":7}"#.as_slice()), "reply {index}");
        assert_eq!(rpc(&[&bad]).relay(&b"[ 1 ]".as_slice().into()).await, Err(Undecided::Chain), "reply {index}");
    }
}

/// T136: a stranger who asks for too much does not make an endpoint look down, nor every endpoint work.
#[tokio::test]
async fn t136_answers_that_are_too_long_end_the_request_and_blame_nobody() {
    let long = |answer: usize| json(format!(r#"{{"id":1,"result":"{}"}}"#, "x".repeat(answer - 20)));
    let first = Fake::start(move |body| long(if body == b"long" { (64 << 10) + 1 } else { 64 << 10 })).await;
    let second = Fake::start(|_| Reply::Close).await;
    let rpc = rpc(&[&first, &second]);
    assert_eq!(rpc.relay(&b"long".as_slice().into()).await, Err(Undecided::Chain));
    assert_eq!((first.requests(), second.requests()), (1, 0));
    assert!(rpc.counters().endpoints.iter().all(|endpoint| endpoint.failures == 0));
    assert_eq!(rpc.relay(&b"short".as_slice().into()).await.map(|answer| answer.len()), Ok(64 << 10));
    assert_eq!((first.requests(), second.requests()), (2, 0));
}

/// T114: an answer is handed to strangers as it is, so one that holds a part of the URL is not handed on.
#[tokio::test]
async fn t114_an_error_that_repeats_the_url_is_not_handed_on() {
    for (message, passes) in [("no such project: canary-key", false), ("no such account", true)] {
        let fake = Fake::start(move |_| json(format!(r#"{{"id":1,"error":{{"code":1,"message":"{message}"}}}}"#))).await;
        let rpc = Rpc::new(RpcConfig::new(vec![endpoint(&format!("{}/v2/canary-key", fake.url()))]));
        let answer = rpc.relay(&b"{}".as_slice().into()).await;
        assert_eq!(answer.is_ok(), passes, "{message}: {answer:?}");
    }
}
