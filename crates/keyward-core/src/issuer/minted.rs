//! New secrets, made from random bytes that the caller passes in: the same bytes make the same secret.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use zeroize::Zeroizing;

use crate::rules::hashing::{Cost, HashError, HashedSecret, Memory, SALT_BYTES};
use crate::rules::imported::ImportedText;
use crate::rules::names::Prefix;
use crate::rules::token::{ID_BYTES, Id, SECRET_BYTES, Secret};

/// Random bytes for one new key: its secret, the secret's public id, the salt of the hash, and the key's own id.
pub const SEED_BYTES: usize = SECRET_BYTES + ID_BYTES + SALT_BYTES + ID_BYTES;

/// The random bytes of one new key, or of one new secret of a key. Wiped when dropped.
pub struct Seed(Zeroizing<[u8; SEED_BYTES]>);

impl Seed {
    /// A seed from bytes that nobody can guess: they must come from the operating system's generator.
    pub fn new(bytes: [u8; SEED_BYTES]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The id of the key that this seed makes.
    pub fn key_id(&self) -> Id {
        Id::from_random(self.part(SECRET_BYTES + ID_BYTES + SALT_BYTES))
    }

    /// The public id of the secret that this seed makes.
    pub fn secret_id(&self) -> Id {
        Id::from_random(self.part(SECRET_BYTES))
    }

    fn secret(&self, prefix: &Prefix) -> Secret {
        Secret::build(prefix, self.secret_id(), &Zeroizing::new(self.part(0)))
    }

    fn salt(&self) -> [u8; SALT_BYTES] {
        self.part(SECRET_BYTES + ID_BYTES)
    }

    fn part<const N: usize>(&self, start: usize) -> [u8; N] {
        std::array::from_fn(|place| self.0[start + place])
    }
}

impl std::fmt::Debug for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seed(…)")
    }
}

/// A secret not delivered yet: plain for its owner, hashed for the store.
#[derive(Debug)]
pub struct Minted {
    key_id: Id,
    secret: Secret,
    hash: HashedSecret,
}

impl Minted {
    /// Mints a secret. Computes one Argon2id hash of this cost, in memory that may be reused.
    ///
    /// # Errors
    /// [`HashError::OutOfRange`] for a cost with which the secret could not be verified later.
    pub fn new(seed: &Seed, prefix: &Prefix, cost: Cost, memory: &mut Memory) -> Result<Self, HashError> {
        let secret = seed.secret(prefix);
        let hash = HashedSecret::new_in(&secret, seed.salt(), cost, memory)?;
        Ok(Self { key_id: seed.key_id(), secret, hash })
    }

    /// A placeholder for the secret with this number, to find out whether a key can be made without paying for a hash.
    /// No text matches its hash.
    pub fn stand_in(number: u64) -> Self {
        let id = Id::from_random(number.to_be_bytes());
        let secret = Secret::build(&Prefix::default(), id.clone(), &[0; SECRET_BYTES]);
        Self { key_id: id, secret, hash: HashedSecret::from_stored(String::new()) }
    }

    /// The id of the new key, if the secret is for a new key.
    pub fn key_id(&self) -> &Id {
        &self.key_id
    }

    /// The plain secret. The caller delivers it, once.
    pub fn secret(&self) -> &Secret {
        &self.secret
    }

    /// The plain secret, for a caller that delivers it and must wipe it right afterwards.
    pub fn into_secret(self) -> Secret {
        self.secret
    }

    /// Its hash.
    pub fn hash(&self) -> &HashedSecret {
        &self.hash
    }

    /// What the store keeps of it.
    #[cfg(feature = "sqlite")]
    pub fn stored(&self) -> crate::store::NewSecret {
        crate::store::NewSecret { id: self.secret.id().clone(), hash: self.hash.clone() }
    }
}

/// Mints a secret for each seed, in their order, on all processors. `step` is called on this thread with the number
/// done.
///
/// If the system refuses threads, this one does the work.
///
/// # Errors
/// As [`Minted::new`].
pub fn mint_many(seeds: &[(Seed, Prefix)], cost: Cost, mut step: impl FnMut(u64)) -> Result<Vec<Minted>, HashError> {
    let mint = |(seed, prefix): &(Seed, Prefix), memory: &mut Memory| Minted::new(seed, prefix, cost, memory);
    let minted = in_parallel(seeds, threads(), mint, &mut step).into_iter().collect();
    match minted {
        // There may be enough memory for one at a time.
        Err(HashError::NoMemory(_)) => in_parallel(seeds, 0, mint, &mut step).into_iter().collect(),
        minted => minted,
    }
}

