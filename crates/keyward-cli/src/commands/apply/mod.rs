//! `keyward apply`

mod attempts;
mod places;
mod report;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};

use self::attempts::{Attempts, have_same_aim};
use self::report::{PlanDocument, print_plan, report_steps};
use super::mint::mint_all;
use super::secrets_dir::make_folder;
use crate::delivery::{Changed, Handover, Order, Patience, Place, Sink, hand_over};
use crate::error::{Code, Error, Exit};
use crate::formats::manifest::{Action, KINDS, Manifest, Present, Step, Subject as Target, end_named, plan, read};
use crate::formats::tree::{Mistake, locate};
use crate::session::{Enter, Session};
use crate::text::{count, gather, input_name};
use jiff::Timestamp;
use keyward_core::issuer::Minted;
use keyward_core::rules::directory::{Draft, Entry};
use keyward_core::rules::key::{Key, Settings};
use keyward_core::rules::names::{Name, Prefix};
use keyward_core::rules::token::{Id, Secret};
use keyward_core::store::{Changes, Head, NewKey, NewSecret, Store, StoreError, Subject, View};

/// Make the store match a manifest
///
/// Roles, tenants, groups, users and keys are made and changed in one transaction: either every change is made, or
/// none. Keys and other things that the manifest does not name stay, unless --prune is given. A setting that it leaves
/// out of a key goes back to its default: a disabled key is enabled again, unless the manifest says enabled = false. The
/// secret of a new key goes where its `deliver` table says, or into a file in --secrets-dir, which is named after the key
/// (a / in the name becomes %2F). Applying the same manifest again changes nothing. Where somebody else changes the same
/// things meanwhile, it plans again, up to 5 times; a plan that you have confirmed is shown again if it has changed.
/// `keyward help manifest` describes the format.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  keyward apply keys.toml --dry-run
  keyward apply keys.toml --secrets-dir secrets
  keyward apply keys.toml --dry-run --fail-if-any  # drift: exit code 8
  keyward export | keyward --store other.db apply - --secrets-dir secrets")]
pub struct Apply {
    /// The manifest, TOML or JSON; - for standard input
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: PathBuf,
    /// Show the changes without making them
    #[arg(long)]
    dry_run: bool,
    /// With --dry-run: end with exit code 8 if there is anything to change
    #[arg(long, requires = "dry_run")]
    fail_if_any: bool,
    /// Delete what the manifest does not name; asks. A manifest that names nothing is refused
    #[arg(long)]
    prune: bool,
    /// Write the secret of each new key that has no `deliver` table into a file in this folder, mode 0600
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    secrets_dir: Option<PathBuf>,
    /// Show every change, also on a screen that a long list does not fit on
    #[arg(long)]
    all: bool,
    /// Do not ask for confirmation
    #[arg(short, long)]
    yes: bool,
}

/// More than a manifest of a hundred thousand keys has.
const MOST: u64 = 64 * 1024 * 1024;

/// A plan, and what it was based on.
struct Planned {
    steps: Vec<Step>,
    /// The end of the history at that time.
    head: Head,
    /// The time of the plan.
    now: Timestamp,
}

/// A key that is about to be made.
struct Fresh {
    id: Id,
    name: Name,
    stored: NewSecret,
    sink: Sink,
}

impl Fresh {
    fn order(&self, secret: Secret) -> Order<'_> {
        Order { sink: &self.sink, secret, subject: Subject::Name(self.name.clone()) }
    }
}

impl Apply {
    /// Makes the changes.
    ///
    /// # Errors
    /// For mistakes in the manifest, errors of the store or a sink, and if the person declines; then nothing was
    /// changed.
    pub fn run(self, session: &mut Session) -> Result<Exit, Error> {
        let text = self.text(session)?;
        let wrong = |wrongs| self.mistakes(&text, wrongs);
        let manifest = read(&text).map_err(wrong)?;
        if self.prune && manifest.is_empty() {
            return Err(Error::new(
                Code::InvalidValue,
                format!("the manifest {} names nothing, so --prune would delete everything", self.source()),
            )
            .hint("nothing was changed; look at where the manifest comes from"));
        }
        let mut attempts = Attempts::new(session.now());
        loop {
            match self.attempt(session, &manifest, &text, &mut attempts) {
                Err(error) if !self.dry_run => attempts.go_on(session, error)?,
                done => return done,
            }
        }
    }

