//! `keyward restore`

use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use serde_json::json;

use crate::error::{Code, Error, Exit};
use crate::session::{Enter, Session};
use crate::text::{count, shell_path};
use keyward_core::store::{MadeAgain, Restore as Prepared, RestoreError};

/// Put a backup in the place of the store
///
/// The backup is checked first. Where there is a store already, what was revoked in it since stays revoked: keys that
/// were deleted, disabled, rotated or restricted, users and tenants that were disabled, roles that were lowered. These
/// changes are made again, and listed. Keys that were made since are gone, and are listed too. The former store is kept
/// beside the new one, or that of a database in a file beside the backup. Programs that use the store go on with the
/// restored one.
///
/// With --as-it-was, everything is as the backup has it: what was revoked since works again.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  keyward restore /var/backups/keyward-2026-11-22.db
  keyward restore --yes --json /var/backups/keyward-2026-11-22.db
  keyward --store /srv/keys.db restore copy.db  # also without a store")]
pub struct Restore {
    /// The backup
    #[arg(value_name = "BACKUP", value_hint = ValueHint::FilePath)]
    backup: PathBuf,
    /// Leave out what was changed since: revoked keys work again
    #[arg(long)]
    as_it_was: bool,
    /// Do not ask for confirmation
    #[arg(short, long)]
    yes: bool,
}

impl Restore {
    /// Restores the backup.
    ///
    /// # Errors
    /// If the backup cannot be used, or the store cannot be replaced. Then nothing was changed.
    pub fn run(self, session: &mut Session) -> Result<Exit, Error> {
        let place = session.store_path().map(ToOwned::to_owned);
        let Some(place) = place else { return Err(keyward_core::store::StoreError::Nowhere.into()) };
        let is_on_server = session.is_on_server();
        let is_new = !is_on_server && place.try_exists().is_ok_and(|exists| !exists);
        if self.backup.try_exists().is_ok_and(|exists| !exists) {
            return Err(Error::new(Code::StoreMissing, format!("there is no backup {}", self.backup.display()))
                .hint("name a file that `keyward backup FILE` has written"));
        }
        if !is_new && !self.yes && !session.terminal.can_ask() {
            let beside = if is_on_server { "backup" } else { "restored one" };
            return Err(Error::new(Code::ConfirmationRequired, "refusing to replace the store without confirmation")
                .hint(format!("add --yes if you mean it; the former store is kept beside the {beside}")));
        }
        let prepared = self.prepare(session, &place);
        let prepared = prepared.map_err(|error| self.explain(error))?;
        if !session.json() {
            Self::tell(session, &prepared);
        }
        if prepared.replaces() && !self.yes {
            let revived = if prepared.revived.is_empty() { "" } else { " What was revoked since works again." };
            let (backup, place) = (self.backup.display(), prepared.place().display());
            let question = format!("Put {backup} in the place of the store {place}?{revived}");
            session.confirm(&question, Enter::MeansNo)?;
        }
        self.finish(session, prepared)
    }

    fn prepare(&self, session: &mut Session, place: &Path) -> Result<Prepared, RestoreError> {
        #[cfg(feature = "postgres")]
        if session.is_on_server() {
            let store = session.store_on_server()?;
            let _working = session.terminal.working("looking through the backup");
            return Prepared::prepare_on_server(&self.backup, store, self.as_it_was, session.stamp());
        }
        let _working = session.terminal.working("looking through the backup");
        Prepared::prepare(&self.backup, place, self.as_it_was, session.stamp())
    }

    fn finish(&self, session: &mut Session, prepared: Prepared) -> Result<Exit, Error> {
        let mut document = json!({
            "backup": self.backup.display().to_string(),
            "store": prepared.place().display().to_string(),
            "as_it_was": self.as_it_was,
            "keys": prepared.keys,
            "made_again": changes(&prepared.made_again),
            "revived": changes(&prepared.revived),
            "left_out": prepared.left_out.iter().map(|(name, id)| json!({"name": name, "id": id})).collect::<Vec<_>>(),
        });
        let (keys, place) = (count(prepared.keys, "key"), prepared.place().display().to_string());
        let kept = prepared.finish(session.stamp()).map_err(|error| self.explain(error))?;
        document["kept"] = json!(kept.as_ref().map(|kept| kept.display().to_string()));
        if session.json() {
            session.terminal.print_json(&document)?;
        }
        session.terminal.note(&format!("restored {keys} into {place}"));
        if let Some(kept) = kept {
            session.terminal.note(&format!("the former store is kept: {}", kept.display()));
        }
        Ok(Exit::DONE)
    }

    /// Shows the result before asking.
    fn tell(session: &mut Session, prepared: &Prepared) {
        for (changes, what) in [(&prepared.made_again, "again"), (&prepared.revived, "works again, was")] {
            for change in changes {
                let MadeAgain { kind, name, change, fields, .. } = change;
                let fields = if *change == "restricted" { format!(" ({})", fields.join(", ")) } else { String::new() };
                session.terminal.note(&format!("  {what} {change}: the {kind} {name}{fields}"));
            }
        }
        for (name, id) in &prepared.left_out {
            session.terminal.note(&format!("  gone: the key {name} ({id}), made since"));
        }
    }

    fn explain(&self, error: RestoreError) -> Error {
        let message = error.to_string();
        let as_it_was = || {
            format!(
                "to restore all of it, and revive what was revoked since: add --as-it-was ({})",
                shell_path(&self.backup)
            )
        };
        match error {
            RestoreError::Store(error) => error.into(),
            RestoreError::Backup(error) => {
                let error = Error::from(error);
                Error::new(error.code(), message).hint("nothing was changed; name a file that `keyward backup` wrote")
            }
            RestoreError::Unsound { .. } => {
                Error::new(Code::StoreCorrupt, message).hint("nothing was changed; use an older backup")
            }
            RestoreError::Untold(_) | RestoreError::NoAncestor(_) => {
                Error::new(Code::StoreCorrupt, message).hint("nothing was changed").hint(as_it_was())
            }
            RestoreError::Io { .. } => Error::new(Code::StoreUnwritable, message)
                .hint("nothing was changed; look at the permissions of the folder, and whether its disk has room"),
            _ => Error::new(Code::Internal, message),
        }
    }
}

fn changes(all: &[MadeAgain]) -> Vec<serde_json::Value> {
    let document = |one: &MadeAgain| json!({"kind": one.kind, "name": one.name, "id": one.id, "change": one.change, "fields": one.fields});
    all.iter().map(document).collect()
}
