//! `keyward edit`

use std::path::Path;

use clap::Args;
use jiff::Timestamp;

use super::expiry::tell_expiry;
use super::setting_args::{ChangeArgs, SettingArgs, cannot_stand_together, end_of};
use super::views::{KeyDocument, changes, find_all_to_change, offer_group};
use crate::delivery::{Effect, Patience};
use crate::error::{Code, Error, Exit};
use crate::formats::settings_text::{Edited, mark, parse, render, unmark};
use crate::session::{Enter, Session};
use crate::terminal::Scratch;
use keyward_core::rules::key::{Key, Settings};
use keyward_core::rules::names::Name;
use keyward_core::rules::setting::{Setting, SettingSlot};
use keyward_core::rules::time::When;
use keyward_core::store::{Store, StoreError};

/// Change the settings of keys
///
/// Naming a list (--scope, --level, --allow-ip, --label) replaces it; --add-… and --remove-… change
/// it. The secret stays the same. In a terminal, without any change, the settings are opened in your
/// editor (VISUAL, EDITOR, or vi).
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  keyward edit deploy  # opens its settings in your editor
  keyward edit deploy --add-scope ui --expires 90d
  keyward edit ci-1 ci-2 --owner ann  # both, or none
  keyward edit deploy --name deploy-prod --clear description,allow-ip")]
pub struct Edit {
    /// The keys: names, ids, or public ids of their secrets; omit them in a terminal to choose one
    #[arg(value_name = "KEY")]
    keys: Vec<String>,
    /// Its new name
    #[arg(long, value_name = "NEW")]
    name: Option<Name>,
    #[command(flatten)]
    settings: SettingArgs,
    #[command(flatten)]
    changes: ChangeArgs,
}

impl Edit {
    /// Makes the change.
    ///
    /// # Errors
    /// An error of the store; then nothing was changed.
    pub fn run(self, session: &mut Session) -> Result<Exit, Error> {
        let mut patch = self.settings.patch(session.now())?;
        self.changes.extend(&mut patch)?;
        let clears_prefix = self.changes.clears_prefix();
        let names_nothing = self.name.is_none() && !clears_prefix && patch.is_empty();
        if names_nothing && !session.terminal.can_ask() {
            return Err(Error::new(Code::Usage, "no change was named")
                .hint("for example: keyward edit KEY --name NEW, --expires 90d, --add-scope SCOPE")
                .hint("in a terminal, the settings are opened in your editor"));
        }
        if self.keys.len() > 1 && (names_nothing || self.name.is_some()) {
            let message = if names_nothing { "no change was named" } else { "several keys cannot have one name" };
            return Err(Error::new(Code::Usage, message)
                .hint("for example: keyward edit KEY KEY --owner USER; one key can be opened in your editor"));
        }
        let mut store = session.store_to_change()?;
        if clears_prefix && let SettingSlot::Prefix(place) = patch.replace(Setting::PREFIX) {
            *place = store.view()?.settings()?.prefix;
        }
        let mut keys = match &self.keys[..] {
            [] => vec![session.find_or_ask(&store, None, "Edit which key?")?],
            named => find_all_to_change(&store, named)?,
        };
        let changed = match (names_nothing, keys.pop()) {
            (true, Some(key)) => {
                session.check_key_manager(&store)?;
                vec![in_editor(session, &mut store, key)?]
            }
            (_, last) => {
                keys.extend(last);
                let edited = |key: &Key, now: Timestamp| {
                    let checked = patch.apply_checked(&key.settings);
                    let mut settings = checked.map_err(|error| cannot_stand_together(&error))?;
                    self.settings.put_end(&mut settings, now)?;
                    Ok((self.name.clone().unwrap_or_else(|| key.name.clone()), settings))
                };
                if let Some(key) = keys.first() {
                    let (_, settings) = edited(key, session.now())?;
                    offer_group(session, &mut store, settings.group.as_ref())?;
                }
                change(session, &mut store, &keys, &edited)?
            }
        };
        report(session, &changed, self.keys.len() > 1)?;
        Ok(Exit::DONE)
    }
}

/// The result of a change to a key at a given time: its name and its settings.
type Change<'e> = &'e dyn Fn(&Key, Timestamp) -> Result<(Name, Settings), Error>;

/// Gives each key the name and the settings that `edited` returns at the time of the change: all keys, or none. Returns
/// the keys before and after.
fn change(
    session: &mut Session,
    store: &mut Store,
    keys: &[Key],
    edited: Change<'_>,
) -> Result<Vec<(Key, Key)>, Error> {
    // The keys are read again inside the transaction, so that no change in the meantime is lost. Another process may be
    // about to mint for a new name: usually that takes a moment.
    Patience::Short.wait(session, |session| {
        session.write(store, |changes| {
            let change = |key: &Key| {
                let present = changes.key(&key.id)?.ok_or_else(|| StoreError::KeyGone(key.name.clone()))?;
                let (name, settings) = edited(&present, changes.now())?;
                let after = changes.update_key(&present, &name, &settings)?;
                Ok::<_, Error>((present, after))
            };
            keys.iter().map(change).collect()
        })
    })
}

