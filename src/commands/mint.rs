//! New secrets: what `create`, `duplicate` and `rotate` have in common.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use clap::{Args, ValueHint};

use crate::delivery::{
    CLEAR_AFTER, Delivery, Existing, Outcome, Place, Sink, StepFile, deliver_then_commit, needs_an_answer,
};
use crate::error::{Code, Error};
use crate::formats::dotenv::{OutputName, Variable};
use crate::session::Session;
use keyward_core::rules::hashing::{HashError, HashedSecret, Memory};
use keyward_core::rules::key::{Key, Settings};
use keyward_core::rules::names::{Name, Prefix};
use keyward_core::rules::time::Duration;
use keyward_core::rules::token::{Id, SECRET_BYTES, Secret};
use keyward_core::store::{Changes, NewKey, NewSecret, Store};

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
    /// Clear the clipboard after so long, if it still holds the secret [default: 45s]
    #[arg(long, value_name = "DURATION", requires = "copy")]
    pub clear_after: Option<Duration>,
    /// Write the secret into a new file of mode 0600, alone on its line
    #[arg(long, value_name = "PATH", group = "sink", value_hint = ValueHint::FilePath)]
    pub secret_file: Option<PathBuf>,
    /// Replace the file if it is there
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
    #[arg(long, value_name = "NAME", group = "sink")]
    pub github_env: Option<Variable>,
    /// In a step of GitHub Actions: mask the secret, and set an output of the step
    #[arg(long, value_name = "NAME", group = "sink")]
    pub github_output: Option<OutputName>,
    /// In a terminal: print the secret, and take for granted that it was stored
    #[arg(short, long)]
    pub yes: bool,
}

impl DeliveryArgs {
    /// The sink that these flags, and the streams of the session, mean. To be asked before any work.
    ///
    /// # Errors
    /// Where there is no sink that could take the secret.
    pub fn sink(&self, session: &Session) -> Result<Sink, Error> {
        let sink = self.named(session)?;
        sink.place().map_or(Ok(()), |place| place.check(session))?;
        Ok(sink)
    }

    /// The same, where a place may hold a secret already.
    ///
    /// # Errors
    /// As [`DeliveryArgs::sink`].
    pub fn named(&self, session: &Session) -> Result<Sink, Error> {
        if let Some(place) = self.place() {
            return Ok(Sink::Place(place));
        }
        if self.copy { self.clipboard(session) } else { Sink::choose(session, self.yes) }
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
            Some(time) => {
                time.seconds_after(session.now()).filter(|seconds| CLEAR_RANGE.contains(seconds)).ok_or_else(|| {
                    Error::new(Code::InvalidValue, "--clear-after takes from a second to a day")
                        .hint("for example: --clear-after 45s")
                })?
            }
        };
        Ok(Sink::Clipboard { seconds, trusting: self.yes })
    }
}

/// For how many seconds a clipboard may keep a secret: a day is more than anybody needs to paste.
const CLEAR_RANGE: std::ops::RangeInclusive<u64> = 1..=86_400;

/// A secret that nobody has yet, in both of its forms.
#[derive(Debug)]
pub struct Minted {
    /// The plain one, for the sink.
    pub secret: Secret,
    /// The hashed one, for the store.
    pub stored: NewSecret,
}

impl Minted {
    /// What stands for the secret with this number in a rehearsal, without the cost of a hash. It is never
    /// stored.
    pub fn stand_in(prefix: &Prefix, number: usize) -> Self {
        let id = Id::from_random((number as u64).to_be_bytes());
        let secret = Secret::build(prefix, id.clone(), &[0; SECRET_BYTES]);
        Self { secret, stored: NewSecret { id, hash: HashedSecret::from_stored(String::new()) } }
    }
}

/// Makes a secret. Costs one Argon2id.
///
/// # Errors
/// Where the system gives no random bytes, or the store's hash parameters are out of range.
pub fn mint(session: &mut Session, store: &Store, prefix: &Prefix) -> Result<Minted, Error> {
    let cost = store.settings()?.hash_cost;
    let secret = fresh_secret(session, store, prefix)?;
    let hash = HashedSecret::new(&secret, session.random()?, cost).map_err(|error| bad_cost(&error))?;
    let stored = NewSecret { id: secret.id().clone(), hash };
    Ok(Minted { secret, stored })
}

/// Makes a key's id and a secret for each of the prefixes, on all processors.
///
/// # Errors
/// As [`mint`].
pub fn mint_all(session: &mut Session, store: &Store, prefixes: &[Prefix]) -> Result<Vec<(Id, Minted)>, Error> {
    let cost = store.settings()?.hash_cost;
    let mut plain = vec![];
    for prefix in prefixes {
        plain.push((fresh_id(session, store)?, fresh_secret(session, store, prefix)?, session.random()?));
    }
    let mut progress = session.terminal.progress("hashing the new secrets", plain.len() as u64);
    let hashed = in_parallel(
        &plain,
        |(_, secret, salt), memory: &mut Memory| HashedSecret::new_in(secret, *salt, cost, memory),
        |done| progress.at(done),
    );
    drop(progress);
    let minted = plain.into_iter().zip(hashed).map(|((id, secret, _), hash)| {
        let hash = hash.map_err(|error| bad_cost(&error))?;
        Ok((id, Minted { stored: NewSecret { id: secret.id().clone(), hash }, secret }))
    });
    minted.collect()
}

