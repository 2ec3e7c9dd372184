//! When to plan again: others may write meanwhile, and the plan may change.

use jiff::Timestamp;

use crate::error::{Code, Error};
use crate::formats::manifest::Step;
use crate::session::Session;

/// How often to plan again.
const MOST: u32 = 5;

/// The result of the plans so far.
pub(super) struct Attempts {
    /// The time for all of them: a duration in the manifest ends at one moment, however often it is planned.
    pub(super) now: Timestamp,
    /// The plan that was shown last, and confirmed if it needed that.
    shown: Option<Vec<Step>>,
    /// Why the last one failed.
    failed: Option<Error>,
    again: u32,
}

/// Whether two plans do the same.
pub(super) fn have_same_aim(one: &[Step], other: &[Step]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one.has_same_aim(other))
}

impl Attempts {
    pub(super) fn new(now: Timestamp) -> Self {
        Self { now, shown: None, failed: None, again: 0 }
    }

    /// Whether this plan was already shown.
    ///
    /// # Errors
    /// Why it failed, if others did not cause that: then it would fail again.
    pub(super) fn knows(&mut self, steps: &[Step]) -> Result<bool, Error> {
        let is_known = self.shown.as_ref().is_some_and(|shown| have_same_aim(shown, steps));
        match self.failed.take() {
            Some(error) if is_known && error.code() != Code::Conflict => Err(error),
            _ => Ok(is_known),
        }
    }

    /// Says why there is another plan, if there is one.
    pub(super) fn introduce(&self, session: &mut Session) {
        if self.shown.is_some() {
            session.terminal.note("the store changed in the meantime; the plan is now:");
        }
    }

    /// Records that this plan was shown.
    pub(super) fn show(&mut self, steps: &[Step]) {
        self.shown = Some(steps.to_vec());
    }

    /// Allows another attempt, unless it is hopeless. Changes by others can cause many errors: a name that is taken, a
    /// key that is gone, a file that already exists.
    ///
    /// # Errors
    /// Why this one failed.
    pub(super) fn go_on(&mut self, session: &mut Session, error: Error) -> Result<(), Error> {
        let is_theirs = match error.code() {
            Code::Conflict => !error.is_reserved(),
            Code::NameTaken | Code::NotFound | Code::InUse | Code::NotDelivered => true,
            _ => false,
        };
        if !is_theirs || self.shown.is_none() {
            return Err(error);
        }
        if self.again == MOST {
            let is_conflict = error.code() == Code::Conflict;
            return Err(if is_conflict { error.hint("nothing was changed; apply the manifest again") } else { error });
        }
        self.again += 1;
        // What was delivered before others interfered is not withdrawn.
        for hint in error.hints().iter().filter(|_| error.code() == Code::Conflict) {
            session.terminal.note(hint);
        }
        self.failed = Some(error);
        Ok(())
    }
}
