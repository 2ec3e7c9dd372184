//! A key: what it is allowed to do, who it belongs to, and what state it is in.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use jiff::Timestamp;
use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};

use super::imported::Import;
use super::limits::Limits;
use super::names::{InvalidText, Name};
use super::setting::Setting;
pub use super::setting::Settings;
use super::time::{When, rfc3339};
use super::token::Id;

/// One of a key's secrets, without the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SecretInfo {
    /// The public id that the secret carries.
    pub id: Id,
    /// When it was minted.
    pub created_at: Timestamp,
    /// When it stops working because another took its place; `None` for the current secret and for a staged one.
    pub expires_at: Option<Timestamp>,
    /// Whether a rotation put it beside the current one and has not ended.
    pub staged: bool,
    /// Whether it has ended whatever the clock says: it was replaced without a grace period.
    pub retired: bool,
    /// How it came into the store, if another system made it.
    pub imported: Option<Import>,
}

/// Whether one of a key's secrets works, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SecretState {
    /// It works, and has not been replaced.
    Current,
    /// It was replaced, and works until its grace period ends.
    Grace,
    /// It was replaced, and no longer works.
    Retired,
    /// A rotation that has not ended put it beside the current one: both work.
    Staged,
}

impl SecretState {
    /// The word for it in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Grace => "grace",
            Self::Retired => "retired",
            Self::Staged => "staged",
        }
    }
}

/// What the directory said about a key when the key was read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Standing {
    /// False if the key has an owner and that user is disabled.
    pub owner_enabled: bool,
    /// False if the key has a tenant and that tenant is disabled.
    pub tenant_enabled: bool,
    /// The rank of the key's own role.
    pub rank: Option<i64>,
    /// The current role of the owner, with its rank.
    pub owner_role: Option<(Name, i64)>,
    /// The limits of the owner, which all of their keys share.
    pub owner_limits: Limits,
    /// The limits of the tenant, which all of its keys share.
    pub tenant_limits: Limits,
}

/// A key, as the store knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Key {
    /// Its own public id, which never changes.
    pub id: Id,
    /// Its name, unique in a store.
    pub name: Name,
    /// What a person decided.
    pub settings: Settings,
    /// When it was made.
    pub created_at: Timestamp,
    /// The acting user who made it.
    pub created_by: Option<Name>,
    /// When its settings or its secret last changed.
    pub updated_at: Timestamp,
    /// When its expiry was last changed, or else when it was made: durations count from then.
    pub expiry_set_at: Timestamp,
    /// When a request was last allowed with it.
    pub last_used_at: Option<Timestamp>,
    /// The address of the last such request, if known.
    pub last_used_from: Option<IpAddr>,
    /// How many requests with it were allowed.
    pub use_count: u64,
    /// Its secrets, the newest first.
    pub secrets: Vec<SecretInfo>,
    /// What the directory adds.
    pub standing: Standing,
    /// Counts the changes, so that two people who edit the key at once notice each other.
    pub revision: i64,
    /// What the store has lost of this key, if anything. Such a key must not decide anything or be used otherwise: the
    /// missing part may have been a restriction.
    pub damage: Option<String>,
}

/// Whether a key works at all. If several apply, the state is the first of expired, disabled and suspended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// It works.
    Active,
    /// Someone stopped it temporarily.
    Disabled,
    /// It has expired.
    Expired,
    /// Its owner or its tenant is disabled.
    Suspended,
}

impl State {
    /// All states, in the order in which help texts name them.
    pub const ALL: [Self; 4] = [Self::Active, Self::Disabled, Self::Expired, Self::Suspended];

    /// The state of a key: the first that applies.
    pub(crate) fn of(is_enabled: bool, is_expired: bool, is_suspended: bool) -> Self {
        match () {
            () if is_expired => Self::Expired,
            () if !is_enabled => Self::Disabled,
            () if is_suspended => Self::Suspended,
            () => Self::Active,
        }
    }

    /// The word for it, in JSON, filters and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
            Self::Expired => "expired",
            Self::Suspended => "suspended",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for State {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| InvalidText::new("a state is active, disabled, expired or suspended"))
    }
}

impl Key {
    /// A key made at `created_at` and never used, with no secret, owner or tenant.
    pub fn new(id: Id, name: Name, settings: Settings, created_at: Timestamp) -> Self {
        Self {
            id,
            name,
            settings,
            created_at,
            created_by: None,
            updated_at: created_at,
            expiry_set_at: created_at,
            last_used_at: None,
            last_used_from: None,
            use_count: 0,
            secrets: vec![],
            standing: Standing {
                owner_enabled: true,
                tenant_enabled: true,
                rank: None,
                owner_role: None,
                owner_limits: Limits::default(),
                tenant_limits: Limits::default(),
            },
            revision: 0,
            damage: None,
        }
    }

