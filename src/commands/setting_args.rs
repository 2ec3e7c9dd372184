//! The flags for settings, and the patch that they make.
//!
//! `create`, `edit` and `duplicate` take the same flags; `edit` takes more, to change lists piece by
//! piece and to empty settings.

use std::collections::{BTreeMap, BTreeSet};

use clap::{Args, ValueEnum};
use jiff::Timestamp;

use crate::error::{Code, Error};
use keyward_core::rules::address::Cidr;
use keyward_core::rules::key::Key;
use keyward_core::rules::names::{Description, InvalidText, Label, LabelKey, LabelValue, Level, Name, Prefix, Scope};
use keyward_core::rules::patch::{LabelsPatch, Patch, SetPatch, SettingsPatch};
use keyward_core::rules::time::{When, rfc3339};

/// Settings of a key.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Settings")]
pub struct SettingArgs {
    /// What the key is for
    #[arg(long, value_name = "TEXT")]
    pub description: Option<Description>,
    /// The group to keep it in
    #[arg(long, value_name = "GROUP")]
    pub group: Option<Name>,
    /// The user on whose behalf it acts [default: the acting user; for a copy, as before]
    #[arg(long, value_name = "USER")]
    pub owner: Option<Name>,
    /// The role it acts in, never above its owner's
    #[arg(long, value_name = "ROLE")]
    pub role: Option<Name>,
    /// The one tenant it works for [default: the acting user's; for a copy, as before]
    #[arg(long, value_name = "TENANT")]
    pub tenant: Option<Name>,
    /// Something the key may do; repeat it, or separate with commas
    #[arg(long, value_name = "SCOPE", value_delimiter = ',')]
    pub scope: Option<Vec<Scope>>,
    /// A security level, such as Authenticated/Roles/Administrator; includes the levels above it
    #[arg(long, value_name = "PATH", value_delimiter = ',')]
    pub level: Option<Vec<Level>>,
    /// A network that the key may be used from, such as 10.0.0.0/8 or 2001:db8::1
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    pub allow_ip: Option<Vec<Cidr>>,
    /// A mark for filters and people
    #[arg(long, value_name = "KEY=VALUE")]
    pub label: Option<Vec<Label>>,
    /// Allow GET, HEAD, OPTIONS and TRACE alone
    #[arg(long, conflicts_with = "read_write")]
    pub read_only: bool,
    /// Allow every method (the default)
    #[arg(long)]
    pub read_write: bool,
    /// Refuse requests over plain http (the default)
    #[arg(long, conflicts_with = "allow_insecure")]
    pub require_secure: bool,
    /// Allow requests over plain http
    #[arg(long)]
    pub allow_insecure: bool,
    /// When the key stops working: 90d, 12h, 2030-01-31, 2030-01-31T12:00:00Z, or never
    ///
    /// A date is its first moment in UTC.
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true)]
    pub expires: Option<When>,
    /// Make it, but do not let it be used until it is enabled
    #[arg(long)]
    pub disabled: bool,
    /// What the secret starts with [default: the store's, kw at first; for a copy, as before]
    #[arg(long, value_name = "PREFIX")]
    pub prefix: Option<Prefix>,
}

impl SettingArgs {
    /// The change that these flags ask for.
    ///
    /// # Errors
    /// For an expiry that is over at `now`, and for a label that is given twice.
    pub fn patch(&self, now: Timestamp) -> Result<SettingsPatch, Error> {
        Ok(SettingsPatch {
            description: match &self.description {
                Some(text) if text.as_str().is_empty() => Patch::Clear,
                text => text.clone().into(),
            },
            group: self.group.clone().into(),
            owner: self.owner.clone().into(),
            role: self.role.clone().into(),
            tenant: self.tenant.clone().into(),
            scopes: replacing(self.scope.as_deref()),
            levels: replacing(self.level.as_deref()),
            allowed_ips: replacing(self.allow_ip.as_deref()),
            labels: LabelsPatch { replace: self.label.as_deref().map(labels).transpose()?, ..LabelsPatch::default() },
            read_only: either(self.read_only, self.read_write),
            require_secure: either(self.require_secure, self.allow_insecure),
            enabled: self.disabled.then_some(false),
            expires_at: self.expires.map_or(Ok(Patch::Keep), |when| expiry(when.resolve(now), now))?,
            prefix: self.prefix.clone(),
        })
    }
}

