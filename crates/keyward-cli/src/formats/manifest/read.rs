//! Reads a manifest from a text, or reports everything that is wrong with it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{Deliver, KINDS, Manifest, ManifestEntry, ManifestKey, Reference, fields_of};
use crate::formats::dotenv::Variable;
use crate::formats::runner::{OutputName, StepVariable};
use crate::formats::settings_draft::{SettingsDraft, limits_of, no_such_field, one, switch, text};
use crate::formats::tree::{Field, Mistake, Node, Value, from_json, from_toml};
use keyward_core::rules::directory::{Draft, Facts, Kind};
use keyward_core::rules::names::{Name, Prefix};
use keyward_core::rules::setting::{Setting, Settings};

/// The five lists of a manifest.
const LISTS: [&str; 5] = ["role", "tenant", "group", "user", "key"];
/// The fields of a `deliver` table.
const DELIVER: [&str; 6] = ["secret_file", "env_file", "env_name", "secret_to", "github_env", "github_output"];

/// Reads a manifest: JSON if its first character is a brace, else TOML.
///
/// # Errors
/// All mistakes.
pub fn read(source: &str) -> Result<Manifest, Vec<Mistake>> {
    // Spaces replace a byte order mark, so that all positions stay the same.
    let unmarked = source.strip_prefix('\u{feff}').map(|rest| format!("   {rest}"));
    let source = unmarked.as_deref().unwrap_or(source);
    let source_is_json = source.trim_start().starts_with('{');
    let fields = if source_is_json {
        match from_json(source)?.value {
            Value::Table(fields) => fields,
            _ => {
                return Err(vec![Mistake::new(0, "write one object with the lists role, tenant, group, user and key")]);
            }
        }
    } else {
        from_toml(source)?
    };
    let mut reader = Reader::default();
    for field in &fields {
        reader.list(field);
    }
    if reader.mistakes.is_empty() { Ok(reader.manifest) } else { Err(reader.mistakes) }
}

#[derive(Default)]
struct Reader {
    manifest: Manifest,
    mistakes: Vec<Mistake>,
    /// Where each name was first used, by its list.
    names: BTreeMap<(String, Name), usize>,
}

impl Reader {
    fn list(&mut self, field: &Field) {
        let kind = KINDS.into_iter().find(|kind| kind.as_str() == field.name);
        if kind.is_none() && field.name != "key" {
            self.mistakes.push(no_such_field(field, &LISTS));
            return;
        }
        let Value::List(items) = &field.node.value else {
            let what = format!("write a list: [[{}]] in TOML, \"{}\": [ … ] in JSON", field.name, field.name);
            self.mistakes.push(Mistake::new(field.at, what));
            return;
        };
        for item in items {
            let Value::Table(fields) = &item.value else {
                self.mistakes.push(Mistake::new(item.at, format!("write a table with the fields of a {}", field.name)));
                continue;
            };
            // If the name is wrong, the rest is checked nevertheless.
            let Some(name) = self.name(&field.name, item, fields).or_else(|| "unnamed".parse().ok()) else { continue };
            match kind {
                Some(kind) => self.entry(kind, item, name, fields),
                None => self.key(item, name, fields),
            }
        }
    }

    /// The name of an item, which must be unique in its list.
    fn name(&mut self, list: &str, item: &Node, fields: &[Field]) -> Option<Name> {
        let Some(field) = fields.iter().find(|field| field.name == "name") else {
            self.mistakes.push(Mistake::new(item.at, format!("this {list} has no name")));
            return None;
        };
        let parsed = one::<Name>(&field.node);
        let name =
            match parsed.and_then(|name| name.ok_or_else(|| Mistake::new(field.node.at, "a name cannot be empty"))) {
                Ok(name) => name,
                Err(mistake) => {
                    self.mistakes.push(mistake);
                    return None;
                }
            };
        if self.names.insert((list.to_owned(), name.clone()), item.at).is_some() {
            self.mistakes.push(Mistake::new(field.node.at, format!("the {list} {name} stands here twice")));
        }
        Some(name)
    }

    fn entry(&mut self, kind: Kind, item: &Node, name: Name, fields: &[Field]) {
        let facts = Facts::default_of(kind);
        let mut entry =
            ManifestEntry { at: item.at, references: vec![], draft: Draft { name, description: None, facts } };
        for field in fields {
            match read_entry_field(&mut entry, field) {
                Ok(true) => {}
                Ok(false) => self.mistakes.push(no_such_field(field, fields_of(kind))),
                Err(mistakes) => self.mistakes.extend(mistakes),
            }
        }
        self.manifest.entries.push(entry);
    }

