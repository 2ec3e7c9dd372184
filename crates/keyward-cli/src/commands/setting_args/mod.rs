//! The flags for settings, and the patch made from them.
//!
//! `create`, `edit` and `duplicate` take the same flags ([`SettingArgs`]); `edit` takes more ([`ChangeArgs`]).
//! Which flags there are is a list ([`list`]); each value is checked by the setting itself, in the core.

mod changes;
pub mod list;
#[cfg(test)]
mod tests;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use jiff::Timestamp;

pub use self::changes::ChangeArgs;
use self::list::{FLAGS, Flag, Takes};
use crate::error::{Code, Error};
use keyward_core::rules::key::Key;
use keyward_core::rules::names::{InvalidText, Label, Prefix};
use keyward_core::rules::patch::SettingsPatch;
use keyward_core::rules::setting::{Setting, SettingSlot, Settings};
use keyward_core::rules::time::{When, rfc3339};

/// Settings of a key, as flags give them.
#[derive(Debug, Clone, Default)]
pub struct SettingArgs {
    /// The flags that were given, with their values, in the order of the list.
    given: Vec<(&'static Flag, Vec<String>)>,
    expires: Option<When>,
}

impl SettingArgs {
    /// The change that these flags ask for. A duration until the end counts from `now`: to make the change at another
    /// moment, call [`SettingArgs::put_end`].
    ///
    /// # Errors
    /// For an expiry before `now`, and for a label given twice.
    pub fn patch(&self, now: Timestamp) -> Result<SettingsPatch, Error> {
        let mut patch = self.patch_but_expiry()?;
        if let Some(when) = self.expires {
            put_expiry(&mut patch, end_of(when, now)?);
        }
        Ok(patch)
    }

    /// When the key ends, if these flags say so.
    pub fn end(&self) -> Option<When> {
        self.expires
    }

    /// Puts the end from these flags into `settings`, counted from the moment of the change, `now`.
    ///
    /// # Errors
    /// For an expiry before `now`.
    pub fn put_end(&self, settings: &mut Settings, now: Timestamp) -> Result<(), Error> {
        if let Some(when) = self.expires {
            settings.expires_at = end_of(when, now)?;
        }
        Ok(())
    }

    /// The change that these flags ask for in an existing key, where the same end may be stated again: see
    /// [`Key::end_said_again`].
    ///
    /// # Errors
    /// As [`SettingArgs::patch`]; an end that the key already has may be in the past.
    pub fn patch_for(&self, key: &Key, now: Timestamp) -> Result<SettingsPatch, Error> {
        let mut patch = self.patch_but_expiry()?;
        let Some(when) = self.expires else { return Ok(patch) };
        let end = key.end_said_again(when);
        if end.as_ref().is_ok_and(|end| *end == key.settings.expires_at) {
            return Ok(patch);
        }
        put_expiry(&mut patch, checked(end, now)?);
        Ok(patch)
    }

    fn patch_but_expiry(&self) -> Result<SettingsPatch, Error> {
        let mut patch = SettingsPatch::default();
        for (flag, texts) in &self.given {
            match (flag.takes, patch.replace(flag.setting)) {
                (Takes::Nothing(on), SettingSlot::Switch(place)) => *place = on,
                (_, slot) => put(slot, texts)?,
            }
        }
        Ok(patch)
    }

    /// Whether a flag of this setting was given.
    pub fn gives(&self, setting: Setting) -> bool {
        let is_expiry = FLAGS.iter().any(|flag| flag.setting == setting && flag.takes == Takes::When);
        is_expiry && self.expires.is_some() || self.given.iter().any(|(flag, _)| flag.setting == setting)
    }

    /// Gives a setting values, as if its flag had been given.
    pub fn give(&mut self, setting: Setting, texts: Vec<String>) {
        let takes_values = |flag: &&Flag| flag.setting == setting && !matches!(flag.takes, Takes::Nothing(_));
        self.given.extend(FLAGS.iter().find(takes_values).map(|flag| (flag, texts)));
    }

    /// Turns a setting on or off, as if its flag had been given.
    pub fn give_switch(&mut self, setting: Setting, on: bool) {
        let turns = |flag: &&Flag| flag.setting == setting && flag.takes == Takes::Nothing(on);
        self.given.extend(FLAGS.iter().find(turns).map(|flag| (flag, vec![])));
    }

