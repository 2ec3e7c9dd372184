//! `keyward scan`

mod git;
mod known;
mod report;
mod sources;
mod workers;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::thread;

use clap::{Args, ValueHint};
use keyward_core::rules::key::{Key, SecretInfo, SecretState};
use keyward_core::rules::token::Id;
use keyward_core::store::{Store, StoreError};

use self::known::{Known, Lookup};
use self::report::{Finding, Form, Place, Report};
use self::sources::{Buffer, Sighting, Walk, look_through};
use self::workers::{News, in_order};
use crate::error::{Code, Error, Exit};
use crate::session::{Enter, Session};
use crate::text::{count, in_plain_words, shell_words};

/// Find leaked secrets, say whose they are, and stop their keys
///
/// Looks through files, binary ones too, for secrets of keyward's form with a right checksum: as they are,
/// percent-encoded, in base64 and in UTF-16. What is compressed is not looked into, symbolic links are not followed,
/// and `.git` is left out: --git looks through its history. For each secret it tells the file, the line, the column in
/// bytes, the key and its state, and whether the secret is genuine; never more of the secret than its prefix and its
/// public id. A secret that this store does not know is one of another store. Imported keys are not found: their secrets
/// have no form of their own.
///
/// Only keys whose secret was found genuine are ever disabled: anybody can write a text with the public id of a
/// key. In a terminal, you are asked at the end.
///
/// It needs no store to find secrets, and so can stand in a pre-commit hook or a step of CI. The regular expression
/// for other scanners, which do not check the checksum, is
///
///   [a-z][a-z0-9_]{0,15}_[0-9a-hjkmnp-tv-z]{12}_[0-9A-Za-z]{49}
#[allow(
    rustdoc::broken_intra_doc_links,
    reason = "--help would print the backticks that a regular expression needs here"
)]
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  keyward scan
  keyward scan src .env --fail-if-any  # a gate for CI: exit code 8
  keyward scan --git
  keyward scan --git main..HEAD --fail-if-any
  keyward scan --sarif > keyward.sarif
  keyward scan --disable --yes /var/log
  git diff --cached | keyward scan --fail-if-any -  # a pre-commit hook")]
pub struct Scan {
    /// Files and folders to look through; - is standard input [default: the folder where you are]
    #[arg(value_name = "PATH", value_hint = ValueHint::AnyPath)]
    paths: Vec<PathBuf>,
    /// Look through all that a git history ever added, or through what these commits added
    #[arg(long, value_name = "RANGE", num_args = 0..=1, default_missing_value = "")]
    git: Option<String>,
    /// Exit with 8 if there is any secret
    #[arg(long)]
    fail_if_any: bool,
    /// Disable the keys whose secrets were found and work
    #[arg(long)]
    disable: bool,
    /// With --disable: do not ask
    #[arg(short, long, requires = "disable")]
    yes: bool,
    /// Print SARIF 2.1.0, for code scanning
    #[arg(long, conflicts_with = "json")]
    sarif: bool,
}

/// The result so far.
struct Sum<'s> {
    store: Option<&'s Store>,
    report: Report,
    lookup: Lookup,
    found: u64,
    /// The keys to stop, each with the public ids of its found secrets.
    live: BTreeMap<Id, (Key, Vec<Id>)>,
    /// The first key that cannot be read.
    damage: Option<Error>,
    unread: u64,
    compressed: u64,
}

