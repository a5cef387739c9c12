//! What is sold: an answer that names the run it came from.

use super::{
    oracle,
    scenario::Route,
    world::{Life, lock},
};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::time::sleep;
use tower::Service;

#[derive(Clone)]
pub struct Handler {
    pub life: Life,
    pub shop: usize,
    pub route: Route,
}

/// Which call a request belongs to.
pub fn call_of<B>(request: &Request<B>) -> usize {
    request.uri().query().and_then(|query| query.strip_prefix("call=")?.parse().ok()).expect("calls have numbers")
}

impl Service<Request<Full<Bytes>>> for Handler {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        let Self { life, shop, route } = self.clone();
        let call = call_of(&request);
        Box::pin(async move {
            life.step("before a handler").await;
            let world = life.world();
            let plan = &world.scenario.calls[call].handler;
            let before = lock(&world.oracle).runs_of(call);
            let run = oracle::begin_run(world, call, route, shop);
            sleep(plan.takes).await;
            life.step("after a handler").await;
            if before < usize::from(plan.failures) {
                return Ok(answer(StatusCode::INTERNAL_SERVER_ERROR, format!("run {run} failed")));
            }
            oracle::end_run(world, run);
            let padding = if plan.long { " ".repeat(66_000) } else { String::new() };
            Ok(answer(StatusCode::OK, format!("run {run} of call {call}{padding}")))
        })
    }
}

fn answer(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer
}
