//! The store's half of a delivery: what it knows about secrets on their way to their owners.
//!
//! A key exists if and only if its secret was delivered, and nothing may wait for a person, a pipe or a program while
//! it holds the store's lock. So a delivery has three steps, each with at most one transaction of its own:
//!
//! 1. [`Lease::take`] makes the change and rolls it back, to learn whether it is possible. It reserves the name of the
//!    new key, or the key being rotated, so the second of two concurrent attempts is refused before its secret goes
//!    anywhere. It *announces* a secret that goes into a file, so that anything a crash leaves there can be recognised.
//!    And it *stages* the new secrets of rotations, each of which works beside the current one from then on.
//! 2. The caller delivers the secret, however long that takes, and renews the lease meanwhile.
//! 3. [`Lease::commit`] makes the change. If nothing was delivered, [`Lease::give_back`] undoes the first step.
//!
//! What may break: a crash between the steps. A lease expires by itself, and at once if the system reports that its
//! process has ended. A new key then does not exist, even if its secret was delivered. A rotation leaves both secrets
//! working.

use jiff::{SignedDuration, Timestamp};

use crate::rules::key::Key;
use crate::rules::token::Id;
use crate::store::{Changes, NewSecret, Staging, Stamp, Store, StoreError, Subject};

/// How long a lease lasts without renewal.
pub const LEASE: SignedDuration = SignedDuration::from_secs(60);
/// The longest total time for which a lease may be renewed.
pub const LONGEST_LEASE: SignedDuration = SignedDuration::from_mins(15);

/// A secret that is about to be delivered.
#[derive(Debug, Clone)]
pub struct Parcel {
    /// What it is for: the name of a new key, or a key being rotated.
    pub subject: Subject,
    /// Its public id.
    pub secret: Id,
    /// Whether it goes into a file, where a crash may leave it.
    pub is_announced: bool,
}

/// The new secret of a rotation, which must work before it is delivered.
#[derive(Debug, Clone, Copy)]
pub struct StagedSecret<'s> {
    /// The key being rotated.
    pub key: &'s Key,
    /// Its new secret.
    pub secret: &'s NewSecret,
    /// Whether the history records it at once.
    pub staging: Staging,
}

/// The right to mint for some names and keys until it ends.
#[derive(Debug, Clone)]
pub struct Lease {
    parcels: Vec<Parcel>,
    staged: Vec<(Key, Id, Staging)>,
    taken_at: Timestamp,
}

impl Lease {
    /// Makes `change` and rolls it back, then records that these secrets are on their way. Returns what `change`
    /// returned.
    ///
    /// # Errors
    /// What `change` returns, [`StoreError::Reserved`] if another process is minting for the same name or key, or an
    /// error if the store cannot be written. Nothing was changed then.
    pub fn take<T, E: From<StoreError>>(
        store: &mut Store,
        stamp: Stamp<'_>,
        parcels: Vec<Parcel>,
        staged: &[StagedSecret<'_>],
        change: impl Fn(&Changes<'_>) -> Result<T, E>,
    ) -> Result<(T, Self), E> {
        let announced: Vec<&Id> =
            parcels.iter().filter(|parcel| parcel.is_announced).map(|parcel| &parcel.secret).collect();
        // First, in a transaction of its own: together with the rest, even the rolled-back part would be written to the
        // log.
        let (tried, head) = store.rehearse(stamp, |changes| {
            let head = changes.head()?;
            Ok::<_, E>((change(changes)?, head))
        })?;
        let prepare = |changes: &Changes<'_>| -> Result<T, E> {
            let value = if changes.head()? == head { tried } else { changes.try_out(&change)? };
            changes.reserve(&leases(&parcels), end(changes.now()))?;
            changes.announce(&announced)?;
            for StagedSecret { key, secret, staging } in staged {
                changes.stage_secret(key, secret, *staging)?;
            }
            Ok(value)
        };
        // A lease is worth nothing after a power cut, but what is announced or staged must survive one.
        let is_light = announced.is_empty() && staged.is_empty();
        let value = if is_light { store.write_lightly(stamp, prepare) } else { store.write(stamp, prepare) }?;
        let staged =
            staged.iter().map(|staged| (staged.key.clone(), staged.secret.id.clone(), staged.staging)).collect();
        Ok((value, Self { parcels, staged, taken_at: stamp.now }))
    }

    /// Renews the lease, unless it has lasted for [`LONGEST_LEASE`]: then it returns `false`. An ended lease cannot be
    /// renewed.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn renew(&self, store: &mut Store, now: Timestamp) -> Result<bool, StoreError> {
        if now.duration_since(self.taken_at) > LONGEST_LEASE {
            return Ok(false);
        }
        store
            .write_lightly(Stamp { now, actor: None }, |changes| changes.renew(&self.secrets(), end(changes.now())))?;
        Ok(true)
    }

    /// Makes `change`, which uses the reserved names and keys, and ends the lease with it. It also works after the
    /// lease has expired: `change` itself must then detect conflicts.
    ///
    /// # Errors
    /// What `change` returns, or an error if the store cannot be written. Everything is then as [`Lease::take`] left
    /// it.
    pub fn commit<T, E: From<StoreError>>(
        &self,
        store: &mut Store,
        stamp: Stamp<'_>,
        change: impl Fn(&Changes<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        store.write(stamp, |changes| {
            let value = change(changes)?;
            changes.release(&self.secrets())?;
            Ok(value)
        })
    }

    /// Undoes what [`Lease::take`] did: the secrets were not delivered, or the recipient gave them back.
    ///
    /// # Errors
    /// If the store cannot be written. A staged secret then keeps working.
    pub fn give_back(&self, store: &mut Store, stamp: Stamp<'_>) -> Result<(), StoreError> {
        let undo = |changes: &Changes<'_>| {
            for (key, secret, staging) in &self.staged {
                changes.unstage_secret(key, secret, *staging)?;
            }
            let secrets = self.secrets();
            changes.withdraw(&secrets)?;
            changes.release(&secrets)
        };
        if self.has_staged() { store.write(stamp, undo) } else { store.write_lightly(stamp, undo) }
    }

    /// Ends the lease and leaves what was staged as it is, because it was delivered and cannot be taken back. The
    /// history then records it.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn end(&self, store: &mut Store, stamp: Stamp<'_>) -> Result<(), StoreError> {
        let quiet = self.staged.iter().filter(|(_, _, staging)| *staging == Staging::Quiet);
        let quiet: Vec<_> = quiet.map(|(key, secret, _)| (key, secret)).collect();
        let end = |changes: &Changes<'_>| {
            for (key, secret) in &quiet {
                changes.tell_staged(key, secret)?;
            }
            changes.release(&self.secrets())
        };
        if quiet.is_empty() { store.write_lightly(stamp, end) } else { store.write(stamp, end) }
    }

    /// Whether a new secret was staged.
    pub fn has_staged(&self) -> bool {
        !self.staged.is_empty()
    }

    fn secrets(&self) -> Vec<&Id> {
        self.parcels.iter().map(|parcel| &parcel.secret).collect()
    }
}

fn leases(parcels: &[Parcel]) -> Vec<(Subject, &Id)> {
    parcels.iter().map(|parcel| (parcel.subject.clone(), &parcel.secret)).collect()
}

fn end(now: Timestamp) -> Timestamp {
    now.checked_add(LEASE).unwrap_or(Timestamp::MAX)
}
