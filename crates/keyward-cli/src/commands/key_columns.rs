//! The columns of a list of keys: the usual ones, and those on request.

use std::str::FromStr;

use jiff::Timestamp;

use super::setting_args::list::{COLUMNS, LAST_COLUMNS, MORE_COLUMNS, SettingColumn, Words};
use super::views::{imported, state, text_of};
use crate::terminal::{Cell, Column};
use keyward_core::rules::key::{Key, SecretInfo};
use keyward_core::rules::names::InvalidText;
use keyward_core::rules::setting::Setting;
use keyward_core::rules::time::relative;

/// A column of a list of keys.
#[derive(Debug, Clone, Copy)]
pub struct KeyColumn {
    heading: &'static str,
    /// Its name in JSON.
    pub field: &'static str,
    /// How soon it is dropped if there is no room: the lowest goes first.
    weight: u8,
    shows: Shows,
}

#[derive(Debug, Clone, Copy)]
enum Shows {
    Id,
    Name,
    State,
    LastUsed,
    LastUsedFrom,
    Uses,
    Created,
    CreatedBy,
    Changed,
    Secrets,
    Setting(Setting, Words),
}

const fn own(heading: &'static str, field: &'static str, weight: u8, shows: Shows) -> KeyColumn {
    KeyColumn { heading, field, weight, shows }
}

fn of_setting((setting, heading, weight, words): SettingColumn) -> KeyColumn {
    KeyColumn { heading, field: setting.name, weight, shows: Shows::Setting(setting, words) }
}

/// The columns of a list. In a narrow terminal the name and the state stay, then the columns that show whether a key
/// still works and is still needed.
pub fn usual() -> Vec<KeyColumn> {
    let first = [own("name", "name", Column::ALWAYS, Shows::Name), own("state", "state", Column::ALWAYS, Shows::State)];
    let times = [own("last used", "last_used_at", 8, Shows::LastUsed), own("created", "created_at", 1, Shows::Created)];
    first.into_iter().chain(COLUMNS.map(of_setting)).chain(times).chain(LAST_COLUMNS.map(of_setting)).collect()
}

/// All columns that can be requested.
pub fn all() -> Vec<KeyColumn> {
    let more = [
        own("id", "id", 1, Shows::Id),
        own("uses", "use_count", 7, Shows::Uses),
        own("last used from", "last_used_from", 2, Shows::LastUsedFrom),
        own("created by", "created_by", 1, Shows::CreatedBy),
        own("changed", "updated_at", 1, Shows::Changed),
        own("secrets", "secrets", 1, Shows::Secrets),
    ];
    usual().into_iter().chain(more).chain(MORE_COLUMNS.map(of_setting)).collect()
}

/// Their names on a command line.
pub fn names() -> impl Iterator<Item = String> {
    all().into_iter().map(|column| column.name())
}

impl KeyColumn {
    /// Its name on a command line: its heading, with - instead of blanks.
    pub fn name(&self) -> String {
        self.heading.replace(' ', "-")
    }

    /// The column of a table.
    pub fn column(&self) -> Column {
        let column = Column::new(self.heading, self.weight);
        match self.shows {
            Shows::Uses => column.number(),
            Shows::Id => column.whole(),
            _ => column,
        }
    }

    /// What it shows for a key.
    pub fn cell(&self, key: &Key, now: Timestamp) -> Cell {
        let ago = |time: Timestamp| relative(time, now);
        match self.shows {
            Shows::Id => key.id.to_string().into(),
            Shows::Name => key.name.to_string().into(),
            Shows::State => state(key, now),
            Shows::LastUsed => key.last_used_at.map_or_else(|| "never".to_owned(), ago).into(),
            Shows::LastUsedFrom => key.last_used_from.as_ref().into(),
            Shows::Uses => key.use_count.to_string().into(),
            Shows::Created => ago(key.created_at).into(),
            Shows::CreatedBy => key.created_by.as_ref().into(),
            Shows::Changed => ago(key.updated_at).into(),
            Shows::Secrets => {
                let secret = |secret: &SecretInfo| match imported(secret) {
                    Some(imported) => format!("{} ({imported})", secret.id),
                    None => secret.id.to_string(),
                };
                key.secrets.iter().map(secret).collect::<Vec<_>>().join(", ").into()
            }
            Shows::Setting(setting, words) => text_of(setting.value(&key.settings), words, ago).into(),
        }
    }
}

/// By its name on a command line.
impl FromStr for KeyColumn {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        let found = all().into_iter().find(|column| column.name() == text);
        found.ok_or_else(|| InvalidText::new("there is no such column"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use keyward_core::rules::key::Settings;
    use keyward_core::rules::names::Prefix;
    use keyward_core::rules::token::Id;

    use super::*;

    #[test]
    fn every_column_has_a_name_and_a_field_of_its_own_and_every_field_is_a_column() {
        let columns = all();
        let settings = Settings::with_prefix(Prefix::default());
        let key = Key::new(Id::from_random([1; 8]), "key".parse().unwrap(), settings, Timestamp::UNIX_EPOCH);
        let whole = serde_json::to_value(key.to_json(Timestamp::UNIX_EPOCH)).unwrap();
        let fields: BTreeSet<&str> = whole.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(columns.iter().map(|column| column.field).collect::<BTreeSet<_>>(), fields);
        for (place, column) in columns.iter().enumerate() {
            assert!(column.name().parse::<KeyColumn>().is_ok());
            for other in &columns[place + 1..] {
                assert!(column.name() != other.name() && column.field != other.field, "{column:?} {other:?}");
            }
        }
    }
}
