//! `keyward doctor`

use std::path::Path;

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use crate::error::{Error, Exit};
use crate::platform::{self, FileSystem, OtherUsers, User};
use crate::session::Session;
use crate::terminal::Tone;
use crate::text::{clean, count, shell_path};
use keyward_core::rules::hashing::Cost;
use keyward_core::rules::key::State;
use keyward_core::rules::time::Duration;
use keyward_core::store::{ChainCheck, Filter, NameCount, Store, StoreError, View};

/// Check the store and its keys, and suggest fixes
///
/// It checks permissions, the file system, the integrity of the file and of its history, the cost of hashing,
/// and looks for keys that never expire, expire soon, have expired, are unused, are suspended, or were left in
/// the middle of a rotation. It changes nothing.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  keyward doctor
  keyward doctor --fail-if-any --json      a gate for CI: exit code 8")]
pub struct Doctor {
    /// End with exit code 8 if anything is found
    #[arg(long)]
    fail_if_any: bool,
}

/// How long before its expiry a key "expires soon", and after how long an unused key is reported.
const SOON: &str = "14d";
const LONG: &str = "90d";

/// How serious a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Severity {
    /// In order.
    Ok,
    /// Worth a look.
    Warning,
    /// Has to be fixed.
    Problem,
}

/// What was checked, and what was found.
#[derive(Debug, Serialize)]
struct Diagnosis {
    check: &'static str,
    level: Severity,
    /// What was found.
    finding: String,
    /// What it means; `None` where all is well.
    meaning: Option<&'static str>,
    /// How to fix it; `None` where all is well.
    remedy: Option<String>,
    /// How many keys it is about.
    count: u64,
    /// The first of them.
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

    /// A finding about keys. The words say it of none, of one, and of several; the last two follow the number.
    fn about(
        check: &'static str,
        found: NameCount,
        [none, one, several]: [&str; 3],
        meaning: &'static str,
        remedy: &str,
    ) -> Self {
        let NameCount { count, names, .. } = found;
        let finding = match count {
            0 => return Self::ok(check, none),
            1 => format!("1 key {one}"),
            _ => format!("{count} keys {several}"),
        };
        Self { count, keys: names, ..Self::bad(check, Severity::Warning, finding, meaning, remedy.to_owned()) }
    }
}

