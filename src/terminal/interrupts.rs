//! What has to be put back when a signal ends the program in the middle of a question.
//!
//! While a prompt or the reveal screen is up, the cursor may be hidden, the echo off, and another
//! screen shown. `main` runs a thread that waits for SIGINT, SIGTERM, SIGHUP and SIGQUIT and calls
//! [`Interrupts::fire`]; the prompt itself, which learns of Ctrl-C by its own way, calls it too.
//! Whoever comes first restores the terminal and says what happened; the other one keeps still.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::error::{Code, Error};

/// The state that signals look at.
#[derive(Debug, Default)]
pub struct Interrupts(Mutex<State>);

#[derive(Debug, Default)]
enum State {
    /// Nothing to put back: a signal does what it always does.
    #[default]
    Idle,
    /// A person is being asked.
    Asking { termios: Option<Box<Termios>>, alternate_screen: bool, code: Code, message: &'static str },
    /// Another program has the terminal, and the keys are for it.
    Lent,
    /// The person has answered, and what they said is being carried out: a signal has to wait.
    Answered,
    /// Everything is put back, and the program is about to end.
    Over,
}

/// What a signal found.
#[derive(Debug)]
pub enum Fired {
    /// Nobody was being asked.
    Idle,
    /// The terminal is as it was; the program should end with this error.
    Restored(Error),
    /// An answer is being carried out; try again in a moment.
    Answered,
    /// Somebody else is ending the program already.
    Over,
}

impl Interrupts {
    /// Marks the beginning of a question. It ends when the returned value is dropped.
    ///
    /// An interruption until then is an error of `code` that says `message`.
    pub fn section(self: &Arc<Self>, code: Code, message: &'static str) -> Section {
        let termios = tcgetattr(rustix::stdio::stdin()).ok().map(Box::new);
        *self.state() = State::Asking { termios, alternate_screen: false, code, message };
        Section { interrupts: Arc::clone(self) }
    }

    /// Puts the terminal back, if a question is being asked.
    pub fn fire(&self) -> Fired {
        let mut state = self.state();
        match std::mem::replace(&mut *state, State::Over) {
            State::Idle => {
                *state = State::Idle;
                Fired::Idle
            }
            State::Over => Fired::Over,
            State::Lent => {
                *state = State::Lent;
                Fired::Over
            }
            State::Answered => {
                *state = State::Answered;
                Fired::Answered
            }
            State::Asking { termios, alternate_screen, code, message } => {
                if let Some(termios) = termios {
                    let _ = tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &termios);
                }
                let restore: &[u8] = if alternate_screen { super::screen::LEAVE } else { super::screen::END_OF_PROMPT };
                let _ = rustix::io::write(rustix::stdio::stderr(), restore);
                Fired::Restored(Error::new(code, message))
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A question in progress.
#[derive(Debug)]
pub struct Section {
    interrupts: Arc<Interrupts>,
}

impl Section {
    /// Says whether the alternate screen is shown; returns whether it was.
    pub(super) fn set_alternate_screen(&self, shown: bool) -> bool {
        match &mut *self.interrupts.state() {
            State::Asking { alternate_screen, .. } => std::mem::replace(alternate_screen, shown),
            State::Idle | State::Lent | State::Answered | State::Over => false,
        }
    }

    /// Lends the terminal to another program until the returned value is dropped: signals that its keys
    /// make are for it, and forgotten here.
    pub fn lent(self) -> Hold {
        *self.interrupts.state() = State::Lent;
        Hold { interrupts: Arc::clone(&self.interrupts) }
    }

    /// Ends the question: from here on until the returned value is dropped, signals wait. If one came
    /// first, this never returns, because the program is being ended.
    pub fn answered(self) -> Hold {
        loop {
            let mut state = self.interrupts.state();
            if matches!(*state, State::Over) {
                drop(state);
                std::thread::sleep(Duration::from_millis(50));
                continue;
            }
            *state = State::Answered;
            return Hold { interrupts: Arc::clone(&self.interrupts) };
        }
    }

    /// What a prompt does that was interrupted: it returns the error to end with, unless the
    /// signal's own thread is ending the program already, for which it waits.
    pub fn interrupted(&self) -> Error {
        loop {
            match self.interrupts.fire() {
                Fired::Restored(error) => return error,
                Fired::Idle => return Error::new(Code::Interrupted, "interrupted"),
                Fired::Answered | Fired::Over => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }
}

impl Drop for Section {
    fn drop(&mut self) {
        let mut state = self.interrupts.state();
        if matches!(*state, State::Asking { .. }) {
            *state = State::Idle;
        }
    }
}

/// What signals find until it is dropped: an answer that is being carried out, or a terminal that is
/// lent to another program.
#[derive(Debug)]
pub struct Hold {
    interrupts: Arc<Interrupts>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        *self.interrupts.state() = State::Idle;
    }
}
