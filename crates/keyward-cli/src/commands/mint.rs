//! New secrets: what `create`, `duplicate` and `rotate` share.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use jiff::Timestamp;

use keyward_core::issuer::{Minted, Seed, mint_many};
use keyward_core::rules::key::{Key, SecretInfo, Settings};
use keyward_core::rules::names::{Name, Prefix};
use keyward_core::rules::time::{Duration, When};
use keyward_core::store::{Changes, NewKey, NewSecret, Store, StoreError, Subject};

use super::expiry::{EXPIRES_SOON, EXPIRY_CUT, GRACE_CUT, applying, expires_soon, tell_cuts, tell_expiry};
use super::hash_memory::for_one_hash;
use super::setting_args::{check_expiry, end_of};
use crate::delivery::{
    CLEAR_AFTER, Changed, Effect, Existing, Handover, Order, Patience, Place, Sink, StepFile, Told, hand_over,
    needs_an_answer, print_outcomes,
};
use crate::error::{Code, Error};
use crate::formats::dotenv::Variable;
use crate::formats::runner::{OutputName, StepVariable};
use crate::session::Session;
use crate::words::not_hashed;

/// Where the secret goes.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Delivery")]
#[group(skip)]
pub struct DeliveryArgs {
    /// Put the secret into the clipboard; over SSH, ask the terminal to do so
    ///
    /// The copy is marked as a password. Clipboard histories that know the mark (x-kde-passwordManagerHint on
    /// Linux) leave it out; others keep what is copied.
    #[arg(long, group = "sink")]
    pub copy: bool,
    /// Clear the clipboard after this long, if it still holds the secret [default: 45s]
    #[arg(long, value_name = "DURATION", requires = "copy")]
    pub clear_after: Option<Duration>,
    /// Write the secret into a new file of mode 0600, on a line of its own
    #[arg(long, value_name = "PATH", group = "sink", value_hint = ValueHint::FilePath)]
    pub secret_file: Option<PathBuf>,
    /// Replace the file if it exists
    #[arg(long, requires = "secret_file")]
    pub force: bool,
    /// Set a variable in a dotenv file, the rest of which stays as it is
    #[arg(long, value_name = "PATH", group = "sink", requires = "env_name", value_hint = ValueHint::FilePath)]
    pub env_file: Option<PathBuf>,
    /// The variable, for example API_KEY
    #[arg(long, value_name = "NAME", requires = "env_file")]
    pub env_name: Option<Variable>,
    /// Give the secret to a command on its standard input; a shell reads the command
    #[arg(long, value_name = "COMMAND", group = "sink", value_hint = ValueHint::CommandString)]
    pub secret_to: Option<String>,
    /// In a step of GitHub Actions: mask the secret, and set a variable for the steps that follow
    ///
    /// Names that the runner keeps for itself are refused: GITHUB_* except GITHUB_TOKEN, RUNNER_*, NODE_OPTIONS, PATH
    /// and CI.
    #[arg(long, value_name = "NAME", group = "sink")]
    pub github_env: Option<StepVariable>,
    /// In a step of GitHub Actions: mask the secret, and set an output of the step
    ///
    /// The names that --github-env refuses are refused here too.
    #[arg(long, value_name = "NAME", group = "sink")]
    pub github_output: Option<OutputName>,
    /// In a terminal: print the secret without asking whether you have stored it
    #[arg(short, long)]
    pub yes: bool,
}

impl DeliveryArgs {
    /// The sink for these flags and the session's streams. Call this before any work.
    ///
    /// # Errors
    /// If no sink could take the secret.
    pub fn sink(&self, session: &Session) -> Result<Sink, Error> {
        let sink = self.named(session)?;
        sink.place().map_or(Ok(()), |place| place.check(session))?;
        Ok(sink)
    }

    /// The same, but the place may already hold a secret.
    ///
    /// # Errors
    /// As [`DeliveryArgs::sink`].
    pub fn named(&self, session: &Session) -> Result<Sink, Error> {
        if let Some(place) = self.place() {
            return Ok(Sink::Place(place));
        }
        if self.copy { self.clipboard(session) } else { Sink::choose(session, self.yes) }
    }

    /// Whether they name a place, which can take only one secret.
    pub fn names_a_place(&self) -> bool {
        self.copy || self.place().is_some()
    }

    fn place(&self) -> Option<Place> {
        let file = self.secret_file.as_ref().map(|path| {
            let existing = if self.force { Existing::Replace } else { Existing::Refuse };
            Place::File { path: path.clone(), existing }
        });
        let dotenv = self.env_file.clone().zip(self.env_name.clone()).map(|(path, name)| Place::Dotenv { path, name });
        let command = self.secret_to.clone().map(Place::Command);
        let step = |file, name: Option<String>| name.map(|name| Place::Step { file, name });
        let env = self.github_env.as_ref().map(|name| name.as_str().to_owned());
        let output = self.github_output.as_ref().map(|name| name.as_str().to_owned());
        file.or(dotenv).or(command).or(step(StepFile::Env, env)).or(step(StepFile::Output, output))
    }

