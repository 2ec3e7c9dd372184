//! The flags as tables: they cover the core's list of settings, and make the patch that they name.

use super::changes::clearable;
use super::list::{CARD, COLUMNS, ITEM_FLAGS, LAST_COLUMNS, QUESTIONS};
use super::*;
use crate::formats::manifest::{key_to_json, read};
use crate::manual::json::shapes;
use keyward_core::rules::setting::SettingValue;

/// The flags of a setting, with a value that is nobody's default.
const EXAMPLES: [(Setting, &[&str]); 15] = [
    (Setting::DESCRIPTION, &["--description", "why"]),
    (Setting::GROUP, &["--group", "ci"]),
    (Setting::OWNER, &["--owner", "ann"]),
    (Setting::ROLE, &["--role", "editor"]),
    (Setting::TENANT, &["--tenant", "acme"]),
    (Setting::SCOPES, &["--scope", "rest,ui", "--scope", "api"]),
    (Setting::LEVELS, &["--level", "A/B,C"]),
    (Setting::ALLOWED_IPS, &["--allow-ip", "10.0.0.0/8,::1"]),
    (Setting::LIMITS, &["--limit", "100/1m:20,7/1h", "--limit", "5000/1d"]),
    (Setting::LABELS, &["--label", "team=a,b", "--label", "env="]),
    (Setting::READ_ONLY, &["--read-only"]),
    (Setting::REQUIRE_SECURE, &["--allow-insecure"]),
    (Setting::ENABLED, &["--disabled"]),
    (Setting::EXPIRES_AT, &["--expires", "2030-01-31"]),
    (Setting::PREFIX, &["--prefix", "live"]),
];

fn command() -> Command {
    ChangeArgs::augment_args(SettingArgs::augment_args(Command::new("edit").no_binary_name(true)))
}

fn now() -> Timestamp {
    Timestamp::from_second(1_000).unwrap()
}

fn patch(line: &[&str]) -> Result<SettingsPatch, String> {
    let matches = command().try_get_matches_from(line).map_err(|error| error.to_string())?;
    let settings = SettingArgs::from_arg_matches(&matches).map_err(|error| error.to_string())?;
    let mut patch = settings.patch(now()).map_err(|error| error.message().to_owned())?;
    ChangeArgs::from_arg_matches(&matches).unwrap().extend(&mut patch).map_err(|error| error.message().to_owned())?;
    Ok(patch)
}

fn settings(line: &[&str]) -> Settings {
    patch(line).unwrap().apply(&blank())
}

#[test]
fn the_command_is_sound() {
    command().debug_assert();
}

#[test]
fn flags_manifests_and_json_cover_the_same_settings() {
    let documented = &shapes()[0];
    let manifest = key_to_json(&"a".parse().unwrap(), &blank());
    for setting in Setting::ALL {
        assert!(FLAGS.iter().any(|flag| flag.setting == setting), "{setting:?} has no flag");
        assert_eq!(clearable().filter(|flag| flag.setting == setting).count(), 1, "{setting:?}");
        assert!(EXAMPLES.iter().any(|(example, _)| *example == setting), "{setting:?} has no example here");
        assert_eq!(documented.fields.iter().filter(|(name, ..)| *name == setting.name).count(), 1, "{setting:?}");
        assert!(manifest.get(setting.name).is_some(), "{setting:?}");
    }
    // The name of the key, and otherwise only settings.
    assert_eq!(manifest.as_object().unwrap().len(), Setting::ALL.len() + 1);
    let has_items =
        |setting: &Setting| !matches!(setting.slot(&mut blank()), SettingSlot::Texts(_) | SettingSlot::Labels(_));
    for setting in Setting::ALL.into_iter().filter(|setting| !has_items(setting)) {
        assert!(ITEM_FLAGS.iter().any(|flags| flags.setting == setting), "{setting:?} has no --add-…");
    }
}

#[test]
fn a_card_and_the_form_leave_out_what_stands_elsewhere() {
    let missing = |shown: &[Setting]| -> Vec<_> {
        Setting::ALL.into_iter().filter(|setting| !shown.contains(setting)).map(|setting| setting.name).collect()
    };
    assert_eq!(missing(&CARD.map(|(setting, ..)| setting)), ["enabled", "prefix"]);
    assert_eq!(missing(&QUESTIONS.map(|(setting, ..)| setting)), ["labels", "enabled", "prefix"]);
    let columns = [&COLUMNS[..], &LAST_COLUMNS].concat();
    let columns: Vec<_> = columns.iter().map(|(setting, ..)| *setting).collect();
    assert_eq!(
        missing(&columns),
        ["allowed_ips", "limits", "labels", "read_only", "require_secure", "enabled", "prefix"],
        "a narrow table cannot hold everything"
    );
}