impl SettingArgs {
    /// The change that these flags ask for in a key that is there already and may be asked for again: a
    /// duration until its end counts from when the key was made.
    ///
    /// # Errors
    /// As [`SettingArgs::patch`]; an end that the key has already may be over.
    pub fn patch_for(&self, key: &Key, now: Timestamp) -> Result<SettingsPatch, Error> {
        let patch = Self { expires: None, ..self.clone() }.patch(now)?;
        let Some(when) = self.expires else { return Ok(patch) };
        let end = match when {
            When::In(_) => when.resolve(key.created_at),
            When::At(_) | When::Never => when.resolve(now),
        };
        if end.as_ref().is_ok_and(|end| *end == key.settings.expires_at) {
            return Ok(patch);
        }
        let expires_at = expiry(end, now)?;
        Ok(SettingsPatch { expires_at, ..patch })
    }
}

/// A setting that can be emptied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs, reason = "named as its flag")]
pub enum Field {
    Description,
    Group,
    Owner,
    Role,
    Tenant,
    Scope,
    Level,
    AllowIp,
    Label,
    Expires,
    ReadOnly,
    RequireSecure,
    Disabled,
    Prefix,
}

/// Changes to the lists of a key, and settings to empty.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Changes")]
pub struct ChangeArgs {
    /// Give the key another scope
    #[arg(long, value_name = "SCOPE", value_delimiter = ',', conflicts_with = "scope")]
    pub add_scope: Vec<Scope>,
    /// Take a scope away
    #[arg(long, value_name = "SCOPE", value_delimiter = ',', conflicts_with = "scope")]
    pub remove_scope: Vec<Scope>,
    /// Give the key another level
    #[arg(long, value_name = "PATH", value_delimiter = ',', conflicts_with = "level")]
    pub add_level: Vec<Level>,
    /// Take a level away
    #[arg(long, value_name = "PATH", value_delimiter = ',', conflicts_with = "level")]
    pub remove_level: Vec<Level>,
    /// Allow another network
    #[arg(long, value_name = "CIDR", value_delimiter = ',', conflicts_with = "allow_ip")]
    pub add_allow_ip: Vec<Cidr>,
    /// Take a network away
    #[arg(long, value_name = "CIDR", value_delimiter = ',', conflicts_with = "allow_ip")]
    pub remove_allow_ip: Vec<Cidr>,
    /// Set one label
    #[arg(long, value_name = "KEY=VALUE", conflicts_with = "label")]
    pub add_label: Vec<Label>,
    /// Take one label away
    #[arg(long, value_name = "KEY", conflicts_with = "label")]
    pub remove_label: Vec<LabelKey>,
    /// Empty these settings, named as their flags
    #[arg(long, value_name = "FIELD", value_delimiter = ',', value_enum)]
    pub clear: Vec<Field>,
}

impl ChangeArgs {
    /// Whether the prefix goes back to that of the store.
    pub fn clears_prefix(&self) -> bool {
        self.clear.contains(&Field::Prefix)
    }

    /// Adds these changes to `patch`.
    ///
    /// # Errors
    /// [`Code::Usage`] where two flags contradict each other.
    pub fn extend(&self, patch: &mut SettingsPatch) -> Result<(), Error> {
        add_and_remove("scope", &mut patch.scopes, &self.add_scope, &self.remove_scope)?;
        add_and_remove("level", &mut patch.levels, &self.add_level, &self.remove_level)?;
        add_and_remove("allow-ip", &mut patch.allowed_ips, &self.add_allow_ip, &self.remove_allow_ip)?;
        patch.labels.add = labels(&self.add_label)?;
        patch.labels.remove = self.remove_label.iter().cloned().collect();
        if patch.labels.add.keys().any(|key| patch.labels.remove.contains(key)) {
            return Err(contradiction("--add-label and --remove-label name the same label"));
        }
        self.clear.iter().try_for_each(|field| clear(*field, patch))
    }
}

