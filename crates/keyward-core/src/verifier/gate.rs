//! The gate: one for all threads of a service that verifies for as long as it lives.
//!
//! A credential that matched before is decided at once, on the thread that asks, and never waits behind the hashes of
//! others. Every other one goes to a bounded pool of hashing threads; where as many wait as may, the answer is
//! [`VerifyError::Overloaded`], which is not a yes. What is not genuine costs one Argon2id of every cost that the store
//! has, whether its id is unknown, its secret wrong or its name.
//!
//! What may break: whoever can present secrets with right checksums can keep the pool busy. They delay credentials that
//! have not matched yet, and none that have.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;

use jiff::Timestamp;

use super::claim::Claim;
use super::connections::Connections;
use super::hashing::Hashing;
use super::matches::{KEY_BYTES, Matches};
use super::pool::Pool;
use super::reader::Reader;
use super::{Answer, Recorder, VerifyError};
use crate::rules::credential::{Credential, CredentialError};
use crate::rules::decision::Request;
use crate::rules::hashing::Memory;
use crate::rules::names::Name;
use crate::store::{Exposure, Store, StoreError};

/// How much a gate may do at once.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Options {
    /// Threads that compute hashes. Each of them keeps the memory of one: 19 MiB at the default cost.
    pub threads: NonZeroUsize,
    /// Credentials that may wait for a thread.
    pub queue: usize,
}

impl Default for Options {
    /// A thread a processor, and a queue of 64.
    fn default() -> Self {
        Self { threads: thread::available_parallelism().unwrap_or(NonZeroUsize::MIN), queue: 64 }
    }
}

/// Verifies credentials for many threads. Its clones are one gate; when the last of them is dropped, its threads end.
#[derive(Clone)]
pub struct Gate(Arc<Inner>);

struct Inner {
    // The pool first: its threads end before what they work with is gone.
    pool: Pool,
    front: Arc<Front>,
}

/// What the threads that ask and those that hash have in common.
struct Front {
    matches: Matches,
    connections: Arc<Connections>,
}

/// What came of a question.
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
    /// The answer, waited for where it has to be computed.
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

impl Gate {
    /// A gate to this store. `key` is random: under it is kept which credentials have matched.
    ///
    /// # Errors
    /// Where the store cannot be read, and [`VerifyError::NoThread`] where the system gives not even one thread.
    pub fn new(store: Store, key: [u8; KEY_BYTES], options: Options) -> Result<Self, VerifyError> {
        let (matches, connections) = (Matches::new(key), Arc::new(Connections::new(store)?));
        let front = Arc::new(Front { matches, connections });
        Ok(Self(Arc::new(Inner { pool: Pool::new(options.threads.get(), options.queue)?, front })))
    }

    /// Asks whether the credential may make `request` at `now`. What others had changed before counts. Nothing is
    /// written: who counts uses hands the answer to a [`Recorder`].
    ///
    /// An error is in the verdict: the credential could not be checked, which means neither yes nor no.
    pub fn ask(&self, credential: Result<Credential, CredentialError>, request: &Request, now: Timestamp) -> Verdict {
        match self.turn() {
            Ok(mut turn) => turn.ask(credential, request, now),
            Err(error) => Verdict::Ready(Err(error.into())),
        }
    }

    /// A look at the store for several questions that were asked by now. It is to be given back soon: what others change
    /// meanwhile counts from the next turn on.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn turn(&self) -> Result<Turn<'_>, StoreError> {
        Ok(Turn { gate: self, reader: Some(self.0.front.connections.take()?) })
    }

    /// A recorder of the uses of this gate, from `now` on. One is enough: several take each other for strangers, and
    /// what the gate has read is then forgotten more often.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn recorder(&self, now: Timestamp) -> Result<Recorder, StoreError> {
        Recorder::new(&self.0.front.connections, now)
    }
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Gate({})", self.0.front.connections.path.display())
    }
}

/// One look at the store, for questions that came together.
pub struct Turn<'g> {
    gate: &'g Gate,
    /// There until it is given back.
    reader: Option<Reader>,
}

