//! `keyward export`

use clap::Args;

use super::damaged::DamageReport;
use super::doctor::count_of;
use crate::error::{Error, Exit};
use crate::formats::manifest::{KINDS, key_to_json, key_to_toml, to_json, to_toml};
use crate::session::Session;
use keyward_core::rules::directory::Draft;
use keyward_core::store::{Filter, View};

/// Print the whole store as a manifest
///
/// Roles, tenants, groups, users and keys with their settings, in TOML, or with --json in JSON. It holds no
/// secrets and no hashes: applied to another store, it makes new keys with new secrets. Applied to this
/// one, it changes nothing. It says which keys were imported.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  keyward export > keys.toml
  keyward export --json | jq -r '.key[].name'
  keyward export | keyward apply - --dry-run --fail-if-any")]
pub struct Export {}

impl Export {
    /// Prints it.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn run(self, session: &mut Session) -> Result<Exit, Error> {
        let Some(store) = session.store_to_read()? else {
            session.terminal.note("there is no store yet; make the first key with: keyward create first-key");
            if session.json() {
                session.terminal.print_json(&with_keys(&[]))?;
            }
            return Ok(Exit::DONE);
        };
        let view = store.view()?;
        let mut damaged = DamageReport::default();
        let mut entries: Vec<Draft> = vec![];
        for kind in KINDS {
            for entry in view.entries(kind)? {
                damaged.add_entry(&entry);
                entries.push(entry.draft);
            }
        }
        if session.json() {
            print_json(session, &view, &entries, &mut damaged)?;
        } else {
            print_toml(session, &view, &entries, &mut damaged)?;
        }
        damaged.report(store.path())?;
        Ok(Exit::DONE)
    }
}

fn print_toml(
    session: &mut Session,
    view: &View<'_>,
    entries: &[Draft],
    damaged: &mut DamageReport,
) -> Result<(), Error> {
    session.terminal.print(&to_toml(entries))?;
    let now = session.now();
    view.each_key(&Filter::default(), now, |key| {
        damaged.add_key(&key);
        let text = key_to_toml(&key.name, &key.settings);
        let text = match key.secrets.iter().find_map(|secret| secret.imported) {
            // It is placed where a person who applies the manifest elsewhere will look.
            Some(import) => {
                text.replacen('\n', &format!("\n# its secret was imported as {}\n", import.origin.as_str()), 1)
            }
            None => text,
        };
        session.terminal.print(&text)
    })
}

fn with_keys(entries: &[Draft]) -> serde_json::Value {
    let mut manifest = to_json(entries);
    manifest.insert("key".to_owned(), serde_json::Value::Array(vec![]));
    serde_json::Value::Object(manifest)
}

/// The keys are at the end of the single object, so they can be written one by one.
fn print_json(
    session: &mut Session,
    view: &View<'_>,
    entries: &[Draft],
    damaged: &mut DamageReport,
) -> Result<(), Error> {
    let text = with_keys(entries).to_string();
    let start = text.strip_suffix("]}").unwrap_or(&text);
    session.terminal.print(start)?;
    let (now, mut before, mut imported) = (session.now(), "", 0);
    view.each_key(&Filter::default(), now, |key| {
        damaged.add_key(&key);
        imported += u64::from(key.secrets.iter().any(|secret| secret.imported.is_some()));
        session.terminal.print(std::mem::replace(&mut before, ",\n"))?;
        session.terminal.print(&key_to_json(&key.name, &key.settings).to_string())
    })?;
    session.terminal.print("]}\n")?;
    if imported > 0 {
        let what = format!("{} imported; a manifest holds no secrets", count_of(imported, "key was", "keys were"));
        session.terminal.note(&what);
    }
    Ok(())
}
