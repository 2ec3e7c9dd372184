//! Plans the changes from what exists to what should exist.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{Deliver, KINDS, Manifest, ManifestKey, Reference};
use crate::formats::tree::Mistake;
use crate::text::{did_you_mean, gather};
use keyward_core::rules::directory::{Draft, Kind};
use keyward_core::rules::key::{Key, Settings};
use keyward_core::rules::names::{InvalidText, Name};
use keyward_core::rules::patch::{Difference, differences};
use keyward_core::rules::time::{When, rfc3339};
use keyward_core::store::StoreSettings;

/// What exists.
#[derive(Debug, Clone, Default)]
pub struct Present {
    /// Groups, users, roles and tenants.
    pub entries: Vec<Draft>,
    /// Keys: those that the manifest names, or all of them if others are to be deleted.
    pub keys: Vec<Key>,
    /// The settings of the store: its defaults and limits for keys.
    pub settings: StoreSettings,
}

/// The subject of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A group, user, role or tenant, as it will be, or as it was if it is deleted.
    Entry(Draft),
    /// A key.
    Key {
        /// Its name.
        name: Name,
        /// Its settings, as they will be, or as they were if it is deleted.
        settings: Box<Settings>,
        /// The end of a new key as stated in the manifest, which counts from the moment at which the key is made.
        end: Option<When>,
        /// Where its secret goes.
        deliver: Option<Deliver>,
    },
}

impl Subject {
    /// The word for its kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Entry(draft) => draft.facts.kind().as_str(),
            Self::Key { .. } => "key",
        }
    }

    /// Its name.
    pub fn name(&self) -> &Name {
        match self {
            Self::Entry(draft) => &draft.name,
            Self::Key { name, .. } => name,
        }
    }
}

/// What happens to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It is made.
    Create,
    /// Its settings change.
    Change,
    /// It is deleted.
    Delete,
}

/// A change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What happens.
    pub action: Action,
    /// The subject.
    pub subject: Subject,
    /// What differs; for a new thing, from the defaults.
    pub differences: Vec<Difference>,
    /// Where the manifest states it, in bytes; `None` for what it does not name.
    pub at: Option<usize>,
}

impl Step {
    /// Takes over the end of a new key from `made`, because it was made later than planned.
    pub fn set_end(&mut self, made: &[Key]) {
        let key = made.iter().find(|key| self.action == Action::Create && key.name == *self.subject.name());
        let (Some(key), Subject::Key { settings, .. }) = (key, &mut self.subject) else { return };
        settings.expires_at = key.settings.expires_at;
        self.differences = differences(&Settings::with_prefix(settings.prefix.clone()), settings);
    }

    /// Whether the other step does the same, whatever existed before.
    pub fn has_same_aim(&self, other: &Self) -> bool {
        let aims = |step: &Self| step.differences.iter().map(|d| (d.field.clone(), d.new.clone())).collect::<Vec<_>>();
        self.action == other.action && self.subject == other.subject && aims(self) == aims(other)
    }
}

/// The changes that make the present state match the manifest, in a possible order. With `prune`, what the manifest
/// does not name is deleted.
///
/// # Errors
/// For references to things that will not exist, and for impossible ends of keys.
pub fn plan(manifest: &Manifest, present: &Present, prune: bool, now: Timestamp) -> Result<Vec<Step>, Vec<Mistake>> {
    let mut mistakes = vec![];
    check_references(manifest, present, prune, &mut mistakes);
    let mut steps = vec![];
    let there: BTreeMap<_, &Draft> = gather(present.entries.iter().map(|entry| (id(entry), entry)));
    for kind in KINDS {
        for wanted in manifest.entries.iter().filter(|wanted| wanted.draft.facts.kind() == kind) {
            let draft = &wanted.draft;
            let (action, differences) = match there.get(&id(draft)) {
                None => (Action::Create, draft.differences_from_default()),
                Some(before) => (Action::Change, before.differences(draft)),
            };
            if action == Action::Create || !differences.is_empty() {
                steps.push(Step { action, subject: Subject::Entry(draft.clone()), differences, at: Some(wanted.at) });
            }
        }
    }
    let keys: BTreeMap<&Name, &Key> = gather(present.keys.iter().map(|key| (&key.name, key)));
    for wanted in &manifest.keys {
        match key_step(wanted, keys.get(&wanted.name).copied(), &present.settings, now) {
            Ok(step) => steps.extend(step),
            Err(mistake) => mistakes.push(mistake),
        }
    }
    if prune {
        steps.extend(deletions(manifest, present));
    }
    if mistakes.is_empty() { Ok(steps) } else { Err(mistakes) }
}

/// What identifies an entry.
fn id(draft: &Draft) -> (&'static str, &Name) {
    (draft.facts.kind().as_str(), &draft.name)
}