    /// The state at `now`. A key expires in the second that `expires_at` names.
    pub fn state(&self, now: Timestamp) -> State {
        let is_suspended = !self.standing.owner_enabled || !self.standing.tenant_enabled;
        State::of(self.settings.enabled, self.is_expired(now), is_suspended)
    }

    /// The public id of the current secret.
    pub fn current_secret(&self) -> Option<&Id> {
        self.current().map(|secret| &secret.id)
    }

    /// When the current secret was minted; for a damaged key without one, when the key was made.
    pub fn minted_at(&self) -> Timestamp {
        self.current().map_or(self.created_at, |secret| secret.created_at)
    }

    fn current(&self) -> Option<&SecretInfo> {
        self.secrets.iter().find(|secret| secret.is_current())
    }

    /// The end that is meant when the same expiry is stated repeatedly, by a manifest or `create --ensure`. Stating it
    /// again changes nothing, whatever the clock did meanwhile and whatever else about the key has changed: a duration
    /// that led to the present end means that end. Any other duration counts from when the key was made.
    ///
    /// # Errors
    /// When the time lies beyond the year 9999.
    pub fn end_said_again(&self, when: When) -> Result<Option<Timestamp>, InvalidText> {
        let (When::In(duration), present) = (when, self.settings.expires_at) else {
            return when.resolve(self.created_at);
        };
        let led_to_it = |from| present.is_some() && duration.after(from) == present;
        if led_to_it(self.expiry_set_at) || led_to_it(self.created_at) {
            return Ok(present);
        }
        when.resolve(self.created_at)
    }

    /// Whether the key has expired at `now`.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.settings.expires_at.is_some_and(|end| end <= now)
    }

    /// The role that counts: the lower of the key's own role and its owner's current one. A key without a role has
    /// none, and an owner without a role lends none.
    pub fn effective_role(&self) -> Option<(&Name, i64)> {
        let own = self.settings.role.as_ref().zip(self.standing.rank)?;
        if self.settings.owner.is_none() {
            return Some(own);
        }
        let (name, rank) = self.standing.owner_role.as_ref()?;
        Some(if *rank < own.1 { (name, *rank) } else { own })
    }

    /// The key as the object in every JSON document.
    pub fn to_json(&self, now: Timestamp) -> KeyJson<'_> {
        KeyJson { key: self, now }
    }
}

impl SecretInfo {
    /// A current secret.
    pub fn new(id: Id, created_at: Timestamp) -> Self {
        Self { id, created_at, expires_at: None, staged: false, retired: false, imported: None }
    }

    /// Whether it was imported and is not yet stored like any other.
    pub fn is_to_be_renewed(&self) -> bool {
        self.imported.is_some_and(|import| !import.is_renewed)
    }

    /// The state at `now`. A secret stops working in the second that `expires_at` names, and one replaced without a
    /// grace period has always ended.
    pub fn state(&self, now: Timestamp) -> SecretState {
        match self.expires_at {
            _ if self.retired => SecretState::Retired,
            _ if self.staged => SecretState::Staged,
            None => SecretState::Current,
            Some(end) if end > now => SecretState::Grace,
            Some(_) => SecretState::Retired,
        }
    }

    fn is_current(&self) -> bool {
        self.expires_at.is_none() && !self.staged && !self.retired
    }
}

/// A key in JSON. Fields are only ever added; absent values are `null`.
#[derive(Debug)]
pub struct KeyJson<'k> {
    key: &'k Key,
    now: Timestamp,
}

impl Serialize for KeyJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { key, now } = *self;
        let [rights, end, prefix] = Setting::IN_JSON;
        let fields = 10 + Setting::ALL.len();
        let mut object = serializer.serialize_struct("Key", fields)?;
        let settings = |object: &mut S::SerializeStruct, run: &[Setting]| {
            run.iter().try_for_each(|setting| object.serialize_field(setting.name, &setting.value(&key.settings)))
        };
        object.serialize_field("id", &key.id)?;
        object.serialize_field("name", &key.name)?;
        settings(&mut object, rights)?;
        object.serialize_field("state", key.state(now).as_str())?;
        object.serialize_field("created_at", &rfc3339(key.created_at))?;
        object.serialize_field("created_by", &key.created_by)?;
        object.serialize_field("updated_at", &rfc3339(key.updated_at))?;
        settings(&mut object, end)?;
        object.serialize_field("last_used_at", &key.last_used_at.map(rfc3339))?;
        object.serialize_field("last_used_from", &key.last_used_from)?;
        object.serialize_field("use_count", &key.use_count)?;
        settings(&mut object, prefix)?;
        object.serialize_field("secrets", &SecretsJson(&key.secrets, now))?;
        object.end()
    }
}