    fn key(&mut self, item: &Node, name: Name, fields: &[Field]) {
        let draft = SettingsDraft::new(Settings::with_prefix(Prefix::default()));
        let mut key = ManifestKey { at: item.at, references: vec![], name, draft, deliver: None };
        for field in fields.iter().filter(|field| field.name != "name") {
            let read = match field.name.as_str() {
                "deliver" => deliver(field).map(|place| {
                    key.deliver = place;
                    true
                }),
                _ => key.draft.read(field),
            };
            match read {
                Ok(true) => {
                    let kind = Setting::named(&field.name).and_then(|setting| setting.refers_to);
                    key.references.extend(kind.and_then(|kind| reference(field, kind)));
                }
                Ok(false) => {
                    let settings = Setting::ALL.iter().map(|setting| setting.name);
                    let names: Vec<&str> = ["name"].into_iter().chain(settings).chain(["deliver"]).collect();
                    self.mistakes.push(no_such_field(field, &names));
                }
                Err(mistakes) => self.mistakes.extend(mistakes),
            }
        }
        self.manifest.keys.push(key);
    }
}

/// Reads a field of a group, user, role or tenant; `false` if its kind has no such field.
fn read_entry_field(entry: &mut ManifestEntry, field: &Field) -> Result<bool, Vec<Mistake>> {
    let node = &field.node;
    match (field.name.as_str(), &mut entry.draft.facts) {
        ("name", _) => {}
        ("description", _) => entry.draft.description = one(node)?,
        ("enabled", Facts::User { enabled, .. } | Facts::Tenant { enabled, .. }) => *enabled = switch(node)?,
        ("limits", Facts::User { limits: place, .. } | Facts::Tenant { limits: place, .. }) => {
            *place = limits_of(node)?;
        }
        ("role", Facts::User { role, .. }) => *role = one(node)?,
        ("tenant", Facts::User { tenant, .. }) => *tenant = one(node)?,
        ("manages_keys", Facts::Role { manages_keys, .. }) => *manages_keys = switch(node)?,
        ("rank", Facts::Role { rank, .. }) => {
            *rank = match node.value {
                Value::Number(number @ 0..=1_000_000) => number,
                _ => return Err(Mistake::new(node.at, "write a whole number from 0 to 1000000").into()),
            }
        }
        _ => return Ok(false),
    }
    let kind = match field.name.as_str() {
        "role" => Some(Kind::Role),
        "tenant" => Some(Kind::Tenant),
        _ => None,
    };
    entry.references.extend(kind.and_then(|kind| reference(field, kind)));
    Ok(true)
}

/// What a field refers to, unless it is empty.
fn reference(field: &Field, kind: Kind) -> Option<Reference> {
    let name = one(&field.node).ok()??;
    Some(Reference { at: field.node.at, kind, name })
}

fn deliver(field: &Field) -> Result<Option<Deliver>, Vec<Mistake>> {
    let fields = match &field.node.value {
        Value::Nothing => return Ok(None),
        Value::Table(fields) => fields,
        _ => return Err(Mistake::new(field.node.at, "write a table, such as { secret_file = \"deploy.key\" }").into()),
    };
    let others = fields.iter().filter(|field| !DELIVER.contains(&field.name.as_str()));
    let mut mistakes: Vec<Mistake> = others.map(|other| no_such_field(other, &DELIVER)).collect();
    let get = |name: &str| fields.iter().find(|field| field.name == name).map(|field| &field.node);
    let path = |node: &Node| match text(node)? {
        "" => Err(Mistake::new(node.at, "a path cannot be empty")),
        path => Ok(PathBuf::from(path)),
    };
    let no_variable = |node: &Node| Mistake::new(node.at, "name a variable, such as \"API_KEY\"");
    let mut places = vec![];
    let mut add = |place: Result<Deliver, Mistake>| match place {
        Ok(place) => places.push(place),
        Err(mistake) => mistakes.push(mistake),
    };
    if let Some(node) = get("secret_file") {
        add(path(node).map(Deliver::SecretFile));
    }
    match (get("env_file"), get("env_name")) {
        (Some(file), Some(name)) => {
            add(path(file)
                .and_then(|path| Ok(Deliver::EnvFile(path, one::<Variable>(name)?.ok_or_else(|| no_variable(name))?))));
        }
        (None, None) => {}
        (Some(node), None) | (None, Some(node)) => {
            add(Err(Mistake::new(node.at, "env_file and env_name belong together")));
        }
    }
    if let Some(node) = get("secret_to") {
        add(text(node).map(|command| Deliver::SecretTo(command.to_owned())));
    }
    if let Some(node) = get("github_env") {
        let name = one::<StepVariable>(node).and_then(|name| name.ok_or_else(|| no_variable(node)));
        add(name.map(Deliver::GithubEnv));
    }
    if let Some(node) = get("github_output") {
        let no_output = || Mistake::new(node.at, "name an output, such as \"api-key\"");
        let name = one::<OutputName>(node).and_then(|name| name.ok_or_else(no_output));
        add(name.map(Deliver::GithubOutput));
    }
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    match places.len() {
        0 => Ok(None),
        1 => Ok(places.pop()),
        _ => Err(Mistake::new(field.node.at, "a secret is delivered to one place: keep one of them").into()),
    }
}
