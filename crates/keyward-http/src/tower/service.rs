//! One request: in to the service, or a refusal back.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::GuardLayer;
use crate::answer::Reply;
use crate::guard::{Asked, Waiting};

/// A service behind the guard.
///
/// A refusal's body is made from bytes, so the service's body type must convert from them: axum's `Body`, hyper's
/// `Full<Bytes>` and `Vec<u8>` do. For a body that does not, such as tonic's, map the service's body first: with
/// `MapResponseBodyLayer::new(axum::body::Body::new)` from tower-http, inside this layer.
#[derive(Debug, Clone)]
pub struct Guarded<S> {
    inner: S,
    layer: GuardLayer,
}

impl<S> Guarded<S> {
    pub(super) fn new(inner: S, layer: GuardLayer) -> Self {
        Self { inner, layer }
    }
}

impl<S, B, R> Service<Request<B>> for Guarded<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    R: From<Vec<u8>>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = GuardedFuture<S, B>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> GuardedFuture<S, B> {
        let state = match self.layer.ask(&request) {
            Asked::Ruled(ruling) => match self.layer.conclude(ruling) {
                Ok(key) => {
                    request.extensions_mut().insert(key);
                    State::Serving { future: self.inner.call(request) }
                }
                Err(reply) => State::Refused { reply: Some(reply) },
            },
            Asked::Waiting(waiting) => {
                // The service that was ready must be the one called; the clone has yet to become ready.
                let clone = self.inner.clone();
                let ready = std::mem::replace(&mut self.inner, clone);
                State::Waiting { waiting, rest: Some((request, ready, self.layer.clone())) }
            }
        };
        GuardedFuture { state }
    }
}

pin_project! {
    /// The answer of a guarded service, on its way.
    pub struct GuardedFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: State<S, B>,
    }
}

pin_project! {
    #[project = Place]
    enum State<S, B>
    where
        S: Service<Request<B>>,
    {
        // A hash is being computed.
        Waiting { waiting: Waiting, rest: Option<(Request<B>, S, GuardLayer)> },
        // It is refused.
        Refused { reply: Option<Box<Reply>> },
        // The service answers.
        Serving { #[pin] future: S::Future },
    }
}

impl<S, B, R> Future for GuardedFuture<S, B>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: From<Vec<u8>>,
{
    type Output = Result<Response<R>, S::Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let next = match state.as_mut().project() {
                Place::Serving { future } => return future.poll(context),
                Place::Refused { reply } => {
                    // Polling after the answer was given waits for ever: there is nothing left to return.
                    return reply.take().map_or(Poll::Pending, |reply| Poll::Ready(Ok(reply.into_response())));
                }
                Place::Waiting { waiting, rest } => {
                    let ruling = ready!(Pin::new(waiting).poll(context));
                    let Some((mut request, mut service, layer)) = rest.take() else { return Poll::Pending };
                    match layer.conclude(ruling) {
                        Ok(key) => {
                            request.extensions_mut().insert(key);
                            State::Serving { future: service.call(request) }
                        }
                        Err(reply) => State::Refused { reply: Some(reply) },
                    }
                }
            };
            state.set(next);
        }
    }
}

impl<S: Service<Request<B>>, B> fmt::Debug for GuardedFuture<S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GuardedFuture")
    }
}
