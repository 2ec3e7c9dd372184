//! The flags of `edit` that change lists and labels item by item, and that clear settings.

use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use super::list::{FLAGS, Flag, ITEM_FLAGS, ItemFlags, Takes};
use super::{check, check_key, contradiction, invalid, put, spelled, values};
use crate::error::Error;
use keyward_core::rules::patch::SettingsPatch;
use keyward_core::rules::setting::{Setting, SettingSlot};

/// Changes to the lists of a key, and settings to empty.
#[derive(Debug, Clone, Default)]
pub struct ChangeArgs {
    added: Vec<(&'static ItemFlags, Vec<String>)>,
    removed: Vec<(&'static ItemFlags, Vec<String>)>,
    /// The flags by which the settings to empty are named.
    cleared: Vec<&'static Flag>,
}

/// The argument that empties settings.
const CLEAR: &str = "clear";

impl Args for ChangeArgs {
    fn augment_args(command: Command) -> Command {
        let mut command = command.next_help_heading("Changes");
        for flag in &FLAGS {
            if let Some(help) = flag.help_in_edit {
                command = command.mut_arg(flag.id, |arg| arg.help(help));
            }
        }
        for flags in &ITEM_FLAGS {
            let setting = flags.setting;
            let takes = FLAGS.iter().find(|flag| flag.setting == setting);
            let arg = |[id, name, help]: [&'static str; 3]| {
                let arg = Arg::new(id).long(spelled(id)).help(help).value_name(name).action(ArgAction::Append);
                let arg = arg.conflicts_with_all(takes.map(|flag| flag.id));
                let is_several = takes.is_some_and(|flag| matches!(flag.takes, Takes::Several(_)));
                if is_several { arg.value_delimiter(',') } else { arg }
            };
            let add = arg(flags.add).value_parser(move |text: &str| check(setting, text));
            command = command.arg(add).arg(arg(flags.remove).value_parser(move |text: &str| check_key(setting, text)));
        }
        let names = PossibleValuesParser::new(clearable().map(|flag| spelled(flag.id)));
        let find = |name: String| clearable().find(|flag| spelled(flag.id) == name).ok_or("no such setting");
        command.arg(
            Arg::new(CLEAR)
                .long(CLEAR)
                .help("Empty these settings, named as their flags")
                .value_name("FIELD")
                .action(ArgAction::Append)
                .value_delimiter(',')
                .value_parser(names.try_map(find)),
        )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for ChangeArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut args = Self::default();
        args.update_from_arg_matches(matches)?;
        Ok(args)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for flags in &ITEM_FLAGS {
            self.added.extend(values(matches, flags.add[0]).map(|texts| (flags, texts)));
            self.removed.extend(values(matches, flags.remove[0]).map(|texts| (flags, texts)));
        }
        self.cleared.extend(matches.get_many::<&'static Flag>(CLEAR).into_iter().flatten().copied());
        Ok(())
    }
}

/// The first flag of each setting: those with a value, then the switches, then the prefix, which is not cleared but
/// returned to the store's default.
pub(super) fn clearable() -> impl Iterator<Item = &'static Flag> {
    let is_first = |flag: &&Flag| {
        FLAGS.iter().find(|other| other.setting == flag.setting).is_some_and(|first| first.id == flag.id)
    };
    let turn = |flag: &Flag| match flag.takes {
        _ if flag.setting == Setting::PREFIX => 2,
        Takes::Nothing(_) => 1,
        _ => 0,
    };
    (0..=2).flat_map(move |wanted| FLAGS.iter().filter(is_first).filter(move |flag| turn(flag) == wanted))
}

impl ChangeArgs {
    /// Whether the prefix goes back to the store's.
    pub fn clears_prefix(&self) -> bool {
        self.cleared.iter().any(|flag| flag.setting == Setting::PREFIX)
    }

    /// Adds these changes to `patch`.
    ///
    /// # Errors
    /// [`Code::Usage`](crate::error::Code::Usage) where two flags contradict each other.
    pub fn extend(&self, patch: &mut SettingsPatch) -> Result<(), Error> {
        for (flags, texts) in &self.added {
            put(patch.add(flags.setting), texts)?;
        }
        for (flags, texts) in &self.removed {
            let mut slot = patch.remove(flags.setting);
            texts.iter().try_for_each(|text| slot.parse_key(text)).map_err(|error| invalid(&error))?;
        }
        for flags in &ITEM_FLAGS {
            if patch.contradicts_itself(flags.setting) {
                let ([add, ..], [remove, ..], item) = (flags.add, flags.remove, flags.item);
                let (add, remove) = (spelled(add), spelled(remove));
                return Err(contradiction(format!("--{add} and --{remove} name the same {item}")));
            }
        }
        self.cleared.iter().try_for_each(|flag| clear(flag, patch))
    }
}

/// Clearing a setting that another flag sets is a contradiction, whatever their order.
fn clear(flag: &Flag, patch: &mut SettingsPatch) -> Result<(), Error> {
    if patch.changes(flag.setting) {
        let name = spelled(flag.id);
        return Err(contradiction(format!("--clear {name} and another flag for it contradict each other")));
    }
    match flag.takes {
        // The store decides what a cleared prefix means: the verb fills it in.
        _ if flag.setting == Setting::PREFIX => {}
        Takes::Nothing(on) => {
            if let SettingSlot::Switch(place) = patch.replace(flag.setting) {
                *place = !on;
            }
        }
        _ => patch.replace(flag.setting).clear(),
    }
    Ok(())
}
