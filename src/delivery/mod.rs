//! Where a secret goes, and the rule that ties it to its key: **deliver, then commit**.
//!
//! A key exists if and only if its secret was delivered. So the change that makes a key (or puts a
//! new secret in the place of an old one) is committed only after its sink has taken the secret,
//! and [`deliver_then_commit`] is the one place where that order stands:
//!
//! - A sink that takes the secret at once (stdout, a file) does so *inside* the transaction: everything
//!   that could forbid the change has been checked by then, and only the commit is left.
//! - A sink that may wait for a person or a program does so *between* two transactions. The first
//!   one rehearses the change and is taken back, so nobody waits for a lock in the meantime; the
//!   second one makes it. Should another process have taken the name by then, the person is told
//!   that the secret which they hold is void.
//!
//! Where the change fails after all, the sink gives the secret back if it can: a file is put back as it
//! was, the clipboard is cleared. A crash in between leaves a secret without a key, which opens nothing,
//! and never a key whose secret nobody has. What goes into a file is *announced* in the store first, so that
//! such a leftover is told from the secret of another store, which must not be replaced.
//!
//! A rotation whose sink *replaces* the old secret (a file, a variable, whatever a command keeps) takes one
//! more step, because a crash would leave the new secret in its place without a key, and the old one, which
//! still opens the key, nowhere. So the new secret is *staged* first: it is committed beside the old one, and
//! both work until the new one was delivered. A crash leaves both of them working.

mod clipboard;
mod command;
mod files;
mod github;
mod placed;
mod reveal;

use serde::Serialize;

pub use clipboard::{CLEAR_AFTER, hold as hold_clipboard, needs_an_answer};
use clipboard::{Copied, Keeper};
use files::Files;
pub use github::StepFile;
pub use placed::{Existing, Place, Proof};

use crate::error::{Code, Error};
use crate::session::Session;
use crate::terminal::Hold;
use crate::text::count;
use keyward_core::rules::key::{Key, KeyJson};
use keyward_core::rules::token::Secret;
use keyward_core::store::{Changes, Stamp, Store};

/// What is said where a person interrupts the delivery.
const INTERRUPTED: &str = "interrupted before the secret was acknowledged; nothing was changed";

/// What became of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is new.
    Created,
    /// It has a new secret.
    Rotated,
    /// Its settings changed.
    Updated,
    /// It is as it was.
    Unchanged,
    /// It is gone.
    Deleted,
}

/// Where a secret goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sink {
    /// stdout, alone on its line.
    Line,
    /// stdout, inside the JSON document of the command.
    Document,
    /// The screen of a person, who acknowledges it.
    Screen,
    /// The clipboard.
    Clipboard {
        /// After so many seconds it is cleared, if it still holds the secret.
        seconds: u64,
        /// Take for granted that a terminal took the secret, which it does not say.
        trusting: bool,
    },
    /// A place that was named.
    Place(Place),
}

impl Sink {
    /// The sink for a command that was given no other. `yes` is the flag that answers for the person.
    ///
    /// # Errors
    /// [`Code::ConfirmationRequired`] where a person would see the secret and could not be asked.
    pub fn choose(session: &Session, yes: bool) -> Result<Self, Error> {
        let streams = session.terminal.kinds();
        if streams.stdout_is_closed {
            return Err(not_delivered(closed()));
        }
        if session.json() {
            Ok(Self::Document)
        } else if !streams.stdout_is_terminal || yes {
            Ok(Self::Line)
        } else if session.terminal.can_ask() {
            Ok(Self::Screen)
        } else {
            Err(Error::new(
                Code::ConfirmationRequired,
                "the secret would be shown, and nobody can confirm that it was stored",
            )
            .hint("add --yes to have it printed, or --json, or name a place for it with --secret-file"))
        }
    }

    /// Whether it may wait for someone while it takes the secret.
    fn waits(&self) -> bool {
        matches!(self, Self::Screen | Self::Clipboard { .. } | Self::Place(Place::Command(_)))
    }

    /// Whether the old secret of a key may be gone from it when it has taken the new one.
    pub fn replaces(&self) -> bool {
        matches!(self, Self::Place(Place::File { .. } | Place::Dotenv { .. } | Place::Command(_)))
    }

    /// The place, where it is one that was named.
    pub fn place(&self) -> Option<&Place> {
        match self {
            Self::Place(place) => Some(place),
            _ => None,
        }
    }
}

/// What a sink has taken, until the change that belongs to it is made.
#[derive(Debug, Default)]
struct Taken {
    /// Keeps signals waiting until then.
    hold: Option<Hold>,
    /// Has the secret in the clipboard.
    keeper: Option<Keeper>,
    /// Have the secret.
    files: Files,
    /// What there is to tell once the change is made.
    notes: Vec<String>,
}

impl Taken {
    /// The change was made.
    fn keep(self, session: &mut Session) {
        self.files.keep();
        for note in &self.notes {
            session.terminal.note(note);
        }
    }