    /// Plans, shows the plan, asks, and makes the changes.
    fn attempt(
        &self,
        session: &mut Session,
        manifest: &Manifest,
        text: &str,
        attempts: &mut Attempts,
    ) -> Result<Exit, Error> {
        // If there is no store yet, the plan uses one in memory, and the store is made when all is well.
        let found = session.store_to_plan()?;
        let exists = found.is_some();
        let mut store = found.map_or_else(|| Store::in_memory(session.now()), Ok)?;
        let mut planned = self.plan(&store.view()?, manifest, text, attempts.now)?;
        let is_known = attempts.knows(&planned.steps)?;
        let outcome = match (planned.steps.is_empty(), self.dry_run) {
            (true, _) => "unchanged",
            (false, true) => "planned",
            (false, false) => "applied",
        };
        if !is_known && !session.json() && (!session.quiet() || self.asks(&planned.steps)) {
            attempts.introduce(session);
            // A script knows which store it named.
            let is_for_a_person = session.terminal.kinds().stderr_is_terminal && !planned.steps.is_empty();
            if let Some(path) = session.store_path().filter(|_| is_for_a_person) {
                let what = format!("changes to the store {}:", path.display());
                session.terminal.say(&what);
            }
            print_plan(session, &planned.steps, self.all)?;
        }
        attempts.show(&planned.steps);
        if !planned.steps.is_empty() {
            let rehearse = |session: &mut Session| self.rehearse(session, &mut store, &planned, manifest, text);
            Patience::Short.wait(session, rehearse)?;
            let wanted = self.places(session, &store, &planned.steps)?;
            if !self.dry_run {
                if !is_known {
                    self.confirm(session, &planned.steps)?;
                }
                let mut store = if exists { session.store_to_change()? } else { session.store_to_make()? };
                let made = self.make(session, &mut store, (&planned, manifest, text), wanted)?;
                planned.steps.iter_mut().for_each(|step| step.set_end(&made));
            }
        }
        if !self.dry_run && session.check_key_manager(&store).is_ok() {
            self.clear_up(manifest, &planned.steps);
        }
        if session.json() {
            session.terminal.print_json(&PlanDocument::new(outcome, &planned.steps))?;
        }
        report_steps(session, &planned.steps, outcome);
        Ok(if self.fail_if_any && !planned.steps.is_empty() { Exit::FOUND } else { Exit::DONE })
    }

    fn text(&self, session: &mut Session) -> Result<String, Error> {
        let failed = |why: &dyn std::fmt::Display| {
            Error::new(Code::InvalidValue, format!("the manifest {} cannot be read: {why}", self.source()))
                .hint("name a manifest that is there, or - for standard input")
        };
        let mut bytes = vec![];
        if self.file == Path::new("-") {
            session.terminal.read_pipe(MOST, &mut bytes).map_err(|error| failed(&error))?;
        } else {
            let file = std::fs::File::open(&self.file).map_err(|error| failed(&error))?;
            std::io::Read::read_to_end(&mut std::io::Read::take(file, MOST + 1), &mut bytes)
                .map_err(|error| failed(&error))?;
        }
        if bytes.len() as u64 > MOST {
            return Err(failed(&"it is larger than 64 MiB"));
        }
        String::from_utf8(bytes).map_err(|_| failed(&"it is not text in UTF-8"))
    }

    /// The file, for messages.
    fn source(&self) -> String {
        input_name(&self.file)
    }

