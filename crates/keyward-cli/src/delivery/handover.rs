//! The handover: delivers secrets and commits their keys to the store, for one secret or many.
//!
//! One protocol for `create`, `duplicate`, `rotate`, `create --ensure` and `apply`:
//!
//! 1. **Reserve.** The change is made and rolled back. The name of the new key, or the key being rotated, is reserved.
//!    What goes into a file is announced. The new secret of a rotation is staged if its place cannot give it back or
//!    may lose the old one. ([`Lease::take`])
//! 2. **Deliver.** Nothing holds the store's lock while a person, a pipe or a program takes its time. A thread renews
//!    the reservation. Commands come first, because what they took cannot be withdrawn. Standard output and the screen
//!    come last and all at once, so that their secrets are out as a whole or not at all.
//! 3. **Commit.** The change is made. ([`Lease::commit`])
//! 4. **Keep or take back.** If the delivery failed, files are restored, the clipboard is cleared, and the reservation
//!    is released: everything is as before. If the commit failed, the same is done with what can be withdrawn. Where
//!    that is impossible, the secret stays: after a rotation, both secrets keep working, and the error says so.
//!
//! What may break: a crash between the steps leaves a secret without a key, which opens nothing, and never a key whose
//! secret nobody has. After a rotation, it leaves both secrets working. A signal that ends the program releases the
//! reservation first.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use keyward_core::issuer::{Lease, Parcel, StagedSecret};
use keyward_core::rules::key::{Key, SecretState};
use keyward_core::rules::text::count;
use keyward_core::rules::token::{Id, Secret};
use keyward_core::store::{Changes, NewSecret, Stamp, Store, Subject};

use super::{Deposit, Effect, Sink, Told};
use crate::error::{Code, Error};
use crate::platform::start_thread;
use crate::session::Session;
use crate::terminal::Interrupts;

/// How often a reservation is renewed.
const RENEWED_EVERY: Duration = Duration::from_secs(20);
/// The pause before checking again whether another process's reservation has ended.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How long to keep trying while another process mints for the same name or key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// For two seconds: most deliveries are over by then, and their result is known.
    Short,
    /// For half a minute: for a command that can continue from whatever the other one made.
    Long,
}

impl Patience {
    fn looks(self) -> u32 {
        match self {
            Self::Short => 100,
            Self::Long => 1_500,
        }
    }

    /// Tries until no other process has reserved what the attempt needs.
    ///
    /// # Errors
    /// The error of the last attempt.
    pub fn wait<T>(
        self,
        session: &mut Session,
        mut attempt: impl FnMut(&mut Session) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut looks = self.looks();
        loop {
            match attempt(session) {
                Err(error) if error.is_reserved() && looks > 0 => looks -= 1,
                made => return made,
            }
            thread::sleep(LOOK_EVERY);
            session.look_at_the_clock();
        }
    }
}

/// A secret, and where it goes. A named place takes one secret; standard output and the screen take all of them.
#[derive(Debug)]
pub struct Order<'o> {
    /// The sink that takes it.
    pub sink: &'o Sink,
    /// The secret, wiped as soon as it is delivered.
    pub secret: Secret,
    /// What it is for.
    pub subject: Subject,
}

/// Secrets that are handed over together.
#[derive(Debug)]
pub struct Handover<'h> {
    /// The secrets, in the order of the keys that the change returns.
    pub orders: Vec<Order<'h>>,
    /// The current keys and their new secrets, in the same order; empty if keys are made.
    pub rotations: Vec<(&'h Key, &'h NewSecret)>,
    /// How long to wait for others.
    pub patience: Patience,
}

impl<'h> Handover<'h> {
    fn outcome(&self) -> Effect {
        if self.is_rotation() { Effect::Rotated } else { Effect::Created }
    }

    fn is_rotation(&self) -> bool {
        !self.rotations.is_empty()
    }

    /// The new secrets of rotations that must work before they are delivered.
    fn staged(&self, session: &Session) -> Vec<StagedSecret<'h>> {
        let with_places = self.rotations.iter().zip(&self.orders);
        let staged = with_places.filter_map(|(&(key, secret), order)| {
            order.sink.staging(session).map(|staging| StagedSecret { key, secret, staging })
        });
        staged.collect()
    }

    fn parcels(&self) -> Vec<Parcel> {
        let parcel = |order: &Order<'_>| Parcel {
            subject: order.subject.clone(),
            secret: order.secret.id().clone(),
            is_announced: !self.is_rotation() && order.sink.is_file(),
        };
        self.orders.iter().map(parcel).collect()
    }

    /// Wipes the secrets.
    fn sent(self) -> Sent<'h> {
        let commands = self.orders.iter().filter(|order| order.sink.is_command()).count() as u64;
        let ids = self.orders.iter().map(|order| order.secret.id().clone()).collect();
        Sent { ids, commands, rotations: self.rotations }
    }
}

