//! What has to be restored when a signal ends the program in the middle of a question.
//!
//! While a prompt or the reveal screen is up, the cursor may be hidden, the echo off, and another screen shown. `main`
//! runs a thread that waits for SIGINT, SIGTERM, SIGHUP and SIGQUIT and calls [`Interrupts::fire`]; the prompt itself,
//! which sees Ctrl-C in its own way, calls it too. The first of them restores the terminal and says what happened; the
//! other one does nothing. SIGTSTP restores the terminal while the program is stopped.

use std::process::Child;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::{Code, Error};
use crate::platform::{EndingSignal, Process, TerminalModes, write_stderr};

/// Starts to watch for signals.
type Watch = Box<dyn FnOnce() + Send>;

/// What to do before a signal ends the program.
type Last = Box<dyn FnOnce() + Send>;

/// A listener to every signal.
struct Listener(Box<dyn Fn(EndingSignal) + Send>);

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Listener")
    }
}

/// The state that signal handlers check.
#[derive(Default)]
pub struct Interrupts {
    state: Mutex<State>,
    last: Mutex<Option<Last>>,
    /// What a person who interrupts a question is told in addition.
    hint: Mutex<Option<String>>,
    watch: Mutex<Option<Watch>>,
    /// How often another program had the screen and returned it.
    returns: AtomicU32,
    /// A signal has stopped the program, which has not resumed yet.
    stops: Arc<AtomicBool>,
}