fn add_and_remove<T: Ord + Clone>(flag: &str, patch: &mut SetPatch<T>, add: &[T], remove: &[T]) -> Result<(), Error> {
    if add.iter().any(|item| remove.contains(item)) {
        return Err(contradiction(format!("--add-{flag} and --remove-{flag} name the same value")));
    }
    patch.add = add.iter().cloned().collect();
    patch.remove = remove.iter().cloned().collect();
    Ok(())
}

/// Emptying a setting that another flag sets is a contradiction, not a matter of their order.
fn clear(field: Field, patch: &mut SettingsPatch) -> Result<(), Error> {
    let untouched = match field {
        Field::Description => empty(&mut patch.description),
        Field::Group => empty(&mut patch.group),
        Field::Owner => empty(&mut patch.owner),
        Field::Role => empty(&mut patch.role),
        Field::Tenant => empty(&mut patch.tenant),
        Field::Expires => empty(&mut patch.expires_at),
        Field::Scope => empty_set(&mut patch.scopes),
        Field::Level => empty_set(&mut patch.levels),
        Field::AllowIp => empty_set(&mut patch.allowed_ips),
        Field::Label => {
            let untouched = patch.labels == LabelsPatch::default();
            patch.labels.replace = Some(BTreeMap::new());
            untouched
        }
        Field::ReadOnly => patch.read_only.replace(false).is_none(),
        Field::RequireSecure => patch.require_secure.replace(false).is_none(),
        Field::Disabled => patch.enabled.replace(true).is_none(),
        // What an empty prefix means is up to the store: the verb fills it in.
        Field::Prefix => patch.prefix.is_none(),
    };
    let name = field.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
    if untouched {
        Ok(())
    } else {
        Err(contradiction(format!("--clear {name} and another flag for it contradict each other")))
    }
}

fn empty<T: PartialEq>(patch: &mut Patch<T>) -> bool {
    std::mem::replace(patch, Patch::Clear) == Patch::Keep
}

fn empty_set<T: Ord>(patch: &mut SetPatch<T>) -> bool {
    let untouched = *patch == SetPatch::default();
    patch.replace = Some(BTreeSet::new());
    untouched
}

fn contradiction(message: impl Into<String>) -> Error {
    Error::new(Code::Usage, message).hint("keep one of them")
}

fn replacing<T: Ord + Clone>(items: Option<&[T]>) -> SetPatch<T> {
    SetPatch { replace: items.map(|items| items.iter().cloned().collect()), ..SetPatch::default() }
}

fn labels(labels: &[Label]) -> Result<BTreeMap<LabelKey, LabelValue>, Error> {
    let mut map = BTreeMap::new();
    for label in labels {
        if map.insert(label.key.clone(), label.value.clone()).is_some_and(|before| before != label.value) {
            return Err(contradiction(format!("the label {} is given twice", label.key)));
        }
    }
    Ok(map)
}

fn either(yes: bool, no: bool) -> Option<bool> {
    if yes || no { Some(yes) } else { None }
}

/// A key that has expired before it exists is a mistake, whatever way the time was written.
fn expiry(end: Result<Option<Timestamp>, InvalidText>, now: Timestamp) -> Result<Patch<Timestamp>, Error> {
    let time = end.map_err(|error| Error::new(Code::InvalidValue, format!("--expires: {error}")))?;
    match time {
        None => Ok(Patch::Clear),
        Some(time) => check_expiry(time, now).map(|()| Patch::Set(time)),
    }
}

/// Refuses a time that is over.
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