    fn clipboard(&self, session: &Session) -> Result<Sink, Error> {
        if needs_an_answer(session) && !session.terminal.can_ask() && !self.yes {
            return Err(Error::new(
                Code::ConfirmationRequired,
                "without a display the terminal has to take the secret, and nobody can confirm that it did",
            )
            .hint("add --yes to take that for granted, or name a file for it with --secret-file"));
        }
        let seconds = match self.clear_after {
            None => CLEAR_AFTER,
            Some(time) => time
                .seconds_after(Timestamp::UNIX_EPOCH)
                .filter(|seconds| CLEAR_RANGE.contains(seconds))
                .ok_or_else(|| {
                    Error::new(Code::InvalidValue, "--clear-after takes from a second to a day")
                        .hint("for example: --clear-after 45s")
                })?,
        };
        Ok(Sink::Clipboard { seconds, trusting: self.yes })
    }
}

/// How many seconds a clipboard may keep a secret: nobody needs more than a day to paste.
const CLEAR_RANGE: std::ops::RangeInclusive<u64> = 1..=86_400;

/// Makes a secret for each prefix, on all processors. Each needs one Argon2id hash.
///
/// # Errors
/// If the system provides no random bytes, or the store's hash parameters are out of range.
pub fn mint_all(session: &mut Session, store: &Store, prefixes: Vec<Prefix>) -> Result<Vec<Minted>, Error> {
    let cost = store.view()?.settings()?.hash_cost;
    if let [prefix] = &prefixes[..] {
        let mut memory = for_one_hash(cost);
        let seed = fresh_seed(session, store)?;
        return Ok(vec![Minted::new(&seed, prefix, cost, &mut memory).map_err(|error| not_hashed(&error))?]);
    }
    let mut seeds = vec![];
    for prefix in prefixes {
        seeds.push((fresh_seed(session, store)?, prefix));
    }
    let mut progress = session.terminal.progress("hashing the new secrets", seeds.len() as u64);
    mint_many(&seeds, cost, |done| progress.at(done)).map_err(|error| not_hashed(&error))
}

/// A seed with unused ids. Sixty random bits almost never collide with another id; the store would refuse a collision,
/// and this avoids the refusal.
fn fresh_seed(session: &mut Session, store: &Store) -> Result<Seed, Error> {
    loop {
        let seed = Seed::new(session.random()?);
        let view = store.view()?;
        if !view.id_is_taken(&seed.key_id())? && !view.id_is_taken(&seed.secret_id())? {
            return Ok(seed);
        }
    }
}

/// A key that is about to be made.
#[derive(Debug, Clone, Copy)]
pub struct Creation<'c> {
    /// Its name.
    pub name: &'c Name,
    /// Its settings, with its end if none is given.
    pub settings: &'c Settings,
    /// When it ends, if that was given: counted from the moment at which it is made.
    pub end: Option<When>,
    /// The key that the settings come from, if it is a copy.
    pub source: Option<&'c Key>,
    /// Where its secret goes.
    pub sink: &'c Sink,
    /// How long to wait for another process minting for the same name.
    pub patience: Patience,
}

/// Mints a key and delivers its secret.
///
/// # Errors
/// If the store or the sink fails. No key is made then.
pub fn mint_key(session: &mut Session, store: &mut Store, creation: Creation<'_>) -> Result<Key, Error> {
    let Creation { name, settings, end, source, sink, patience } = creation;
    if store.view()?.find(name.as_str())?.is_some() {
        return Err(StoreError::NameTaken { kind: "key", name: name.clone() }.into());
    }
    let minted = one(mint_all(session, store, vec![settings.prefix.clone()])?)?;
    let secret = minted.stored();
    let id = minted.key_id().clone();
    let order = Order { sink, secret: minted.into_secret(), subject: Subject::Name(name.clone()) };
    let handover = Handover { orders: vec![order], rotations: vec![], patience };
    let Changed { key, warnings } = one(hand_over_and_tell(session, store, handover, false, &|changes| {
        if let Some(source) = source {
            changes.check_source(source)?;
        }
        let (mut settings, limits) = (settings.clone(), changes.settings()?);
        let kept = settings.expires_at;
        settings.expires_at = match end {
            Some(when) => end_of(when, changes.now())?,
            None if source.is_none() => limits.end_of_new(changes.now()),
            None => limits.cut_end(kept, changes.now()),
        };
        // The end of a copy may have passed, as any end has for a clock at the end of time.
        settings.expires_at.map_or(Ok(()), |end| check_expiry(end, changes.now()))?;
        let key = changes.insert_key(&NewKey { id: &id, name, settings: &settings, secret: &secret })?;
        // A copy should have kept the end of its source.
        let is_cut = source.is_some() && end.is_none() && settings.expires_at != kept;
        let warnings = [(is_cut, EXPIRY_CUT), (expires_soon(&key, changes.now()), EXPIRES_SOON)];
        Ok(vec![Changed { key, warnings: applying(&warnings) }])
    })?)?;
    session.terminal.note(&format!("created the key {name} (id {})", key.id));
    tell_expiry(session, &key);
    tell_cuts(session, store, &key, Duration::default(), &warnings)?;
    if !key.settings.enabled {
        session.terminal.note(&format!("it is disabled; let it be used with: keyward enable {name}"));
    }
    Ok(key)
}