    /// The change was not made: takes back what can be taken back, and says so where that is not all.
    fn take_back(self) -> bool {
        if let Some(keeper) = self.keeper {
            // It clears the clipboard by itself, only later.
            let _ = keeper.withdraw();
        }
        self.files.take_back()
    }
}

/// A secret on its way, and what became of its key.
#[derive(Debug, Clone, Copy)]
pub struct Delivery<'d> {
    /// Where it goes.
    pub sink: &'d Sink,
    /// What goes there.
    pub secret: &'d Secret,
    /// What the document of the command says about the key.
    pub outcome: Outcome,
}

impl Delivery<'_> {
    /// Hands the secret over.
    fn make(self, session: &mut Session, key: &Key) -> Result<Taken, Error> {
        let Self { sink, secret, outcome } = self;
        match sink {
            Sink::Line => deliver_line(session, secret).map(|()| Taken::default()),
            Sink::Document => deliver_document(session, key, secret, outcome).map(|()| Taken::default()),
            Sink::Screen => reveal::reveal(session, key, secret),
            Sink::Clipboard { seconds, trusting } => copy(session, secret, *seconds, *trusting),
            Sink::Place(place) => {
                let mut taken = Taken::default();
                match place.take(session, secret, &mut taken).and_then(|()| taken.files.sync()) {
                    Ok(()) => Ok(taken),
                    Err(error) => Err(taken_back(taken, error)),
                }
            }
        }
    }
}

/// Makes a delivery and the `change` that belongs to it, in the order that the module describes. Where
/// the sink is not the JSON document of the command, that is printed without the secret.
///
/// `change` may be called twice, the first time in vain.
///
/// # Errors
/// What `change` says; [`Code::NotDelivered`] or [`Code::Cancelled`] where the sink did not take
/// the secret. In each case the store is as it was.
pub fn deliver_then_commit(
    session: &mut Session,
    store: &mut Store,
    delivery: Delivery<'_>,
    change: impl Fn(&Changes<'_>) -> Result<Key, Error>,
) -> Result<Key, Error> {
    let key = if delivery.sink.waits() {
        between_transactions(session, store, delivery, change)?
    } else {
        let announced = [delivery.secret.id()];
        let is_announced = delivery.outcome == Outcome::Created && delivery.sink.place().is_some_and(Place::is_file);
        if is_announced {
            store.rehearse(session.stamp(), &change)?;
            store.write(session.stamp(), |changes| changes.announce(&announced))?;
        }
        inside_transaction(session, store, delivery, change).inspect_err(|_| {
            // Should this fail too, an id stays written down that nobody ever presents.
            let _ = is_announced.then(|| store.write(session.stamp(), |changes| changes.withdraw(&announced)));
        })?
    };
    if session.json() && *delivery.sink != Sink::Document {
        print_outcome(session, &key, delivery.outcome)?;
    }
    Ok(key)
}

/// One of several secrets on their way.
#[derive(Debug, Clone, Copy)]
pub struct Order<'o> {
    /// Where it goes.
    pub place: &'o Place,
    /// What goes there.
    pub secret: &'o Secret,
}

