//! What commands print with `--json`: every object, every field, its type. The page and the help topic are made from
//! this list, and a test compares it with the actual output.

use std::borrow::Cow;

use keyward_core::rules::names::Prefix;
use keyward_core::rules::setting::{Setting, SettingValue, Settings};

/// An object in JSON.
#[derive(Debug, Clone)]
pub struct Shape {
    /// Its name here.
    pub name: &'static str,
    /// Which commands print it, and how.
    pub printed_by: &'static str,
    /// Its fields.
    pub fields: Cow<'static, [FieldRow]>,
}

/// A field: its name, its type, its meaning.
pub type FieldRow = (&'static str, Type, &'static str);

/// The type of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// A text.
    Text,
    /// A text or null.
    MaybeText,
    /// RFC 3339 in UTC, with a Z and whole seconds.
    Time,
    /// The same, or null.
    MaybeTime,
    /// A whole number, zero or more.
    Number,
    /// The same, or null.
    MaybeNumber,
    /// True or false.
    Switch,
    /// The same, or null.
    MaybeSwitch,
    /// A list of texts.
    Texts,
    /// An object with texts as values.
    Labels,
    /// An object with whole numbers as values.
    Counts,
    /// An object of this name.
    Object(&'static str),
    /// The same, or null.
    MaybeObject(&'static str),
    /// A list of objects of this name.
    Objects(&'static str),
    /// The value of any field that is being described.
    Any,
}

impl Type {
    /// The type in words.
    pub fn in_words(self) -> String {
        match self {
            Self::Text => "text".to_owned(),
            Self::MaybeText => "text or null".to_owned(),
            Self::Time => "time".to_owned(),
            Self::MaybeTime => "time or null".to_owned(),
            Self::Number => "number".to_owned(),
            Self::MaybeNumber => "number or null".to_owned(),
            Self::Switch => "true or false".to_owned(),
            Self::MaybeSwitch => "true, false or null".to_owned(),
            Self::Texts => "list of text".to_owned(),
            Self::Labels => "object of text".to_owned(),
            Self::Counts => "object of numbers".to_owned(),
            Self::Object(name) => format!("{name} object"),
            Self::MaybeObject(name) => format!("{name} object or null"),
            Self::Objects(name) => format!("list of {name} objects"),
            Self::Any => "any".to_owned(),
        }
    }
}

use Type::{
    Any, Labels, MaybeNumber, MaybeObject, MaybeText, MaybeTime, Number, Object, Objects, Switch, Text, Texts, Time,
};

/// All objects.
pub fn shapes() -> Vec<Shape> {
    let mut shapes = SHAPES.to_vec();
    shapes.insert(0, key());
    shapes
}

/// A key: its settings in their groups, and the other fields around them.
fn key() -> Shape {
    let [rights, end, prefix] = Setting::IN_JSON.map(|run| run.iter().map(|setting| field(*setting)));
    let fields = [("id", Text, "the id of the key, which never changes"), ("name", Text, "its name")]
        .into_iter()
        .chain(rights)
        .chain([
            ("state", Text, "active, disabled, expired or suspended"),
            ("created_at", Time, "when it was made"),
            ("created_by", MaybeText, "the acting user who made it"),
            ("updated_at", Time, "when its settings or its secret last changed"),
        ])
        .chain(end)
        .chain([
            ("last_used_at", MaybeTime, "when a request was last allowed with it"),
            ("last_used_from", MaybeText, "the address that it came from, where that was known"),
            ("use_count", Number, "how many requests were allowed with it"),
        ])
        .chain(prefix)
        .chain([("secrets", Objects("secret"), "its secrets, the newest first, without what is secret about them")]);
    Shape { name: "key", printed_by: "show; list prints a list of them", fields: Cow::Owned(fields.collect()) }
}

fn field(setting: Setting) -> FieldRow {
    let kind = match setting.value(&Settings::with_prefix(Prefix::default())) {
        SettingValue::Text(_) => MaybeText,
        SettingValue::Texts(_) if setting == Setting::LIMITS => Objects("limit"),
        SettingValue::Texts(_) => Texts,
        SettingValue::Labels(_) => Labels,
        SettingValue::Switch(_) => Switch,
        SettingValue::Time(_) => MaybeTime,
        SettingValue::Prefix(_) => Text,
    };
    (setting.name, kind, setting.meaning)
}

/// All objects except keys.
const SHAPES: &[Shape] = &[
    Shape {
        name: "limit",
        printed_by: "in a key, a user and a tenant",
        fields: Cow::Borrowed(&[
            ("count", Number, "how many requests may pass in a period"),
            ("period", Text, "1s to 1h, 1d or 1mo, as it was written"),
            ("burst", MaybeNumber, "how many may pass at once; null for a day and a month"),
        ]),
    },
    Shape {
        name: "secret",
        printed_by: "in a key",
        fields: Cow::Borrowed(&[
            ("id", Text, "the public id that the secret carries; an imported one carries none"),
            (
                "state",
                Text,
                "current; grace: replaced, and still works; retired: no longer works; staged: works beside the current \
                 one, because a rotation has not ended",
            ),
            ("created_at", Time, "when it was minted"),
            (
                "expires_at",
                MaybeTime,
                "when it stops, or stopped, because another took its place; null for a current and a staged one",
            ),
            (
                "imported",
                MaybeText,
                "secret, sha256 or phc: in which form it came from another system; null for one that keyward made",
            ),
            (
                "renewed",
                Switch,
                "whether an imported one is kept in keyward's form: one that came as a hash is so from its first use",
            ),
        ]),
    },
    Shape {
        name: "delivery",
        printed_by: "create, duplicate, rotate; rotate of several keys prints a list of them",
        fields: Cow::Borrowed(&[
            ("key", Object("key"), "the key as it is now"),
            ("secret", MaybeText, "the secret; null where it was delivered elsewhere, or none was minted"),
            ("outcome", Text, "created, rotated, updated or unchanged"),
            (
                "warnings",
                Texts,
                "expiry_cut: the key ends earlier than it would have, because of max-lifetime; grace_cut: the grace is \
                 shorter than was asked for, because the key ends; expires_soon: the new key ends in under an hour",
            ),
        ]),
    },
    Shape {
        name: "outcome",
        printed_by: "edit; enable, disable, delete, and edit of several keys print a list of them",
        fields: Cow::Borrowed(&[
            ("key", Object("key"), "the key as it is now, or as it was"),
            ("outcome", Text, "updated, unchanged or deleted"),
        ]),
    },
    Shape {
        name: "answer",
        printed_by: "verify",
        fields: Cow::Borrowed(&[
            ("allowed", Switch, "whether the request may be made"),
            ("reason", Text, "allowed, or the first check that failed"),
            ("status", Number, "the status of HTTP that says the same: 200, 401, 403 or 429"),
            ("presentation", MaybeText, "how the credential was presented"),
            ("key", MaybeObject("key"), "the key, once its secret has matched"),
            ("effective_role", MaybeText, "the lower one of the key's and its owner's role"),
            ("checks", Objects("check"), "every check, in order"),
            ("limits", Objects("limit left"), "each limit that the request counts against, where all else allows it"),
            ("warnings", Texts, "credential_in_query, use_not_recorded"),
        ]),
    },
    Shape {
        name: "line",
        printed_by: "verify --batch, one a line: an answer with `line` in front, the number of its line; or, for a line that is not a question, this",
        fields: Cow::Borrowed(&[
            ("line", Number, "the number of its line, from 1"),
            ("allowed", Any, "null: neither yes nor no"),
            ("error", Object("error"), "what is wrong with the line"),
        ]),
    },
    Shape {
        name: "check",
        printed_by: "in an answer",
        fields: Cow::Borrowed(&[
            ("check", Text, "named by the reason that its failure has"),
            ("subject", Text, "what was checked: expiry, address, scope …"),
            ("outcome", Text, "pass, fail or skip"),
            (
                "detail",
                Text,
                "what was found, for people; of a limit, how much is left, or when the next request may come",
            ),
        ]),
    },
    Shape {
        name: "group",
        printed_by: "group show; group list prints a list of them",
        fields: Cow::Borrowed(&[
            ("name", Text, "its name"),
            ("description", MaybeText, "what it is for"),
            ("keys", Number, "how many keys are in it"),
            ("created_at", Time, "when it was made"),
            ("updated_at", Time, "when it last changed"),
        ]),
    },
    Shape {
        name: "user",
        printed_by: "user show; user list prints a list of them",
        fields: Cow::Borrowed(&[
            ("name", Text, "its name"),
            ("description", MaybeText, "who it is"),
            ("role", MaybeText, "the most that it may do"),
            ("tenant", MaybeText, "the tenant that it belongs to"),
            ("enabled", Switch, "false: its keys are suspended"),
            (
                "limits",
                Objects("limit"),
                "how often all of its keys together may be used; empty for as often as anybody likes",
            ),
            ("keys", Number, "how many keys it owns"),
            ("created_at", Time, "when it was made"),
            ("updated_at", Time, "when it last changed"),
        ]),
    },
    Shape {
        name: "role",
        printed_by: "role show; role list prints a list of them",
        fields: Cow::Borrowed(&[
            ("name", Text, "its name"),
            ("description", MaybeText, "what it is for"),
            ("rank", Number, "its place among the roles"),
            ("manages_keys", Switch, "whether users in it may manage keys"),
            ("keys", Number, "how many keys act in it"),
            ("users", Number, "how many users have it"),
            ("created_at", Time, "when it was made"),
            ("updated_at", Time, "when it last changed"),
        ]),
    },
    Shape {
        name: "tenant",
        printed_by: "tenant show; tenant list prints a list of them",
        fields: Cow::Borrowed(&[
            ("name", Text, "its name"),
            ("description", MaybeText, "what it is"),
            ("enabled", Switch, "false: its keys are suspended"),
            (
                "limits",
                Objects("limit"),
                "how often all of its keys together may be used; empty for as often as anybody likes",
            ),
            ("keys", Number, "how many keys work for it"),
            ("users", Number, "how many users belong to it"),
            ("created_at", Time, "when it was made"),
            ("updated_at", Time, "when it last changed"),
        ]),
    },
    Shape {
        name: "event",
        printed_by: "history prints a list of them",
        fields: Cow::Borrowed(&[
            ("seq", Number, "its place in the chain, from 1"),
            ("at", Time, "when"),
            ("actor", MaybeText, "the acting user; null for the owner of the store"),
            ("action", Text, "what was done, such as key.create"),
            ("subject_kind", Text, "key, group, user, role, tenant or settings"),
            ("subject_id", MaybeText, "the id of a key"),
            ("subject_name", Text, "the name that it had then"),
            ("detail", Any, "an object: settings with old and new values, ids of secrets"),
        ]),
    },
    Shape {
        name: "usage",
        printed_by: "usage",
        fields: Cow::Borrowed(&[
            ("by", Text, "how long a period is: hour, day or month"),
            ("since", Time, "the beginning of the first period that was looked at"),
            (
                "periods",
                Objects("period"),
                "from the first one with a call to the present one, also those without a call in between; of more than \
                 ten thousand only those with one",
            ),
            ("total", Object("calls"), "the calls of all periods"),
            ("keys", Objects("calls of a key"), "the keys with most calls, or the one that was asked for"),
            ("limits", Objects("limit left"), "the limits of the one that was asked for"),
        ]),
    },
    Shape {
        name: "period",
        printed_by: "in usage",
        fields: Cow::Borrowed(&[
            ("start", Time, "when it began"),
            ("allowed", Number, "calls that were allowed"),
            ("forbidden", Number, "calls that the key may not make"),
            ("limited", Number, "calls that a limit refused"),
        ]),
    },
    Shape {
        name: "calls",
        printed_by: "in usage",
        fields: Cow::Borrowed(&[
            ("allowed", Number, "calls that were allowed"),
            ("forbidden", Number, "calls that the keys may not make"),
            ("limited", Number, "calls that a limit refused"),
        ]),
    },
    Shape {
        name: "calls of a key",
        printed_by: "in usage",
        fields: Cow::Borrowed(&[
            ("name", Text, "the name of the key"),
            ("id", Text, "its id"),
            ("allowed", Number, "calls that were allowed"),
            ("forbidden", Number, "calls that it may not make"),
            ("limited", Number, "calls that a limit refused"),
        ]),
    },
    Shape {
        name: "limit left",
        printed_by: "in usage and in an answer",
        fields: Cow::Borrowed(&[
            ("whose", Text, "key, user, tenant or policy"),
            ("count", Number, "how many requests may pass in a period"),
            ("period", Text, "1s to 1h, 1d or 1mo, as it was written"),
            ("burst", MaybeNumber, "how many may pass at once; null for a day and a month"),
            ("remaining", Number, "how many may pass now"),
            ("full_at", MaybeTime, "when as many as there may ever be are left again; null where they are"),
            ("retry_after", Number, "seconds until one may pass; 0 where it may now"),
        ]),
    },
    Shape {
        name: "history check",
        printed_by: "history --check",
        fields: Cow::Borrowed(&[
            ("intact", Switch, "true; a broken chain is an error"),
            ("rows", Number, "how many rows were checked"),
        ]),
    },
    Shape {
        name: "status",
        printed_by: "status",
        fields: Cow::Borrowed(&[
            (
                "store",
                MaybeText,
                "where the store is, or would be; null where nobody said and the platform has no place",
            ),
            ("exists", Switch, "whether the store has been made"),
            ("as", MaybeText, "the acting user; null for the owner of the store"),
            ("role", MaybeText, "the acting user's role"),
            ("keys", Object("states"), "how many keys are in each state"),
            ("expiring", Number, "how many active keys expire within 14 days"),
            ("expiring_first", Objects("expiring key"), "those that expire first, five at most"),
            ("attention", Objects("attention"), "what may need to be done"),
        ]),
    },
    Shape {
        name: "states",
        printed_by: "in status",
        fields: Cow::Borrowed(&[
            ("active", Number, "active keys"),
            ("disabled", Number, "disabled keys"),
            ("expired", Number, "expired keys"),
            ("suspended", Number, "suspended keys"),
        ]),
    },
    Shape {
        name: "expiring key",
        printed_by: "in status",
        fields: Cow::Borrowed(&[("name", Text, "the name of the key"), ("expires_at", Time, "when it expires")]),
    },
    Shape {
        name: "attention",
        printed_by: "in status",
        fields: Cow::Borrowed(&[
            ("check", Text, "never_expires, unused, expired, suspended or staged_secret, as in doctor"),
            ("count", Number, "how many keys it is about"),
        ]),
    },
    Shape {
        name: "settings",
        printed_by: "settings list, settings set",
        fields: Cow::Borrowed(&[
            ("prefix", Text, "what new secrets start with"),
            ("hash_parameters", Object("hash parameters"), "what hashing a new secret costs"),
            ("query_credentials", Switch, "whether a credential in the query of a URL is accepted"),
            ("default_lifetime", MaybeText, "how long a new key lives if nothing is said; null for never"),
            ("max_lifetime", MaybeText, "how long a secret may live from its minting; null for unlimited"),
            ("usage_retention", MaybeText, "how long usage is kept; null for unlimited"),
        ]),
    },
    Shape {
        name: "hash parameters",
        printed_by: "in settings",
        fields: Cow::Borrowed(&[
            ("memory_kib", Number, "memory in KiB"),
            ("passes", Number, "passes over it"),
            ("lanes", Number, "lanes"),
        ]),
    },
    Shape {
        name: "application",
        printed_by: "apply",
        fields: Cow::Borrowed(&[
            ("outcome", Text, "applied, planned or unchanged"),
            ("changes", Objects("change"), "what was changed, or with --dry-run would be, in order"),
        ]),
    },
    Shape {
        name: "change",
        printed_by: "in an application",
        fields: Cow::Borrowed(&[
            ("action", Text, "create, change or delete"),
            ("kind", Text, "key, group, user, role or tenant"),
            ("name", Text, "its name"),
            ("fields", Objects("field"), "what differs; for what is made, from the defaults"),
        ]),
    },
    Shape {
        name: "field",
        printed_by: "in a change",
        fields: Cow::Borrowed(&[
            ("field", Text, "the name of the setting"),
            ("old", Any, "its value before"),
            ("new", Any, "its value after"),
        ]),
    },
    Shape {
        name: "finding",
        printed_by: "doctor prints a list of them",
        fields: Cow::Borrowed(&[
            ("check", Text, "what was looked at"),
            ("level", Text, "ok, warning or problem"),
            ("finding", Text, "what was found, for people"),
            ("meaning", MaybeText, "what it means, for people; null where it is in order"),
            ("remedy", MaybeText, "how to mend it, for people; null where it is in order"),
            ("count", Number, "how many keys it is about"),
            ("keys", Texts, "the first twenty of them"),
        ]),
    },
    Shape {
        name: "import",
        printed_by: "import",
        fields: Cow::Borrowed(&[
            ("outcome", Text, "imported, or planned with --dry-run"),
            ("keys", Number, "how many keys there are in the input"),
            ("secret", Number, "how many came as a text"),
            ("sha256", Number, "how many came as a SHA-256"),
            ("phc", Number, "how many came as an Argon2id"),
            ("guessable", Number, "how many texts can perhaps be guessed: rotate their keys soon"),
            (
                "warnings",
                Texts,
                "input_exposed: others can read the file; guessable_secrets; other_hash_parameters: hashes that cost \
                 another amount, which every refused credential then costs too",
            ),
        ]),
    },
    Shape {
        name: "backup",
        printed_by: "backup",
        fields: Cow::Borrowed(&[
            ("file", Text, "the copy"),
            ("keys", Number, "how many keys it holds"),
            ("events", Number, "how many events its history has"),
            ("bytes", Number, "how large it is"),
        ]),
    },
    Shape {
        name: "restore",
        printed_by: "restore",
        fields: Cow::Borrowed(&[
            ("backup", Text, "the backup"),
            ("store", Text, "the store"),
            ("as_it_was", Switch, "whether it is as the backup has it"),
            ("keys", Number, "how many keys it holds"),
            ("made_again", Objects("revocation"), "what was revoked since, and is again"),
            ("revived", Objects("revocation"), "what was revoked since, and is not any more"),
            ("left_out", Objects("left_out"), "keys that were made since, and are gone"),
            ("kept", MaybeText, "where the former store is kept; null where there was none"),
        ]),
    },
    #[cfg(feature = "postgres")]
    Shape {
        name: "transfer",
        printed_by: "store copy and store move",
        fields: Cow::Borrowed(&[
            ("tables", Type::Counts, "how many rows each table has"),
            ("rows", Number, "how many rows there are in all"),
            ("head", Text, "the hash of the newest event in the new place, in hexadecimal digits"),
        ]),
    },
    Shape {
        name: "revocation",
        printed_by: "in what restore prints",
        fields: Cow::Borrowed(&[
            ("kind", Text, "key, user, tenant, role or settings"),
            ("name", Text, "its name"),
            ("id", MaybeText, "the id of a key; null for others"),
            ("change", Text, "deleted, disabled, rotated or restricted"),
            ("fields", Texts, "the settings that it is about"),
        ]),
    },
    Shape {
        name: "leak",
        printed_by: "scan prints a list of them",
        fields: Cow::Borrowed(&[
            ("file", MaybeText, "the path, as it was named or below what was named; null for a message in a history"),
            ("line", Number, "from 1"),
            ("column", Number, "in bytes, from 1"),
            ("commit", MaybeText, "the commit that added it, of --git"),
            ("key", MaybeText, "the key, also one that was deleted; null where this store knows of none"),
            ("id", Text, "the public id in the secret"),
            ("prefix", Text, "what the secret begins with"),
            (
                "state",
                MaybeText,
                "that of the key; retired where only the secret is over, deleted where the key is gone",
            ),
            (
                "genuine",
                Type::MaybeSwitch,
                "whether it is the secret of the key, and no other text with its id; null where that cannot be told",
            ),
        ]),
    },
    Shape {
        name: "left_out",
        printed_by: "in what restore prints",
        fields: Cow::Borrowed(&[("name", Text, "the name of the key"), ("id", Text, "its id")]),
    },
    #[cfg(feature = "serve")]
    Shape {
        name: "guard",
        printed_by: "serve --check",
        fields: Cow::Borrowed(&[
            ("listen", Texts, "where proxies would ask"),
            ("api", Texts, "where services could ask for themselves, at /v1/verify"),
            ("admin", MaybeText, "where operators would look; null for nowhere"),
            ("policies", Texts, "the policies"),
            ("routes", Objects("route"), "the routes, in order: the first one that matches counts"),
        ]),
    },
    #[cfg(feature = "serve")]
    Shape {
        name: "route",
        printed_by: "in a guard",
        fields: Cow::Borrowed(&[
            (
                "requests",
                Text,
                "the requests that it is for: methods, host and path, as in GET,HEAD api.example.org/admin",
            ),
            ("policy", Text, "the policy that they are asked by"),
        ]),
    },
    Shape {
        name: "error",
        printed_by: "every command that fails, on standard error, as the value of the one field `error`",
        fields: Cow::Borrowed(&[
            ("code", Text, "what kind of error it is; `keyward help exit-codes` lists them"),
            ("message", Text, "what happened, for people"),
            ("hint", MaybeText, "what to do next, for people"),
        ]),
    },
    Shape {
        name: "error of an unknown outcome",
        printed_by: "create, duplicate, rotate and apply, in the same way, where the code is `unknown_outcome` and a secret was \
                     delivered",
        fields: Cow::Borrowed(&[
            ("code", Text, "unknown_outcome"),
            ("message", Text, "what happened, for people"),
            ("hint", MaybeText, "what to do next, for people"),
            ("secret_id", Text, "the public id of the secret; where there are several, of the first"),
            ("delivered", Switch, "true: it is where it was to go, and was left there"),
        ]),
    },
];
