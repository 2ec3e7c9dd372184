//! Where the secrets of new keys are delivered.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::super::secrets_dir::file_name;
use super::Apply;
use crate::delivery::{Existing, Place, Proof, StepFile};
use crate::error::{Code, Error};
use crate::formats::manifest::{Action, Deliver, Manifest, Step, Subject};
use crate::session::Session;
use crate::text::gather;
use keyward_core::rules::names::{Name, Prefix};
use keyward_core::store::Store;

impl Apply {
    /// The new keys, their prefixes, and where their secrets go: each to its own place.
    pub(super) fn places(
        &self,
        session: &mut Session,
        store: &Store,
        steps: &[Step],
    ) -> Result<Vec<(Name, Prefix, Place)>, Error> {
        let mut wanted: Vec<(Name, Prefix, Place)> = vec![];
        for step in steps.iter().filter(|step| step.action == Action::Create) {
            let Subject::Key { name, settings, deliver, .. } = &step.subject else { continue };
            if self.dry_run && deliver.is_none() && self.secrets_dir.is_none() {
                session.terminal.warn(&format!("nothing says where the secret of {name} goes: add --secrets-dir DIR"));
                continue;
            }
            let place = self.place(store, name, deliver.as_ref())?;
            if self.secrets_dir.as_ref().is_none_or(|folder| deliver.is_some() || folder.exists()) {
                place.check(session)?;
            }
            wanted.push((name.clone(), settings.prefix.clone(), place));
        }
        let mut taken: BTreeMap<PathBuf, Vec<(Option<String>, &Name)>> = BTreeMap::new();
        for (name, _, place) in &wanted {
            let Some((path, part)) = place.takes_up() else { continue };
            let others = taken.entry(path).or_default();
            // A place without parts is occupied as a whole.
            let clash = others.iter().find(|(other, _)| part.is_none() || other.is_none() || *other == part);
            if let Some((_, other)) = clash {
                return Err(Error::new(
                    Code::NotDelivered,
                    format!("the secrets of {other} and {name} would go to the same place; nothing was changed"),
                )
                .hint("deliver each to a place of its own"));
            }
            others.push((part, name));
        }
        Ok(wanted)
    }

    /// Where the secret of a new key goes.
    fn place(&self, store: &Store, name: &Name, deliver: Option<&Deliver>) -> Result<Place, Error> {
        let file = |path: PathBuf| {
            let place = Place::File { path: path.clone(), existing: Existing::Refuse };
            // A leftover of a crash may be replaced: a secret that opens nothing.
            let existing = match place.proof()? {
                Some(Proof::Secret { secret, content }) if store.view()?.is_leftover(secret.id())? => {
                    Existing::Only(content)
                }
                _ => Existing::Refuse,
            };
            Ok(Place::File { path, existing })
        };
        match (deliver, &self.secrets_dir) {
            (Some(Deliver::SecretFile(path)), _) => file(path.clone()),
            (Some(Deliver::EnvFile(path, name)), _) => Ok(Place::Dotenv { path: path.clone(), name: name.clone() }),
            (Some(Deliver::SecretTo(command)), _) => Ok(Place::Command(command.clone())),
            (Some(Deliver::GithubEnv(name)), _) => {
                Ok(Place::Step { file: StepFile::Env, name: name.as_str().to_owned() })
            }
            (Some(Deliver::GithubOutput(name)), _) => {
                Ok(Place::Step { file: StepFile::Output, name: name.as_str().to_owned() })
            }
            // The folder may not exist yet.
            (None, Some(folder)) if !folder.exists() => {
                Ok(Place::File { path: folder.join(file_name(name)), existing: Existing::Refuse })
            }
            (None, Some(folder)) => file(folder.join(file_name(name))),
            (None, None) => Err(Error::new(
                Code::NotDelivered,
                format!("nothing says where the secret of the new key {name} goes; nothing was changed"),
            )
            .hint("add --secrets-dir DIR, or give the key a deliver table: deliver = { secret_file = \"…\" }")),
        }
    }
    /// Removes what a killed run left beside the places of existing keys.
    pub(super) fn clear_up(&self, manifest: &Manifest, steps: &[Step]) {
        let is_new = |step: &&Step| step.action == Action::Create;
        let made: BTreeSet<&Name> = gather(steps.iter().filter(is_new).map(|step| step.subject.name()));
        for key in manifest.keys.iter().filter(|key| !made.contains(&key.name)) {
            let place = match (&key.deliver, &self.secrets_dir) {
                (Some(Deliver::SecretFile(path) | Deliver::EnvFile(path, _)), _) => path.clone(),
                (None, Some(folder)) => folder.join(file_name(&key.name)),
                _ => continue,
            };
            // This is a courtesy: if the folder cannot be read, nothing in it is needed.
            let _ = Place::File { path: place, existing: Existing::Refuse }.clear_up();
        }
    }
}
