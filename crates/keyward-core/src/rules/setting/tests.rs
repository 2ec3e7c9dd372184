//! The list of settings as a table: each can be set, cleared, shown and read back.

use proptest::prelude::*;

use super::*;
use crate::rules::key::tests::{at, sample};

/// Settings that all differ from their defaults. There is no `..` here, so a new field must be added, and the tests
/// notice if its row in the list is missing.
fn unusual() -> Settings {
    Settings {
        description: Some("why".parse().unwrap()),
        group: Some("ci".parse().unwrap()),
        owner: Some("ann".parse().unwrap()),
        role: Some("editor".parse().unwrap()),
        tenant: Some("acme".parse().unwrap()),
        scopes: ["rest", "ui"].map(|text| text.parse().unwrap()).into(),
        levels: ["A/B c".parse().unwrap()].into(),
        allowed_ips: ["10.0.0.0/8", "::1"].map(|text| text.parse().unwrap()).into(),
        limits: "100/1m:20 5000/1d".parse().unwrap(),
        labels: [("team".parse().unwrap(), "web=x".parse().unwrap()), ("a".parse().unwrap(), "".parse().unwrap())]
            .into(),
        read_only: true,
        require_secure: false,
        enabled: false,
        expires_at: Some(at(86_400)),
        prefix: "live".parse().unwrap(),
    }
}

fn usual() -> Settings {
    Settings::with_prefix(Prefix::default())
}

#[test]
fn every_field_has_its_row() {
    let mut settings = usual();
    for setting in Setting::ALL {
        assert!(!setting.is_same(&unusual(), &settings), "{setting:?}");
        setting.copy(&unusual(), &mut settings);
        assert!(setting.is_same(&unusual(), &settings), "{setting:?}");
    }
    assert_eq!(settings, unusual());
}

#[test]
fn every_setting_is_read_back_from_its_texts() {
    for setting in Setting::ALL {
        let mut settings = usual();
        for text in setting.value(&unusual()).texts() {
            setting.slot(&mut settings).parse(&text).unwrap();
        }
        assert!(setting.is_same(&unusual(), &settings), "{setting:?}");
        let others = Setting::ALL.into_iter().filter(|other| *other != setting);
        for other in others {
            assert!(other.is_same(&usual(), &settings), "{setting:?} has set {other:?}");
        }
    }
}

#[test]
fn what_can_be_absent_is_cleared() {
    for setting in Setting::ALL {
        let mut settings = unusual();
        let is_always_there = matches!(setting.value(&settings), SettingValue::Switch(_) | SettingValue::Prefix(_));
        assert!(!setting.value(&settings).is_empty(), "{setting:?}");
        setting.slot(&mut settings).clear();
        assert_eq!(setting.value(&settings).is_empty(), !is_always_there, "{setting:?}");
        assert_eq!(setting.value(&settings).texts().is_empty(), !is_always_there, "{setting:?}");
    }
}

#[test]
fn what_cannot_be_a_value_is_refused() {
    for (setting, text) in [
        (Setting::GROUP, ""),
        (Setting::OWNER, "a b"),
        (Setting::SCOPES, "a,b"),
        (Setting::LEVELS, "/"),
        (Setting::ALLOWED_IPS, "10.1.2.3/8"),
        (Setting::LABELS, "team"),
        (Setting::READ_ONLY, "yes"),
        (Setting::EXPIRES_AT, "soon"),
        (Setting::PREFIX, ""),
    ] {
        let mut settings = unusual();
        assert!(setting.slot(&mut settings).parse(text).is_err(), "{setting:?}");
        assert_eq!(settings, unusual(), "{setting:?}");
    }
}

#[test]
fn an_empty_description_is_none() {
    let mut settings = unusual();
    Setting::DESCRIPTION.slot(&mut settings).parse("").unwrap();
    assert_eq!(settings.description, None);
}

#[test]
fn names_are_found_and_are_unique() {
    for setting in Setting::ALL {
        assert_eq!(Setting::named(setting.name), Some(setting));
        assert_eq!(Setting::ALL.iter().filter(|other| other.name == setting.name).count(), 1, "{setting:?}");
    }
    assert_eq!(Setting::named("name"), None);
}

#[test]
fn a_key_in_json_has_every_setting_once_with_its_value() {
    assert_eq!(Setting::IN_JSON.concat().len(), Setting::ALL.len());
    let mut key = sample();
    key.settings = unusual();
    let json = serde_json::to_value(key.to_json(at(1))).unwrap();
    for setting in Setting::ALL {
        let value = serde_json::to_value(setting.value(&key.settings)).unwrap();
        assert_eq!(json[setting.name], value, "{setting:?}");
        assert!(!value.is_null());
    }
}

#[test]
fn what_refers_to_the_directory_is_a_name() {
    for setting in Setting::ALL.into_iter().filter(|setting| setting.refers_to.is_some()) {
        let settings = unusual();
        let text = setting.value(&settings).texts().concat();
        assert!(text.parse::<Name>().is_ok(), "{setting:?}");
    }
}

proptest! {
    #[test]
    fn whatever_text_is_taken_is_read_back(text in "\\PC{0,40}|[a-z0-9=/:.-]{0,20}", place in 0..Setting::ALL.len()) {
        let setting = Setting::ALL[place];
        let (mut settings, mut again) = (usual(), usual());
        if setting.slot(&mut settings).parse(&text).is_ok() {
            for text in setting.value(&settings).texts() {
                setting.slot(&mut again).parse(&text).unwrap();
            }
            prop_assert_eq!(settings, again);
        }
    }
}
