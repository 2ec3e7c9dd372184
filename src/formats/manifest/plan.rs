//! From what there is and what there should be to the changes in between.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{Deliver, KINDS, Manifest, ManifestKey, Reference};
use crate::formats::tree::Mistake;
use crate::text::closest;
use keyward_core::rules::directory::{Draft, Kind};
use keyward_core::rules::key::{Key, Settings};
use keyward_core::rules::names::{Name, Prefix};
use keyward_core::rules::patch::{Difference, differences};
use keyward_core::rules::time::When;

/// What there is.
#[derive(Debug, Clone, Default)]
pub struct Present {
    /// Groups, users, roles and tenants.
    pub entries: Vec<Draft>,
    /// Keys: those that the manifest names, or all of them where others are to be deleted.
    pub keys: Vec<Key>,
    /// What the secrets of a new key start with, where nothing else is said.
    pub prefix: Prefix,
}

/// What a step is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A group, user, role or tenant, as it will be, or as it was where it goes.
    Entry(Draft),
    /// A key.
    Key {
        /// Its name.
        name: Name,
        /// Its settings, as they will be, or as they were where it goes.
        settings: Box<Settings>,
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
    /// It gets other settings.
    Change,
    /// It goes.
    Delete,
}

/// A change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What happens.
    pub action: Action,
    /// To what.
    pub subject: Subject,
    /// What differs; for what is made, from the defaults.
    pub differences: Vec<Difference>,
    /// Where the manifest says so, in bytes; nowhere for what it does not name.
    pub at: Option<usize>,
}

impl Step {
    /// Whether the other does the same, whatever there was before.
    pub fn has_same_aim(&self, other: &Self) -> bool {
        let aims = |step: &Self| step.differences.iter().map(|d| (d.field.clone(), d.new.clone())).collect::<Vec<_>>();
        self.action == other.action && self.subject == other.subject && aims(self) == aims(other)
    }
}

/// The changes that make what is present what the manifest says, in the order in which they can be made. With
/// `prune`, what the manifest does not name goes.
///
/// # Errors
/// References to what will not be there, and ends of keys that cannot be.
pub fn plan(manifest: &Manifest, present: &Present, prune: bool, now: Timestamp) -> Result<Vec<Step>, Vec<Mistake>> {
    let mut mistakes = vec![];
    check_references(manifest, present, prune, &mut mistakes);
    let mut steps = vec![];
    let there: BTreeMap<_, &Draft> = present.entries.iter().map(|entry| (id(entry), entry)).collect();
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
    let keys: BTreeMap<&Name, &Key> = present.keys.iter().map(|key| (&key.name, key)).collect();
    for wanted in &manifest.keys {
        match key_step(wanted, keys.get(&wanted.name).copied(), &present.prefix, now) {
            Ok(step) => steps.extend(step),
            Err(mistake) => mistakes.push(mistake),
        }
    }
    if prune {
        steps.extend(deletions(manifest, present));
    }
    if mistakes.is_empty() { Ok(steps) } else { Err(mistakes) }
}

/// What tells an entry from all others.
fn id(draft: &Draft) -> (&'static str, &Name) {
    (draft.facts.kind().as_str(), &draft.name)
}

fn key_step(
    wanted: &ManifestKey,
    before: Option<&Key>,
    prefix: &Prefix,
    now: Timestamp,
) -> Result<Option<Step>, Mistake> {
    let mut settings = wanted.draft.settings.clone();
    if !wanted.draft.has_prefix {
        settings.prefix.clone_from(before.map_or(prefix, |key| &key.settings.prefix));
    }
    settings.expires_at = end(wanted, before, now)?;
    let (action, differences) = match before {
        None => (Action::Create, differences(&Settings::with_prefix(settings.prefix.clone()), &settings)),
        Some(key) => (Action::Change, differences(&key.settings, &settings)),
    };
    if action == Action::Change && differences.is_empty() {
        return Ok(None);
    }
    let (name, deliver) = (wanted.name.clone(), wanted.deliver.clone());
    let subject = Subject::Key { name, settings: Box::new(settings), deliver };
    Ok(Some(Step { action, subject, differences, at: Some(wanted.at) }))
}

/// When a key ends. A duration counts from when the key was made, so that it means the same each time.
fn end(wanted: &ManifestKey, before: Option<&Key>, now: Timestamp) -> Result<Option<Timestamp>, Mistake> {
    let Some((at, when)) = wanted.draft.expires else { return Ok(None) };
    let from = match when {
        When::In(_) => before.map_or(now, |key| key.created_at),
        When::At(_) | When::Never => now,
    };
    let end = when.resolve(from).map_err(|error| Mistake::new(at, error.to_string()))?;
    let is_new = before.is_none_or(|key| key.settings.expires_at != end);
    // A key that is over may be made elsewhere as it is; one that is at work is not ended by a time gone by.
    if is_new && (before.is_some() || matches!(when, When::In(_))) && end.is_some_and(|end| end <= now) {
        return Err(Mistake::new(at, "this time is in the past; a key is stopped with enabled = false"));
    }
    Ok(end)
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
        let hint = match closest(&names, name.as_str()) {
            Some(close) => format!("did you mean {close}?"),
            None => format!("add a [[{kind}]] with this name"),
        };
        mistakes.push(Mistake::new(*at, format!("there is no {kind} named {name}; {hint}")));
    }
}

/// What the manifest does not name, in an order in which nothing that goes is referred to.
fn deletions<'p>(manifest: &'p Manifest, present: &'p Present) -> impl Iterator<Item = Step> + 'p {
    let delete = |subject| Step { action: Action::Delete, subject, differences: vec![], at: None };
    let keys: BTreeSet<&Name> = manifest.keys.iter().map(|wanted| &wanted.name).collect();
    let keys = present.keys.iter().filter(move |key| !keys.contains(&key.name)).map(|key| Subject::Key {
        name: key.name.clone(),
        settings: Box::new(key.settings.clone()),
        deliver: None,
    });
    let wanted: BTreeSet<_> = manifest.entries.iter().map(|wanted| id(&wanted.draft)).collect();
    let entries = KINDS.into_iter().rev().flat_map(move |kind: Kind| {
        let of_kind = present.entries.iter().filter(|draft| draft.facts.kind() == kind && !wanted.contains(&id(draft)));
        of_kind.cloned().map(Subject::Entry).collect::<Vec<_>>()
    });
    keys.chain(entries).map(delete)
}