impl Doctor {
    /// Runs all checks and prints the findings.
    ///
    /// # Errors
    /// Where there is no store that can be read.
    pub fn run(self, session: &mut Session) -> Result<Exit, Error> {
        let store = session.existing_store()?;
        let findings = examine(session, &store)?;
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
    let mut findings = vec![name, permissions(path), file_system(path)];
    let view = &store.view()?;
    let sound = integrity(session, view)?;
    let is_sound = sound.level == Severity::Ok;
    findings.push(sound);
    if is_sound {
        findings.push(schema(path, view)?);
        findings.push(history(session, view)?);
        findings.extend(hashing(session, view)?);
        findings.extend(keys(session, view)?);
        findings.push(reserved_names(view)?);
    }
    Ok(findings)
}

fn permissions(path: &Path) -> Diagnosis {
    let check = "permissions";
    let folder = path.parent().unwrap_or(Path::new("/"));
    let (Ok(file), Ok(around)) = (std::fs::metadata(path), std::fs::metadata(folder)) else {
        return Diagnosis::ok(check, "the permissions could not be looked at");
    };
    let mode = |found| platform::mode(found) & 0o777;
    let meaning = match OtherUsers::of(&file) {
        OtherUsers::Nothing => None,
        OtherUsers::Read => Some("others on this machine can read the names and the hashes of the keys"),
        OtherUsers::Write => Some("others on this machine can change the keys"),
    };
    if let Some(meaning) = meaning {
        let finding = format!("the store has mode {:03o}", mode(&file));
        return Diagnosis::bad(check, Severity::Problem, finding, meaning, format!("chmod 600 {}", shell_path(path)));
    }
    if OtherUsers::of(&around) == OtherUsers::Write {
        let finding = format!("the folder of the store has mode {:03o}", mode(&around));
        let meaning = "others can put another file in the place of the store, or remove it";
        return Diagnosis::bad(
            check,
            Severity::Warning,
            finding,
            meaning,
            format!("chmod go-w {}", shell_path(folder)),
        );
    }
    if platform::owner(&file).user != User::own() {
        let meaning = "its owner can do with the keys whatever you can do";
        let remedy = format!("if that is not meant to be: chown {} {}", User::own(), shell_path(path));
        return Diagnosis::bad(check, Severity::Warning, "the store belongs to another user", meaning, remedy);
    }
    Diagnosis::ok(check, format!("the store has mode {:03o}, its folder {:03o}", mode(&file), mode(&around)))
}

/// SQLite's log needs memory that all users of the file share, which file servers do not give.
fn file_system(path: &Path) -> Diagnosis {
    let check = "file_system";
    let (level, finding, meaning) = match platform::file_system(path) {
        FileSystem::Local => return Diagnosis::ok(check, "the store is on a local file system"),
        FileSystem::Untold => return Diagnosis::ok(check, "the system does not tell what the store is kept on"),
        FileSystem::Network(name) => (
            Severity::Problem,
            format!("the store is on a network file system ({name})"),
            "two machines that write it at once can damage it",
        ),
        FileSystem::Program => (
            Severity::Warning,
            "the store is on a file system that a program provides (FUSE)".to_owned(),
            "it may lead to another machine, or not keep the locks that several commands at once need",
        ),
        FileSystem::Unknown(number) => (
            Severity::Warning,
            format!("the store is on a file system that keyward does not know (0x{number:x})"),
            "perhaps it does not keep the locks that several commands at once need",
        ),
    };
    let remedy = "move it to a local disk, and let other machines ask the machine that has it".to_owned();
    Diagnosis::bad(check, level, finding, meaning, remedy)
}

fn integrity(session: &Session, view: &View<'_>) -> Result<Diagnosis, Error> {
    let meaning = "what the file says about some keys cannot be trusted, so nothing else was looked at";
    let remedy = || "leave it as it is, and put the newest backup in its place".to_owned();
    let bad = |found: String| Diagnosis::bad("integrity", Severity::Problem, found, meaning, remedy());
    let working = session.terminal.working("looking through the file");
    let found = view.damage();
    // In a file whose pages are out of order, not even the keys can be read.
    let (keys, what) = damaged_keys(session, view).unwrap_or_default();
    drop(working);
    Ok(match found {
        Ok(_) if keys.count > 0 => Diagnosis {
            count: keys.count,
            keys: keys.names,
            ..bad(format!("{} damaged: {}", count(keys.count, "key"), what.join("; ")))
        },
        Ok(None) => Diagnosis::ok("integrity", "integrity check passed"),
        Ok(Some(damage)) | Err(StoreError::Corrupt { detail: damage, .. }) => bad(damage),
        Err(error) => return Err(error.into()),
    })
}

/// What keyward did not make, it does not obey; but who put it there could do other things.
fn schema(path: &Path, view: &View<'_>) -> Result<Diagnosis, Error> {
    const SHOWN: usize = 5;
    let mut found = view.strange_parts()?;
    if found.is_empty() {
        return Ok(Diagnosis::ok("schema", "the file has the tables and indexes of keyward, and nothing else"));
    }
    let more = found.len().saturating_sub(SHOWN);
    found.truncate(SHOWN);
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    Ok(Diagnosis::bad(
        "schema",
        Severity::Problem,
        format!("{}{more}", found.join(", ")),
        "somebody changed the file without keyward; triggers and views are not obeyed, and the rest is not relied on",
        format!("find out who could write {}, and restore a backup from before", shell_path(path)),
    ))
}

/// The keys of which something is missing, and what.
fn damaged_keys(session: &Session, view: &View<'_>) -> Result<(NameCount, Vec<String>), StoreError> {
    const KINDS: usize = 5;
    let (mut keys, mut what) = (NameCount::default(), vec![]);
    view.each_key(&Filter::default(), session.now(), |key| {
        if let Some(damage) = key.damage {
            keys.add(key.name.as_str());
            if what.len() < KINDS && !what.contains(&damage) {
                what.push(damage);
            }
        }
        Ok::<_, StoreError>(())
    })?;
    Ok((keys, what))
}

fn history(session: &Session, view: &View<'_>) -> Result<Diagnosis, Error> {
    let mut progress = session.terminal.progress("checking the history", view.count_events()?);
    let found = view.check_history(|done| progress.at(done))?;
    drop(progress);
    Ok(match found {
        ChainCheck::Intact { rows } => {
            Diagnosis::ok("history", format!("the history is intact: {}", count(rows, "row")))
        }
        ChainCheck::Broken { seq, what } => Diagnosis::bad(
            "history",
            Severity::Problem,
            format!("the history is not as it was written: at row {seq}, {what}"),
            "somebody changed the file without keyward",
            "compare it with a backup, and find out who could write the store".to_owned(),
        ),
    })
}

fn hashing(session: &Session, view: &View<'_>) -> Result<Vec<Diagnosis>, Error> {
    let settings = view.settings()?;
    let (cost, least) = (settings.hash_cost, Cost::default());
    let is_weak = cost.memory_kib < least.memory_kib || cost.passes < least.passes;
    let parameters = if is_weak {
        Diagnosis::bad(
            "hash_parameters",
            Severity::Warning,
            format!("new secrets are hashed with {cost}"),
            "who steals the store can try more guesses than with the default",
            format!("keyward settings set hash-parameters {least}"),
        )
    } else {
        Diagnosis::ok("hash_parameters", format!("new secrets are hashed with {cost}"))
    };
    let other = Diagnosis::about(
        "old_hashes",
        view.keys_of_other_cost(cost, session.now())?,
        ["all hashes use these parameters", "has a hash of other parameters", "have hashes of other parameters"],
        "they are renewed at the next successful verification of each",
        "wait until they were used, or rotate those that are not: keyward rotate KEY",
    );
    Ok(vec![parameters, other])
}

fn keys(session: &Session, view: &View<'_>) -> Result<Vec<Diagnosis>, Error> {
    let now = session.now();
    let named = |filter: &Filter| {
        let mut names = NameCount::default();
        view.each_key(filter, now, |key| {
            names.add(key.name.as_str());
            Ok::<_, StoreError>(())
        })?;
        Ok::<_, StoreError>(names)
    };
    let span = |text: &str| text.parse::<Duration>().unwrap_or_default();
    let state = |state| Filter { state: Some(state), ..Filter::default() };
    let soon = Filter { expires_by: Some(span(SOON).after(now).unwrap_or(Timestamp::MAX)), ..Filter::default() };
    let unused = Filter { unused_since: Some(span(LONG).before(now).unwrap_or(Timestamp::MIN)), ..Filter::default() };
    // No advice that the store refuses.
    let (never, soon_ends) = match view.settings()?.max_lifetime {
        None => (
            "keyward edit KEY --expires 90d; for new keys: keyward settings set max-lifetime 365d".to_owned(),
            "to keep one: keyward edit KEY --expires 90d".to_owned(),
        ),
        Some(max) => (
            format!("keyward rotate KEY: the new secret expires within {max}, as max-lifetime says"),
            format!(
                "to keep one: keyward rotate KEY, then keyward edit KEY --expires WHEN, within {max} of the rotation"
            ),
        ),
    };
    Ok(vec![
        Diagnosis::about(
            "never_expires",
            view.keys_without_end()?,
            ["every key expires", "never expires", "never expire"],
            "a leaked secret stays valid until someone notices",
            &never,
        ),
        Diagnosis::about(
            "expires_soon",
            named(&soon)?,
            ["no key expires within 14 days", "expires within 14 days", "expire within 14 days"],
            "their clients will be refused then",
            &soon_ends,
        ),
        Diagnosis::about(
            "expired",
            named(&state(State::Expired))?,
            ["no key has expired", "has expired", "have expired"],
            "they no longer work; delete them to tidy up",
            "keyward list --state expired -q | xargs -r keyward delete --yes --",
        ),
        Diagnosis::about(
            "unused",
            named(&unused)?,
            ["no key was unused for 90 days", "was unused for 90 days", "were unused for 90 days"],
            "probably unused; every live key is a risk",
            "keyward list --unused-for 90d -q | xargs -r keyward disable --",
        ),
        Diagnosis::about(
            "suspended",
            named(&state(State::Suspended))?,
            ["no key is suspended", "is suspended", "are suspended"],
            "its owner or its tenant is disabled",
            "keyward user enable NAME, keyward tenant enable NAME, or keyward delete KEY",
        ),
        Diagnosis::about(
            "staged_secret",
            view.keys_with_staged_secrets()?,
            [
                "no key is in the middle of a rotation",
                "is in the middle of a rotation",
                "are in the middle of a rotation",
            ],
            "a rotation was killed; both secrets work",
            "rotate it again: keyward rotate KEY, or run create --ensure again",
        ),
    ])
}

fn reserved_names(view: &View<'_>) -> Result<Diagnosis, Error> {
    let check = "reserved_names";
    let found = view.reserved_names()?;
    if found.count == 0 {
        return Ok(Diagnosis::ok(check, "no name is a word that filters read as something else"));
    }
    let finding = format!("{} that filters read as something else", count(found.count, "name"));
    let meaning = "they go on working, but no filter finds them, and nothing new can be called so";
    let remedy = "rename them: keyward edit KEY --name NEW, keyward user edit NAME --name NEW, or edit KEY --add-scope NEW \
                  --remove-scope OLD";
    Ok(Diagnosis {
        count: found.count,
        keys: found.names,
        ..Diagnosis::bad(check, Severity::Warning, finding, meaning, remedy.to_owned())
    })
}

fn print(session: &mut Session, findings: &[Diagnosis]) -> Result<(), Error> {
    let symbols = session.terminal.stdout_has_symbols();
    let mut text = String::new();
    for finding in findings {
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
