//! The story of a payment at a gate. Read [`GateService::call`] first, then [`Admission::admit`].

use super::{
    answer::Refusal,
    body::GateBody,
    collect::{AnyBody, BodyAccess},
    door::{Door, Visit},
    future::ResponseFuture,
    layer::Shared,
    present::Presented,
    run::Ran,
    settle::settle,
    turn::Turn,
};
use crate::chaos::sabotaged;
use h402_core::{Facilitator, Grants, Undecided};
use http::{Request, Response};
use http_body::Body;
use std::{
    fmt,
    marker::PhantomData,
    mem,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::{
    runtime::Handle,
    time::{Instant, timeout_at},
};
use tower_service::Service;

/// A service behind a gate. Made by [`super::GateLayer`].
pub struct GateService<S, F, G, M = AnyBody> {
    inner: S,
    gate: Arc<Shared<F, G>>,
    body: PhantomData<fn() -> M>,
}

impl<S, F, G, M, ReqBody, ResBody> Service<Request<ReqBody>> for GateService<S, F, G, M>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    F: Facilitator,
    G: Grants,
    M: BodyAccess<ReqBody>,
    ReqBody: Send + 'static,
    ResBody: Body + Send + 'static,
{
    type Response = Response<GateBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, ResBody, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        self.gate.refresh_facts();
        let (mut parts, body) = request.into_parts();
        match self.gate.door(&mut parts, M::bytes(&body)) {
            Door::Free => ResponseFuture::free(self.inner.call(Request::from_parts(parts, body))),
            Door::Shut(visit, refusal) => {
                let answer = self.gate.refuse(visit.as_ref(), refusal);
                // It may have told something that has aged: the next answer shall not.
                self.gate.refresh_facts();
                ResponseFuture::answer(answer)
            }
            Door::Paid(visit, header) => {
                // The clone has not been polled ready; the original has. Take the original.
                let spare = self.inner.clone();
                let ready = mem::replace(&mut self.inner, spare);
                let gate = self.gate.clone();
                ResponseFuture::paid(async move {
                    let Ok(runtime) = Handle::try_current() else {
                        return Ok(own(&gate, &visit, Refusal::Misconfigured("a gate needs a tokio runtime")));
                    };
                    let presented = match gate.present(&visit, &header, &parts, M::bytes(&body)) {
                        Ok(presented) => presented,
                        Err(refusal) => return Ok(own(&gate, &visit, refusal)),
                    };
                    let deadline = Instant::now() + gate.limits.deadline;
                    let admission = Admission { gate, visit, deadline, runtime };
                    let admitted = admission.admit(presented, ready, Request::from_parts(parts, body));
                    match timeout_at(deadline, admitted).await {
                        Ok(result) => result,
                        Err(_) => Ok(own(&admission.gate, &admission.visit, Undecided::Deadline.into())),
                    }
                })
            }
        }
    }
}

/// One paid request on its way through the gate.
pub(super) struct Admission<F, G> {
    pub(super) gate: Arc<Shared<F, G>>,
    pub(super) visit: Visit,
    /// When it is answered at the latest.
    pub(super) deadline: Instant,
    pub(super) runtime: Handle,
}

impl<F: Facilitator, G: Grants> Admission<F, G> {
    /// From a presented payment to an answer. May be dropped anywhere: a payment that is held is put back, and a
    /// settlement that has begun goes on by itself.
    async fn admit<S, ReqBody, ResBody>(
        &self,
        presented: Presented,
        ready: S,
        request: Request<ReqBody>,
    ) -> Result<Response<GateBody<ResBody>>, S::Error>
    where
        S: Service<Request<ReqBody>, Response = Response<ResBody>>,
        ResBody: Body,
    {
        // Verified and claimed, or known from before: `turn` says what this payment opens now.
        let turn = match self.turn(presented).await {
            Ok(turn) => turn,
            Err(refusal) => return Ok(own(&self.gate, &self.visit, refusal)),
        };
        match turn {
            Turn::Answered(response) => Ok(response.map(GateBody::from)),
            // The protocol's own flow: the handler first, then the money, and nothing leaves in between.
            Turn::Capture(mut hold) => match self.run(&hold, ready, request).await {
                Ok(Ran { response, kept, cost }) => {
                    if !hold.charge(cost) {
                        // Given for nothing: the payment is as good as before.
                        hold.put_back().await;
                        return Ok(response);
                    }
                    // What is not stored is held only as long as somebody waits for it here.
                    let stored = kept.is_some();
                    match settle(hold, kept, stored, self.deadline).await {
                        Ok(hold) if stored => Ok(hold.served(response)),
                        Ok(hold) => match hold.delivered(None).await {
                            Ok(hold) => Ok(hold.served(response)),
                            Err(refusal) => Ok(own(&self.gate, &self.visit, refusal)),
                        },
                        Err(_) if sabotaged("unsettled.served") => Ok(response),
                        Err(refusal) => Ok(own(&self.gate, &self.visit, refusal)),
                    }
                }
                Err(undelivered) => {
                    hold.put_back().await;
                    undelivered.into_answer(None, self.visit.dialect, |refusal| own(&self.gate, &self.visit, refusal))
                }
            },
            // The money first, for what cannot be taken back; the handler keeps its time.
            Turn::SettleFirst(hold) => {
                let until = self.deadline.checked_sub(self.gate.limits.handler_timeout).unwrap_or(self.deadline);
                match settle(hold, None, false, until).await {
                    Ok(hold) => self.deliver(hold, ready, request).await,
                    Err(refusal) => Ok(own(&self.gate, &self.visit, refusal)),
                }
            }
            Turn::Charged(hold) => self.deliver(hold, ready, request).await,
        }
    }
}

/// The gate's own answer.
pub(super) fn own<F, G, B>(gate: &Shared<F, G>, visit: &Visit, refusal: Refusal) -> Response<GateBody<B>> {
    gate.refuse(Some(visit), refusal).map(GateBody::from)
}

impl<S, F, G, M> GateService<S, F, G, M> {
    pub(super) fn new(inner: S, gate: Arc<Shared<F, G>>) -> Self {
        Self { inner, gate, body: PhantomData }
    }
}

impl<S: Clone, F, G, M> Clone for GateService<S, F, G, M> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), gate: self.gate.clone(), body: PhantomData }
    }
}

impl<S: fmt::Debug, F, G, M> fmt::Debug for GateService<S, F, G, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GateService").field("inner", &self.inner).finish_non_exhaustive()
    }
}
