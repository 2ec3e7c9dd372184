//! New secrets: what `create`, `duplicate` and `rotate` have in common.

use clap::Args;

use crate::delivery::{CLEAR_AFTER, Delivery, Outcome, Sink, deliver_then_commit, needs_an_answer};
use crate::domain::hashing::HashedSecret;
use crate::domain::key::{Key, Settings};
use crate::domain::names::{Name, Prefix};
use crate::domain::time::Duration;
use crate::domain::token::{Id, Secret};
use crate::error::{Code, Error};
use crate::session::Session;
use crate::store::{NewKey, NewSecret, Store};

/// Where the secret goes.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Delivery")]
pub struct DeliveryArgs {
    /// Put the secret into the clipboard; over SSH, ask the terminal to do so
    ///
    /// The copy is marked as a password. Clipboard histories that know the mark (x-kde-passwordManagerHint on
    /// Linux) leave it out; others keep what is copied.
    #[arg(long)]
    pub copy: bool,
    /// Clear the clipboard after so long, if it still holds the secret [default: 45s]
    #[arg(long, value_name = "DURATION", requires = "copy")]
    pub clear_after: Option<Duration>,
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
        if !self.copy {
            return Sink::choose(session, self.yes);
        }
        if needs_an_answer(session) && !session.terminal.can_ask() && !self.yes {
            return Err(Error::new(
                Code::ConfirmationRequired,
                "without a display the terminal has to take the secret, and nobody can confirm that it did",
            )
            .hint("add --yes to take that for granted, or use --json, or send standard output to where it belongs"));
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

/// Makes a secret. Costs one Argon2id.
///
/// # Errors
/// Where the system gives no random bytes, or the store's hash parameters are out of range.
pub fn mint(session: &mut Session, store: &Store, prefix: &Prefix) -> Result<Minted, Error> {
    let cost = store.settings()?.hash_cost;
    let bytes = zeroize::Zeroizing::new(session.random()?);
    let secret = Secret::build(prefix, fresh_id(session, store)?, &bytes);
    let hash = HashedSecret::new(&secret, session.random()?, cost).map_err(|error| {
        Error::new(Code::InvalidValue, format!("the store's hash parameters cannot be used: {error}"))
    })?;
    let stored = NewSecret { id: secret.id().clone(), hash };
    Ok(Minted { secret, stored })
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
    sink: Sink,
) -> Result<Key, Error> {
    if store.find(name.as_str())?.is_some() {
        return Err(crate::store::StoreError::NameTaken { kind: "key", name: name.clone() }.into());
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
    session.terminal.note(&format!("created the key {name} (id {id})"));
    if !key.settings.enabled {
        session.terminal.note(&format!("it is disabled; let it be used with: keyward enable {name}"));
    }
    Ok(key)
}

/// Puts a new secret in the place of the key's current one, which works until `grace` after the
/// moment at which the new one was delivered.
///
/// # Errors
/// What the store or the sink says; then the old secret is as it was.
pub fn rotate_key(
    session: &mut Session,
    store: &mut Store,
    key: &Key,
    grace: Duration,
    sink: Sink,
) -> Result<Key, Error> {
    let minted = mint(session, store, &key.settings.prefix)?;
    let delivery = Delivery { sink, secret: &minted.secret, outcome: Outcome::Rotated };
    deliver_then_commit(session, store, delivery, |changes| {
        let grace_end = grace.after(changes.now()).ok_or_else(|| {
            Error::new(Code::InvalidValue, "--grace ends after the year 9999")
                .hint("give a shorter one, such as --grace 24h")
        })?;
        Ok(changes.replace_secret(key, &minted.stored, grace_end)?)
    })
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