/// A key to be rotated.
#[derive(Debug, Clone, Copy)]
pub struct Rotation<'r> {
    /// The key as it is.
    pub key: &'r Key,
    /// What the new secret starts with.
    pub prefix: &'r Prefix,
    /// Where the new secret goes.
    pub sink: &'r Sink,
}

/// What all keys that are rotated together share.
#[derive(Debug, Clone, Copy)]
pub struct Together {
    /// How long the old secrets keep working.
    pub grace: Duration,
    /// How long to wait for another process rotating one of the keys.
    pub patience: Patience,
    /// Whether `--json` prints an array even for one key.
    pub in_array: bool,
}

/// Replaces the current secrets of keys; they keep working for the grace period, counted from the delivery of the new
/// ones. `prepare` makes other changes together with the secret, and returns the changed key. Returns the final keys,
/// and what was cut.
///
/// # Errors
/// Errors of the store or the sink; then the old secrets are unchanged.
pub fn rotate_keys(
    session: &mut Session,
    store: &mut Store,
    rotations: &[Rotation<'_>],
    with: Together,
    prepare: &dyn Fn(&Changes<'_>, &Key) -> Result<Key, Error>,
) -> Result<Vec<Changed>, Error> {
    let prefixes = rotations.iter().map(|rotation| rotation.prefix.clone()).collect();
    let (stored, orders): (Vec<_>, Vec<_>) = mint_all(session, store, prefixes)?
        .into_iter()
        .zip(rotations)
        .map(|(minted, Rotation { key, sink, .. })| {
            let stored = minted.stored();
            (stored, Order { sink, secret: minted.into_secret(), subject: Subject::Key(key.id.clone()) })
        })
        .unzip();
    let keys: Vec<_> = rotations.iter().map(|rotation| rotation.key).zip(&stored).collect();
    let handover = Handover { orders, rotations: keys.clone(), patience: with.patience };
    hand_over_and_tell(session, store, handover, with.in_array, &|changes| {
        let grace_end = with.grace.after(changes.now()).ok_or_else(|| {
            Error::new(Code::InvalidValue, "--grace ends after the year 9999")
                .hint("give a shorter one, such as --grace 24h")
        })?;
        let rotate = |(key, secret): &(&Key, &NewSecret)| {
            let key = prepare(changes, key)?;
            let kept = changes.key(&key.id)?.and_then(|present| present.settings.expires_at);
            let rotated = changes.replace_secret(&key, secret, grace_end)?;
            let is_cut = |old: &SecretInfo| Some(&old.id) == key.current_secret() && old.expires_at < Some(grace_end);
            let warnings =
                [(rotated.settings.expires_at != kept, EXPIRY_CUT), (rotated.secrets.iter().any(is_cut), GRACE_CUT)];
            Ok(Changed { key: rotated, warnings: applying(&warnings) })
        };
        keys.iter().map(rotate).collect()
    })
}

/// Hands secrets over, and prints the JSON of the command if that does not contain them.
fn hand_over_and_tell(
    session: &mut Session,
    store: &mut Store,
    handover: Handover<'_>,
    in_array: bool,
    change: &dyn Fn(&Changes<'_>) -> Result<Vec<Changed>, Error>,
) -> Result<Vec<Changed>, Error> {
    let is_printed = handover.orders.iter().any(|order| order.sink.is_document());
    let outcome = if handover.rotations.is_empty() { Effect::Created } else { Effect::Rotated };
    let changed = hand_over(session, store, handover, change)?;
    if session.json() && !is_printed {
        let told = changed.iter().map(|Changed { key, warnings }| Told { key, outcome, warnings });
        print_outcomes(session, &told.collect::<Vec<_>>(), in_array)?;
    }
    Ok(changed)
}

/// The only item.
///
/// # Errors
/// If there is none, which would be a bug.
pub fn one<T>(all: Vec<T>) -> Result<T, Error> {
    Ok(all.into_iter().next().ok_or_else(|| anyhow::anyhow!("a change without its key"))?)
}
