//! A change to settings, as `create`, `edit` and `duplicate` make it.
//!
//! A patch says nothing about most settings and something about a few. Applied to the defaults, it gives the settings
//! of a new key; applied to a key's own, the edited ones.

use serde_json::{Map, Value};

pub use super::difference::Difference;
use super::names::{InvalidText, Prefix};
use super::setting::{Setting, SettingSlot, SettingValue, Settings};

/// A change to the settings of a key. For each setting, replacement comes first, then removal, then addition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsPatch {
    replaced: Vec<Setting>,
    /// The new values of the settings that are replaced.
    values: Settings,
    /// What is added to lists and labels.
    added: Settings,
    /// What is removed from lists and labels.
    removed: Settings,
}

impl Default for SettingsPatch {
    fn default() -> Self {
        let nothing = Settings::with_prefix(Prefix::default());
        Self { replaced: vec![], values: nothing.clone(), added: nothing.clone(), removed: nothing }
    }
}

impl SettingsPatch {
    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it changes this setting in any way.
    pub fn changes(&self, setting: Setting) -> bool {
        let is_listed = |settings: &Settings| match setting.value(settings) {
            SettingValue::Texts(texts) => !texts.is_empty(),
            SettingValue::Labels(labels) => !labels.is_empty(),
            _ => false,
        };
        self.replaces(setting).is_some() || is_listed(&self.added) || is_listed(&self.removed)
    }

    /// The replacement of this setting, before additions and removals; `None` if it is not replaced.
    pub fn replaces(&self, setting: Setting) -> Option<SettingValue<'_>> {
        self.replaced.contains(&setting).then(|| setting.value(&self.values))
    }

    /// Replaces a setting: with what is put into the returned slot, or else with its default.
    pub fn replace(&mut self, setting: Setting) -> SettingSlot<'_> {
        if !self.replaced.contains(&setting) {
            self.replaced.push(setting);
        }
        setting.slot(&mut self.values)
    }

    /// The slot for what is added to a list or to labels. In other settings it has no effect.
    pub fn add(&mut self, setting: Setting) -> SettingSlot<'_> {
        setting.slot(&mut self.added)
    }

    /// The slot for what is removed from a list, or from labels by their keys. In other settings it has no effect.
    pub fn remove(&mut self, setting: Setting) -> SettingSlot<'_> {
        setting.slot(&mut self.removed)
    }

    /// Whether an item of this setting is both added and removed.
    pub fn contradicts_itself(&self, setting: Setting) -> bool {
        let mut rest = self.added.clone();
        setting.remove(&self.removed, &mut rest);
        !setting.is_same(&rest, &self.added)
    }

    /// `settings` after this change.
    pub fn apply(&self, settings: &Settings) -> Settings {
        let mut new = settings.clone();
        for setting in &self.replaced {
            setting.copy(&self.values, &mut new);
        }
        for setting in Setting::ALL {
            setting.remove(&self.removed, &mut new);
            setting.add(&self.added, &mut new);
        }
        new
    }

    /// The same, but checks that the additions fit beside the existing values.
    ///
    /// # Errors
    /// If they do not fit.
    pub fn apply_checked(&self, settings: &Settings) -> Result<Settings, InvalidText> {
        let new = self.apply(settings);
        new.limits.check().map(|()| new)
    }
}

/// The settings that differ between `old` and `new`, in the order of [`Setting::ALL`].
pub fn differences(old: &Settings, new: &Settings) -> Vec<Difference> {
    let changed = Setting::ALL.into_iter().filter(|setting| !setting.is_same(old, new));
    let difference = |setting: Setting| Difference {
        field: setting.name.to_owned(),
        old: json(setting, old),
        new: json(setting, new),
    };
    changed.map(difference).collect()
}

/// The settings as JSON fields, in the order of [`Setting::ALL`].
pub fn fields(settings: &Settings) -> Map<String, Value> {
    Setting::ALL.into_iter().map(|setting| (setting.name.to_owned(), json(setting, settings))).collect()
}

fn json(setting: Setting, settings: &Settings) -> Value {
    // Texts, numbers, sets and maps with text keys: none of them can fail to serialise.
    serde_json::to_value(setting.value(settings)).unwrap_or(Value::Null)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn settings() -> Settings {
        let mut settings = Settings::with_prefix(Prefix::default());
        settings.description = Some("before".parse().unwrap());
        settings.scopes = ["a", "b"].iter().map(|text| text.parse().unwrap()).collect();
        settings
    }

    fn put(mut slot: SettingSlot<'_>, texts: &[&str]) {
        for text in texts {
            slot.parse(text).unwrap();
        }
    }

    fn texts(setting: Setting, settings: &Settings) -> Vec<String> {
        setting.value(settings).texts()
    }

    #[test]
    fn nothing_said_changes_nothing() {
        assert!(SettingsPatch::default().is_empty());
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
            let mut patch = SettingsPatch::default();
            if let Some(texts) = replace {
                put(patch.replace(Setting::SCOPES), &texts);
            }
            put(patch.add(Setting::SCOPES), &add);
            put(patch.remove(Setting::SCOPES), &remove);
            assert!(patch.changes(Setting::SCOPES) && !patch.changes(Setting::LEVELS));
            assert_eq!(texts(Setting::SCOPES, &patch.apply(&settings())), result);
        }
    }

    #[test]
    fn labels_are_replaced_set_and_taken_away() {
        let mut before = settings();
        put(Setting::LABELS.slot(&mut before), &["team=a", "env=prod"]);
        let mut patch = SettingsPatch::default();
        put(patch.add(Setting::LABELS), &["team=b"]);
        patch.remove(Setting::LABELS).parse_key("env").unwrap();
        assert_eq!(texts(Setting::LABELS, &patch.apply(&before)), ["team=b"]);
        put(patch.replace(Setting::LABELS), &["only="]);
        assert_eq!(texts(Setting::LABELS, &patch.apply(&before)), ["only=", "team=b"]);
    }

    #[test]
    fn an_item_that_comes_and_goes_is_a_contradiction() {
        for (setting, add, remove, contradicts) in [
            (Setting::SCOPES, "a", "b", false),
            (Setting::SCOPES, "a", "a", true),
            (Setting::ALLOWED_IPS, "10.0.0.1", "10.0.0.1/32", true),
            (Setting::LABELS, "team=a", "team", true),
            (Setting::LABELS, "team=a", "env", false),
        ] {
            let mut patch = SettingsPatch::default();
            patch.add(setting).parse(add).unwrap();
            patch.remove(setting).parse_key(remove).unwrap();
            assert_eq!(patch.contradicts_itself(setting), contradicts, "{add} {remove}");
            assert!(!patch.contradicts_itself(Setting::LEVELS));
        }
    }

    #[test]
    fn differences_name_the_field_and_both_values() {
        let mut patch = SettingsPatch::default();
        patch.replace(Setting::DESCRIPTION).clear();
        put(patch.replace(Setting::READ_ONLY), &["true"]);
        put(patch.replace(Setting::EXPIRES_AT), &["1970-01-01"]);
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

    #[test]
    fn a_setting_can_be_replaced_by_its_default() {
        let mut patch = SettingsPatch::default();
        patch.replace(Setting::EXPIRES_AT).clear();
        assert!(!patch.is_empty());
        let mut before = settings();
        before.expires_at = Some(Timestamp::from_second(1).unwrap());
        assert_eq!(patch.apply(&before), settings());
    }
}
