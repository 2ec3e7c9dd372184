//! The gate: a long-running service needs one for all of its threads.
//!
//! A credential that matched before is decided at once, on the calling thread, and never waits for the hashes of
//! others. Every other one goes to a bounded pool of hashing threads. If the queue is full, the answer is
//! [`VerifyError::Overloaded`], which is not a yes. A credential that is not genuine takes one Argon2id hash for every
//! cost in the store, whether its id is unknown, its secret wrong or its name wrong. The same one again takes none,
//! until the store changes.
//!
//! What may break: an attacker who presents secrets with correct checksums can keep the pool busy. That delays
//! credentials that have not matched yet, but none that have.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use jiff::Timestamp;

use super::claim::{Claim, Found, Judgement, Reading, Several};
use super::connections::Connections;
use super::hasher::Hasher;
use super::hashing::{Hashing, Promise};
use super::matches::{KEY_BYTES, Matches};
use super::pool::Pool;
use super::reader::{Reader, Remembering};
use super::rows::Row;
use super::together::Together;
use super::wrong::Wrong;
use super::{Answer, Recorder, VerifyError, limits, wrong};
use crate::rules::credential::Credentials;
use crate::rules::decision::Request;
use crate::rules::hashing::Memory;
use crate::rules::limits::Moment;
use crate::rules::names::Name;
use crate::store::{BUSY_TIMEOUT, Exposure, Store, StoreError, View};

/// How much a gate may do at once.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Options {
    /// Threads that compute hashes. Each keeps the memory for one hash, 19 MiB at the default cost, and for another one
    /// if it is in the background on a machine that is never idle.
    pub threads: NonZeroUsize,
    /// The number of credentials that may wait for a thread.
    pub queue: usize,
    /// Whether hashes are computed in idle processor time, so that the calling thread answers others as fast as before,
    /// however many credentials wait. If there is no idle time for a second, they take a small share of what is used.
    pub is_background: bool,
    /// How long a question may wait for other processes that have locked the store.
    pub patience: Duration,
    /// How long a recorder may wait for them.
    pub patience_to_write: Duration,
    /// Whether a lost connection to a server is restored in the background, while questions fail. Otherwise the
    /// question that finds it lost restores it, for as long as its patience lasts.
    pub reconnects_beside: bool,
    /// Whether an allowed request counts against the limits of its key. Otherwise they are only checked.
    pub takes: bool,
}

impl Default for Options {
    /// One thread per processor, a queue of 64, and the patience of a command: ten seconds.
    fn default() -> Self {
        Self {
            threads: thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            queue: 64,
            is_background: false,
            patience: BUSY_TIMEOUT,
            patience_to_write: BUSY_TIMEOUT,
            reconnects_beside: false,
            takes: true,
        }
    }
}

/// Verifies credentials for many threads. Clones share one gate; when the last of them is dropped, its threads end.
#[derive(Clone)]
pub struct Gate(Arc<Inner>);

struct Inner {
    // The pool comes first: its threads must end before the data that they use is dropped.
    pool: Pool,
    front: Arc<Front>,
}

/// What calling threads and hashing threads share.
struct Front {
    matches: Matches,
    wrong: Wrong,
    together: Arc<Together<Question>>,
    takes: bool,
    connections: Arc<Connections>,
}

/// A claim of which nothing is known yet, and the rows that it may match.
type Unknown = (Claim, Several<Found>);

/// A question waiting for a hash.
struct Question {
    promise: Promise,
    claim: Claim,
    request: Request,
    now: Timestamp,
}

/// The result of a question.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "it lives for a moment on a stack; a box would be an allocation a request"
)]
#[non_exhaustive]
pub enum Verdict {
    /// It is decided.
    Ready(Result<Answer, VerifyError>),
    /// A hash is being computed for it.
    Hashing(Hashing),
}