impl Scan {
    /// Searches everything that was named.
    ///
    /// # Errors
    /// If something cannot be read: what was found in the rest is reported nevertheless.
    pub fn run(self, session: &mut Session) -> Result<Exit, Error> {
        if self.disable && !self.yes && !session.terminal.can_ask() {
            return Err(Error::new(Code::ConfirmationRequired, "refusing to disable keys without confirmation")
                .hint("add --yes if you mean it; without --disable, scan only reports"));
        }
        let store = session.store_to_read()?;
        let form = match (self.sarif, session.json(), session.quiet()) {
            (true, _, _) => Form::Sarif,
            (_, true, _) => Form::Json,
            (_, _, true) => Form::Names,
            _ => Form::Lines,
        };
        let report = Report::begin(session, form)?;
        let mut sum = Sum {
            store: store.as_ref(),
            report,
            lookup: Lookup::default(),
            found: 0,
            live: BTreeMap::new(),
            damage: None,
            unread: 0,
            compressed: 0,
        };
        let looked = match &self.git {
            Some(range) => {
                let range = Some(range.as_str()).filter(|range| !range.is_empty());
                self.in_git(session, range, &mut sum)
            }
            None => self.in_files(session, &mut sum),
        };
        let Sum { report, found, live, damage, unread, compressed, .. } = sum;
        if form == Form::Names {
            live.values().try_for_each(|(key, _)| session.terminal.print(&format!("{}\n", key.name)))?;
        }
        // A document must be complete whatever went wrong.
        report.end(session)?;
        session.terminal.flush()?;
        let looked = looked?;
        if found == 0 {
            session.terminal.note(&format!("no secrets in {looked}"));
        } else {
            let works = match (&store, live.len()) {
                (None, _) => "whose they are, no store says".to_owned(),
                (_, 0) => "none of them works".to_owned(),
                (_, keys) => format!("{} can be used with them", count(keys as u64, "key")),
            };
            session.terminal.note(&format!("{} in {looked}; {works}", count(found, "secret")));
        }
        if compressed > 0 {
            let were = if compressed == 1 { "was" } else { "were" };
            let files = count(compressed, "compressed file");
            session.terminal.note(&format!("{files} {were} not looked into"));
        }
        if !live.is_empty() {
            self.stop(session, &live, form)?;
        }
        if unread > 0 {
            return Err(Error::new(Code::InvalidValue, format!("{} could not be read", count(unread, "file")))
                .hint("the scan is not complete: make them readable, or name others"));
        }
        if let Some(damage) = damage {
            return Err(damage);
        }
        Ok(if self.fail_if_any && found > 0 { Exit::FOUND } else { Exit::DONE })
    }

    /// Searches files and folders. Returns a description of them.
    fn in_files(&self, session: &mut Session, sum: &mut Sum<'_>) -> Result<String, Error> {
        let mut paths = self.paths.clone();
        if paths.is_empty() {
            paths.push(".".into());
            if session.terminal.kinds().stdin_is_pipe {
                session.terminal.note("standard input is not read; to look through it: keyward scan -");
            }
        }
        let (streams, paths): (Vec<_>, Vec<_>) = paths.into_iter().partition(|path| *path == Path::new("-"));
        if !streams.is_empty() {
            sum.look_at_stdin(session)?;
        }
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let looked = in_order(Walk::new(&paths), threads, |path, news| {
            match news {
                News::Found(sightings) => {
                    let file = path.to_string_lossy();
                    for sighting in sightings {
                        sum.tell(session, (Some(&file), None), sighting)?;
                    }
                }
                News::Unread(error) => {
                    sum.unread += 1;
                    let why = in_plain_words(error.to_string());
                    let warning = format!("{} cannot be read: {why}", path.display());
                    session.terminal.warn_with_code("unread", &warning);
                }
            }
            Ok::<_, Error>(())
        })?;
        sum.compressed += looked.compressed;
        let files = looked.files;
        Ok(match (streams.is_empty(), files) {
            (false, 0) if paths.is_empty() => "standard input".to_owned(),
            (false, _) => format!("standard input and {}", count(files, "file")),
            (true, _) => count(files, "file"),
        })
    }

    fn in_git(&self, session: &mut Session, range: Option<&str>, sum: &mut Sum<'_>) -> Result<String, Error> {
        let folders = if self.paths.is_empty() { vec![".".into()] } else { self.paths.clone() };
        for folder in &folders {
            if !folder.is_dir() {
                let message = format!("there is no folder {}", folder.display());
                return Err(Error::new(Code::InvalidValue, message)
                    .hint("name the folder of a repository: keyward scan FOLDER --git"));
            }
            let history = git::look(folder, range)?;
            if history.is_shallow {
                let folder = folder.display();
                let why = "is a shallow clone: older commits are not here; fetch them with: git fetch --unshallow";
                session.terminal.warn_with_code("shallow", &format!("{folder} {why}"));
            }
            for object in history.objects {
                for sighting in object.sightings {
                    sum.tell(session, (object.path.as_deref(), object.commit.as_deref()), sighting)?;
                }
            }
        }
        Ok("the history".to_owned())
    }

