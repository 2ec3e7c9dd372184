//! `keyward store copy` and `keyward store move`

use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use serde_json::json;

use crate::error::{Code, Error, Exit};
use crate::errors::code_of;
use crate::session::Session;
use crate::text::{count, shell_path};
use keyward_core::store::{Copied, StoreError, TransferError};

/// Copy the store to an empty place: a new file, or a database after `store init`
///
/// Everything is copied: keys with the hashes of their secrets, the directory, settings, uses and the history. It is
/// read back and compared before the copy counts. The store cannot be changed meanwhile. Both are the same store
/// afterwards, and go on apart: to use only the new one, move the store.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  keyward store copy --to postgres://ann@db.example.org/keys
  keyward --store postgres://ann@db.example.org/keys store copy --to keys.db")]
pub(super) struct Copy {
    /// The new place: a path where nothing is, or the URL of a database
    #[arg(long, value_name = "STORE", value_hint = ValueHint::FilePath)]
    to: PathBuf,
}

/// Move the store to an empty place, or back to where it was
///
/// As copy does; and from then on the former place can only be read: commands that change something or verify are
/// refused there with `store_moved` and name the new place. Services that verify by it answer 503 until they are started
/// with the new one. A move that was ended in between is finished by the same command again.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  keyward --store keys.db store move --to postgres://ann@db.example.org/keys
  keyward --store postgres://ann@db.example.org/keys store move --to keys.db")]
pub(super) struct Move {
    /// The new place: a path where nothing is, the URL of a database, or where the store was before
    #[arg(long, value_name = "STORE", value_hint = ValueHint::FilePath)]
    to: PathBuf,
}

impl Copy {
    /// Copies the store.
    ///
    /// # Errors
    /// If it cannot be read, or the place cannot be written. Nothing was changed then.
    pub(super) fn run(self, session: &mut Session) -> Result<Exit, Error> {
        let place = session.place_for_store(self.to.clone(), "--to")?;
        let store = session.existing_store()?;
        let working = session.terminal.working("copying the store");
        let copied = store.copy_to(&place, session.stamp());
        drop(working);
        let copied = copied.map_err(|error| explain(error, &self.to, "copy"))?;
        let from = store.path().display().to_string();
        tell(session, &copied, &format!("copied {from} to {}", place.name().display()))
    }
}

impl Move {
    /// Moves the store.
    ///
    /// # Errors
    /// As for a copy; [`Code::UnknownOutcome`] if it is unknown whether it arrived.
    pub(super) fn run(self, session: &mut Session) -> Result<Exit, Error> {
        let place = session.place_for_store(self.to.clone(), "--to")?;
        let mut store = session.store_to_move()?;
        let working = session.terminal.working("moving the store");
        let moved = store.move_to(&place, session.stamp());
        drop(working);
        let moved = moved.map_err(|error| explain(error, &self.to, "move"))?;
        let (from, to) = (store.path().display().to_string(), place.name().display().to_string());
        let was_there = if moved.was_there { ", where it was already" } else { "" };
        tell(session, &moved, &format!("moved {from} to {to}{was_there}"))?;
        session.terminal.note(&format!("name it from now on: --store {}", shell_path(&self.to)));
        Ok(Exit::DONE)
    }
}

fn tell(session: &mut Session, copied: &Copied, what: &str) -> Result<Exit, Error> {
    let rows: u64 = copied.tables.iter().map(|(_, rows)| rows).sum();
    if session.json() {
        let tables: serde_json::Map<_, _> =
            copied.tables.iter().map(|(table, rows)| ((*table).to_owned(), json!(rows))).collect();
        let head = copied.head.hash.iter().fold(String::new(), |head, byte| format!("{head}{byte:02x}"));
        session.terminal.print_json(&json!({"tables": tables, "rows": rows, "head": head}))?;
    }
    let keys = copied.tables.iter().find(|(table, _)| *table == "key").map_or(0, |(_, rows)| *rows);
    session.terminal.note(&format!("{what}: {}, {} in all", count(keys, "key"), count(rows, "row")));
    Ok(Exit::DONE)
}

/// `to` is the argument from the command line, which contains no password.
fn explain(error: TransferError, to: &Path, verb: &str) -> Error {
    let message = error.to_string();
    let to = shell_path(to);
    let again = format!("keyward store {verb} --to {to}");
    match error {
        TransferError::Target(StoreError::Missing(_)) => Error::new(Code::StoreMissing, message)
            .hint(format!("make an empty one first: keyward --store {to} store init; then: {again}")),
        TransferError::Store(error) | TransferError::Target(error) => error.into(),
        TransferError::Used(_) => Error::new(Code::OutputFailed, message)
            .hint("nothing was changed; name a path where nothing is, or a database with a store that was just made"),
        TransferError::Itself(_) => Error::new(Code::Usage, message).hint("name another place with --to"),
        TransferError::Io { .. } => Error::new(Code::OutputFailed, message)
            .hint("nothing was changed; name a file in a folder that you may write, with room"),
        TransferError::Differs { .. } => Error::new(Code::StoreCorrupt, message)
            .hint("nothing was changed; check the disk and the memory of both machines, then try again"),
        TransferError::Unmarked { error, .. } => {
            Error::new(code_of(&error), message).hint(format!("nothing is lost; run once more: {again}"))
        }
        TransferError::Unknown { error, .. } => Error::new(Code::UnknownOutcome, message)
            .hint(format!("until then it can only be read; when {to} can be reached again ({}), run: {again}", {
                code_of(&error).as_str()
            })),
        _ => Error::new(Code::Internal, message),
    }
}