impl Verdict {
    /// The answer; waits if it is still being computed.
    ///
    /// # Errors
    /// As [`Gate::ask`].
    pub fn wait(self) -> Result<Answer, VerifyError> {
        match self {
            Self::Ready(answer) => answer,
            Self::Hashing(hashing) => hashing.wait(),
        }
    }
}

/// What is known about a question without an Argon2id hash.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "as for a verdict")]
#[non_exhaustive]
pub enum Look {
    /// It is decided.
    Decided(Result<Answer, VerifyError>),
    /// Nothing is known about the credential yet.
    Unproven(Unproven),
}

/// A credential that only an Argon2id hash can prove genuine, with its question.
#[must_use = "nothing is known before it has been proven"]
pub struct Unproven {
    gate: Gate,
    claim: Claim,
    request: Request,
    now: Timestamp,
}

impl Unproven {
    /// Has the hash computed.
    pub fn prove(self) -> Verdict {
        let Self { gate, claim, request, now } = self;
        gate.0.hash(claim, request, now).map_or_else(|error| Verdict::Ready(Err(error)), Verdict::Hashing)
    }
}

impl std::fmt::Debug for Unproven {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Unproven")
    }
}

impl Gate {
    /// A gate to this store. `key` must be random: it protects the memory of which credentials have matched.
    ///
    /// # Errors
    /// If the store cannot be read or was moved to another place, and [`VerifyError::NoThread`] if the system does not
    /// provide even one thread.
    pub fn new(store: Store, key: [u8; KEY_BYTES], options: Options) -> Result<Self, VerifyError> {
        store.check_here()?;
        let is_read_only = store.is_read_only();
        let patience = [options.patience, options.patience_to_write];
        let connections = Connections::new(store, patience, options.reconnects_beside)?;
        if is_read_only {
            connections.meters.cannot_be_written();
        }
        let front = Arc::new(Front {
            matches: Matches::new(key),
            wrong: Wrong::new(key),
            together: Arc::default(),
            takes: options.takes,
            connections,
        });
        Ok(Self(Arc::new(Inner {
            pool: Pool::new(options.threads.get(), options.queue, options.is_background)?,
            front,
        })))
    }

    /// Asks whether what was presented may make `request` at `now`. Earlier changes by other processes count. Nothing
    /// is written: to count uses, pass the answer to a [`Recorder`].
    ///
    /// The verdict may be an error: the credential could not be checked, which means neither yes nor no.
    pub fn ask(&self, credentials: Credentials, request: &Request, now: Timestamp) -> Verdict {
        match self.turn() {
            Ok(mut turn) => turn.ask(credentials, request, now),
            Err(error) => Verdict::Ready(Err(error.into())),
        }
    }

    /// One look at the store for several questions that have already been asked. Drop it soon: changes made meanwhile
    /// count from the next turn on.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn turn(&self) -> Result<Turn, StoreError> {
        Ok(Turn { gate: self.clone(), reader: Some(self.0.front.connections.take()?) })
    }

    /// What was known before the connection to the server was lost; `None` if it is not lost. Changes since then do not
    /// count in such a turn, and only credentials presented before then are known.
    pub fn stale_turn(&self) -> Option<Turn> {
        Some(Turn { gate: self.clone(), reader: Some(self.0.front.connections.take_stale()?) })
    }

    /// The path of the store.
    pub fn path(&self) -> &Path {
        &self.0.front.connections.path
    }

    /// How many credentials wait for a hash, or are being hashed.
    pub fn waiting(&self) -> usize {
        self.0.pool.waiting()
    }

    /// A recorder of the uses of this gate, from `now` on. One is enough: several treat each other as strangers, and
    /// the gate then forgets what it has read more often.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn recorder(&self, now: Timestamp) -> Result<Recorder, StoreError> {
        let connections = &self.0.front.connections;
        Recorder::new(connections, now).inspect_err(|_| connections.meters.failed())
    }

    /// How often a recorder of this gate should write its counts: once a second, or ten times a second if the store is
    /// on a server.
    pub fn writes_every(&self) -> Duration {
        self.0.front.connections.writes_every()
    }

    /// Whether some use of a limit has not been written yet.
    pub fn is_behind(&self) -> bool {
        self.0.front.connections.meters.is_behind()
    }

    /// Declares that nothing will ever be written: from now on, keys with limits cannot be checked.
    pub fn cannot_record(&self) {
        self.0.front.connections.meters.cannot_be_written();
    }
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Gate({})", self.0.front.connections.path.display())
    }
}

