//! `keyward import`
//!
//! The input is read several times: to find all mistakes, to hash the texts, and to write the keys. So its length does not
//! matter, only hashes are kept in memory, and no lock is held while they are computed. If the input changes between two
//! readings, nothing is written.

mod input;
mod mistakes;
mod recipes;
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
/// Clients keep the secrets that they have: each key of the other system becomes a key of this store. Each record has a
/// `name`, any settings as in a manifest, and one of `secret` (the text that clients send), `sha256` (its SHA-256, in
/// hex or base64) and `phc` (its Argon2id, as a PHC string); other hashes, such as bcrypt, cannot be imported. FILE has
/// one JSON object per line, or is a CSV whose first line names the fields. In a CSV, a list is one cell with commas
/// between its items, labels are a=b,c=d, a switch is true or false, and an empty cell says nothing.
///
/// A text has 16 to 512 visible ASCII characters, at least 8 of them different. It is looked up whole, and so may hold
/// `:` and `,`. Clients can send it as `keyward help verify` says, also in the header apikey, which Kong and APISIX use. Only
/// import secrets that a generator made: whoever has the store can try guesses fast. `keyward scan` does not find imported
/// secrets.
///
/// The store keeps an Argon2id of each text, and 24 bits that it is found by. A key that came as `sha256` or `phc` gets
/// them at the first request that is allowed with it; until then, one that came as `phc` has to be presented as NAME:TEXT.
///
/// Either all keys are imported or none, and every mistake is reported with its line. An import adds keys and changes
/// none. Others who change the store wait while the keys are written. Like every key, an imported one refuses plain HTTP,
/// unless its `require_secure` is false.
#[derive(Debug, Args)]
#[command(after_help = recipes::EXAMPLES)]
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
    /// For mistakes in the input, for errors of the store, and if the person declines; then nothing was imported.
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
