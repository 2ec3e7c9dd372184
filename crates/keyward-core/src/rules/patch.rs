//! A change to settings: what `create`, `edit` and `duplicate` have in common.
//!
//! A patch says nothing about most settings and something about a few. Applied to the defaults it
//! makes a new key's settings, to a key's own the edited ones.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

use super::address::Cidr;
use super::key::Settings;
use super::names::{Description, LabelKey, LabelValue, Level, Name, Prefix, Scope};
use super::time::rfc3339;

/// What happens to a setting that may be absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Patch<T> {
    /// It stays as it is.
    #[default]
    Keep,
    /// It becomes this.
    Set(T),
    /// It becomes absent.
    Clear,
}

impl<T: Clone> Patch<T> {
    fn apply(&self, value: &mut Option<T>) {
        match self {
            Self::Keep => {}
            Self::Set(new) => *value = Some(new.clone()),
            Self::Clear => *value = None,
        }
    }
}

impl<T> From<Option<T>> for Patch<T> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Keep, Self::Set)
    }
}

/// What happens to a set: replaced first, then added to, then taken from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetPatch<T> {
    /// The whole set anew, if given.
    pub replace: Option<BTreeSet<T>>,
    /// What comes in.
    pub add: BTreeSet<T>,
    /// What goes.
    pub remove: BTreeSet<T>,
}

impl<T> Default for SetPatch<T> {
    fn default() -> Self {
        Self { replace: None, add: BTreeSet::new(), remove: BTreeSet::new() }
    }
}

impl<T: Ord + Clone> SetPatch<T> {
    fn apply(&self, set: &mut BTreeSet<T>) {
        if let Some(replacement) = &self.replace {
            set.clone_from(replacement);
        }
        set.extend(self.add.iter().cloned());
        set.retain(|item| !self.remove.contains(item));
    }
}

/// What happens to labels: replaced first, then set one by one, then taken away by their keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabelsPatch {
    /// All labels anew, if given.
    pub replace: Option<BTreeMap<LabelKey, LabelValue>>,
    /// Labels that come in or get another value.
    pub add: BTreeMap<LabelKey, LabelValue>,
    /// Labels that go.
    pub remove: BTreeSet<LabelKey>,
}

/// A change to the settings of a key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is the setting of the same name in Settings")]
pub struct SettingsPatch {
    pub description: Patch<Description>,
    pub group: Patch<Name>,
    pub owner: Patch<Name>,
    pub role: Patch<Name>,
    pub tenant: Patch<Name>,
    pub scopes: SetPatch<Scope>,
    pub levels: SetPatch<Level>,
    pub allowed_ips: SetPatch<Cidr>,
    pub labels: LabelsPatch,
    pub read_only: Option<bool>,
    pub require_secure: Option<bool>,
    pub enabled: Option<bool>,
    pub expires_at: Patch<Timestamp>,
    pub prefix: Option<Prefix>,
}

impl SettingsPatch {
    /// `settings` after this change.
    pub fn apply(&self, settings: &Settings) -> Settings {
        let mut new = settings.clone();
        self.description.apply(&mut new.description);
        self.group.apply(&mut new.group);
        self.owner.apply(&mut new.owner);
        self.role.apply(&mut new.role);
        self.tenant.apply(&mut new.tenant);
        self.scopes.apply(&mut new.scopes);
        self.levels.apply(&mut new.levels);
        self.allowed_ips.apply(&mut new.allowed_ips);
        if let Some(replacement) = &self.labels.replace {
            new.labels.clone_from(replacement);
        }
        new.labels.extend(self.labels.add.clone());
        new.labels.retain(|key, _| !self.labels.remove.contains(key));
        new.read_only = self.read_only.unwrap_or(new.read_only);
        new.require_secure = self.require_secure.unwrap_or(new.require_secure);
        new.enabled = self.enabled.unwrap_or(new.enabled);
        self.expires_at.apply(&mut new.expires_at);
        if let Some(prefix) = &self.prefix {
            new.prefix.clone_from(prefix);
        }
        new
    }
}

/// One setting that differs, in the form of `--json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The name of the field in JSON.
    pub field: String,
    /// Its value before.
    pub old: Value,
    /// Its value after.
    pub new: Value,
}