/// One look at the store, for questions that arrived together.
pub struct Turn {
    gate: Gate,
    /// Present until it is returned.
    reader: Option<Reader>,
}

impl Turn {
    /// As [`Gate::ask`], but as of this turn if no hash is needed.
    pub fn ask(&mut self, credentials: Credentials, request: &Request, now: Timestamp) -> Verdict {
        match self.look(credentials, request, now) {
            Look::Decided(answer) => Verdict::Ready(answer),
            Look::Unproven(unproven) => unproven.prove(),
        }
    }

    /// What is known at once. The caller decides whether an unknown credential is worth a hash.
    pub fn look(&mut self, credentials: Credentials, request: &Request, now: Timestamp) -> Look {
        self.decide(credentials, request, now).unwrap_or_else(|error| Look::Decided(Err(error)))
    }

    /// The rank of a role, `None` if there is no such role.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn rank_of(&mut self, role: &Name) -> Result<Option<i64>, StoreError> {
        self.reader.as_mut().map_or(Ok(None), |reader| reader.rank_of(role))
    }

    /// Reads anything else from the store, as of now. A long read does not block others.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn view(&self) -> Result<View<'_>, VerifyError> {
        let reader = self.reader.as_ref().ok_or(VerifyError::GivenUp)?;
        Ok(reader.view()?)
    }

    /// Whether it shows the state before the connection to the server was lost.
    pub fn is_stale(&self) -> bool {
        self.reader.as_ref().is_some_and(|reader| reader.stale.is_some())
    }

    /// What others can do to the store that they should not be able to do.
    pub fn exposure(&self) -> Option<Exposure> {
        self.reader.as_ref().and_then(|reader| reader.store().exposure())
    }

    fn decide(&mut self, credentials: Credentials, request: &Request, now: Timestamp) -> Result<Look, VerifyError> {
        let front = &self.gate.0.front;
        let Some(reader) = &mut self.reader else { return Err(VerifyError::GivenUp) };
        let claim = match Claim::of(credentials, reader.settings()) {
            Ok(claim) => claim,
            Err(refusal) => return Ok(Look::Decided(Ok(*refusal))),
        };
        Ok(match front.known(reader, claim, request, now)? {
            Ok(answer) => Look::Decided(Ok(answer)),
            Err((claim, _)) => {
                Look::Unproven(Unproven { gate: self.gate.clone(), claim, request: request.clone(), now })
            }
        })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(reader) = self.reader.take() {
            self.gate.0.front.connections.give_back(reader);
        }
    }
}

impl Inner {
    fn hash(&self, claim: Claim, request: Request, now: Timestamp) -> Result<Hashing, VerifyError> {
        let (promise, hashing) = Hashing::new();
        let question = Question { promise, claim, request, now };
        let tag = self.front.wrong.tag_of(&question.claim);
        let Some((lead, question)) = self.front.together.begin(tag, question) else { return Ok(hashing) };
        let front = Arc::clone(&self.front);
        self.pool.submit(Box::new(move |hasher| {
            front.answer(question, hasher);
            // Questions that came meanwhile: what is known now answers them.
            for question in lead.end() {
                front.answer(question, hasher);
            }
        }))?;
        Ok(hashing)
    }
}

impl Front {
    fn answer(&self, question: Question, hasher: &mut dyn Hasher) {
        let Question { promise, claim, request, now } = question;
        promise.keep(self.prove(claim, &request, now, hasher));
    }