/// Says what was changed: in JSON an array, if several keys were named.
fn report(session: &mut Session, changed: &[(Key, Key)], are_several: bool) -> Result<(), Error> {
    let now = session.now();
    let outcome = |(before, after): &(Key, Key)| if before == after { Effect::Unchanged } else { Effect::Updated };
    if session.json() {
        let documents: Vec<_> =
            changed.iter().map(|keys| KeyDocument { key: keys.1.to_json(now), outcome: outcome(keys) }).collect();
        return session.terminal.print_documents(&documents, are_several);
    }
    for keys @ (before, after) in changed {
        session.terminal.note(&match outcome(keys) {
            Effect::Unchanged => format!("{} is unchanged", after.name),
            _ => format!(
                "changed the key {}\n{}",
                before.name,
                changes(&before.name, &before.settings, &after.name, &after.settings)
            ),
        });
        if before.settings.expires_at != after.settings.expires_at {
            tell_expiry(session, after);
        }
    }
    Ok(())
}

/// Opens the settings in the person's editor, until they are valid or the person gives up.
fn in_editor(session: &mut Session, store: &mut Store, key: Key) -> Result<(Key, Key), Error> {
    let editor =
        ["VISUAL", "EDITOR"].iter().find_map(|name| session.environment(name).filter(|value| !value.is_empty()));
    let editor = editor.map_or_else(|| "vi".to_owned(), |editor| editor.to_string_lossy().into_owned());
    let original = render(&key.name, &key.settings);
    let mut text = original.clone();
    loop {
        let scratch = Scratch::new(&text)?;
        session.interrupts.hint(None);
        let edited = unmark(&scratch.edit(session.question(), &editor)?);
        session.look_at_the_clock();
        // If a signal ends the program in the middle of a question, the file stays.
        session.interrupts.hint(Some(kept_in(scratch.path())));
        if edited == original {
            return Ok((key.clone(), key));
        }
        let Edited { name, settings, end } = match parse(&edited, &key.name, &key.settings, session.now()) {
            Ok(read) => read,
            Err(mistakes) => {
                for (marks, mistake) in mistakes.iter().enumerate() {
                    // Counted with the notes that the editor will show.
                    session.terminal.say(&format!("line {}: {}", mistake.line + marks + 1, mistake.what));
                }
                if let Err(error) = session.confirm("Edit it again?", Enter::MeansYes) {
                    return Err(kept(scratch, error));
                }
                text = mark(&edited, &mistakes);
                continue;
            }
        };
        if name == key.name && settings == key.settings {
            return Ok((key.clone(), key));
        }
        if let Err(error) = offer_group(session, store, settings.group.as_ref()) {
            return Err(kept(scratch, error));
        }
        // An error of the store is reported before the question, not after it.
        let rehearsed = store.rehearse(session.stamp(), |changes| {
            let present = changes.key(&key.id)?.ok_or_else(|| StoreError::KeyGone(key.name.clone()))?;
            changes.update_key(&present, &name, &settings).map(drop)
        });
        if let Err(error) = rehearsed {
            session.terminal.say(Error::from(error).report(false).trim_end());
            if let Err(error) = session.confirm("Edit it again?", Enter::MeansYes) {
                return Err(kept(scratch, error));
            }
            text = edited;
            continue;
        }
        session.terminal.say(&changes(&key.name, &key.settings, &name, &settings));
        if let Err(error) = session.confirm("Make these changes?", Enter::MeansNo) {
            return Err(kept(scratch, error));
        }
        let written = change(session, store, std::slice::from_ref(&key), &|present, now| {
            if present.revision != key.revision {
                return Err(StoreError::KeyChanged(key.name.clone()).into());
            }
            // Counted from the time in the key: the person took a while to answer.
            let mut settings = settings.clone();
            if let Some(end @ When::In(_)) = end {
                settings.expires_at = end_of(end, now)?;
            }
            Ok((name.clone(), settings))
        });
        return match written {
            Ok(changed) => match changed.into_iter().next() {
                Some((_, after)) => Ok((key, after)),
                None => Err(StoreError::KeyGone(key.name).into()),
            },
            Err(error) => Err(kept(scratch, error)),
        };
    }
}

/// Keeps the person's text if the change was not made.
fn kept(scratch: Scratch, error: Error) -> Error {
    match scratch.keep() {
        // The interrupt handler reports it already.
        Some(path) if error.code() != Code::Interrupted => error.hint(kept_in(&path)),
        _ => error,
    }
}

fn kept_in(path: &Path) -> String {
    format!("what you wrote is in {}", path.display())
}