/// Makes several deliveries and the one `change` that belongs to all of them. Commands, which may wait, are run
/// between two transactions, and everything else is placed inside the second.
///
/// `change` is called twice, the first time in vain.
///
/// # Errors
/// What `change` says; [`Code::NotDelivered`] where one place did not take its secret. In each case the store
/// is as it was, and the places too, but for what commands have taken.
pub fn deliver_all_then_commit(
    session: &mut Session,
    store: &mut Store,
    orders: &[Order<'_>],
    change: impl Fn(&Changes<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    store.rehearse(session.stamp(), &change)?;
    let (commands, places): (Vec<&Order<'_>>, _) =
        orders.iter().partition(|order| matches!(order.place, Place::Command(_)));
    let mut taken = Taken::default();
    for (before, order) in commands.iter().enumerate() {
        if let Err(error) = order.place.take(session, order.secret, &mut taken) {
            let error = taken_back(taken, error);
            return Err(if before == 0 { error } else { error.hint(void(before as u64)) });
        }
    }
    session.look_at_the_clock();
    let actor = session.stamp().actor.cloned();
    let stamp = Stamp { now: session.now(), actor: actor.as_ref() };
    let files: Vec<_> = places.iter().filter(|order| order.place.is_file()).map(|order| order.secret.id()).collect();
    if !files.is_empty()
        && let Err(error) = store.write(stamp, |changes| changes.announce(&files))
    {
        return Err(taken_back(taken, error.into()));
    }
    let result = store.write(stamp, |changes| {
        change(changes)?;
        for order in &places {
            order.place.take(session, order.secret, &mut taken)?;
        }
        taken.files.sync()
    });
    match result {
        Ok(()) => {
            taken.keep(session);
            Ok(())
        }
        Err(error) => {
            let error = taken_back(taken, error);
            let _ = store.write(stamp, |changes| changes.withdraw(&files));
            Err(if commands.is_empty() { error } else { error.hint(void(commands.len() as u64)) })
        }
    }
}

fn void(commands: u64) -> String {
    format!("what {} took opens nothing", count(commands, "command"))
}

/// Prints the JSON document of a command that shows no secret.
///
/// # Errors
/// Where stdout takes nothing.
pub fn print_outcome(session: &mut Session, key: &Key, outcome: Outcome) -> Result<(), Error> {
    let document = Document { key: key.to_json(session.now()), secret: None, outcome };
    session.terminal.print_json(&document)
}

fn between_transactions(
    session: &mut Session,
    store: &mut Store,
    delivery: Delivery<'_>,
    change: impl Fn(&Changes<'_>) -> Result<Key, Error>,
) -> Result<Key, Error> {
    let key = store.rehearse(session.stamp(), &change)?;
    let taken = delivery.make(session, &key)?;
    session.look_at_the_clock();
    let result = store.write(session.stamp(), &change);
    settle(session, result, taken)
}

fn inside_transaction(
    session: &mut Session,
    store: &mut Store,
    delivery: Delivery<'_>,
    change: impl Fn(&Changes<'_>) -> Result<Key, Error>,
) -> Result<Key, Error> {
    // Owned, because the session is needed for the sink while the store is being written.
    let actor = session.stamp().actor.cloned();
    let stamp = Stamp { now: session.now(), actor: actor.as_ref() };
    let mut taken = None;
    let result = store.write(stamp, |changes| {
        let key = change(changes)?;
        taken = Some(delivery.make(session, &key)?);
        Ok(key)
    });
    match taken {
        Some(taken) => settle(session, result, taken),
        None => result,
    }
}

/// What was delivered stays where the change was made, and is taken back where it was not.
fn settle<T>(session: &mut Session, result: Result<T, Error>, taken: Taken) -> Result<T, Error> {
    match result {
        Ok(value) => {
            taken.keep(session);
            Ok(value)
        }
        // The secret is out and the key is not in: the person has to know.
        Err(error) => Err(taken_back(taken, error).after_delivery()),
    }
}

fn taken_back(taken: Taken, error: Error) -> Error {
    if taken.take_back() {
        return error;
    }
    error.hint("what had been in its place could not be put back")
}

/// The document of `create`, `duplicate` and `rotate`.
#[derive(Serialize)]
struct Document<'d> {
    key: KeyJson<'d>,
    secret: Option<&'d str>,
    outcome: Outcome,
}

fn deliver_document(session: &mut Session, key: &Key, secret: &Secret, outcome: Outcome) -> Result<(), Error> {
    let document = Document { key: key.to_json(session.now()), secret: Some(secret.expose()), outcome };
    // Room for all of it at once: a buffer that grows leaves copies of the secret behind.
    let mut text = zeroize::Zeroizing::new(Vec::with_capacity(64 * 1024));
    serde_json::to_writer(&mut *text, &document).map_err(anyhow::Error::new)?;
    text.push(b'\n');
    session.terminal.deliver(&text).map_err(not_delivered)
}

fn deliver_line(session: &mut Session, secret: &Secret) -> Result<(), Error> {
    let mut line = zeroize::Zeroizing::new(Vec::with_capacity(secret.expose().len() + 1));
    line.extend_from_slice(secret.expose().as_bytes());
    line.push(b'\n');
    session.terminal.deliver(&line).map_err(not_delivered)
}

/// Copies, and where the terminal gives no answer, asks the person for theirs.
fn copy(session: &mut Session, secret: &Secret, seconds: u64, trusting: bool) -> Result<Taken, Error> {
    let failed = |why: &dyn std::fmt::Display| {
        Error::new(Code::NotDelivered, format!("the secret was not copied: {why}; nothing was changed"))
            .hint("leave --copy out to have it shown, or use --json, or send standard output to where it belongs")
    };
    let copied = clipboard::copy(session, secret, seconds).map_err(|error| failed(&error))?;
    session.terminal.note(&copied.note());
    match copied {
        Copied::Kept(_, keeper) => return Ok(Taken { keeper: Some(keeper), ..Taken::default() }),
        Copied::Sent if trusting => return Ok(Taken::default()),
        Copied::Sent => {}
    }
    if !session.terminal.can_ask() {
        return Err(failed(
            &"the terminal does not say whether it took it, and nobody can (--yes takes it for granted)",
        ));
    }
    let section = session.interrupts.section(Code::NotDelivered, INTERRUPTED);
    if session.terminal.confirm(&section, "Paste it where it belongs. Is it there?", false)? {
        Ok(Taken::default())
    } else {
        Err(Error::new(Code::Cancelled, "discarded; nothing was changed"))
    }
}

fn closed() -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::NotConnected, "it is closed, or leads nowhere (/dev/null)")
}

fn not_delivered(error: std::io::Error) -> Error {
    Error::new(Code::NotDelivered, format!("standard output did not take the secret: {error}"))
        .hint("nothing was changed; send standard output to a file, a pipe or a terminal that takes it")
}