    /// Disables the keys, if that is wanted.
    fn stop(&self, session: &mut Session, live: &BTreeMap<Id, (Key, Vec<Id>)>, form: Form) -> Result<(), Error> {
        let names: Vec<_> = live.values().map(|(key, _)| key.name.as_str()).collect();
        let is_asked = !self.yes && session.terminal.can_ask() && (self.disable || form == Form::Lines);
        if !self.disable && !is_asked {
            let command = format!("keyward disable {}", shell_words(names.iter().copied()));
            let command = session.advice(&command);
            session.terminal.note(&format!("stop what works with: {command}"));
            return Ok(());
        }
        if is_asked {
            let question = format!("Disable {} now: {}?", count(names.len() as u64, "key"), names.join(", "));
            match session.confirm(&question, Enter::MeansNo) {
                Ok(()) => {}
                // It was only an offer.
                Err(error) if error.code() == Code::Cancelled && !self.disable => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        let mut store = session.store_to_change()?;
        let disabled = session.write(&mut store, |changes| {
            let disable = |(key, found): &(Key, Vec<Id>)| {
                // It may have been deleted or rotated in the meantime.
                let Some(present) = changes.key(&key.id)? else { return Ok(None) };
                let works = |secret: &SecretInfo| {
                    found.contains(&secret.id) && secret.state(changes.now()) != SecretState::Retired
                };
                if !present.secrets.iter().any(works) {
                    return Ok(None);
                }
                changes.switch_key(&present, false).map(Some)
            };
            live.values().map(disable).collect::<Result<Vec<_>, StoreError>>()
        })?;
        for key in disabled.into_iter().flatten() {
            session.terminal.note(&format!("disabled the key {}", key.name));
        }
        Ok(())
    }
}

impl Sum<'_> {
    /// Reports a secret.
    fn tell(
        &mut self,
        session: &mut Session,
        (file, commit): (Option<&str>, Option<&str>),
        Sighting { secret, line, column }: Sighting,
    ) -> Result<(), Error> {
        let parts = (secret.prefix().to_owned(), secret.id().to_string());
        let mut known = match self.store.map(|store| self.lookup.look(session, store, secret)) {
            Some(Ok(known)) => Some(known),
            // A damaged key is not decided about, but the others are.
            Some(Err(error)) if error.code() == Code::StoreCorrupt => {
                session.terminal.warn_with_code("damaged", error.message());
                self.damage.get_or_insert(error);
                Some(Known::default())
            }
            Some(Err(error)) => return Err(error),
            None => None,
        };
        let finding = Finding::new(Place { file, commit, line, column }, parts, known.as_ref());
        self.found += 1;
        if let Some((key, id)) = known.as_mut().and_then(|known| known.live.take()).map(|live| *live) {
            let (_, found) = self.live.entry(key.id.clone()).or_insert_with(|| (key, vec![]));
            if !found.contains(&id) {
                found.push(id);
            }
        }
        self.report.tell(session, &finding)
    }

    /// Searches standard input.
    fn look_at_stdin(&mut self, session: &mut Session) -> Result<(), Error> {
        let mut stdin = session.terminal.take_stdin();
        let mut told = Ok(());
        let read = look_through(&mut *stdin, &mut Buffer::new(), &mut |sighting| {
            told = self.tell(session, (Some("-"), None), sighting);
            if told.is_ok() { Ok(()) } else { Err(ErrorKind::Other.into()) }
        });
        told?;
        let is_compressed = read.map_err(|error| {
            Error::new(Code::InvalidValue, format!("standard input cannot be read: {error}"))
                .hint("what was found before that was told; name a file instead of -")
        })?;
        if is_compressed {
            session.terminal.warn_with_code(
                "compressed",
                "standard input is compressed; unpack it first: zcat FILE | keyward scan -",
            );
        }
        Ok(())
    }
}