/// Hashes each text that another system made with its salt, in order, on all processors. `step` is called on this
/// thread with the number done.
///
/// # Errors
/// As [`HashedSecret::new`].
pub fn hash_many(
    texts: &[(ImportedText, [u8; SALT_BYTES])],
    cost: Cost,
    mut step: impl FnMut(u64),
) -> Result<Vec<HashedSecret>, HashError> {
    let hash = |(text, salt): &(ImportedText, [u8; SALT_BYTES]), memory: &mut Memory| {
        HashedSecret::new_in(text, *salt, cost, memory)
    };
    match in_parallel(texts, threads(), hash, &mut step).into_iter().collect() {
        // There may be enough memory for one at a time.
        Err(HashError::NoMemory(_)) => in_parallel(texts, 0, hash, &mut step).into_iter().collect(),
        hashed => hashed,
    }
}

/// The number of threads that may work at once.
fn threads() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(feature = "sqlite")]
use crate::platform::has_room_for_a_thread;

/// Without a store, nothing else needs the limits of the process.
#[cfg(not(feature = "sqlite"))]
fn has_room_for_a_thread() -> bool {
    true
}

/// Applies `work` to each item and keeps their order. At most `most` threads run, each with its own state; if none can
/// be started, this thread does the work.
fn in_parallel<T: Sync, R: Send, S: Default>(
    items: &[T],
    most: usize,
    work: impl Fn(&T, &mut S) -> R + Sync,
    mut step: impl FnMut(u64),
) -> Vec<R> {
    let threads = most.min(items.len());
    let next = AtomicUsize::new(0);
    let (sender, results) = mpsc::channel();
    let run = |sender: mpsc::Sender<(usize, R)>| {
        let mut state = S::default();
        while let Some((place, item)) = at(items, next.fetch_add(1, Ordering::Relaxed)) {
            let _ = sender.send((place, work(item, &mut state)));
        }
    };
    let mut done: Vec<Option<R>> = items.iter().map(|_| None).collect();
    thread::scope(|scope| {
        let spawn = |_| {
            let (sender, run) = (sender.clone(), &run);
            has_room_for_a_thread() && thread::Builder::new().spawn_scoped(scope, move || run(sender)).is_ok()
        };
        if (0..threads).map(spawn).filter(|is_running| *is_running).count() == 0 {
            run(sender.clone());
        }
        drop(sender);
        for ((place, result), number) in results.into_iter().zip(1..) {
            done[place] = Some(result);
            step(number);
        }
    });
    done.into_iter().flatten().collect()
}

fn at<T>(items: &[T], place: usize) -> Option<(usize, &T)> {
    items.get(place).map(|item| (place, item))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seed(number: u8) -> Seed {
        Seed::new(std::array::from_fn(|place| number.wrapping_mul(31) ^ place as u8))
    }

    #[test]
    fn the_same_bytes_make_the_same_secret_and_each_part_has_bytes_of_its_own() {
        let mint = |seed: &Seed| Minted::new(seed, &Prefix::default(), Cost::FLOOR, &mut Memory::default()).unwrap();
        let (one, same) = (mint(&seed(1)), mint(&seed(1)));
        assert_eq!((one.secret().expose(), one.hash()), (same.secret().expose(), same.hash()));
        assert!(one.hash().matches(one.secret()).unwrap());
        assert_eq!(one.secret().id(), &seed(1).secret_id());
        assert_ne!(one.key_id(), one.secret().id());
        for place in 0..SEED_BYTES {
            let mut bytes = *seed(1).0;
            bytes[place] ^= 1;
            let other = mint(&Seed::new(bytes));
            let is_same = other.key_id() == one.key_id()
                && other.secret().expose() == one.secret().expose()
                && other.hash() == one.hash();
            assert!(!is_same, "the byte {place} counts");
        }
    }

    #[test]
    fn many_are_minted_in_their_order() {
        let seeds: Vec<_> = (0..20).map(|number| (seed(number), Prefix::default())).collect();
        let mut steps = 0;
        let minted = mint_many(&seeds, Cost::FLOOR, |done| steps = done).unwrap();
        let ids: Vec<_> = minted.iter().map(|minted| minted.secret().id().clone()).collect();
        assert_eq!(ids, seeds.iter().map(|(seed, _)| seed.secret_id()).collect::<Vec<_>>());
        assert_eq!(steps, 20);
        assert!(mint_many(&seeds, Cost { memory_kib: 1, passes: 1, lanes: 1 }, |_| {}).is_err());
    }
}
