//! What the command line knows about each setting of a key: its flags, its place in lists and cards, and the question
//! about it. All other code for settings in the command line walks over these lists.
//!
//! Each list has the order in which a person sees it, so there are several.

use keyward_core::rules::setting::Setting;
use keyward_core::store::Names;

/// A flag that replaces a setting. It is spelled like its id, with - instead of _.
#[derive(Debug)]
pub(super) struct Flag {
    pub id: &'static str,
    pub setting: Setting,
    pub takes: Takes,
    /// One line; what follows an empty line is shown by `--help` only.
    pub help: &'static str,
    /// Another help text in `edit`, where there are no defaults.
    pub help_in_edit: Option<&'static str>,
}

/// What follows a flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    /// One value, named like this in help texts.
    One(&'static str),
    /// A value each time it is given, or several separated by commas.
    Several(&'static str),
    /// A value each time it is given.
    Repeated(&'static str),
    /// A time, or never.
    When,
    /// Nothing: it turns the setting on or off.
    Nothing(bool),
}

const fn flag(id: &'static str, setting: Setting, takes: Takes, help: &'static str) -> Flag {
    Flag { id, setting, takes, help, help_in_edit: None }
}

impl Flag {
    const fn in_edit(mut self, help: &'static str) -> Self {
        self.help_in_edit = Some(help);
        self
    }
}

/// The flags of `create`, `edit` and `duplicate`, in the order of the help. The first flag of a setting names it
/// for `--clear`; of two that turn a setting on and off, one excludes the other.
pub(super) static FLAGS: [Flag; 17] = [
    flag("description", Setting::DESCRIPTION, Takes::One("TEXT"), "What the key is for"),
    flag("group", Setting::GROUP, Takes::One("GROUP"), "The group to keep it in"),
    flag(
        "owner",
        Setting::OWNER,
        Takes::One("USER"),
        "The user on whose behalf it acts [default: the acting user; for a copy, as before]",
    )
    .in_edit("The user on whose behalf it acts"),
    flag("role", Setting::ROLE, Takes::One("ROLE"), "The role it acts in, never above its owner's"),
    flag(
        "tenant",
        Setting::TENANT,
        Takes::One("TENANT"),
        "The one tenant it works for [default: the acting user's; for a copy, as before]",
    )
    .in_edit("The one tenant it works for"),
    flag(
        "scope",
        Setting::SCOPES,
        Takes::Several("SCOPE"),
        "Something the key may do; repeat it, or separate with commas",
    ),
    flag(
        "level",
        Setting::LEVELS,
        Takes::Several("PATH"),
        "A security level, such as Authenticated/Roles/Administrator; includes the levels above it",
    ),
    flag(
        "allow_ip",
        Setting::ALLOWED_IPS,
        Takes::Several("CIDR"),
        "A network that the key may be used from, such as 10.0.0.0/8 or 2001:db8::1",
    ),
    flag(
        "limit",
        Setting::LIMITS,
        Takes::Several("N/PERIOD[:BURST]"),
        "How often it may be used: 100/1m, 100/1m:20, 10000/1d, 50000/1mo; repeat it, or separate with commas\n\n\
         A period is 1s to 1h, 1d or 1mo. Up to an hour, N pass in a period on the average, and BURST at once (N, where no \
         burst is given). A day and a month are those of the calendar, in UTC.",
    ),
    flag("label", Setting::LABELS, Takes::Repeated("KEY=VALUE"), "A label, for filtering"),
    flag("read_only", Setting::READ_ONLY, Takes::Nothing(true), "Allow only GET, HEAD, OPTIONS and TRACE"),
    flag("read_write", Setting::READ_ONLY, Takes::Nothing(false), "Allow every method (the default)")
        .in_edit("Allow every method"),
    flag(
        "require_secure",
        Setting::REQUIRE_SECURE,
        Takes::Nothing(true),
        "Refuse requests over plain http (the default)",
    )
    .in_edit("Refuse requests over plain http"),
    flag("allow_insecure", Setting::REQUIRE_SECURE, Takes::Nothing(false), "Allow requests over plain http"),
    flag(
        "expires",
        Setting::EXPIRES_AT,
        Takes::When,
        "When the key stops working: 90d, 12h, 2030-01-31, 2030-01-31T12:00:00Z, or never\n\n\
         A date means its first moment in UTC.",
    ),
    flag("disabled", Setting::ENABLED, Takes::Nothing(false), "Make it disabled: it does not work until it is enabled")
        .in_edit("Disable it until it is enabled"),
    flag(
        "prefix",
        Setting::PREFIX,
        Takes::One("PREFIX"),
        "What the secret starts with [default: the store's, kw at first; for a copy, as before]",
    )
    .in_edit("What its next secret starts with"),
];

/// The flags of `edit` that change a setting item by item: `--add-…` and `--remove-…`.
#[derive(Debug)]
pub(super) struct ItemFlags {
    pub setting: Setting,
    pub add: [&'static str; 3],
    pub remove: [&'static str; 3],
    /// The name for the item in the error about contradicting flags.
    pub item: &'static str,
}

/// An id, the name of the value, and the help.
pub(super) static ITEM_FLAGS: [ItemFlags; 5] = [
    ItemFlags {
        setting: Setting::SCOPES,
        add: ["add_scope", "SCOPE", "Give the key another scope"],
        remove: ["remove_scope", "SCOPE", "Take a scope away"],
        item: "value",
    },
    ItemFlags {
        setting: Setting::LEVELS,
        add: ["add_level", "PATH", "Give the key another level"],
        remove: ["remove_level", "PATH", "Take a level away"],
        item: "value",
    },
    ItemFlags {
        setting: Setting::ALLOWED_IPS,
        add: ["add_allow_ip", "CIDR", "Allow another network"],
        remove: ["remove_allow_ip", "CIDR", "Take a network away"],
        item: "value",
    },
    ItemFlags {
        setting: Setting::LIMITS,
        add: ["add_limit", "N/PERIOD[:BURST]", "Set the limit of a period, in the place of the one that it has"],
        remove: ["remove_limit", "PERIOD", "Take the limit of a period away"],
        item: "period",
    },
    ItemFlags {
        setting: Setting::LABELS,
        add: ["add_label", "KEY=VALUE", "Set one label"],
        remove: ["remove_label", "KEY", "Take one label away"],
        item: "label",
    },
];

/// A setting as a column of a list: its heading, how soon it is dropped if there is no room (the lowest goes first),
/// and its values in words.
pub type SettingColumn = (Setting, &'static str, u8, Words);

/// The columns of settings after the name and the state of a key.
pub const COLUMNS: [SettingColumn; 7] = [
    (Setting::GROUP, "group", 3, Words::Value),
    (Setting::OWNER, "owner", 7, Words::Value),
    (Setting::ROLE, "role", 4, Words::Value),
    (Setting::TENANT, "tenant", 5, Words::Value),
    (Setting::SCOPES, "scopes", 6, Words::Value),
    (Setting::LEVELS, "levels", 2, Words::Value),
    (Setting::EXPIRES_AT, "expires", 9, Words::ValueOr("never")),
];

/// The last columns of settings.
pub const LAST_COLUMNS: [SettingColumn; 1] = [(Setting::DESCRIPTION, "description", 0, Words::Value)];

/// Columns that are shown only on request.
pub const MORE_COLUMNS: [SettingColumn; 7] = [
    (Setting::ALLOWED_IPS, "addresses", 5, Words::ValueOr("anywhere")),
    (Setting::LIMITS, "limits", 5, Words::Value),
    (Setting::LABELS, "labels", 3, Words::Value),
    (Setting::READ_ONLY, "access", 3, Words::OnOff("read only", "read and write")),
    (Setting::REQUIRE_SECURE, "plain http", 2, Words::OnOff("refused", "allowed")),
    (Setting::ENABLED, "enabled", 2, Words::OnOff("yes", "no")),
    (Setting::PREFIX, "prefix", 1, Words::Value),
];

/// The words for the values of a setting.
#[derive(Debug, Clone, Copy)]
pub enum Words {
    /// The value itself.
    Value,
    /// The value itself, or this if there is none.
    ValueOr(&'static str),
    /// The first if it is on, the second if it is off.
    OnOff(&'static str, &'static str),
}

/// The rows of a key's card with its settings. Its state shows whether it is enabled, and its secrets show their
/// prefix.
pub const CARD: [(Setting, &str, Words); 13] = [
    (Setting::DESCRIPTION, "description", Words::Value),
    (Setting::GROUP, "group", Words::Value),
    (Setting::OWNER, "owner", Words::Value),
    (Setting::ROLE, "role", Words::Value),
    (Setting::TENANT, "tenant", Words::Value),
    (Setting::SCOPES, "scopes", Words::Value),
    (Setting::LEVELS, "levels", Words::Value),
    (Setting::ALLOWED_IPS, "may be used from", Words::ValueOr("anywhere")),
    (Setting::LIMITS, "limits", Words::ValueOr("none")),
    (Setting::READ_ONLY, "access", Words::OnOff("read only", "read and write")),
    (Setting::REQUIRE_SECURE, "plain http", Words::OnOff("refused", "allowed")),
    (Setting::LABELS, "labels", Words::Value),
    (Setting::EXPIRES_AT, "expires", Words::ValueOr("never")),
];

/// The words for a setting, by its JSON field, in sentences about changes.
pub fn field_in_words(field: &str) -> String {
    if field == Setting::EXPIRES_AT.name { "expires".to_owned() } else { field.replace('_', " ") }
}

/// How the form asks for a setting.
#[derive(Debug, Clone, Copy)]
pub enum Question {
    /// For a text.
    Text,
    /// For an existing group, user, role or tenant.
    Entry,
    /// For items separated by commas; with an example.
    Items(&'static str),
    /// For items, some of which are in the store already; with an example.
    Known(Names, &'static str),
    /// When it ends.
    End,
    /// For one of two answers, the first of which is the default.
    Either([&'static str; 2]),
}

/// The questions of the form, in order.
pub const QUESTIONS: [(Setting, &str, Question); 12] = [
    (Setting::DESCRIPTION, "What is it for?", Question::Text),
    (Setting::GROUP, "Group", Question::Entry),
    (Setting::OWNER, "Owner: on whose behalf does it act?", Question::Entry),
    (Setting::ROLE, "Role: up to which may it act?", Question::Entry),
    (Setting::TENANT, "Tenant: whose data may it reach?", Question::Entry),
    (Setting::SCOPES, "Scopes", Question::Known(Names::Scopes, "for example: rest, ui")),
    (
        Setting::LEVELS,
        "Security levels",
        Question::Known(Names::Levels, "for example: Authenticated/Roles/Administrator"),
    ),
    (
        Setting::ALLOWED_IPS,
        "Networks that it may be used from",
        Question::Items("for example: 10.0.0.0/8; Enter for any"),
    ),
    (
        Setting::LIMITS,
        "Limits: how often may it be used?",
        Question::Items("for example: 100/1m is 100 requests a minute; Enter for no limit"),
    ),
    (Setting::EXPIRES_AT, "Expires in", Question::End),
    (Setting::READ_ONLY, "Access", Question::Either(["read and write", "read only: GET, HEAD, OPTIONS and TRACE"])),
    (Setting::REQUIRE_SECURE, "Connections", Question::Either(["only secure ones", "plain http too"])),
];