impl Turn<'_> {
    /// As [`Gate::ask`], of the moment of this turn where no hash is needed.
    pub fn ask(
        &mut self,
        credential: Result<Credential, CredentialError>,
        request: &Request,
        now: Timestamp,
    ) -> Verdict {
        self.decide(credential, request, now).unwrap_or_else(|error| Verdict::Ready(Err(error)))
    }

    /// The rank of a role, `None` where there is no such role.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn rank_of(&self, role: &Name) -> Result<Option<i64>, StoreError> {
        self.reader.as_ref().map_or(Ok(None), |reader| reader.store().view()?.rank_of(role))
    }

    /// What others can do to the store that they should not.
    pub fn exposure(&self) -> Option<Exposure> {
        self.reader.as_ref().and_then(|reader| reader.store().exposure())
    }

    fn decide(
        &mut self,
        credential: Result<Credential, CredentialError>,
        request: &Request,
        now: Timestamp,
    ) -> Result<Verdict, VerifyError> {
        let claim = match Claim::of(credential) {
            Ok(claim) => claim,
            Err(refusal) => return Ok(Verdict::Ready(Ok(*refusal))),
        };
        let front = &self.gate.0.front;
        let Some(reader) = &mut self.reader else { return Err(VerifyError::GivenUp) };
        if let Err(refusal) = claim.check_place(reader.settings()) {
            return Ok(Verdict::Ready(Ok(*refusal)));
        }
        match front.known(reader, claim, request, now)? {
            Ok(answer) => Ok(Verdict::Ready(Ok(answer))),
            Err(claim) => self.gate.0.hash(claim, request, now).map(Verdict::Hashing),
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(reader) = self.reader.take() {
            self.gate.0.front.connections.give_back(reader);
        }
    }
}

impl Inner {
    fn hash(&self, claim: Claim, request: &Request, now: Timestamp) -> Result<Hashing, VerifyError> {
        let (promise, hashing) = Hashing::new();
        let (front, request) = (Arc::clone(&self.front), request.clone());
        self.pool.submit(Box::new(move |memory| promise.keep(front.prove(claim, &request, now, memory))))?;
        Ok(hashing)
    }
}

impl Front {
    /// The answer to a claim that has matched before, or the claim.
    fn known(
        &self,
        reader: &mut Reader,
        claim: Claim,
        request: &Request,
        now: Timestamp,
    ) -> Result<Result<Answer, Claim>, StoreError> {
        let Some(row) = reader.row(claim.secret.id(), &self.matches, &self.connections.commits)? else {
            return Ok(Err(claim));
        };
        // A wrong name costs what a wrong secret does.
        if !claim.is_named(&row.presented) || !self.matches.knows(&claim.secret, &row.seal) {
            return Ok(Err(claim));
        }
        let has_old_cost = row.has_old_cost(reader.settings().hash_cost);
        claim.decide(&self.connections.path, row.presented, has_old_cost, request, now).map(Ok)
    }

    /// The answer to a claim of which nothing is known yet. Of the moment at which its hash begins to be computed.
    fn prove(
        &self,
        claim: Claim,
        request: &Request,
        now: Timestamp,
        memory: &mut Memory,
    ) -> Result<Answer, VerifyError> {
        let mut reader = self.connections.take()?;
        // Another question may have had the same secret, and been before this one.
        let found = self.known(&mut reader, claim, request, now);
        let row = match &found {
            Ok(Err(claim)) => reader.row(claim.secret.id(), &self.matches, &self.connections.commits),
            _ => Ok(None),
        };
        let settings = Arc::clone(reader.settings());
        self.connections.give_back(reader);
        let claim = match found? {
            Ok(answer) => return Ok(answer),
            Err(claim) => claim,
        };
        let row = row?;
        let proof = claim.prove(row.as_ref().map(|row| &*row.presented), &settings, memory)?;
        let Some(row) = row else { return Ok(claim.refuse()) };
        if proof.matches {
            self.matches.remember(&claim.secret, &row.seal);
        }
        if !proof.is_genuine {
            return Ok(claim.refuse());
        }
        let has_old_cost = row.has_old_cost(settings.hash_cost);
        Ok(claim.decide(&self.connections.path, row.presented, has_old_cost, request, now)?)
    }
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