/// A key that a change made or rotated.
#[derive(Debug)]
pub struct Changed {
    /// The key as it is now.
    pub key: Key,
    /// What turned out differently from the request.
    pub warnings: Vec<&'static str>,
}

/// What remains of a handover once its secrets are delivered.
struct Sent<'h> {
    ids: Vec<Id>,
    commands: u64,
    rotations: Vec<(&'h Key, &'h NewSecret)>,
}

/// Delivers the secrets and makes their `change`, as the module describes. Returns the keys of the secrets, in order.
/// `change` is called twice, and the first call is rolled back. Durations must count from [`Changes::now`], which may
/// differ between the calls. (It is not a type parameter, because the protocol would be compiled once for each
/// command.)
///
/// # Errors
/// The error of `change`; [`Code::Conflict`] if another process mints for the same name or key; [`Code::NotDelivered`]
/// or [`Code::Cancelled`] if a sink did not take its secret. The store is unchanged then.
///
/// [`Code::Conflict`]: crate::error::Code::Conflict
/// [`Code::NotDelivered`]: crate::error::Code::NotDelivered
/// [`Code::Cancelled`]: crate::error::Code::Cancelled
pub fn hand_over(
    session: &mut Session,
    store: &mut Store,
    handover: Handover<'_>,
    change: &dyn Fn(&Changes<'_>) -> Result<Vec<Changed>, Error>,
) -> Result<Vec<Changed>, Error> {
    let (mut rehearsed, lease) = reserve(session, store, &handover, change)?;
    let news = session.tell_news(store);
    add(&mut rehearsed, &news);
    let mut deposit = Deposit::default();
    let watch = handover
        .orders
        .iter()
        .any(|order| order.sink.may_wait())
        .then(|| Watch::start(session, store, &lease, &deposit.is_final));
    let delivered = deliver(session, &handover, &rehearsed, &lease, &mut deposit);
    drop(watch);
    if handover.orders.iter().any(|order| order.sink.waits_for_someone()) {
        session.look_at_the_clock();
    }
    let sent = handover.sent();
    if let Err(error) = delivered {
        if deposit.is_final() && lease.has_staged() {
            return Err(not_committed(session, store, &sent, &lease, deposit, error));
        }
        let error = taken_back(deposit, error);
        // If this fails too, the reservation expires by itself, and `doctor` reports the staged secret that remains.
        let _ = lease.give_back(store, session.stamp());
        return Err(error);
    }
    match lease.commit(store, session.stamp(), change) {
        Ok(mut made) => {
            deposit.keep(session);
            add(&mut made, &news);
            add(&mut made, &session.tell_news(store));
            Ok(made)
        }
        Err(error) if error.code() == Code::UnknownOutcome => {
            deposit.leave();
            Err(unknown(&sent, error))
        }
        Err(error) => Err(not_committed(session, store, &sent, &lease, deposit, error)),
    }
}

/// Adds notices that concern all of them, once.
fn add(made: &mut [Changed], news: &[&'static str]) {
    for Changed { warnings, .. } in made {
        let fresh: Vec<_> = news.iter().filter(|warning| !warnings.contains(warning)).collect();
        warnings.extend(fresh);
    }
}

/// Takes the reservation as soon as no one else holds it.
fn reserve(
    session: &mut Session,
    store: &mut Store,
    handover: &Handover<'_>,
    change: &dyn Fn(&Changes<'_>) -> Result<Vec<Changed>, Error>,
) -> Result<(Vec<Changed>, Lease), Error> {
    handover.patience.wait(session, |session| {
        Lease::take(store, session.stamp(), handover.parcels(), &handover.staged(session), change)
    })
}

fn deliver(
    session: &mut Session,
    handover: &Handover<'_>,
    rehearsed: &[Changed],
    lease: &Lease,
    deposit: &mut Deposit,
) -> Result<(), Error> {
    let (outcome, is_staged) = (handover.outcome(), lease.has_staged());
    let (commands, others): (Vec<_>, Vec<_>) =
        handover.orders.iter().zip(rehearsed).partition(|(order, _)| order.sink.is_command());
    let (places, shared): (Vec<_>, Vec<_>) = others.into_iter().partition(|(order, _)| order.sink.place().is_some());
    let mut rounds: Vec<_> = commands.chunks(1).chain(places.chunks(1)).collect();
    if !shared.is_empty() {
        rounds.push(&shared);
    }
    let mut commands_done = 0;
    for round in rounds {
        let Some((Order { sink, .. }, _)) = round.first() else { continue };
        // Files never block, so a signal waits for them: otherwise it could leave only some of them.
        if sink.is_quick() && deposit.hold.is_none() {
            deposit.hold = Some(session.interrupts.section(Code::Interrupted, super::INTERRUPTED).answered());
        }
        let told =
            round.iter().map(|(order, Changed { key, warnings })| (&order.secret, Told { key, outcome, warnings }));
        if let Err(error) = sink.take(session, &told.collect::<Vec<_>>(), is_staged, deposit) {
            return Err(if commands_done == 0 { error } else { error.hint(void(commands_done)) });
        }
        commands_done += u64::from(sink.is_command());
    }
    deposit.files.sync().map_err(|error| if commands_done == 0 { error } else { error.hint(void(commands_done)) })
}

/// Called when the secrets are out but the change is not made: withdraws what it can, and tells the person which
/// secrets work.
fn not_committed(
    session: &Session,
    store: &mut Store,
    sent: &Sent<'_>,
    lease: &Lease,
    deposit: Deposit,
    error: Error,
) -> Error {
    let is_final = deposit.is_final();
    let error = taken_back(deposit, error);
    if is_final && lease.has_staged() {
        let _ = lease.end(store, session.stamp());
        // A key may have been deleted, or both secrets replaced. If that is unknown, assume the state when it was
        // staged.
        let works = |secret: &NewSecret| {
            let found = store.view().and_then(|view| view.presented(&secret.id));
            found.map(|found| found.is_some_and(|found| found.secret.state(session.now()) != SecretState::Retired))
        };
        let working = sent.rotations.iter().filter(|(_, secret)| works(secret).unwrap_or(true));
        let working: Vec<_> = working.map(|(key, _)| &key.name).collect();
        return error.after_delivery(sent.ids.len() - working.len(), &working);
    }
    let _ = lease.give_back(store, session.stamp());
    match (sent.ids.len(), sent.commands) {
        (1, _) => error.after_delivery(1, &[]),
        (all, _) if is_final && sent.commands == 0 => error.after_delivery(all, &[]),
        (_, 0) => error,
        (_, commands) => error.hint(void(commands)),
    }
}

/// Called when the secrets are out and it is unknown whether the change was made: their sinks keep them.
fn unknown(sent: &Sent<'_>, error: Error) -> Error {
    let Some(id) = sent.ids.first() else { return error };
    let error = error.of_unknown_outcome(id);
    let rotated: Vec<_> = sent.rotations.iter().map(|(key, _)| key.name.as_str()).collect();
    match (&rotated[..], sent.ids.len()) {
        ([name], _) => error.hint(format!(
            "the secret was delivered, and the one before it works as well; to be sure: keyward rotate {name}"
        )),
        ([_, ..], _) => error.hint(format!(
            "the secrets were delivered, and the ones before them work as well; to be sure: keyward rotate {}",
            rotated.join(" ")
        )),
        ([], 1) => error
            .hint(format!("the secret was delivered, and was left where it is; whether it works: keyward show {id}"))
            .hint("to make sure: the same command again, of create with --ensure"),
        ([], _) => {
            error.hint("the secrets were delivered, and were left where they are; to make sure: the same command again")
        }
    }
}

fn void(commands: u64) -> String {
    format!("what {} took opens nothing", count(commands, "command"))
}

fn taken_back(deposit: Deposit, error: Error) -> Error {
    if deposit.take_back() { error } else { error.hint("what had been in its place could not be put back") }
}

/// Maintains a reservation while its secret is delivered: renews it, and releases it if a signal ends the program.
struct Watch {
    interrupts: Arc<Interrupts>,
    /// The renewing thread ends when this is dropped.
    _renewal: mpsc::Sender<()>,
}

impl Watch {
    fn start(session: &Session, store: &Store, lease: &Lease, is_final: &Arc<AtomicBool>) -> Self {
        let (renewal, stopped) = mpsc::channel();
        let (open, clock) = (store.again(), session.clock());
        let (of_renewal, of_end) = (lease.clone(), lease.clone());
        let renew = move || {
            while stopped.recv_timeout(RENEWED_EVERY) == Err(RecvTimeoutError::Timeout) {
                let renewed = open().and_then(|mut store| of_renewal.renew(&mut store, clock()));
                if matches!(renewed, Ok(false)) {
                    return;
                }
            }
        };
        // If the system provides no thread, the reservation ends early; nothing else is lost.
        let _ = start_thread(renew);
        let (open, clock) = (store.again(), session.clock());
        let (actor, is_final) = (session.stamp().actor.cloned(), Arc::clone(is_final));
        session.interrupts.at_the_end(move || {
            let stamp = Stamp { now: clock(), actor: actor.as_ref() };
            // A secret that someone has is not withdrawn if it works already.
            let is_kept = is_final.load(Ordering::Acquire) && of_end.has_staged();
            let end = if is_kept { Lease::end } else { Lease::give_back };
            let _ = open().and_then(|mut store| end(&of_end, &mut store, stamp));
        });
        Self { interrupts: Arc::clone(&session.interrupts), _renewal: renewal }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.interrupts.forget_the_end();
    }
}