fn key_step(
    wanted: &ManifestKey,
    before: Option<&Key>,
    store: &StoreSettings,
    now: Timestamp,
) -> Result<Option<Step>, Mistake> {
    let mut settings = wanted.draft.settings.clone();
    if !wanted.draft.has_prefix {
        settings.prefix.clone_from(before.map_or(&store.prefix, |key| &key.settings.prefix));
    }
    settings.expires_at = match before {
        Some(key) => end_of_present(wanted, key, store, now)?,
        None => end_of_new(wanted, store, now)?,
    };
    let (action, differences) = match before {
        None => (Action::Create, differences(&Settings::with_prefix(settings.prefix.clone()), &settings)),
        Some(key) => (Action::Change, differences(&key.settings, &settings)),
    };
    if action == Action::Change && differences.is_empty() {
        return Ok(None);
    }
    let (name, deliver) = (wanted.name.clone(), wanted.deliver.clone());
    let end = wanted.draft.expires.map(|(_, when)| when);
    let subject = Subject::Key { name, settings: Box::new(settings), end, deliver };
    Ok(Some(Step { action, subject, differences, at: Some(wanted.at) }))
}

/// When a new key ends that is made at `now`: as stated in the manifest, or else by the store's default.
///
/// # Errors
/// If the time lies beyond the year 9999.
pub fn end_named(when: Option<When>, store: &StoreSettings, now: Timestamp) -> Result<Option<Timestamp>, InvalidText> {
    when.map_or_else(|| Ok(store.end_of_new(now)), |when| when.resolve(now))
}

/// Whether a new key with this end could never be used, by mistake. A stated date is none: an expired key may be recreated
/// elsewhere as it is.
pub fn is_over_at_once(when: Option<When>, end: Option<Timestamp>, now: Timestamp) -> bool {
    !matches!(when, Some(When::At(_))) && end.is_some_and(|end| end <= now)
}

fn end_of_new(wanted: &ManifestKey, store: &StoreSettings, now: Timestamp) -> Result<Option<Timestamp>, Mistake> {
    let (at, when) = wanted.draft.expires.map_or((wanted.at, None), |(at, when)| (at, Some(when)));
    let end = end_named(when, store, now).map_err(|error| Mistake::new(at, error.to_string()))?;
    if is_over_at_once(when, end, now) {
        return Err(is_over(at));
    }
    store.check_end(end, now).map_err(|error| Mistake::new(at, error.to_string()))?;
    Ok(end)
}

/// When an existing key ends. Stating the same end again changes nothing, and without a stated end, it stays.
fn end_of_present(
    wanted: &ManifestKey,
    key: &Key,
    store: &StoreSettings,
    now: Timestamp,
) -> Result<Option<Timestamp>, Mistake> {
    let Some((at, when)) = wanted.draft.expires else { return Ok(key.settings.expires_at) };
    let end = key.end_said_again(when).map_err(|error| Mistake::new(at, error.to_string()))?;
    if end == key.settings.expires_at {
        return Ok(end);
    }
    // A working key must not be ended by a time in the past.
    if end.is_some_and(|end| end <= now) {
        let mistake = is_over(at);
        let from = format!("; a duration counts from when the key was made, {}", rfc3339(key.created_at));
        let is_duration = matches!(when, When::In(_));
        return Err(if is_duration { Mistake::new(at, mistake.what + &from) } else { mistake });
    }
    store.check_end(end, key.minted_at()).map_err(|error| Mistake::new(at, error.about(&key.name).to_string()))?;
    Ok(end)
}

fn is_over(at: usize) -> Mistake {
    Mistake::new(at, "this time is in the past; a key is stopped with enabled = false")
}

fn check_references(manifest: &Manifest, present: &Present, prune: bool, mistakes: &mut Vec<Mistake>) {
    let mut known: BTreeSet<(&'static str, &Name)> = BTreeSet::new();
    let wanted = manifest.entries.iter().map(|wanted| &wanted.draft);
    let kept = present.entries.iter().filter(|_| !prune);
    for draft in wanted.chain(kept) {
        known.insert(id(draft));
    }
    let entries = manifest.entries.iter().flat_map(|wanted| &wanted.references);
    let keys = manifest.keys.iter().flat_map(|wanted| &wanted.references);
    for Reference { at, kind, name } in entries.chain(keys) {
        let kind = kind.as_str();
        if known.contains(&(kind, name)) {
            continue;
        }
        let names: Vec<&Name> = known.iter().filter(|(other, _)| *other == kind).map(|(_, name)| *name).collect();
        let hint = did_you_mean(&names, name.as_str());
        let hint = hint.unwrap_or_else(|| format!("add a [[{kind}]] with this name"));
        mistakes.push(Mistake::new(*at, format!("there is no {kind} named {name}; {hint}")));
    }
}

/// What the manifest does not name, in an order in which nothing still refers to a deleted thing.
fn deletions<'p>(manifest: &'p Manifest, present: &'p Present) -> impl Iterator<Item = Step> + 'p {
    let delete = |subject| Step { action: Action::Delete, subject, differences: vec![], at: None };
    let keys: BTreeSet<&Name> = gather(manifest.keys.iter().map(|wanted| &wanted.name));
    let keys = present.keys.iter().filter(move |key| !keys.contains(&key.name)).map(|key| Subject::Key {
        name: key.name.clone(),
        settings: Box::new(key.settings.clone()),
        end: None,
        deliver: None,
    });
    let wanted: BTreeSet<_> = gather(manifest.entries.iter().map(|wanted| id(&wanted.draft)));
    let entries = KINDS.into_iter().rev().flat_map(move |kind: Kind| {
        let of_kind = present.entries.iter().filter(|draft| draft.facts.kind() == kind && !wanted.contains(&id(draft)));
        of_kind.cloned().map(Subject::Entry).collect::<Vec<_>>()
    });
    keys.chain(entries).map(delete)
}