    /// The moment of what a reader finds from now on.
    fn moment(&self, reader: &Reader) -> wrong::Moment {
        wrong::Moment { state: reader.state(), renewals: self.connections.commits.renewals() }
    }

    /// The rows that a claim may match.
    fn find(&self, reader: &mut Reader, claim: &Claim) -> Result<Several<Found>, StoreError> {
        let settings = Arc::clone(reader.settings());
        let Self { matches, connections, .. } = self;
        let source = &mut Remembering { reader, matches, rows: &connections.rows, commits: &connections.commits };
        claim.find(&settings.imports, source)
    }

    /// Whether the presented text is the secret in a row, if that is known without an Argon2id hash.
    fn verdict(&self, reading: Reading<'_>, row: &Row, hasher: &mut dyn Hasher) -> Option<bool> {
        if row.presented.hash.is_fast() {
            return row.matches(reading.plain, hasher).ok();
        }
        row.seal.as_ref().and_then(|seal| self.matches.verdict(reading.plain, seal))
    }

    /// The answer to a claim known to be right or wrong, or the claim with the rows that it may match.
    fn known(
        &self,
        reader: &mut Reader,
        claim: Claim,
        request: &Request,
        now: Timestamp,
    ) -> Result<Result<Answer, Unknown>, VerifyError> {
        let moment = self.moment(reader);
        let found = self.find(reader, &claim)?;
        let mut none = Memory::default();
        let judgement = claim.judge(&found, now, &mut |reading, row| self.verdict(reading, row, &mut none));
        let judgement = judgement.filter(|judgement| !matches!(judgement, Judgement::NotGenuine));
        let Some(judgement) = judgement else {
            let is_wrong = self.wrong.knows(&claim, moment);
            return Ok(if is_wrong { Ok(claim.refuse()) } else { Err((claim, found)) });
        };
        let settings = Arc::clone(reader.settings());
        let mut answer = claim.rule(found, judgement, (&self.connections.path, &settings), request, now)?;
        self.reckon(&mut answer, reader, request, now)?;
        Ok(Ok(answer))
    }

    /// Adds the result of the limits to an answer.
    fn reckon(
        &self,
        answer: &mut Answer,
        reader: &Reader,
        request: &Request,
        now: Timestamp,
    ) -> Result<(), VerifyError> {
        let Some(presented) = limits::limited(answer, request) else { return Ok(()) };
        let reckoning = self.connections.meters.reckon(presented, request, reader, Moment::of(now), self.takes)?;
        answer.reckon(reckoning);
        Ok(())
    }

    /// The answer to a claim about which nothing is known yet, as of the moment when its hash begins.
    fn prove(
        &self,
        claim: Claim,
        request: &Request,
        now: Timestamp,
        hasher: &mut dyn Hasher,
    ) -> Result<Answer, VerifyError> {
        let mut reader = self.connections.take()?;
        let moment = self.moment(&reader);
        // Another question may have had the same secret and been faster.
        let found = self.known(&mut reader, claim, request, now);
        let settings = Arc::clone(reader.settings());
        self.connections.give_back(reader);
        let (claim, found) = match found? {
            Ok(answer) => return Ok(answer),
            Err(unknown) => unknown,
        };
        let judgement = claim.prove(&found, &settings, now, hasher, &mut |reading, row, matches| {
            // A wrong keyward secret is remembered by the whole of what was presented.
            if let Some(seal) = row.seal.as_ref().filter(|_| matches || row.presented.secret.imported.is_some()) {
                self.matches.remember(reading.plain, seal, matches);
            }
        })?;
        if matches!(judgement, Judgement::NotGenuine) {
            self.wrong.remember(&claim, moment);
            return Ok(claim.refuse());
        }
        let mut answer = claim.rule(found, judgement, (&self.connections.path, &settings), request, now)?;
        let reader = self.connections.take()?;
        let reckoned = self.reckon(&mut answer, &reader, request, now);
        self.connections.give_back(reader);
        reckoned.map(|()| answer)
    }
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
