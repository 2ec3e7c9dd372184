//! The layer: a policy, and what the service knows about its clients.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use http::{Extensions, Request, StatusCode};
use ipnet::IpNet;
use keyward_core::verifier::Answer;
use tower_layer::Layer;

use super::{Guarded, VerifiedKey};
use crate::answer::{REASON, Reply, Ruling};
use crate::facts::{Arrival, Head, is_forged, own_facts};
use crate::guard::{Asked, Guard, credentials_of};
use crate::{Policy, Refusal};

/// Finds the address of a peer in the extensions of its request.
type PeerOf = Arc<dyn Fn(&Extensions) -> Option<IpAddr> + Send + Sync>;

/// Guards services with a policy. Clones share one layer.
#[derive(Clone)]
pub struct GuardLayer {
    guard: Guard,
    policy: Arc<Policy>,
    is_secure: bool,
    peer: Option<PeerOf>,
    proxies: Option<Arc<[IpNet]>>,
}

impl Guard {
    /// A layer that lets through what the policy allows. Layers with different policies may share one guard.
    ///
    /// At first, nothing is known about how requests come: they count as sent without TLS, by an unknown client. So
    /// keys that need a secure connection, as all do by default, and keys bound to addresses are refused until
    /// [`GuardLayer::behind_tls`], [`GuardLayer::behind_proxies`] or [`GuardLayer::peer`] says more.
    pub fn policy(&self, policy: Policy) -> GuardLayer {
        GuardLayer { guard: self.clone(), policy: Arc::new(policy), is_secure: false, peer: None, proxies: None }
    }
}

impl GuardLayer {
    /// Clients reach the service only over TLS, wherever TLS ends.
    #[must_use]
    pub fn behind_tls(mut self) -> Self {
        self.is_secure = true;
        self
    }

    /// Every request comes through a proxy that writes `X-Forwarded-For` and `X-Forwarded-Proto`. `networks` are
    /// further proxies on the way: the last entry in none of them is the client. A client that reaches the service
    /// without the proxy can write what it likes.
    #[must_use]
    pub fn behind_proxies(mut self, networks: impl IntoIterator<Item = IpNet>) -> Self {
        self.proxies = Some(networks.into_iter().collect());
        self
    }

    /// The client is at the other end of the connection, and this finds its address among the extensions of a request.
    /// With axum's `into_make_service_with_connect_info::<SocketAddr>()` it is `|all|
    /// all.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip())`. Behind proxies it is not used.
    #[must_use]
    pub fn peer(mut self, find: impl Fn(&Extensions) -> Option<IpAddr> + Send + Sync + 'static) -> Self {
        self.peer = Some(Arc::new(find));
        self
    }

    /// Asks about a request.
    pub(super) fn ask<B>(&self, request: &Request<B>) -> Asked {
        let headers = request.headers();
        let id = self.guard.id_of(headers);
        let peer = self.peer.as_ref().and_then(|find| find(request.extensions()));
        let arrival = Arrival { is_secure: self.is_secure, peer, proxies: self.proxies.as_deref() };
        let head = Head { method: request.method(), uri: request.uri(), headers };
        let facts = if is_forged(headers) { Err(Refusal::ForgedHeader) } else { own_facts(head, arrival) };
        match facts {
            Err(refusal) => Asked::Ruled(Ruling::refused(id, refusal)),
            Ok(facts) => {
                let credentials = credentials_of(&self.policy, headers, facts.target.unwrap_or_default());
                self.guard.ask(&self.policy, &facts, credentials, id)
            }
        }
    }

    /// The key of an allowed request, or the answer to a refused one.
    pub(super) fn conclude(&self, ruling: Ruling) -> Result<VerifiedKey, Box<Reply>> {
        let allowed = ruling.answer().filter(|_| ruling.is_allowed()).and_then(Answer::presented).cloned();
        let outcome = match allowed {
            Some(presented) => Ok(VerifiedKey::new(presented)),
            None => Err(Box::new(self.refusal(&ruling))),
        };
        self.guard.finish(ruling);
        outcome
    }

    fn refusal(&self, ruling: &Ruling) -> Reply {
        let mut reply = Reply::new(ruling, Some(&self.policy), None);
        if reply.status == StatusCode::OK {
            // A yes without a key is not a yes.
            let bug = Ruling::refused(ruling.id().clone(), Refusal::Internal);
            reply = Reply::new(&bug, Some(&self.policy), None);
        }
        if !self.policy.explains {
            // It is for proxies, which hide it from the client. Here there is no proxy in between.
            reply.headers.remove(REASON);
        }
        reply
    }
}

impl<S> Layer<S> for GuardLayer {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded::new(inner, self.clone())
    }
}

impl fmt::Debug for GuardLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardLayer").field("guard", &self.guard).field("policy", &self.policy).finish_non_exhaustive()
    }
}