    /// All mistakes, each with its file, line and column, in the format of compilers.
    fn mistakes(&self, text: &str, wrongs: Vec<Mistake>) -> Error {
        let source = self.source();
        let mistakes = locate(text, wrongs);
        let mut message = format!("{} in the manifest {source}", count(mistakes.len() as u64, "mistake"));
        for mistake in &mistakes {
            message.push_str(&format!("\n  {source}:{}:{}: {}", mistake.line, mistake.column, mistake.what));
        }
        Error::new(Code::InvalidValue, message)
            .hint("nothing was changed; a manifest is TOML or JSON, and the format is in: keyward help manifest")
    }

    fn plan(&self, view: &View<'_>, manifest: &Manifest, text: &str, now: Timestamp) -> Result<Planned, Error> {
        let head = view.head()?;
        let mut present = Present { settings: view.settings()?, ..Present::default() };
        for kind in KINDS {
            present.entries.extend(view.entries(kind)?.into_iter().map(|entry| entry.draft));
        }
        if self.prune {
            view.each_key(&keyward_core::store::Filter::default(), now, |key| {
                present.keys.push(key);
                Ok::<_, Error>(())
            })?;
        } else {
            for wanted in &manifest.keys {
                present.keys.extend(view.named(&wanted.name)?);
            }
        }
        // Damaged data must not be compared with the manifest, but may be deleted.
        let named: BTreeSet<&Name> = gather(manifest.keys.iter().map(|wanted| &wanted.name));
        present.keys.iter().filter(|key| named.contains(&key.name)).try_for_each(|key| view.check_whole(key))?;
        let planned = plan(manifest, &present, self.prune, now);
        let steps = planned.map_err(|wrongs| self.mistakes(text, wrongs))?;
        Ok(Planned { steps, head, now })
    }

    /// Checks that the same plan would be made now: changes by others since then must not concern the manifest.
    fn check_holds(
        &self,
        changes: &Changes<'_>,
        planned: &Planned,
        manifest: &Manifest,
        text: &str,
    ) -> Result<(), Error> {
        if changes.head()? == planned.head
            || have_same_aim(&self.plan(changes, manifest, text, planned.now)?.steps, &planned.steps)
        {
            return Ok(());
        }
        Err(Error::new(Code::Conflict, "somebody changed the store in the meantime"))
    }

    /// Checks that all of it is possible, before asking the person and hashing anything.
    fn rehearse(
        &self,
        session: &Session,
        store: &mut Store,
        planned: &Planned,
        manifest: &Manifest,
        text: &str,
    ) -> Result<(), Error> {
        if store.is_read_only() {
            return Ok(());
        }
        store.rehearse(session.stamp(), |changes| {
            self.check_holds(changes, planned, manifest, text)?;
            for (number, step) in planned.steps.iter().enumerate() {
                let minted = Minted::stand_in(number as u64);
                self.take(changes, step, text, |name, settings| {
                    changes.insert_key(&NewKey { id: minted.key_id(), name, settings, secret: &minted.stored() })
                })?;
            }
            Ok::<_, Error>(())
        })
    }

    /// Makes one change; `mint` makes and returns a key.
    fn take(
        &self,
        changes: &Changes<'_>,
        step: &Step,
        text: &str,
        mint: impl Fn(&Name, &Settings) -> Result<Key, StoreError>,
    ) -> Result<Option<Key>, Error> {
        let made = match (&step.subject, step.action) {
            (Target::Entry(draft), Action::Create) => changes.insert_entry(draft).map(|_| None),
            (Target::Entry(draft), Action::Change) => {
                entry(changes, draft).and_then(|entry| changes.update_entry(&entry, draft)).map(|_| None)
            }
            (Target::Entry(draft), Action::Delete) => {
                entry(changes, draft).and_then(|entry| changes.delete_entry(&entry, false)).map(|_| None)
            }
            (Target::Key { name, settings, end, .. }, Action::Create) => {
                // The end counts from the moment at which the key is made.
                let mut settings = settings.clone();
                settings.expires_at = end_named(*end, &changes.settings()?, changes.now())
                    .map_err(|error| Error::new(Code::InvalidValue, format!("{name}: expires_at: {error}")))?;
                mint(name, &settings).map(Some)
            }
            (Target::Key { name, settings, .. }, action) => changes.named(name).and_then(|key| {
                let key = key.ok_or_else(|| StoreError::KeyGone(name.clone()))?;
                match action {
                    Action::Delete => changes.delete_key(&key),
                    _ => changes.update_key(&key, name, settings).map(drop),
                }
                .map(|()| None)
            }),
        };
        made.map_err(|error| {
            let error = Error::from(error);
            let Some(at) = step.at else { return error };
            let places = locate(text, vec![Mistake::new(at, "")]);
            let hint = |place| {
                let crate::formats::tree::LocatedMistake { line, column, .. } = place;
                format!("it stands in {}:{line}:{column}; nothing was changed", self.source())
            };
            places.into_iter().map(hint).fold(error, Error::hint)
        })
    }

