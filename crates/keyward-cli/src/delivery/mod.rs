//! Where a secret goes: one file per sink, and [`hand_over`], the one protocol that ties a secret to its key.
//!
//! A key exists if and only if its secret was delivered. What a sink has taken is a [`Deposit`] until its change is
//! made: then it is kept; otherwise it is withdrawn as far as possible.

mod clipboard;
mod command;
mod files;
mod github;
mod handover;
mod place;
mod reveal;
mod stdout;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use keyward_core::rules::key::Key;
use keyward_core::rules::token::Secret;
use keyward_core::store::Staging;
use serde::Serialize;

use clipboard::Keeper;
pub use clipboard::{CLEAR_AFTER, hold as hold_clipboard, needs_an_answer};
use files::Files;
pub use github::StepFile;
pub use handover::{Changed, Handover, Order, Patience, hand_over};
pub use place::{Existing, Place, Proof};
pub use stdout::print_outcomes;

use crate::error::{Code, Error};
use crate::session::Session;
use crate::terminal::Hold;

/// The message for an interruption of the delivery.
const INTERRUPTED: &str = "interrupted before the secret was acknowledged; nothing was changed";

/// What happened to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// It is new.
    Created,
    /// It has a new secret.
    Rotated,
    /// Its settings changed.
    Updated,
    /// It is unchanged.
    Unchanged,
    /// It was deleted.
    Deleted,
}

/// What is reported about a key.
#[derive(Debug, Clone, Copy)]
pub struct Told<'t> {
    /// The key.
    pub key: &'t Key,
    /// What happened to it.
    pub outcome: Effect,
    /// What turned out differently from the request, as in the `warnings` of a document.
    pub warnings: &'t [&'static str],
}

/// Where a secret goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sink {
    /// stdout, as a line of its own.
    Line,
    /// stdout, on a line after the name of its key: one of several.
    NamedLine,
    /// stdout, inside the JSON document of the command.
    Document,
    /// stdout, inside a document in the command's JSON array: one of several.
    DocumentInArray,
    /// The screen of a person, who acknowledges it.
    Screen,
    /// The clipboard.
    Clipboard {
        /// The number of seconds after which it is cleared, if it still holds the secret.
        seconds: u64,
        /// Assume that a terminal took the secret, which it does not say.
        trusting: bool,
    },
    /// A named place.
    Place(Place),
}

impl Sink {
    /// The sink for a command that was given no other. `yes` is the flag that answers instead of the person.
    ///
    /// # Errors
    /// [`Code::ConfirmationRequired`] if a person would see the secret and could not be asked.
    pub fn choose(session: &Session, yes: bool) -> Result<Self, Error> {
        let streams = session.terminal.kinds();
        if streams.stdout_is_closed {
            return Err(stdout::closed());
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

    /// The same sink, when it takes several secrets that belong together.
    #[must_use]
    pub fn of_several(self) -> Self {
        match self {
            Self::Line => Self::NamedLine,
            Self::Document => Self::DocumentInArray,
            other => other,
        }
    }

    /// Whether it is standard output.
    fn is_stdout(&self) -> bool {
        matches!(self, Self::Line | Self::NamedLine) || self.is_document()
    }

    /// Whether the command's document contains the secret.
    pub fn is_document(&self) -> bool {
        matches!(self, Self::Document | Self::DocumentInArray)
    }

    /// Whether it waits for a person or a program while it takes the secret: the time is later then.
    fn waits_for_someone(&self) -> bool {
        matches!(self, Self::Screen | Self::Clipboard { .. }) || self.is_command()
    }

    /// Whether anything other than this machine's disks can delay it.
    fn may_wait(&self) -> bool {
        self.waits_for_someone() || self.is_stdout()
    }

    /// How the new secret of a rotation is staged; `None` if its place keeps the old one and can give the new one back.
    fn staging(&self, session: &Session) -> Option<Staging> {
        match self {
            _ if self.is_stdout() && session.terminal.kinds().stdout_is_file => None,
            Self::Place(Place::Step { .. }) => None,
            // The place may lose the old secret as soon as it has the new one.
            Self::Place(Place::File { .. } | Place::Dotenv { .. } | Place::Command(_)) => Some(Staging::Told),
            _ => Some(Staging::Quiet),
        }
    }

    /// Whether it is a file that contains only the secret.
    fn is_file(&self) -> bool {
        matches!(self, Self::Place(Place::File { .. }))
    }

    /// Whether it never blocks.
    fn is_quick(&self) -> bool {
        matches!(self, Self::Place(_)) && !self.is_command()
    }

    fn is_command(&self) -> bool {
        matches!(self, Self::Place(Place::Command(_)))
    }

    /// The place, if it is a named one.
    pub fn place(&self) -> Option<&Place> {
        match self {
            Self::Place(place) => Some(place),
            _ => None,
        }
    }

    /// Takes all secrets or none. `is_staged` says whether they work already.
    fn take(
        &self,
        session: &mut Session,
        secrets: &[(&Secret, Told<'_>)],
        is_staged: bool,
        deposit: &mut Deposit,
    ) -> Result<(), Error> {
        let each = || secrets.iter().map(|(secret, _)| *secret);
        match self {
            Self::Line => stdout::write(session, &stdout::lines(secrets, false), is_staged, deposit),
            Self::NamedLine => stdout::write(session, &stdout::lines(secrets, true), is_staged, deposit),
            Self::Document | Self::DocumentInArray => {
                let text = stdout::documents(session, secrets, *self == Self::DocumentInArray)?;
                stdout::write(session, &text, is_staged, deposit)
            }
            Self::Screen => reveal::reveal(session, secrets, deposit),
            Self::Clipboard { seconds, trusting } => {
                each().try_for_each(|secret| clipboard::deliver(session, secret, *seconds, *trusting, deposit))
            }
            Self::Place(place) => each().try_for_each(|secret| place.take(session, secret, deposit)),
        }
    }
}

/// What sinks have taken, until its change is made.
#[derive(Debug, Default)]
struct Deposit {
    /// Makes signals wait until then.
    hold: Option<Hold>,
    /// The keeper that holds the secret in the clipboard.
    keeper: Option<Keeper>,
    /// The files that hold secrets.
    files: Files,
    /// Whether a person, a program or a reader has a secret that cannot be withdrawn. The handler of an ending signal
    /// checks this too.
    is_final: Arc<AtomicBool>,
    /// Notes to print once the change is made.
    notes: Vec<String>,
}

impl Deposit {
    fn set_final(&self) {
        self.is_final.store(true, Ordering::Release);
    }

    fn is_final(&self) -> bool {
        self.is_final.load(Ordering::Acquire)
    }

    /// Called when the change was made.
    fn keep(self, session: &mut Session) {
        self.files.keep();
        for note in &self.notes {
            session.terminal.note(note);
        }
    }

    /// Called when it is unknown whether the change was made: everything stays where it is.
    fn leave(self) {
        self.files.keep();
    }

    /// Called when the change was not made: withdraws what can be withdrawn. Returns whether the files were restored.
    fn take_back(self) -> bool {
        if let Some(keeper) = self.keeper {
            // Otherwise the keeper clears the clipboard by itself, only later.
            let _ = keeper.withdraw();
        }
        self.files.take_back()
    }
}