    /// Gives the key an end, as if the flag had been given.
    pub fn give_expiry(&mut self, when: When) {
        self.expires = Some(when);
    }
}

impl Args for SettingArgs {
    fn augment_args(command: Command) -> Command {
        let command = command.next_help_heading("Settings");
        FLAGS.iter().fold(command, |command, flag| command.arg(arg(flag)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SettingArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut args = Self::default();
        args.update_from_arg_matches(matches)?;
        Ok(args)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for flag in &FLAGS {
            match flag.takes {
                Takes::When => self.expires = matches.get_one(flag.id).copied().or(self.expires),
                Takes::Nothing(_) if matches.get_flag(flag.id) => self.given.push((flag, vec![])),
                Takes::Nothing(_) => {}
                _ => self.given.extend(values(matches, flag.id).map(|texts| (flag, texts))),
            }
        }
        Ok(())
    }
}

/// The values of a flag, if it was given.
fn values(matches: &ArgMatches, id: &str) -> Option<Vec<String>> {
    matches.get_many(id).map(|texts| texts.cloned().collect())
}

fn arg(flag: &'static Flag) -> Arg {
    let (short, long) = match flag.help.split_once("\n\n") {
        Some((short, _)) => (short, Some(flag.help)),
        None => (flag.help, None),
    };
    let arg = Arg::new(flag.id).long(spelled(flag.id)).help(short);
    let arg = long.into_iter().fold(arg, Arg::long_help);
    let setting = flag.setting;
    match flag.takes {
        Takes::One(name) => arg.value_name(name).value_parser(move |text: &str| check(setting, text)),
        Takes::Several(name) => items(arg, setting, name).value_delimiter(','),
        Takes::Repeated(name) => items(arg, setting, name),
        Takes::When => arg.value_name("WHEN").value_parser(str::parse::<When>).allow_hyphen_values(true),
        Takes::Nothing(on) => {
            let opposite = |other: &&Flag| other.setting == setting && other.takes == Takes::Nothing(!on);
            let opposite = FLAGS.iter().find(opposite).map(|other| other.id);
            arg.action(ArgAction::SetTrue).conflicts_with_all(opposite)
        }
    }
}

/// An argument that takes items of a setting.
fn items(arg: Arg, setting: Setting, name: &'static str) -> Arg {
    arg.value_name(name).action(ArgAction::Append).value_parser(move |text: &str| check(setting, text))
}

fn spelled(id: &str) -> String {
    id.replace('_', "-")
}

/// Checks that a text can be a value, or an item, of a setting.
///
/// # Errors
/// If it cannot be one.
pub fn check(setting: Setting, text: &str) -> Result<String, InvalidText> {
    setting.slot(&mut blank()).parse(text).map(|()| text.to_owned())
}

/// The same for several texts that must fit together.
///
/// # Errors
/// If one cannot be an item, or does not fit with the others.
pub fn check_all<'t>(setting: Setting, texts: impl Iterator<Item = &'t str>) -> Result<Vec<String>, InvalidText> {
    let mut settings = blank();
    let mut slot = setting.slot(&mut settings);
    texts.map(|text| slot.parse(text).map(|()| text.to_owned())).collect()
}

/// Checks that a text can identify an item of a setting.
fn check_key(setting: Setting, text: &str) -> Result<String, InvalidText> {
    setting.slot(&mut blank()).parse_key(text).map(|()| text.to_owned())
}

/// Settings for trying out a value.
fn blank() -> Settings {
    Settings::with_prefix(Prefix::default())
}

fn contradiction(message: impl Into<String>) -> Error {
    Error::new(Code::Usage, message).hint("keep one of them")
}

/// The error for items that are each valid but do not fit together: only limits can cause it.
pub fn cannot_stand_together(error: &InvalidText) -> Error {
    Error::new(Code::Usage, error.to_string()).hint("keep one limit a period, and 8 at most")
}

fn invalid(error: &InvalidText) -> Error {
    Error::new(Code::InvalidValue, error.to_string())
}

/// Puts values into a slot. A label given twice must have the same value both times.
fn put(mut slot: SettingSlot<'_>, texts: &[String]) -> Result<(), Error> {
    for text in texts {
        let labels = match &mut slot {
            SettingSlot::Labels(labels) => labels,
            // Each of them is valid by itself.
            SettingSlot::Texts(texts) => {
                texts.insert(text).map_err(|error| cannot_stand_together(&error))?;
                continue;
            }
            other => {
                other.parse(text).map_err(|error| invalid(&error))?;
                continue;
            }
        };
        let Label { key, value } = text.parse().map_err(|error| invalid(&error))?;
        if labels.get(&key).is_some_and(|before| *before != value) {
            return Err(contradiction(format!("the label {key} is given twice")));
        }
        labels.insert(key, value);
    }
    Ok(())
}

/// Resolves an end at `now`. A key that expires before it exists is a mistake, however the time was written.
///
/// # Errors
/// [`Code::InvalidValue`].
pub fn end_of(when: When, now: Timestamp) -> Result<Option<Timestamp>, Error> {
    checked(when.resolve(now), now)
}

fn checked(end: Result<Option<Timestamp>, InvalidText>, now: Timestamp) -> Result<Option<Timestamp>, Error> {
    let end = end.map_err(|error| Error::new(Code::InvalidValue, format!("--expires: {error}")))?;
    end.map_or(Ok(()), |time| check_expiry(time, now))?;
    Ok(end)
}

fn put_expiry(patch: &mut SettingsPatch, end: Option<Timestamp>) {
    if let SettingSlot::Time(place) = patch.replace(Setting::EXPIRES_AT) {
        *place = end;
    }
}

/// Refuses a time in the past.
///
/// # Errors
/// [`Code::InvalidValue`].
pub fn check_expiry(time: Timestamp, now: Timestamp) -> Result<(), Error> {
    if time > now {
        Ok(())
    } else {
        Err(Error::new(Code::InvalidValue, format!("the expiry {} is in the past", rfc3339(time))).hint(
            "give a later one, such as --expires 90d, or --expires never; a key is stopped with `keyward disable`",
        ))
    }
}
