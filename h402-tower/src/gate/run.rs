//! Running the handler for a payment, and telling a delivery from anything else.

use super::{
    answer::{Refusal, with_receipt},
    body::{GateBody, gather},
    crash_point,
    dialect::remove_ours,
    hold::Hold,
    payment::Delivery,
    service::{Admission, own},
    stored::{keep, make_private},
};
use crate::chaos::sabotaged;
use h402_core::{Amount, Dialect, Facilitator, GrantState, Grants, Receipt, StoredAnswer};
use http::{Request, Response, StatusCode};
use http_body::Body;
use tower_service::Service;

/// Why the handler's work is not paid for.
pub(super) enum Undelivered<B, E> {
    /// It said so.
    Answer(Response<GateBody<B>>),
    /// It took too long.
    TimedOut,
    /// Its body broke off.
    BrokeOff,
    /// It returned an error.
    Failed(E),
}

/// What was paid for.
pub(super) struct Ran<B> {
    pub(super) response: Response<GateBody<B>>,
    /// To be given again.
    pub(super) kept: Option<StoredAnswer>,
    /// What it costs, if the handler has said so.
    pub(super) cost: Option<Amount>,
}

impl<F: Facilitator, G: Grants> Admission<F, G> {
    /// Runs the handler. Of a delivery, a body that is short enough to be kept is read to its end first.
    pub(super) async fn run<S, ReqBody, ResBody>(
        &self,
        hold: &Hold<F, G>,
        mut ready: S,
        mut request: Request<ReqBody>,
    ) -> Result<Ran<ResBody>, Undelivered<ResBody, S::Error>>
    where
        S: Service<Request<ReqBody>, Response = Response<ResBody>>,
        ResBody: Body,
    {
        request.extensions_mut().insert(hold.payment());
        crash_point("handler.start");
        let work = async {
            let mut response = ready.call(request).await.map_err(Undelivered::Failed)?;
            let (delivered, cost) = self.delivery(&mut response);
            make_private(response.headers_mut(), &self.gate.limits);
            remove_ours(response.headers_mut());
            if !delivered {
                return Err(Undelivered::Answer(response.map(GateBody::inner)));
            }
            let (response, kept) = self.keep(response).await?;
            crash_point("handler.end");
            Ok(Ran { response, kept, cost })
        };
        tokio::time::timeout(self.gate.limits.handler_timeout, work).await.unwrap_or(Err(Undelivered::TimedOut))
    }

    /// Runs the handler for a payment that is charged, and remembers whether it delivered.
    pub(super) async fn deliver<S, ReqBody, ResBody>(
        &self,
        hold: Hold<F, G>,
        ready: S,
        request: Request<ReqBody>,
    ) -> Result<Response<GateBody<ResBody>>, S::Error>
    where
        S: Service<Request<ReqBody>, Response = Response<ResBody>>,
        ResBody: Body,
    {
        match self.run(&hold, ready, request).await {
            Ok(Ran { response, kept, .. }) => match hold.delivered(kept).await {
                Ok(hold) => Ok(hold.served(response)),
                Err(refusal) => Ok(own(&self.gate, &self.visit, refusal)),
            },
            Err(undelivered) => {
                let receipt = hold.receipt();
                hold.put_back().await;
                undelivered.into_answer(receipt, self.visit.dialect, |refusal| own(&self.gate, &self.visit, refusal))
            }
        }
    }

    /// A 2xx is a delivery; 304, 416 and redirects are not (T100), unless the handler says otherwise. And what it costs, if it
    /// says that.
    fn delivery<B>(&self, response: &mut Response<B>) -> (bool, Option<Amount>) {
        if sabotaged("failure.charged") {
            return (true, None);
        }
        match response.extensions_mut().remove::<Delivery>() {
            Some(Delivery::Delivered) => (true, None),
            Some(Delivery::DeliveredFor(cost)) => (true, Some(cost)),
            Some(Delivery::NotDelivered) => (false, None),
            None => {
                let switched = self.visit.upgrade && response.status() == StatusCode::SWITCHING_PROTOCOLS;
                (response.status().is_success() || switched, None)
            }
        }
    }

    async fn keep<B: Body, E>(&self, response: Response<B>) -> Result<(Response<GateBody<B>>, Option<StoredAnswer>), Undelivered<B, E>> {
        let longest = u64::try_from(StoredAnswer::MAX_BODY).unwrap_or(u64::MAX);
        let short = response.body().size_hint().upper().is_some_and(|length| length <= longest);
        if !short || self.visit.upgrade {
            return Ok((response.map(GateBody::inner), None));
        }
        let (parts, body) = response.into_parts();
        let whole = gather(body, StoredAnswer::MAX_BODY).await.map_err(|_| Undelivered::BrokeOff)?;
        let kept = if self.gate.limits.keep_answers && !sabotaged("answer.forget") { keep(&parts, &whole) } else { None };
        Ok((Response::from_parts(parts, whole.into()), kept))
    }
}

impl<B, E> Undelivered<B, E> {
    /// What the client gets instead; with the receipt if it was charged.
    pub(super) fn into_answer(
        self,
        receipt: Option<Receipt>,
        dialect: Dialect,
        own: impl FnOnce(Refusal) -> Response<GateBody<B>>,
    ) -> Result<Response<GateBody<B>>, E> {
        match self {
            Self::Answer(response) => Ok(match receipt {
                Some(receipt) => with_receipt(response, dialect, &receipt.into()),
                None => response,
            }),
            Self::TimedOut => Ok(own(Refusal::HandlerTimedOut(receipt))),
            Self::BrokeOff => Ok(own(Refusal::HandlerBrokeOff(receipt))),
            Self::Failed(error) => Err(error),
        }
    }
}

impl<F: Facilitator, G: Grants> Hold<F, G> {
    /// The handler's answer with its receipt.
    pub(super) fn served<B>(self, response: Response<GateBody<B>>) -> Response<GateBody<B>> {
        debug_assert_eq!(self.grant().state, GrantState::Served);
        let (receipt, dialect) = (self.receipt(), self.matched().payload().dialect);
        self.finish();
        crash_point("resp.head");
        match receipt {
            Some(receipt) => with_receipt(response, dialect, &receipt.into()),
            None => response,
        }
    }
}
