//! How a plan and its result are shown.

use serde::Serialize;

use crate::commands::views::{field_in_words, in_words};
use crate::error::Error;
use crate::formats::manifest::{Action, Step};
use crate::session::Session;
use crate::text::count;
use keyward_core::rules::names::Name;
use keyward_core::rules::patch::Difference;

/// The answer in JSON.
#[derive(Serialize)]
pub(super) struct PlanDocument<'d> {
    outcome: &'static str,
    changes: Vec<ChangeJson<'d>>,
}

#[derive(Serialize)]
struct ChangeJson<'d> {
    action: &'static str,
    kind: &'static str,
    name: &'d Name,
    fields: &'d [Difference],
}

impl<'d> PlanDocument<'d> {
    pub(super) fn new(outcome: &'static str, steps: &'d [Step]) -> Self {
        Self { outcome, changes: steps.iter().map(ChangeJson::new).collect() }
    }
}

impl<'d> ChangeJson<'d> {
    fn new(step: &'d Step) -> Self {
        let action = match step.action {
            Action::Create => "create",
            Action::Change => "change",
            Action::Delete => "delete",
        };
        Self { action, kind: step.subject.kind(), name: step.subject.name(), fields: &step.differences }
    }
}

/// A plan with more steps than this is shortened on a screen.
const LONG: usize = 20;
/// In a shortened plan, at least this many steps of one kind in a row become the first and the last.
const SHORTENED: usize = 4;

/// Prints the plan. On a screen, a long one is shortened to the first and the last step of each kind, unless all are
/// wanted.
pub(super) fn print_plan(session: &mut Session, steps: &[Step], wants_all: bool) -> Result<(), Error> {
    let is_whole = wants_all || steps.len() <= LONG || !session.terminal.kinds().stdout_is_terminal;
    for alike in steps.chunk_by(|one, other| one.action == other.action && one.subject.kind() == other.subject.kind()) {
        match alike {
            [first, between @ .., last] if !is_whole && alike.len() >= SHORTENED => {
                session.terminal.print(&lines(first))?;
                let more = count(between.len() as u64, first.subject.kind());
                session.terminal.print(&format!("  … and {more} more (--all shows them) …\n"))?;
                session.terminal.print(&lines(last))?;
            }
            alike => alike.iter().try_for_each(|step| session.terminal.print(&lines(step)))?,
        }
    }
    // The plan is shown before any of it is done, even in the log of a job.
    session.terminal.flush()
}

fn lines(step: &Step) -> String {
    let (kind, name) = (step.subject.kind(), step.subject.name());
    let fields = step.differences.iter();
    match step.action {
        Action::Create => {
            let set = fields.map(|d| format!("\n    {}: {}", field_in_words(&d.field), in_words(&d.new)));
            format!("+ create {kind} {name}{}\n", set.collect::<String>())
        }
        Action::Change => {
            let line = |d: &Difference| {
                let (field, old, new) = (field_in_words(&d.field), in_words(&d.old), in_words(&d.new));
                format!("~ change {kind} {name} {field}: {old} → {new}\n")
            };
            fields.map(line).collect()
        }
        Action::Delete => format!("- delete {kind} {name}\n"),
    }
}

/// Tells a person the result of the plan.
pub(super) fn report_steps(session: &mut Session, steps: &[Step], outcome: &str) {
    let number = |action| steps.iter().filter(|step| step.action == action).count();
    let (made, changed, gone) = (number(Action::Create), number(Action::Change), number(Action::Delete));
    let what = format!("{made} to create, {changed} to change, {gone} to delete");
    session.terminal.note(&match outcome {
        "unchanged" => "the store matches the manifest".to_owned(),
        "planned" => format!("{what}; nothing was changed, because of --dry-run"),
        _ => format!("created {made}, changed {changed}, deleted {gone}"),
    });
}