/// The settings that differ between `old` and `new`, in the order of the JSON fields.
pub fn differences(old: &Settings, new: &Settings) -> Vec<Difference> {
    let mut news = fields(new);
    fields(old)
        .into_iter()
        .filter_map(|(field, old)| {
            let new = news.remove(&field).unwrap_or(Value::Null);
            (old != new).then_some(Difference { field, old, new })
        })
        .collect()
}

/// The settings as JSON fields. A prefix tells nothing about a key that has its secret, but it
/// decides about the next one, so it is a setting like the others.
pub fn fields(settings: &Settings) -> Map<String, Value> {
    fn json<T: Serialize>(value: &T) -> Value {
        // Texts, numbers, sets and maps with text keys: none of them can fail to be JSON.
        serde_json::to_value(value).unwrap_or(Value::Null)
    }
    [
        ("description", json(&settings.description)),
        ("group", json(&settings.group)),
        ("owner", json(&settings.owner)),
        ("role", json(&settings.role)),
        ("tenant", json(&settings.tenant)),
        ("scopes", json(&settings.scopes)),
        ("levels", json(&settings.levels)),
        ("allowed_ips", json(&settings.allowed_ips)),
        ("labels", json(&settings.labels)),
        ("read_only", json(&settings.read_only)),
        ("require_secure", json(&settings.require_secure)),
        ("enabled", json(&settings.enabled)),
        ("expires_at", json(&settings.expires_at.map(rfc3339))),
        ("prefix", json(&settings.prefix)),
    ]
    .into_iter()
    .map(|(field, value)| (field.to_owned(), value))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scopes(texts: &[&str]) -> BTreeSet<Scope> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn settings() -> Settings {
        let mut settings = Settings::with_prefix(Prefix::default());
        settings.description = Some("before".parse().unwrap());
        settings.scopes = scopes(&["a", "b"]);
        settings
    }

    #[test]
    fn nothing_said_changes_nothing() {
        assert_eq!(SettingsPatch::default().apply(&settings()), settings());
        assert!(differences(&settings(), &settings()).is_empty());
    }

    #[test]
    fn sets_are_replaced_added_to_and_taken_from() {
        for (replace, add, remove, result) in [
            (None, vec!["c"], vec![], vec!["a", "b", "c"]),
            (None, vec![], vec!["a", "x"], vec!["b"]),
            (Some(vec!["x", "y"]), vec!["z"], vec!["x"], vec!["y", "z"]),
            (Some(vec![]), vec![], vec![], vec![]),
        ] {
            let patch = SettingsPatch {
                scopes: SetPatch {
                    replace: replace.map(|texts| scopes(&texts)),
                    add: scopes(&add),
                    remove: scopes(&remove),
                },
                ..SettingsPatch::default()
            };
            assert_eq!(patch.apply(&settings()).scopes, scopes(&result));
        }
    }

    #[test]
    fn labels_are_replaced_set_and_taken_away() {
        let labels = |pairs: &[(&str, &str)]| -> BTreeMap<LabelKey, LabelValue> {
            pairs.iter().map(|(key, value)| (key.parse().unwrap(), value.parse().unwrap())).collect()
        };
        let mut before = settings();
        before.labels = labels(&[("team", "a"), ("env", "prod")]);
        let mut patch = SettingsPatch::default();
        patch.labels.add = labels(&[("team", "b")]);
        patch.labels.remove = ["env".parse().unwrap()].into();
        assert_eq!(patch.apply(&before).labels, labels(&[("team", "b")]));
        patch.labels.replace = Some(labels(&[("only", "")]));
        assert_eq!(patch.apply(&before).labels, labels(&[("only", ""), ("team", "b")]));
    }

    #[test]
    fn differences_name_the_field_and_both_values() {
        let patch = SettingsPatch {
            description: Patch::Clear,
            read_only: Some(true),
            expires_at: Patch::Set(Timestamp::from_second(0).unwrap()),
            ..SettingsPatch::default()
        };
        let found = differences(&settings(), &patch.apply(&settings()));
        let found: Vec<_> = found.iter().map(|d| format!("{}: {} -> {}", d.field, d.old, d.new)).collect();
        assert_eq!(
            found,
            [
                r#"description: "before" -> null"#,
                "read_only: false -> true",
                "expires_at: null -> \"1970-01-01T00:00:00Z\"",
            ]
        );
    }
}