    /// Whether to ask the person first.
    fn asks(&self, steps: &[Step]) -> bool {
        !self.yes && !self.dry_run && steps.iter().any(|step| step.action == Action::Delete)
    }

    /// Deletion needs confirmation; everything else can be changed back.
    fn confirm(&self, session: &mut Session, steps: &[Step]) -> Result<(), Error> {
        if !self.asks(steps) {
            return Ok(());
        }
        let deleted = steps.iter().filter(|step| step.action == Action::Delete).count() as u64;
        let what = count(deleted, "thing");
        if !session.terminal.can_ask() {
            return Err(Error::new(
                Code::ConfirmationRequired,
                format!("refusing to delete {what} without confirmation, as --prune would"),
            )
            .hint("add --yes if you mean it; see what would go with --dry-run"));
        }
        session.confirm(&format!("Delete {what} permanently?"), Enter::MeansNo)
    }

    fn make(
        &self,
        session: &mut Session,
        store: &mut Store,
        (planned, manifest, text): (&Planned, &Manifest, &str),
        wanted: Vec<(Name, Prefix, Place)>,
    ) -> Result<Vec<Key>, Error> {
        if let Some(folder) = &self.secrets_dir {
            make_folder(folder)?;
        }
        let (fresh, secrets) = mint(session, store, wanted)?;
        let orders = fresh.iter().zip(secrets).map(|(key, secret)| key.order(secret)).collect();
        let handover = Handover { orders, rotations: vec![], patience: Patience::Short };
        let keys: BTreeMap<&Name, &Fresh> = gather(fresh.iter().map(|key| (&key.name, key)));
        hand_over(session, store, handover, &|changes| {
            self.check_holds(changes, planned, manifest, text)?;
            let mut made = vec![];
            for step in &planned.steps {
                made.extend(self.take(changes, step, text, |name, settings| {
                    let key = keys.get(name).ok_or_else(|| StoreError::KeyGone(name.clone()))?;
                    changes.insert_key(&NewKey { id: &key.id, name, settings, secret: &key.stored })
                })?);
            }
            Ok(made.into_iter().map(|key| Changed { key, warnings: vec![] }).collect())
        })
        .map(|made| made.into_iter().map(|changed| changed.key).collect())
    }
}

/// Makes the new keys, each with its secret.
fn mint(
    session: &mut Session,
    store: &Store,
    wanted: Vec<(Name, Prefix, Place)>,
) -> Result<(Vec<Fresh>, Vec<Secret>), Error> {
    let prefixes = wanted.iter().map(|(_, prefix, _)| prefix.clone()).collect();
    let fresh = wanted.into_iter().zip(mint_all(session, store, prefixes)?);
    let fresh = fresh.map(|((name, _, place), minted)| {
        let stored = minted.stored();
        let fresh = Fresh { id: minted.key_id().clone(), name, stored, sink: Sink::Place(place) };
        (fresh, minted.into_secret())
    });
    Ok(fresh.unzip())
}

fn entry(changes: &Changes<'_>, draft: &Draft) -> Result<Entry, StoreError> {
    changes.required_entry(draft.facts.kind(), &draft.name)
}
