//! Mint, reserve, deliver and commit in one call, for one place to deliver to.

use jiff::Timestamp;

use super::{Lease, Minted, Parcel, Seed, StagedSecret};
use crate::rules::hashing::{HashError, Memory};
use crate::rules::key::{Key, Settings};
use crate::rules::names::Name;
use crate::rules::time::{Duration, whole_seconds};
use crate::rules::token::Secret;
use crate::store::{Changes, NewKey, Staging, Stamp, Store, StoreError, Subject};

/// Why there is no new key, or no new secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IssueError<E> {
    /// The store refused it, or cannot be used. Nothing was delivered.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store requires a hash that cannot be computed. Nothing was delivered.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// `deliver` failed. Nothing was changed.
    #[error("the secret was not delivered: {0}")]
    NotDelivered(E),
    /// The secret was delivered, and the change was not made: a new key does not exist. After a rotation, both secrets
    /// work.
    #[error("the secret was delivered, and the change was not made: {0}")]
    NotCommitted(StoreError),
    /// The grace period would end later than any time that can be written.
    #[error("the grace ends after the year 9999")]
    GraceTooLong,
}

/// Makes a key with these settings after `deliver` has taken its secret.
///
/// # Errors
/// [`IssueError`] says how far it got.
pub fn create<E>(
    store: &mut Store,
    stamp: Stamp<'_>,
    name: &Name,
    settings: &Settings,
    seed: &Seed,
    deliver: impl FnOnce(&Key, &Secret) -> Result<(), E>,
) -> Result<Key, IssueError<E>> {
    let minted = mint(store, seed, settings)?;
    let secret = minted.stored();
    let new = NewKey { id: &minted.key_id().clone(), name, settings, secret: &secret };
    let parcel = Parcel { subject: Subject::Name(name.clone()), secret: secret.id.clone(), is_announced: false };
    hand_over(store, stamp, parcel, &[], minted.into_secret(), deliver, |changes| changes.insert_key(&new))
}

/// Replaces the current secret of a key after `deliver` has taken the new one. The old one works for the grace period.
///
/// # Errors
/// [`IssueError`] says how far it got.
pub fn rotate<E>(
    store: &mut Store,
    stamp: Stamp<'_>,
    key: &Key,
    grace: Duration,
    seed: &Seed,
    deliver: impl FnOnce(&Key, &Secret) -> Result<(), E>,
) -> Result<Key, IssueError<E>> {
    if grace.after(stamp.now).is_none() {
        return Err(IssueError::GraceTooLong);
    }
    let minted = mint(store, seed, &key.settings)?;
    let secret = minted.stored();
    let parcel = Parcel { subject: Subject::Key(key.id.clone()), secret: secret.id.clone(), is_announced: false };
    let staged = StagedSecret { key, secret: &secret, staging: Staging::Told };
    hand_over(store, stamp, parcel, &[staged], minted.into_secret(), deliver, |changes| {
        // By the clock of the change, which is close enough.
        let end = grace.after(changes.now()).unwrap_or(whole_seconds(Timestamp::MAX));
        changes.replace_secret(key, &secret, end)
    })
}

fn mint<E>(store: &Store, seed: &Seed, settings: &Settings) -> Result<Minted, IssueError<E>> {
    let cost = store.view()?.settings()?.hash_cost;
    Ok(Minted::new(seed, &settings.prefix, cost, &mut Memory::default())?)
}

fn hand_over<E>(
    store: &mut Store,
    stamp: Stamp<'_>,
    parcel: Parcel,
    staged: &[StagedSecret<'_>],
    secret: Secret,
    deliver: impl FnOnce(&Key, &Secret) -> Result<(), E>,
    change: impl Fn(&Changes<'_>) -> Result<Key, StoreError>,
) -> Result<Key, IssueError<E>> {
    let (key, lease) = Lease::take(store, stamp, vec![parcel], staged, &change)?;
    let delivered = deliver(&key, &secret);
    // It is wiped before the change is made.
    drop(secret);
    if let Err(error) = delivered {
        // If this fails too, what remains is a lease that expires by itself and, after a rotation, a secret that nobody
        // has.
        let _ = lease.give_back(store, stamp);
        return Err(IssueError::NotDelivered(error));
    }
    lease.commit(store, stamp, &change).map_err(|error| {
        let _ = lease.end(store, stamp);
        IssueError::NotCommitted(error)
    })
}
