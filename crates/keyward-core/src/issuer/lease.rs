//! What the store knows of secrets that are on their way: the half of a delivery that happens in the store.
//!
//! A key exists if and only if its secret was delivered, and nothing may wait for a person, a pipe or a program while
//! it holds the store's lock. So a delivery has three steps, each with a transaction of its own or none:
//!
//! 1. [`Lease::take`] makes the change and takes it back, to learn whether it can be made. It reserves the name of
//!    the new key, or the key that is rotated: of two at once, the second is refused before its secret goes anywhere.
//!    It *announces* a secret that goes into a file, so that what a crash leaves there is known for what it is. And it
//!    *stages* the new secrets of rotations, each of which works beside the current one from then on.
//! 2. Whoever called delivers the secret, however long that takes, and renews the lease meanwhile.
//! 3. [`Lease::commit`] makes the change. Where nothing was delivered, [`Lease::give_back`] undoes the first step.
//!
//! What may break: a crash between the steps. A lease ends by itself, and at once where the system tells that its
//! process has ended. A new key then does not exist, whoever has its secret. A rotation leaves both secrets working.

use jiff::{SignedDuration, Timestamp};

use crate::rules::key::Key;
use crate::rules::token::Id;
use crate::store::{Changes, NewSecret, Staging, Stamp, Store, StoreError, Subject};

/// How long a lease lasts that nobody renews.
pub const LEASE: SignedDuration = SignedDuration::from_secs(60);
/// For how long a lease may be renewed, all in all.
pub const LONGEST_LEASE: SignedDuration = SignedDuration::from_mins(15);

/// A secret that is about to be delivered.
#[derive(Debug, Clone)]
pub struct Parcel {
    /// What it is for: the name of a new key, or a key that is rotated.
    pub subject: Subject,
    /// Its public id.
    pub secret: Id,
    /// Whether it goes into a file, where a crash may leave it.
    pub is_announced: bool,
}

/// The new secret of a rotation, which is to work before it is delivered.
#[derive(Debug, Clone, Copy)]
pub struct StagedSecret<'s> {
    /// The key that is rotated.
    pub key: &'s Key,
    /// Its new secret.
    pub secret: &'s NewSecret,
    /// Whether the history tells of it at once.
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
    /// Makes `change` and takes it back, then writes down that these secrets are on their way. Returns what `change`
    /// made of it.
    ///
    /// # Errors
    /// What `change` returns, [`StoreError::Reserved`] where somebody else mints for the same name or key, or where
    /// the store cannot be written. Then nothing was changed.
    pub fn take<T, E: From<StoreError>>(
        store: &mut Store,
        stamp: Stamp<'_>,
        parcels: Vec<Parcel>,
        staged: &[StagedSecret<'_>],
        change: impl Fn(&Changes<'_>) -> Result<T, E>,
    ) -> Result<(T, Self), E> {
        let announced: Vec<&Id> =
            parcels.iter().filter(|parcel| parcel.is_announced).map(|parcel| &parcel.secret).collect();
        // First by itself: what is tried out and taken back would be written to the log all the same with what stays.
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
        // A lease is worth nothing after a power cut; what is announced or staged has to survive one.
        let is_light = announced.is_empty() && staged.is_empty();
        let value = if is_light { store.write_lightly(stamp, prepare) } else { store.write(stamp, prepare) }?;
        let staged =
            staged.iter().map(|staged| (staged.key.clone(), staged.secret.id.clone(), staged.staging)).collect();
        Ok((value, Self { parcels, staged, taken_at: stamp.now }))
    }

    /// Renews the lease, unless it has lasted for [`LONGEST_LEASE`]: then it returns `false`. One that has ended stays
    /// ended.
    ///
    /// # Errors
    /// Where the store cannot be written.
    pub fn renew(&self, store: &mut Store, now: Timestamp) -> Result<bool, StoreError> {
        if now.duration_since(self.taken_at) > LONGEST_LEASE {
            return Ok(false);
        }
        store
            .write_lightly(Stamp { now, actor: None }, |changes| changes.renew(&self.secrets(), end(changes.now())))?;
        Ok(true)
    }

    /// Makes `change`, which uses the names and keys that were reserved, and ends the lease with it. After its end
    /// too: what stands in the way then is for `change` to find.
    ///
    /// # Errors
    /// What `change` returns, or where the store cannot be written. Then everything is as [`Lease::take`] left it.
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

    /// Undoes what [`Lease::take`] did: the secrets were not delivered, or what took them has given them back.
    ///
    /// # Errors
    /// Where the store cannot be written. A staged secret then goes on working.
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

    /// Ends the lease and leaves what was staged as it is, because it was delivered and cannot be taken back. The history
    /// tells of it then.
    ///
    /// # Errors
    /// Where the store cannot be written.
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
