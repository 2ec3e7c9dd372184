//! How an answer is reported: as JSON, as a list of checks, as an exit code.

use jiff::Timestamp;
use serde::Serialize;

use crate::error::{Error, Exit};
use crate::formats::limits::{self, LimitLeft};
use crate::session::Session;
use crate::terminal::Tone;
use crate::words::Checks;
use keyward_core::rules::credential::Presentation;
use keyward_core::rules::decision::{Decision, Outcome, Request};
use keyward_core::rules::key::KeyJson;
use keyward_core::rules::names::Name;
use keyward_core::verifier::Answer;

/// The answer in JSON.
#[derive(Serialize)]
pub(super) struct AnswerJson<'a> {
    /// The number of its line in a batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    allowed: bool,
    reason: &'static str,
    status: u16,
    presentation: Option<Presentation>,
    key: Option<KeyJson<'a>>,
    effective_role: Option<&'a Name>,
    checks: Checks<'a>,
    limits: Vec<LimitLeft>,
    warnings: &'a [&'static str],
}

impl<'a> AnswerJson<'a> {
    /// The JSON for an answer to `request`, as of `at`.
    pub(super) fn new(line: Option<u64>, answer: &'a Answer, request: &'a Request, at: Timestamp) -> Self {
        Self {
            line,
            allowed: answer.decision.is_allowed(),
            reason: answer.decision.reason().map_or("allowed", |reason| reason.as_str()),
            status: answer.decision.status(),
            presentation: answer.presentation,
            key: answer.key().map(|key| key.to_json(at)),
            effective_role: answer.key().and_then(|key| key.effective_role()).map(|(role, _)| role),
            checks: Checks { checks: answer.decision.checks(), key: answer.key(), request },
            limits: limits::left(answer.reckoning()),
            warnings: &answer.warnings,
        }
    }
}

/// The answer in JSON, as bytes.
#[cfg(feature = "serve")]
pub(in crate::commands) fn document(answer: &Answer, request: &Request, at: Timestamp) -> Vec<u8> {
    // Texts, numbers and times: they cannot fail to serialise.
    serde_json::to_vec(&AnswerJson::new(None, answer, request, at)).unwrap_or_default()
}

/// The exit code for a decision.
pub(super) fn exit_of(decision: &Decision) -> Exit {
    match decision.status() {
        200 => Exit::DONE,
        401 => Exit::UNAUTHENTICATED,
        429 => Exit::LIMITED,
        _ => Exit::FORBIDDEN,
    }
}

/// Prints the answer in the requested form.
pub(super) fn print(
    session: &mut Session,
    answer: &Answer,
    request: &Request,
    at: Timestamp,
    shows_all: bool,
) -> Result<(), Error> {
    if session.json() {
        session.terminal.print_json(&AnswerJson::new(None, answer, request, at))
    } else if session.quiet() {
        Ok(())
    } else {
        if answer.warnings.contains(&"credential_in_query") {
            session.terminal.warn("the credential stood in a URL, which logs and histories keep: send it in a header");
        }
        let text = checklist(session, answer, request, shows_all);
        let text = session.terminal.wrapped(&text, session.terminal.kinds().stdout_is_terminal);
        session.terminal.print(&text)
    }
}

/// A line for the answer and a line for each check that failed, or for every check, readable without colors and
/// symbols.
fn checklist(session: &Session, answer: &Answer, request: &Request, shows_all: bool) -> String {
    let (pass, fail, skip) =
        if session.terminal.stdout_has_symbols() { ("✓", "✗", "–") } else { ("pass", "FAIL", "skip") };
    let mut text = match (answer.decision.reason(), answer.key()) {
        (None, Some(key)) => format!("allowed: {}\n", key.name),
        (None, None) => "allowed\n".to_owned(),
        (Some(reason), Some(key)) => {
            format!("refused: {} ({}), key {}\n", reason.as_str(), answer.decision.status(), key.name)
        }
        (Some(reason), None) => format!("refused: {} ({})\n", reason.as_str(), answer.decision.status()),
    };
    let checks = Checks { checks: answer.decision.checks(), key: answer.key(), request };
    for words in checks.in_words().filter(|words| shows_all || words.check.outcome == Outcome::Fail) {
        let (mark, tone) = match words.check.outcome {
            Outcome::Pass => (pass, Tone::Good),
            Outcome::Fail => (fail, Tone::Bad),
            Outcome::Skip => (skip, Tone::Faint),
        };
        text.push_str(&format!("  {} {}\n", session.terminal.paint(mark, tone), words));
        if let Some(remedy) = words.remedy() {
            let remedy = session.advice(&remedy);
            text.push_str(&format!("  {:width$} {remedy}\n", "", width = mark.chars().count()));
        }
    }
    text
}