#[test]
fn every_flag_sets_its_setting_and_no_other_and_a_manifest_reads_the_same() {
    for (setting, line) in EXAMPLES {
        let changed = settings(line);
        for other in Setting::ALL {
            assert_eq!(other.is_same(&changed, &blank()), other != setting, "{line:?} and {other:?}");
        }
        let manifest = serde_json::json!({"key": [key_to_json(&"a".parse().unwrap(), &changed)]}).to_string();
        let read = read(&manifest).unwrap().keys.remove(0).draft;
        match read.expires {
            // A time is resolved once the key is known.
            Some((_, when)) if setting == Setting::EXPIRES_AT => {
                assert_eq!(when.resolve(now()).unwrap(), changed.expires_at);
            }
            _ => assert!(setting.is_same(&read.settings, &changed), "{manifest}"),
        }
    }
}

#[test]
fn every_setting_can_be_emptied_and_not_set_at_once() {
    for (setting, line) in EXAMPLES {
        let flag = clearable().find(|flag| flag.setting == setting).unwrap();
        let clear = ["--clear".to_owned(), spelled(flag.id)];
        let clear: Vec<&str> = clear.iter().map(String::as_str).collect();
        let emptied = patch(&clear).unwrap().apply(&settings(line));
        let value = setting.value(&emptied);
        let is_switch_off = |on: bool| flag.takes == Takes::Nothing(!on);
        match value {
            SettingValue::Switch(on) => assert!(is_switch_off(on), "{setting:?}"),
            // The verb returns it to the store's.
            SettingValue::Prefix(_) => assert!(setting.is_same(&emptied, &settings(line))),
            value => assert!(value.is_empty(), "{setting:?}"),
        }
        let both = patch(&[line, &clear].concat()).unwrap_err();
        assert!(both.contains("contradict each other"), "{both}");
    }
}

#[test]
fn items_come_and_go() {
    let before = settings(&["--scope", "rest,ui", "--label", "team=a", "--label", "env=x", "--allow-ip", "10.0.0.0/8"]);
    for (line, setting, texts) in [
        (&["--add-scope", "b,a"][..], Setting::SCOPES, &["a", "b", "rest", "ui"][..]),
        (&["--remove-scope", "ui,x", "--add-scope", "a"], Setting::SCOPES, &["a", "rest"]),
        (&["--add-label", "team=b", "--remove-label", "env"], Setting::LABELS, &["team=b"]),
        (&["--remove-allow-ip", "10.0.0.0/8", "--add-allow-ip", "::1"], Setting::ALLOWED_IPS, &["::1/128"]),
        (&["--add-level", "A"], Setting::LEVELS, &["A"]),
    ] {
        assert_eq!(setting.value(&patch(line).unwrap().apply(&before)).texts(), texts, "{line:?}");
    }
}

#[test]
fn what_contradicts_itself_is_refused() {
    for (line, says) in [
        (&["--read-only", "--read-write"][..], "cannot be used with"),
        (&["--require-secure", "--allow-insecure"], "cannot be used with"),
        (&["--scope", "a", "--add-scope", "b"], "cannot be used with"),
        (&["--add-scope", "a", "--remove-scope", "a"], "--add-scope and --remove-scope name the same value"),
        (&["--add-allow-ip", "::1", "--remove-allow-ip", "::1/128"], "name the same value"),
        (&["--add-label", "a=1", "--remove-label", "a"], "--add-label and --remove-label name the same label"),
        (&["--label", "a=1", "--label", "a=2"], "the label a is given twice"),
        (&["--add-label", "a=1", "--add-label", "a=2"], "the label a is given twice"),
        (&["--add-scope", "a", "--clear", "scope"], "--clear scope and another flag"),
        (&["--expires", "1970-01-01"], "in the past"),
        (&["--remove-label", "a=1"], "'a=1' for '--remove-label <KEY>'"),
        (&["--clear", "scopes"], "possible values: description, group"),
    ] {
        let error = patch(line).unwrap_err();
        assert!(error.contains(says), "{line:?}: {error}");
    }
    assert!(patch(&["--label", "a=1", "--label", "a=1"]).is_ok());
}
