//! `keyward edit`

use clap::Args;
use jiff::Timestamp;

use super::expiry::tell_expiry;
use super::setting_args::{ChangeArgs, SettingArgs, cannot_stand_together, end_of};
use super::views::{KeyDocument, changes};
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

/// Change the settings of a key
///
/// Naming a list (--scope, --level, --allow-ip, --label) replaces it; --add-… and --remove-… change
/// it. The secret stays the same. In a terminal, without any change, the settings are opened in your
/// editor (VISUAL, EDITOR, or vi).
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  keyward edit deploy      opens its settings in your editor
  keyward edit deploy --add-scope ui --expires 90d
  keyward edit deploy --name deploy-prod --clear description,allow-ip")]
pub struct Edit {
    /// The key: its name, its id, or the public id of one of its secrets
    #[arg(value_name = "KEY")]
    key: Option<String>,
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
    /// What the store says; then nothing was changed.
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
        let mut store = session.store_to_change()?;
        if clears_prefix && let SettingSlot::Prefix(place) = patch.replace(Setting::PREFIX) {
            *place = store.view()?.settings()?.prefix;
        }
        let key = session.find_or_ask(&store, self.key.as_deref(), "Edit which key?")?;
        let (before, after) = if names_nothing {
            session.check_key_manager(&store)?;
            in_editor(session, &mut store, key)?
        } else {
            let edited = |key: &Key, now: Timestamp| {
                let mut settings = patch.apply_checked(&key.settings).map_err(|error| cannot_stand_together(&error))?;
                self.settings.put_end(&mut settings, now)?;
                Ok((self.name.clone().unwrap_or_else(|| key.name.clone()), settings))
            };
            change(session, &mut store, &key, &edited)?
        };
        report(session, &before, &after)?;
        Ok(Exit::DONE)
    }
}

/// What a change makes of a key at its time: its name and its settings.
type Change<'e> = &'e dyn Fn(&Key, Timestamp) -> Result<(Name, Settings), Error>;

/// Gives the key the name and the settings that `edited` makes of it at the time of the change. Returns it as it was and
/// as it is.
fn change(session: &mut Session, store: &mut Store, key: &Key, edited: Change<'_>) -> Result<(Key, Key), Error> {
    // The key is read again inside the transaction, so that no change in the meantime is lost. Somebody may be about
    // to mint for the new name: most are done in a moment.
    Patience::Short.wait(session, |session| {
        session.write(store, |changes| {
            let present = changes.key(&key.id)?.ok_or_else(|| StoreError::KeyGone(key.name.clone()))?;
            let (name, settings) = edited(&present, changes.now())?;
            let after = changes.update_key(&present, &name, &settings)?;
            Ok::<_, Error>((present, after))
        })
    })
}

fn report(session: &mut Session, before: &Key, after: &Key) -> Result<(), Error> {
    let outcome = if before == after { Effect::Unchanged } else { Effect::Updated };
    if session.json() {
        return session.terminal.print_json(&KeyDocument { key: after.to_json(session.now()), outcome });
    }
    session.terminal.note(&match outcome {
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
    Ok(())
}

/// Opens the settings in the person's editor, until they are right or the person gives up.
fn in_editor(session: &mut Session, store: &mut Store, key: Key) -> Result<(Key, Key), Error> {
    let editor =
        ["VISUAL", "EDITOR"].iter().find_map(|name| session.environment(name).filter(|value| !value.is_empty()));
    let editor = editor.map_or_else(|| "vi".to_owned(), |editor| editor.to_string_lossy().into_owned());
    let original = render(&key.name, &key.settings);
    let mut text = original.clone();
    loop {
        let scratch = Scratch::new(&text)?;
        let edited = unmark(&scratch.edit(session.question(), &editor)?);
        session.look_at_the_clock();
        if edited == original {
            return Ok((key.clone(), key));
        }
        let Edited { name, settings, end } = match parse(&edited, &key.name, &key.settings, session.now()) {
            Ok(read) => read,
            Err(mistakes) => {
                for (marks, mistake) in mistakes.iter().enumerate() {
                    // Counted with the marks that the editor will show.
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
        session.terminal.say(&changes(&key.name, &key.settings, &name, &settings));
        if let Err(error) = session.confirm("Make these changes?", Enter::MeansNo) {
            return Err(kept(scratch, error));
        }
        let written = change(session, store, &key, &|present, now| {
            if present.revision != key.revision {
                return Err(StoreError::KeyChanged(key.name.clone()).into());
            }
            // Counted from the moment that stands in the key: the person took a while to answer.
            let mut settings = settings.clone();
            if let Some(end @ When::In(_)) = end {
                settings.expires_at = end_of(end, now)?;
            }
            Ok((name.clone(), settings))
        });
        return match written {
            Ok((_, after)) => Ok((key, after)),
            Err(error) => Err(kept(scratch, error)),
        };
    }
}

/// What the person wrote is kept where the change was not made.
fn kept(scratch: Scratch, error: Error) -> Error {
    match scratch.keep() {
        Some(path) => error.hint(format!("what you wrote is in {}", path.display())),
        None => error,
    }
}
