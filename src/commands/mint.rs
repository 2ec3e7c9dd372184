//! New secrets: what `create`, `duplicate` and `rotate` have in common.

use clap::Args;
use jiff::Timestamp;

use crate::delivery::{Outcome, Sink, deliver_then_commit};
use crate::domain::hashing::HashedSecret;
use crate::domain::key::{Key, Settings};
use crate::domain::names::{Name, Prefix};
use crate::domain::token::{Id, Secret};
use crate::error::{Code, Error};
use crate::session::Session;
use crate::store::{NewKey, NewSecret, Store};

/// Where the secret goes.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Delivery")]
pub struct DeliveryArgs {
    /// In a terminal: print the secret, and take for granted that it was stored
    #[arg(short, long)]
    pub yes: bool,
}

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

/// Mints a key of these settings and delivers its secret.
///
/// # Errors
/// What the store or the sink says; then there is no key.
pub fn mint_key(
    session: &mut Session,
    store: &mut Store,
    name: &Name,
    settings: &Settings,
    delivery: &DeliveryArgs,
) -> Result<Key, Error> {
    let sink = Sink::choose(session, delivery.yes)?;
    if store.find(name.as_str())?.is_some_and(|key| key.name == *name) {
        return Err(crate::store::StoreError::NameTaken(name.clone()).into());
    }
    let minted = mint(session, store, &settings.prefix)?;
    let id = fresh_id(session, store)?;
    let new = NewKey { id: &id, name, settings, secret: &minted.stored };
    let key = deliver_then_commit(session, store, sink, &minted.secret, Outcome::Created, |changes| {
        Ok(changes.insert_key(&new)?)
    })?;
    session.terminal.note(&format!("created the key {name} (id {id})"));
    if !key.settings.enabled {
        session.terminal.note(&format!("it is disabled; let it be used with: keyward enable {name}"));
    }
    Ok(key)
}

/// Puts a new secret in the place of the key's current one, which works until `grace_end`.
///
/// # Errors
/// What the store or the sink says; then the old secret is as it was.
pub fn rotate_key(
    session: &mut Session,
    store: &mut Store,
    key: &Key,
    grace_end: Timestamp,
    delivery: &DeliveryArgs,
) -> Result<Key, Error> {
    let sink = Sink::choose(session, delivery.yes)?;
    let minted = mint(session, store, &key.settings.prefix)?;
    deliver_then_commit(session, store, sink, &minted.secret, Outcome::Rotated, |changes| {
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
