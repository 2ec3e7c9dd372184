//! `keyward import`
//!
//! The input is read as often as it takes: once to find everything that is wrong with it, once for the hashes of texts,
//! and once to write the keys. So it may be as long as it likes, nothing of it is kept in memory but what is hashed, and
//! no lock is held while hashes are computed. Where it is another input the second time, nothing is written.

mod input;
mod mistakes;
mod survey;
mod write;

use std::path::PathBuf;

use clap::{Args, ValueHint};
use serde_json::json;

use self::input::Input;
use self::mistakes::Mistakes;
use self::survey::Survey;
use super::expiry::applying;
use super::one_of;
use crate::error::{Error, Exit};
use crate::formats::import::Format;
use crate::session::{Enter, Session};
use crate::text::count;
use keyward_core::rules::hashing::HashedSecret;
use keyward_core::rules::imported::{LookupKey, Origin};
use keyward_core::store::Store;

/// Take over keys that exist in another system
///
/// Clients go on with the secrets that they have, and with nothing else to change: each key of the other system becomes a
/// key of this store. A record is a key: its `name`, its settings as in a manifest, and one of `secret` (the text that
/// clients send), `sha256` (its SHA-256, in hex or base64) and `phc` (its Argon2id, as $argon2id$…). FILE has a JSON object
/// a line, or is a CSV whose first line names the fields. Either all keys are imported or none, and every mistake is told
/// with its line. `keyward help import` has recipes for other systems.
///
/// The store keeps an Argon2id of each text, and 24 bits that it is found by. A key that came as `sha256` or `phc` is kept
/// so after the first request that is allowed with it; until then, one that came as `phc` has to be presented as NAME:TEXT.
/// Only import secrets that a generator made: who has the store can try guesses fast.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  keyward import keys.jsonl --dry-run
  keyward import keys.jsonl
  keyward import keys.csv --yes
  deck-dump-to-jsonl < kong.json | keyward import - --format jsonl  # see: keyward help import")]
pub struct Import {
    /// The records, JSON lines or CSV; - for standard input
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: PathBuf,
    /// How the records are written [default: as the file looks]
    #[arg(long, value_name = "FORMAT", value_parser = one_of::<Format>(Format::ALL.map(|(word, _)| word)))]
    format: Option<Format>,
    /// Say what would be imported, and what is wrong, without importing
    #[arg(long)]
    dry_run: bool,
    /// In a terminal: do not ask
    #[arg(short, long)]
    yes: bool,
}

impl Import {
    /// Imports the keys.
    ///
    /// # Errors
    /// For mistakes in the input, what the store says, and where the person says no; then nothing was imported.
    pub fn run(self, session: &mut Session) -> Result<Exit, Error> {
        let mut input = Input::open(session, &self.file, self.format)?;
        let found = session.store_to_plan()?;
        let exists = found.is_some();
        let mut store = found.map_or_else(|| Store::in_memory(session.now()), Ok)?;
        let offered = LookupKey::new(session.random()?);
        let mut mistakes = Mistakes::default();
        let survey = Survey::make(session, &mut input, &store, &mut mistakes)?;
        let is_asked = !self.yes && !self.dry_run && session.terminal.can_ask();
        if !mistakes.is_empty() || self.dry_run || is_asked || survey.texts() > 0 {
            write::rehearse(session, &mut input, &mut store, &survey, &offered, &mut mistakes)?;
        }
        mistakes.check(&input)?;
        survey.warn(session, &input);
        if survey.total() == 0 {
            session.terminal.note(&format!("there is no key in {}", input.name()));
        }
        if !self.dry_run && survey.total() > 0 {
            if is_asked {
                let place = session.store_path().map(|path| format!(" into the store {}", path.display()));
                let keys = count(survey.total(), "key");
                let question = format!("Import {keys}{}?", place.unwrap_or_default());
                session.confirm(&question, Enter::MeansNo)?;
            }
            let mut store = if exists { session.store_to_change()? } else { session.store_to_make()? };
            let hashes: Vec<HashedSecret> = write::hash(session, &mut input, &store, &survey)?;
            write::write(session, &mut input, &mut store, &survey, &offered, hashes)?;
        }
        self.report(session, &survey, &input)
    }

    fn report(&self, session: &mut Session, survey: &Survey, input: &Input) -> Result<Exit, Error> {
        let keys = count(survey.total(), "key");
        if session.json() {
            let of = Origin::ALL.map(|origin| survey.of(origin));
            let warnings = applying(&[
                (survey.guessable() > 0, "guessable_secrets"),
                (survey.has_other_costs(), "other_hash_parameters"),
                (input.is_exposed(), "input_exposed"),
            ]);
            session.terminal.print_json(&json!({
                "outcome": if self.dry_run { "planned" } else { "imported" },
                "keys": survey.total(),
                "secret": of[0],
                "sha256": of[1],
                "phc": of[2],
                "guessable": survey.guessable(),
                "warnings": warnings,
            }))?;
        }
        if self.dry_run {
            session.terminal.note(&format!("{keys} can be imported; nothing was changed"));
        } else if survey.total() > 0 {
            session.terminal.note(&format!("imported {keys}{}", survey.in_words()));
            if let Some(path) = input.path() {
                let what = format!("{} still holds what opens them: delete it, or keep it safe", path.display());
                session.terminal.note(&what);
            }
        }
        Ok(Exit::DONE)
    }
}
