//! The question: takes a policy, the facts of a request and its credential, and returns a ruling.
//!
//! All threads of a process share one [`Guard`]. A credential that matched before is decided at once; a new one takes
//! an Argon2id hash on another thread, unless its sender has failed too often (`floods`). Uses are counted in memory
//! and written once a second (`counting`). Questions that are ready on the same event loop of the server share one
//! check of the store (`rounds`).

mod counting;
mod floods;
mod open;
#[cfg(feature = "server")]
mod rounds;

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::HeaderMap;
use keyward_core::rules::credential::{Credentials, Reading, parse_parts};
use keyward_core::rules::decision::{Reason, Request};
use keyward_core::rules::forwarded::Trust;
use keyward_core::store::StoreError;
use keyward_core::verifier::{Answer, Gate, Hashing, Look, Turn, Verdict, VerifyError};
use rand::TryRng as _;
use rand::rngs::SysRng;

pub use counting::{Counts, Writing};
pub use open::OpenError;
#[cfg(feature = "server")]
pub(crate) use rounds::{Rounds, Seat};

use crate::Refusal;
use crate::answer::{RequestId, Ruling};
use crate::clock::Clock;
use crate::facts::Facts;
use crate::policy::Policy;
use counting::Writer;
use floods::Floods;

/// Guards a service. Clones share one guard; when the last of them is dropped, its counts are written.
#[derive(Clone)]
pub struct Guard(Arc<Inner>);

struct Inner {
    // First, because its last write needs the gate.
    writer: Writer,
    counts: Arc<Counts>,
    gate: Gate,
    floods: Floods,
    clock: Clock,
    /// The number of the next request, starting from a random one.
    requests: AtomicU64,
    /// How long known state is used while the store's server is away.
    stale_for: Duration,
    /// When the store was last checked, by the steady clock, in milliseconds.
    looked_at: AtomicU64,
}

/// What is known at once, and whether it comes from a store that could not be checked.
struct Seen {
    look: Look,
    is_stale: bool,
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The result of a question.
#[derive(Debug)]
#[non_exhaustive]
pub enum Asked {
    /// It is decided.
    Ruled(Ruling),
    /// A hash is being computed for it.
    Waiting(Waiting),
}

/// A ruling that waits for a hash.
#[derive(Debug)]
#[must_use = "nothing is known before it has been awaited"]
pub struct Waiting {
    guard: Guard,
    hashing: Hashing,
    client: Option<IpAddr>,
    id: RequestId,
}

impl Guard {
    /// A guard for the keys behind this gate, with the system's clock.
    pub fn new(gate: Gate) -> Self {
        Self::with_clock(gate, Clock::of_the_system(), Duration::ZERO)
    }

    /// A guard with another clock. While the store's server is away, it continues with what it knows for at most
    /// `stale_for`: changes made meanwhile do not count.
    pub fn with_clock(gate: Gate, clock: Clock, stale_for: Duration) -> Self {
        let counts = Arc::new(Counts::default());
        let writer = Writer::start(&gate, &counts, &clock);
        let mut start = [0; 8];
        // Ids distinguish requests, and need not be hard to guess.
        let _ = SysRng.try_fill_bytes(&mut start);
        let requests = AtomicU64::new(u64::from_be_bytes(start));
        let looked_at = AtomicU64::new(milliseconds(clock.steady()));
        Self(Arc::new(Inner { writer, counts, gate, floods: Floods::new(), clock, requests, stale_for, looked_at }))
    }

    /// How long known state is used while the store's server is away.
    pub fn stale_for(&self) -> Duration {
        self.0.stale_for
    }

    /// One look at the store; if its server is away and that is allowed, at what was known of it.
    fn turn(&self) -> Result<Turn, StoreError> {
        let Inner { gate, clock, stale_for, looked_at, .. } = &*self.0;
        let found = gate.turn();
        if stale_for.is_zero() {
            return found;
        }
        let now = milliseconds(clock.steady());
        match found {
            Ok(turn) => {
                looked_at.fetch_max(now, Ordering::Relaxed);
                Ok(turn)
            }
            Err(error @ StoreError::Server { .. }) => {
                let age = now.saturating_sub(looked_at.load(Ordering::Relaxed));
                let may_go_on = u128::from(age) <= stale_for.as_millis();
                may_go_on.then(|| gate.stale_turn()).flatten().ok_or(error)
            }
            Err(error) => Err(error),
        }
    }

    /// The gate behind it.
    pub fn gate(&self) -> &Gate {
        &self.0.gate
    }

    /// Its clock.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// What it counts.
    pub fn counts(&self) -> &Counts {
        &self.0.counts
    }

    /// Writes what was counted, and waits for it.
    pub fn flush(&self) {
        self.0.writer.flush();
    }

    /// The id of a request: the one that came along, or a new one.
    pub fn id_of(&self, headers: &HeaderMap) -> RequestId {
        RequestId::given(headers).unwrap_or_else(|| RequestId::new(self.0.requests.fetch_add(1, Ordering::Relaxed)))
    }

    /// Asks whether the request with these `facts` may be made with the credential. Pass the ruling to
    /// [`Guard::finish`], which counts it.
    pub fn ask(&self, policy: &Policy, facts: &Facts<'_>, credentials: Credentials, id: RequestId) -> Asked {
        self.ask_in(facts.client, credentials, id, |turn| Ok(policy.request(turn, facts)?))
    }