/// One of a key's secrets in JSON, as it is at a time.
struct SecretJson<'s>(&'s SecretInfo, Timestamp);

impl Serialize for SecretJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(secret, now) = *self;
        let mut object = serializer.serialize_struct("Secret", 6)?;
        object.serialize_field("id", &secret.id)?;
        object.serialize_field("state", secret.state(now).as_str())?;
        object.serialize_field("created_at", &rfc3339(secret.created_at))?;
        object.serialize_field("expires_at", &secret.expires_at.map(rfc3339))?;
        object.serialize_field("imported", &secret.imported.map(|import| import.origin.as_str()))?;
        object.serialize_field("renewed", &secret.imported.is_some_and(|import| import.is_renewed))?;
        object.end()
    }
}

/// The secrets of a key in JSON.
struct SecretsJson<'s>(&'s [SecretInfo], Timestamp);

impl Serialize for SecretsJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|secret| SecretJson(secret, self.1)))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::rules::names::Prefix;

    /// A made-up key with no restriction but the default one.
    pub(crate) fn sample() -> Key {
        let settings = Settings::with_prefix(Prefix::default());
        Key::new(Id::from_random([1; 8]), "sample".parse().unwrap(), settings, at(0))
    }

    pub(crate) fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_state_is_the_first_that_applies() {
        for (enabled, expires, owner, tenant, state) in [
            (true, None, true, true, State::Active),
            (true, Some(101), true, true, State::Active),
            (true, Some(100), true, true, State::Expired),
            (true, None, false, true, State::Suspended),
            (true, None, true, false, State::Suspended),
            (true, Some(1), false, false, State::Expired),
            (false, Some(1), false, false, State::Expired),
            (false, Some(101), false, false, State::Disabled),
        ] {
            let mut key = sample();
            key.settings.enabled = enabled;
            key.settings.expires_at = expires.map(at);
            key.standing.owner_enabled = owner;
            key.standing.tenant_enabled = tenant;
            assert_eq!(key.state(at(100)), state);
        }
    }

    #[test]
    fn a_secret_is_staged_or_current_or_has_an_end() {
        let mut secret = SecretInfo::new(Id::from_random([2; 8]), at(0));
        for (staged, retired, expires_at, state) in [
            (true, false, None, SecretState::Staged),
            (false, false, None, SecretState::Current),
            (false, false, Some(101), SecretState::Grace),
            (false, false, Some(100), SecretState::Retired),
            (false, true, Some(101), SecretState::Retired),
            (false, true, Some(100), SecretState::Retired),
        ] {
            (secret.staged, secret.retired) = (staged, retired);
            secret.expires_at = expires_at.map(at);
            assert_eq!(secret.state(at(100)), state);
        }
    }

    #[test]
    fn the_effective_role_is_the_lower_one() {
        let name = |text: &str| text.parse::<Name>().unwrap();
        let owner_role = |role: Option<(&str, i64)>| role.map(|(text, rank)| (name(text), rank));
        for (own, owner, theirs, effective) in [
            (None, None, None, None),
            (Some(("admin", 30)), None, None, Some("admin")),
            (Some(("admin", 30)), Some("ann"), Some(("viewer", 10)), Some("viewer")),
            (Some(("viewer", 10)), Some("ann"), Some(("admin", 30)), Some("viewer")),
            (Some(("admin", 30)), Some("ann"), None, None),
            (None, Some("ann"), Some(("admin", 30)), None),
        ] {
            let mut key = sample();
            key.settings.role = own.map(|(text, _)| name(text));
            key.settings.owner = owner.map(name);
            key.standing.rank = own.map(|(_, rank)| rank);
            key.standing.owner_role = owner_role(theirs);
            assert_eq!(key.effective_role().map(|(role, _)| role.as_str()), effective);
        }
    }

    #[test]
    fn the_json_has_the_fields_of_the_contract_in_order() {
        let json = serde_json::to_string(&sample().to_json(at(1))).unwrap();
        let fields: Vec<_> =
            regex::Regex::new(r#""(\w+)":"#).unwrap().captures_iter(&json).map(|found| found[1].to_owned()).collect();
        assert_eq!(
            fields.join(" "),
            "id name description group owner role tenant scopes levels read_only require_secure allowed_ips limits labels \
             enabled state created_at created_by updated_at expires_at last_used_at last_used_from use_count prefix secrets"
        );
    }
}