/// What `work` makes of each item, in their order, by as many threads as there are processors, each with a state of
/// its own; by this one alone where the system gives none. `step` learns how many are done.
fn in_parallel<T: Sync, R: Send, S: Default>(
    items: &[T],
    work: impl Fn(&T, &mut S) -> R + Sync,
    mut step: impl FnMut(u64),
) -> Vec<R> {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(items.len());
    let next = AtomicUsize::new(0);
    let (sender, results) = mpsc::channel();
    let run = |sender: mpsc::Sender<(usize, R)>| {
        let mut state = S::default();
        while let Some((place, item)) = at(items, next.fetch_add(1, Ordering::Relaxed)) {
            let _ = sender.send((place, work(item, &mut state)));
        }
    };
    let mut done: Vec<(usize, R)> = thread::scope(|scope| {
        let spawn = |_| {
            let (sender, run) = (sender.clone(), &run);
            thread::Builder::new().spawn_scoped(scope, move || run(sender)).is_ok()
        };
        if (0..threads).map(spawn).filter(|is_running| *is_running).count() == 0 {
            run(sender.clone());
        }
        drop(sender);
        results.into_iter().zip(1..).inspect(|(_, number)| step(*number)).map(|(result, _)| result).collect()
    });
    done.sort_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, result)| result).collect()
}

fn at<T>(items: &[T], place: usize) -> Option<(usize, &T)> {
    items.get(place).map(|item| (place, item))
}

fn fresh_secret(session: &mut Session, store: &Store, prefix: &Prefix) -> Result<Secret, Error> {
    let bytes = zeroize::Zeroizing::new(session.random()?);
    Ok(Secret::build(prefix, fresh_id(session, store)?, &bytes))
}

fn bad_cost(error: &HashError) -> Error {
    Error::new(Code::InvalidValue, format!("the store's hash parameters cannot be used: {error}"))
        .hint("set others with: keyward settings set hash-parameters m=19456,t=2,p=1")
}

/// Mints a key of these settings, which may be those of `source`, and delivers its secret.
///
/// # Errors
/// What the store or the sink says; then there is no key.
pub fn mint_key(
    session: &mut Session,
    store: &mut Store,
    name: &Name,
    settings: &Settings,
    source: Option<&Key>,
    sink: &Sink,
) -> Result<Key, Error> {
    if store.find(name.as_str())?.is_some() {
        return Err(keyward_core::store::StoreError::NameTaken { kind: "key", name: name.clone() }.into());
    }
    let minted = mint(session, store, &settings.prefix)?;
    let id = fresh_id(session, store)?;
    let delivery = Delivery { sink, secret: &minted.secret, outcome: Outcome::Created };
    let new = NewKey { id: &id, name, settings, secret: &minted.stored };
    let key = deliver_then_commit(session, store, delivery, |changes| {
        if let Some(source) = source {
            changes.check_source(source)?;
        }
        Ok(changes.insert_key(&new)?)
    })?;
    // It was delivered, and nobody here needs it any more.
    drop(minted);
    session.terminal.note(&format!("created the key {name} (id {id})"));
    if !key.settings.enabled {
        session.terminal.note(&format!("it is disabled; let it be used with: keyward enable {name}"));
    }
    Ok(key)
}

/// How a key is rotated.
#[derive(Debug, Clone, Copy)]
pub struct Rotation<'r> {
    /// What the new secret starts with.
    pub prefix: &'r Prefix,
    /// How long the old secret goes on working.
    pub grace: Duration,
    /// Where the new secret goes.
    pub sink: &'r Sink,
}

/// Puts a new secret in the place of the key's current one, which works until the grace has passed from the
/// moment at which the new one was delivered. `prepare` makes what else changes together with the secret,
/// and returns the key as it is then.
///
/// # Errors
/// What the store or the sink says; then the old secret is as it was.
pub fn rotate_key(
    session: &mut Session,
    store: &mut Store,
    key: &Key,
    with: Rotation<'_>,
    prepare: impl Fn(&Changes<'_>) -> Result<Key, Error>,
) -> Result<Key, Error> {
    let Rotation { prefix, grace, sink } = with;
    let minted = mint(session, store, prefix)?;
    let delivery = Delivery { sink, secret: &minted.secret, outcome: Outcome::Rotated };
    let rotate = |changes: &Changes<'_>| {
        let grace_end = grace.after(changes.now()).ok_or_else(|| {
            Error::new(Code::InvalidValue, "--grace ends after the year 9999")
                .hint("give a shorter one, such as --grace 24h")
        })?;
        let key = prepare(changes)?;
        Ok(changes.replace_secret(&key, &minted.stored, grace_end)?)
    };
    if sink.replaces() {
        // What is refused writes nothing, not even what is taken back again.
        store.rehearse(session.stamp(), rotate)?;
        store.write(session.stamp(), |changes| changes.stage_secret(key, &minted.stored))?;
    }
    let rotated = deliver_then_commit(session, store, delivery, rotate);
    if sink.replaces() && rotated.as_ref().is_err_and(|error| error.code() != Code::OutputFailed) {
        // Should this fail too, a secret stays that nobody has, beside one that works.
        let _ = store.write(session.stamp(), |changes| changes.unstage_secret(key, &minted.stored.id));
    }
    rotated
}

/// An id that no key and no secret has. Sixty random bits meet another id about never; the store
/// would refuse it then, and this makes the refusal unnecessary.
fn fresh_id(session: &mut Session, store: &Store) -> Result<Id, Error> {
    loop {
        let id = Id::from_random(session.random()?);
        if !store.id_is_taken(&id)? {
            return Ok(id);
        }
    }
}