impl std::fmt::Debug for Interrupts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Interrupts").field("state", &self.state).finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
enum State {
    /// Nothing to restore: a signal has its usual effect.
    #[default]
    Idle,
    /// A person is being asked.
    Asking { modes: Option<TerminalModes>, alternate_screen: bool, code: Code, message: &'static str },
    /// Another program has the terminal, and the keys are for it.
    OtherProgram,
    /// A command is running: a signal is passed on to it.
    Running { child: Process, signalled: bool, code: Code, message: &'static str },
    /// The person has answered, and the answer is being carried out: a signal must wait.
    Answered,
    /// Something is running that ends soon after it is asked to.
    Stoppable { asked: Arc<AtomicBool> },
    /// Something is running that gets every signal, and ends itself.
    Told(Listener),
    /// Everything is restored, and the program is about to end.
    Over,
}

/// A terminal as it was while a question was asked.
#[derive(Debug)]
pub struct TerminalState {
    modes: TerminalModes,
    alternate_screen: bool,
}

/// What a signal found.
#[derive(Debug)]
pub enum Interruption {
    /// No question was being asked.
    Idle,
    /// The terminal is restored; the program should end with this error.
    Restored(Error),
    /// An answer is being carried out; try again in a moment.
    Answered,
    /// Another thread is already ending the program.
    Over,
}

impl Interrupts {
    /// Sets the function that starts watching for signals. It is called once, at the first question: a command that
    /// asks nothing leaves signals to the system.
    pub fn watch_with(&self, watch: impl FnOnce() + Send + 'static) {
        *self.watch.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(watch));
    }

    /// Marks the beginning of a question. It ends when the returned value is dropped.
    ///
    /// An interruption until then is an error with `code` and `message`.
    pub fn section(self: &Arc<Self>, code: Code, message: &'static str) -> Section {
        let watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(watch) = watch {
            watch();
        }
        let modes = TerminalModes::save();
        *self.state() = State::Asking { modes, alternate_screen: false, code, message };
        Section { interrupts: Arc::clone(self) }
    }

    /// Marks the beginning of something that checks for itself whether a signal asked it to end.
    pub fn stoppable(self: &Arc<Self>) -> StopRequest {
        let asked = Arc::new(AtomicBool::new(false));
        let section = self.section(Code::Interrupted, "interrupted");
        *self.state() = State::Stoppable { asked: Arc::clone(&asked) };
        StopRequest { asked, _section: section }
    }

    /// Marks the beginning of something that gets every signal, and ends itself.
    pub fn told(self: &Arc<Self>, listener: impl Fn(EndingSignal) + Send + 'static) -> Section {
        let section = self.section(Code::Interrupted, "interrupted");
        *self.state() = State::Told(Listener(Box::new(listener)));
        section
    }

    /// Sets what to do before a signal ends the program in the middle of a question.
    pub fn at_the_end(&self, last: impl FnOnce() + Send + 'static) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(last));
    }

    /// From here on there is nothing to do at the end.
    pub fn forget_the_end(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Sets an extra hint for a person who interrupts a question from here on; `None` clears it.
    pub fn hint(&self, hint: Option<String>) {
        *self.hint.lock().unwrap_or_else(PoisonError::into_inner) = hint;
    }

    /// Does what has to be done before the program ends. For the code that ends it on a signal.
    pub fn come_to_the_end(&self) {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(last) = last {
            last();
        }
    }

    /// Restores the terminal, if a question is being asked.
    pub fn fire(&self, signal: EndingSignal) -> Interruption {
        let mut state = self.state();
        match std::mem::replace(&mut *state, State::Over) {
            State::Idle => {
                *state = State::Idle;
                Interruption::Idle
            }
            State::Over => Interruption::Over,
            State::OtherProgram => {
                *state = State::OtherProgram;
                Interruption::Over
            }
            State::Answered => {
                *state = State::Answered;
                Interruption::Answered
            }
            State::Stoppable { asked } => {
                // If it does not check, for example because its output is not read, the second signal ends it.
                if asked.swap(true, Ordering::Relaxed) {
                    let error = Error::new(Code::Interrupted, "interrupted twice; the last answers may not be counted");
                    return Interruption::Restored(error);
                }
                *state = State::Stoppable { asked };
                Interruption::Over
            }
            State::Told(listener) => {
                (listener.0)(signal);
                *state = State::Told(listener);
                Interruption::Over
            }
            State::Running { child, signalled, code, message } => {
                // If it does not end when asked, the second signal kills it.
                child.end(signalled);
                *state = State::Running { child, signalled: true, code, message };
                Interruption::Over
            }
            State::Asking { modes, alternate_screen, code, message } => {
                if let Some(modes) = modes {
                    modes.restore();
                    write_stderr(super::screen::end_of(alternate_screen));
                }
                let hint = self.hint.lock().unwrap_or_else(PoisonError::into_inner).take();
                Interruption::Restored(hint.into_iter().fold(Error::new(code, message), Error::hint))
            }
        }
    }

    /// Restores the terminal temporarily, if a question is being asked.
    pub fn suspend(&self) -> Option<TerminalState> {
        let state = self.state();
        let State::Asking { modes: Some(before), alternate_screen, .. } = &*state else { return None };
        let modes = TerminalModes::save()?;
        before.restore();
        write_stderr(super::screen::end_of(*alternate_screen));
        Some(TerminalState { modes, alternate_screen: *alternate_screen })
    }

    /// The flag that the handler of a stopping signal sets, before the program can notice the signal in any other
    /// way.
    pub fn stops(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stops)
    }

    /// Returns the terminal to the state of the question, if one was being asked.
    pub fn resume(&self, suspended: Option<&TerminalState>) {
        if let Some(suspended) = suspended {
            suspended.modes.restore();
            if suspended.alternate_screen {
                write_stderr(super::screen::ENTER);
            }
        }
        self.returns.fetch_add(1, Ordering::Relaxed);
        self.stops.store(false, Ordering::Release);
    }

    fn is_stopping(&self) -> bool {
        self.stops.load(Ordering::Acquire)
    }

    fn wait_until_resumed(&self) {
        while self.is_stopping() {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A question in progress.
#[derive(Debug)]
pub struct Section {
    interrupts: Arc<Interrupts>,
}

impl Section {
    /// Writes to the alternate screen. `write` gets, and may change, whether it is shown.
    ///
    /// A signal that comes meanwhile waits, and then leaves the screen. While the program is being stopped, this waits;
    /// once a signal has ended the question, nothing is written: the screen is the shell's, and a secret would stay on it.
    pub(super) fn on_screen(&self, write: impl FnOnce(&mut bool) -> std::io::Result<()>) -> std::io::Result<()> {
        let mut state = loop {
            self.interrupts.wait_until_resumed();
            let state = self.interrupts.state();
            if !self.interrupts.is_stopping() {
                break state;
            }
        };
        let State::Asking { alternate_screen, .. } = &mut *state else { return Ok(()) };
        write(alternate_screen)
    }

    /// How often another program had the screen so far: when this changes, everything must be drawn again.
    pub(super) fn returns(&self) -> u32 {
        self.interrupts.returns.load(Ordering::Relaxed)
    }

    /// Whether the program was stopped and has resumed; to be checked after a signal has ended a wait.
    pub(super) fn came_back_since(&self, returns: u32) -> bool {
        self.interrupts.wait_until_resumed();
        self.returns() != returns
    }

    /// Lends the terminal to another program until the returned value is dropped: signals from its keys are for that
    /// program, and are ignored here.
    pub fn lend(self) -> Hold {
        *self.interrupts.state() = State::OtherProgram;
        Hold { interrupts: Arc::clone(&self.interrupts) }
    }

    /// Starts a command, which counts as running until [`RunningCommand::ended`] is called. Signals that would have
    /// ended the question end the command; none of them is lost in between.
    ///
    /// # Errors
    /// The error of `start`.
    pub fn running(
        &self,
        start: impl FnOnce() -> std::io::Result<Child>,
    ) -> std::io::Result<(Child, RunningCommand<'_>)> {
        let before = TerminalModes::save();
        let mut state = self.interrupts.state();
        let child = start()?;
        if let State::Asking { code, message, .. } = *state {
            *state = State::Running { child: Process::of(&child), signalled: false, code, message };
        }
        drop(state);
        Ok((child, RunningCommand { section: self, before }))
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

    /// For an interrupted prompt: returns the error to end with. If the signal thread is already ending the program, it
    /// waits for that instead.
    pub fn interrupted(&self) -> Error {
        loop {
            match self.interrupts.fire(EndingSignal::Other) {
                Interruption::Restored(error) => return error,
                Interruption::Idle => return Error::new(Code::Interrupted, "interrupted"),
                Interruption::Answered | Interruption::Over => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }
}

/// Whether a signal has asked something to end.
#[derive(Debug)]
pub struct StopRequest {
    asked: Arc<AtomicBool>,
    _section: Section,
}

impl StopRequest {
    /// Whether a signal has come.
    pub fn is_asked_for(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }
}

/// A command that is running.
#[derive(Debug)]
pub struct RunningCommand<'s> {
    section: &'s Section,
    before: Option<TerminalModes>,
}

impl RunningCommand<'_> {
    /// Called when the command has ended: returns the error for an interruption, if there was one.
    ///
    /// # Errors
    /// The error of the section.
    pub fn ended(self) -> Result<(), Error> {
        if let Some(before) = &self.before {
            // A command that was asking for a password may have ended with the echo off.
            before.restore();
        }
        let mut state = self.section.interrupts.state();
        match std::mem::take(&mut *state) {
            State::Running { signalled: true, code, message, .. } => Err(Error::new(code, message)),
            State::Running { code, message, .. } => {
                *state = State::Asking { modes: None, alternate_screen: false, code, message };
                Ok(())
            }
            other => {
                *state = other;
                Ok(())
            }
        }
    }
}

impl Drop for Section {
    fn drop(&mut self) {
        let mut state = self.interrupts.state();
        if matches!(*state, State::Asking { .. } | State::Stoppable { .. } | State::Told(_)) {
            *state = State::Idle;
        }
    }
}

/// Until it is dropped, signals find an answer that is being carried out, or a terminal that is lent to another
/// program.
#[derive(Debug)]
pub struct Hold {
    interrupts: Arc<Interrupts>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        *self.interrupts.state() = State::Idle;
    }
}
