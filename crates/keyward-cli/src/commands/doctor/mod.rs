//! `keyward doctor`

mod contents;
mod file;
mod keys;
#[cfg(feature = "postgres")]
mod server;

use clap::Args;
use serde::Serialize;

use crate::error::{Error, Exit};
use crate::session::Session;
use crate::terminal::Tone;
use crate::text::clean;
use keyward_core::store::{NameCount, Store};

use self::contents::{history, integrity, schema};
use self::file::{file_system, permissions};
pub(super) use self::keys::{LONG, SOON, span_of};
use self::keys::{hashing, imported, keys, reserved_names};

/// Check the store and its keys, and suggest fixes
///
/// It checks permissions, the file system, the integrity of the file and of its history, the cost of hashing,
/// and looks for keys that never expire, expire soon, have expired, are unused, are suspended, or were left in
/// the middle of a rotation, and for imported secrets that are not renewed yet or are those of two keys. Of a store in a database, it checks the server and the rights of the role instead of the
/// file. It changes nothing.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  keyward doctor
  keyward doctor --fail-if-any --json  # a gate for CI: exit code 8")]
pub struct Doctor {
    /// End with exit code 8 if anything is found
    #[arg(long)]
    fail_if_any: bool,
}

/// How serious a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Severity {
    /// All is well.
    Ok,
    /// Worth checking.
    Warning,
    /// Must be fixed.
    Problem,
}

/// What was checked, and what was found.
#[derive(Debug, Serialize)]
struct Diagnosis {
    check: &'static str,
    level: Severity,
    /// What was found.
    finding: String,
    /// What it means; `None` if all is well.
    meaning: Option<&'static str>,
    /// How to fix it; `None` if all is well.
    remedy: Option<String>,
    /// How many keys it is about.
    count: u64,
    /// The first few of them.
    keys: Vec<String>,
}

impl Diagnosis {
    fn ok(check: &'static str, finding: impl Into<String>) -> Self {
        let finding = finding.into();
        Self { check, level: Severity::Ok, finding, meaning: None, remedy: None, count: 0, keys: vec![] }
    }

    fn bad(
        check: &'static str,
        level: Severity,
        finding: impl Into<String>,
        meaning: &'static str,
        remedy: String,
    ) -> Self {
        let (meaning, remedy) = (Some(meaning), Some(remedy));
        Self { level, meaning, remedy, ..Self::ok(check, finding) }
    }

    /// A finding about keys, worded for none, for one and for several; the last two follow the number.
    fn about(
        check: &'static str,
        found: NameCount,
        [none, one, several]: [&str; 3],
        meaning: &'static str,
        remedy: &str,
    ) -> Self {
        let NameCount { count, names, .. } = found;
        if count == 0 {
            return Self::ok(check, none);
        }
        let finding = count_of(count, &format!("key {one}"), &format!("keys {several}"));
        Self { count, keys: names, ..Self::bad(check, Severity::Warning, finding, meaning, remedy.to_owned()) }
    }
}

/// A number with its singular or plural.
pub(in crate::commands) fn count_of(number: u64, one: &str, several: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { several })
}

impl Doctor {
    /// Runs all checks and prints the findings.
    ///
    /// # Errors
    /// If there is no readable store.
    pub fn run(self, session: &mut Session) -> Result<Exit, Error> {
        let store = session.existing_store()?;
        let mut findings = examine(session, &store)?;
        for finding in &mut findings {
            finding.remedy = finding.remedy.take().map(|remedy| session.advice(&remedy));
        }
        if session.json() {
            session.terminal.print_json(&findings)?;
        } else {
            print(session, &findings)?;
        }
        let found = findings.iter().any(|finding| finding.level != Severity::Ok);
        Ok(if self.fail_if_any && found { Exit::FOUND } else { Exit::DONE })
    }
}

fn examine(session: &Session, store: &Store) -> Result<Vec<Diagnosis>, Error> {
    let path = store.path();
    let name = Diagnosis::ok("store", format!("the store is {}", path.display()));
    let mut findings = vec![name];
    if let Err(moved) = store.check_here() {
        let (meaning, remedy) = ("here it can only be read", "name the store where it is now".to_owned());
        findings.push(Diagnosis::bad("moved", Severity::Problem, moved.to_string(), meaning, remedy));
    }
    if !store.is_on_server() {
        findings.extend([permissions(path), file_system(path)]);
    }
    #[cfg(feature = "postgres")]
    let is_known = match store.check_up_server(&*session.clock())? {
        Some(server) => {
            findings.extend(server::findings(&server));
            // The report says which tables this role may not read, so nothing more can be checked.
            if server.role.lacks.iter().any(|right| right.starts_with("SELECT ")) {
                return Ok(findings);
            }
            server.schema.found == server.schema.known
        }
        None => true,
    };
    // Every file has this program's schema, or is opened as if it had.
    #[cfg(not(feature = "postgres"))]
    let is_known = true;
    let view = &store.view()?;
    let sound = integrity(session, store, view)?;
    let is_sound = sound.level == Severity::Ok;
    findings.push(sound);
    if is_sound {
        if is_known {
            findings.push(schema(store, view)?);
        }
        findings.push(history(session, view)?);
        findings.extend(hashing(session, view)?);
        findings.extend(imported(session, view)?);
        findings.extend(keys(session, view)?);
        findings.push(reserved_names(view)?);
    }
    Ok(findings)
}

fn print(session: &mut Session, findings: &[Diagnosis]) -> Result<(), Error> {
    let symbols = session.terminal.stdout_has_symbols();
    let mut text = String::new();
    let is_short = session.quiet();
    for finding in findings.iter().filter(|finding| !is_short || finding.level != Severity::Ok) {
        let (mark, tone) = match (finding.level, symbols) {
            (Severity::Ok, true) => ("✓", Tone::Good),
            (Severity::Warning, true) => ("!", Tone::Warning),
            (Severity::Problem, true) => ("✗", Tone::Bad),
            (Severity::Ok, false) => ("ok  ", Tone::Plain),
            (Severity::Warning, false) => ("warn", Tone::Plain),
            (Severity::Problem, false) => ("FAIL", Tone::Plain),
        };
        let blanks = " ".repeat(mark.chars().count());
        text.push_str(&format!("{} {}\n", session.terminal.paint(mark, tone), clean(&finding.finding)));
        if !finding.keys.is_empty() {
            let more = finding.count.saturating_sub(finding.keys.len() as u64);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            text.push_str(&format!("{blanks}   {}{more}\n", clean(&finding.keys.join(", "))));
        }
        for line in finding.meaning.into_iter().chain(finding.remedy.as_deref()) {
            text.push_str(&format!("{blanks}   {line}\n"));
        }
    }
    let text = session.terminal.wrapped(&text, session.terminal.kinds().stdout_is_terminal);
    session.terminal.print(&text)
}