    /// Asks about a request that `request` builds from a turn at the gate. Failures are counted by `client`.
    pub fn ask_in(
        &self,
        client: Option<IpAddr>,
        credentials: Credentials,
        id: RequestId,
        request: impl FnOnce(&mut Turn) -> Result<Request, VerifyError>,
    ) -> Asked {
        let look = self.turn().map_err(VerifyError::from);
        self.asked(look.and_then(|mut turn| self.look(&mut turn, credentials, request)), client, id)
    }

    /// The same, with a look that several questions share.
    #[cfg(feature = "server")]
    pub(crate) fn ask_from(
        &self,
        seat: Seat<'_>,
        client: Option<IpAddr>,
        credentials: Credentials,
        id: RequestId,
        request: impl FnOnce(&mut Turn) -> Result<Request, VerifyError>,
    ) -> Asked {
        let look = seat.take(|| self.turn(), |turn| self.look(turn, credentials, request));
        self.asked(look.unwrap_or_else(|error| Err(error.into())), client, id)
    }

    fn look(
        &self,
        turn: &mut Turn,
        credentials: Credentials,
        request: impl FnOnce(&mut Turn) -> Result<Request, VerifyError>,
    ) -> Result<Seen, VerifyError> {
        let request = request(turn)?;
        // Rates need fractions of a second.
        let look = turn.look(credentials, &request, self.0.clock.now());
        Ok(Seen { look, is_stale: turn.is_stale() })
    }

    fn asked(&self, seen: Result<Seen, VerifyError>, client: Option<IpAddr>, id: RequestId) -> Asked {
        let Seen { look, is_stale } = match seen {
            Ok(seen) => seen,
            Err(error) => return Asked::Ruled(Ruling::failed(id, error)),
        };
        match look {
            Look::Decided(Err(error)) => Asked::Ruled(Ruling::failed(id, error)),
            Look::Decided(Ok(answer)) => Asked::Ruled(self.rule(answer, client, id).of_a_stale_store(is_stale)),
            Look::Unproven(unproven) => match self.0.floods.check(client, self.0.clock.steady()) {
                Err(wait) => Asked::Ruled(too_many(id, wait)),
                Ok(()) => match unproven.prove() {
                    Verdict::Hashing(hashing) => Asked::Waiting(Waiting { guard: self.clone(), hashing, client, id }),
                    Verdict::Ready(Ok(answer)) => Asked::Ruled(self.rule(answer, client, id)),
                    Verdict::Ready(Err(error)) => Asked::Ruled(Ruling::failed(id, error)),
                    _ => Asked::Ruled(Ruling::refused(id, Refusal::Internal)),
                },
            },
            _ => Asked::Ruled(Ruling::refused(id, Refusal::Internal)),
        }
    }

    /// The result of a hash.
    fn proven(&self, answer: Result<Answer, VerifyError>, client: Option<IpAddr>, id: RequestId) -> Ruling {
        match answer {
            Ok(answer) => self.rule(answer, client, id),
            Err(error) => Ruling::failed(id, error),
        }
    }

    /// Counts the failure, if it is one: a client that has failed too often learns nothing else.
    fn rule(&self, answer: Answer, client: Option<IpAddr>, id: RequestId) -> Ruling {
        if is_failure(&answer) {
            let now = self.0.clock.steady();
            if let Err(wait) = self.0.floods.check(client, now) {
                return too_many(id, wait);
            }
            self.0.floods.count(client, now);
        }
        Ruling::answered(id, answer).of_client(client)
    }

    /// Takes back a ruling after its answer: counts the key's call with its address, and renews a hash if needed. To
    /// refuse despite a yes, pass the refusal.
    pub fn finish(&self, ruling: Ruling) {
        let client = ruling.client();
        let Some(answer) = ruling.into_answer() else { return };
        self.0.counts.count(&answer, client, &self.0.clock);
        if answer.wants_renewal() {
            self.0.counts.renew(answer);
        }
    }
}

impl Asked {
    /// The ruling; waits for it if necessary.
    pub fn wait(self) -> Ruling {
        match self {
            Self::Ruled(ruling) => ruling,
            Self::Waiting(Waiting { guard, hashing, client, id }) => guard.proven(hashing.wait(), client, id),
        }
    }
}

impl Future for Waiting {
    type Output = Ruling;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Ruling> {
        let answer = std::task::ready!(Pin::new(&mut self.hashing).poll(context));
        let id = self.id.clone();
        Poll::Ready(self.guard.proven(answer, self.client, id))
    }
}

/// Whether a guesser would get this answer.
fn is_failure(answer: &Answer) -> bool {
    matches!(answer.decision.reason(), Some(Reason::NotGenuine | Reason::Malformed))
}

fn too_many(id: RequestId, wait: Duration) -> Ruling {
    // Rounded up, so that a client that returns then is let in.
    Ruling::refused_for(id, Refusal::TooManyFailures, wait.as_secs() + u64::from(wait.subsec_nanos() > 0))
}

/// What these headers and this target present. The query is read only if the policy accepts credentials there.
pub fn credentials_of(policy: &Policy, headers: &HeaderMap, target: &str) -> Credentials {
    let reading = Reading { accepted: policy.accept, trust: Trust::NONE };
    let fields = &mut headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    parse_parts(fields, target, reading).map_or_else(Credentials::from, |parts| parts.credentials)
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Guard({:?})", self.0.gate)
    }
}
