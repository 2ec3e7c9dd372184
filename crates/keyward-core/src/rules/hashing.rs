//! Argon2id (RFC 9106) hashes of secrets, as PHC strings.
//!
//! What is hashed is the whole text of a secret, prefix and checksum included, so a hash can be checked with any Argon2
//! tool. What is stored is a [`HashedSecret`], which cannot be reversed.
//!
//! One kind of hash is not Argon2id: the SHA-256 of a secret that was imported in that form, until it is renewed
//! ([`HashedSecret::is_fast`]).
//!
//! A PHC string carries its own cost. One planted in a store could demand terabytes or hours, so
//! [`HashedSecret::matches`] checks the numbers before it allocates anything, and refuses anything outside
//! [`Cost::FLOOR`] and [`Cost::CEILING`]. The memory of a computation goes back to the system, which clears it
//! before another process gets it.

mod memory;

use std::fmt;
use std::str::FromStr;

use argon2::{Algorithm, Argon2, Params, Version};
pub use memory::{Memory, Provision};
use phc::{Ident, Output, ParamsString, PasswordHash, Salt};
use subtle::ConstantTimeEq;

use super::fingerprint::{from_hex, sha256, to_hex};
use super::plain::PlainText;

/// Random bytes of salt in each hash, as RFC 9106 section 3.1 recommends.
pub const SALT_BYTES: usize = 16;
/// Bytes of output in each hash, whichever system made it: another length in the store is damage.
const OUTPUT_BYTES: usize = 32;
/// What stands before the hex digits of a SHA-256.
const FAST: &str = "$sha256$";
/// The version of Argon2 that RFC 9106 describes: 0x13.
const VERSION: u32 = 19;

/// The cost parameters of Argon2id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Default for Cost {
    /// m=19456, t=2, p=1: ample for a secret of 256 random bits, and about 20 ms.
    fn default() -> Self {
        Self { memory_kib: 19_456, passes: 2, lanes: 1 }
    }
}

impl Cost {
    /// Below this, a hash is not accepted: 1 MiB, one pass. A secret has 256 random bits, so the floor guards against a
    /// mistake in a setting rather than against guessing.
    pub const FLOOR: Self = Self { memory_kib: 1_024, passes: 1, lanes: 1 };
    /// Above this, a hash is not computed: 256 MiB, 10 passes, 8 lanes.
    pub const CEILING: Self = Self { memory_kib: 262_144, passes: 10, lanes: 8 };

    /// Whether all three numbers lie within the floor and the ceiling.
    pub fn is_acceptable(self) -> bool {
        (Self::FLOOR.memory_kib..=Self::CEILING.memory_kib).contains(&self.memory_kib)
            && (Self::FLOOR.passes..=Self::CEILING.passes).contains(&self.passes)
            && (Self::FLOOR.lanes..=Self::CEILING.lanes).contains(&self.lanes)
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "m={},t={},p={}", self.memory_kib, self.passes, self.lanes)
    }
}

/// Why a hash could not be computed or checked. This never means that a secret is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HashError {
    /// Not a PHC string of Argon2id, version 19.
    #[error("a stored hash is not an Argon2id PHC string")]
    NotArgon2id,
    /// The parameters lie outside the floor and the ceiling.
    #[error("a stored hash has the parameters {0}, outside {floor} to {ceiling}", floor = Cost::FLOOR, ceiling = Cost::CEILING)]
    OutOfRange(Cost),
    /// The system does not grant enough memory for it.
    #[error("the system does not give the {} MiB of memory that a hash takes", .0.memory_kib.div_ceil(1024))]
    NoMemory(Cost),
}

/// The hash of a secret as a PHC string: `$argon2id$v=19$m=19456,t=2,p=1$salt$hash`.
#[derive(Clone, PartialEq, Eq)]
pub struct HashedSecret(String);

impl HashedSecret {
    /// Hashes `secret`. The time depends on `cost`.
    ///
    /// # Errors
    /// [`HashError::OutOfRange`] for a cost with which the secret could not be verified later, [`HashError::NoMemory`]
    /// if the system does not grant the memory that the cost requires.
    pub fn new(secret: &dyn PlainText, salt: [u8; SALT_BYTES], cost: Cost) -> Result<Self, HashError> {
        Self::new_in(secret, salt, cost, &mut Memory::default())
    }

    /// The same, in memory that may be reused.
    ///
    /// # Errors
    /// As [`HashedSecret::new`].
    pub fn new_in(
        secret: &dyn PlainText,
        salt: [u8; SALT_BYTES],
        cost: Cost,
        memory: &mut Memory,
    ) -> Result<Self, HashError> {
        let mut output = [0; OUTPUT_BYTES];
        compute(secret, &salt, cost, &mut output, memory)?;
        let mut params = ParamsString::new();
        for (name, value) in [("m", cost.memory_kib), ("t", cost.passes), ("p", cost.lanes)] {
            params.add_decimal(name, value).map_err(|_| HashError::NotArgon2id)?;
        }
        let hash = PasswordHash {
            algorithm: Ident::new("argon2id").map_err(|_| HashError::NotArgon2id)?,
            version: Some(VERSION),
            params,
            salt: Some(Salt::new(&salt).map_err(|_| HashError::NotArgon2id)?),
            hash: Some(Output::new(&output).map_err(|_| HashError::NotArgon2id)?),
        };
        Ok(Self(hash.to_string()))
    }

    /// A hash that another system made of a secret.
    ///
    /// # Errors
    /// For a hash that could not be checked later.
    pub fn from_phc(phc: &str) -> Result<Self, HashError> {
        let hash = Self(phc.to_owned());
        hash.checked()?;
        Ok(hash)
    }

    /// The SHA-256 of a secret, as another system kept it.
    pub fn from_sha256(sha256: &[u8; 32]) -> Self {
        Self(format!("{FAST}{}", to_hex(sha256)))
    }

    /// Whether it is a SHA-256, against which guesses can be tried very fast. It must be renewed as soon as the secret
    /// is presented.
    pub fn is_fast(&self) -> bool {
        self.0.starts_with(FAST)
    }

    /// The SHA-256, if that is what is stored.
    pub fn as_sha256(&self) -> Option<[u8; 32]> {
        self.0.strip_prefix(FAST).and_then(from_hex)
    }

    /// A hash as it was stored. It is checked when it is used, not here.
    pub fn from_stored(phc: String) -> Self {
        Self(phc)
    }

    /// The PHC string, for the store.
    pub fn as_phc(&self) -> &str {
        &self.0
    }

    /// Whether this is the hash of `secret`: computes one Argon2id hash and compares in constant time. A SHA-256 takes
    /// almost no time.
    ///
    /// # Errors
    /// If the stored text is not a hash that may be computed.
    pub fn matches(&self, secret: &dyn PlainText) -> Result<bool, HashError> {
        self.matches_in(secret, &mut Memory::default())
    }

    /// The same, in memory that may be reused.
    ///
    /// # Errors
    /// As [`HashedSecret::matches`].
    pub fn matches_in(&self, secret: &dyn PlainText, memory: &mut Memory) -> Result<bool, HashError> {
        if self.is_fast() {
            let expected = self.as_sha256().ok_or(HashError::NotArgon2id)?;
            return Ok(sha256(secret.expose()).ct_eq(&expected).into());
        }
        let (salt, expected, cost) = self.checked()?;
        let mut output = [0; OUTPUT_BYTES];
        compute(secret, salt.as_ref(), cost, &mut output, memory)?;
        Ok(output.ct_eq(expected.as_bytes()).into())
    }

    /// The parts of a hash that can be checked.
    fn checked(&self) -> Result<(Salt, Output, Cost), HashError> {
        let (hash, cost) = self.parse()?;
        match (hash.salt, hash.hash) {
            (Some(salt), Some(output)) if output.len() == OUTPUT_BYTES => Ok((salt, output, cost)),
            _ => Err(HashError::NotArgon2id),
        }
    }

    /// The cost of the hash, if it is one that may be computed.
    pub fn cost(&self) -> Option<Cost> {
        self.parse().ok().map(|(_, cost)| cost)
    }

    /// Whether the hash was made at a cost other than `cost`. It is renewed at the next successful verification, the
    /// only time when the plain secret is available.
    pub fn needs_renewal(&self, cost: Cost) -> bool {
        self.parse().is_ok_and(|(_, own)| own != cost)
    }

    fn parse(&self) -> Result<(PasswordHash, Cost), HashError> {
        let hash = PasswordHash::new(&self.0).map_err(|_| HashError::NotArgon2id)?;
        let number = |name: &str| hash.params.get_decimal(name).ok_or(HashError::NotArgon2id);
        let cost = Cost { memory_kib: number("m")?, passes: number("t")?, lanes: number("p")? };
        if hash.algorithm.as_str() != "argon2id" || hash.version != Some(VERSION) || hash.params.iter().count() != 3 {
            return Err(HashError::NotArgon2id);
        }
        if !cost.is_acceptable() {
            return Err(HashError::OutOfRange(cost));
        }
        Ok((hash, cost))
    }
}

impl FromStr for Cost {
    type Err = HashError;

    /// Reads the form that [`Cost`] displays as: `m=19456,t=2,p=1`.
    fn from_str(text: &str) -> Result<Self, HashError> {
        let params: ParamsString = text.parse().map_err(|_| HashError::NotArgon2id)?;
        let number = |name: &str| params.get_decimal(name).ok_or(HashError::NotArgon2id);
        let cost = Self { memory_kib: number("m")?, passes: number("t")?, lanes: number("p")? };
        if cost.is_acceptable() { Ok(cost) } else { Err(HashError::OutOfRange(cost)) }
    }
}

impl fmt::Debug for HashedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashedSecret(…)")
    }
}

/// Takes as long as checking a real hash of `cost`, and matches nothing: so an unknown id takes as long as a wrong
/// secret.
///
/// # Errors
/// As [`HashedSecret::new`].
pub fn spend(secret: &dyn PlainText, cost: Cost, memory: &mut Memory) -> Result<(), HashError> {
    let mut output = [0; OUTPUT_BYTES];
    compute(secret, &[0; SALT_BYTES], cost, &mut output, memory)?;
    std::hint::black_box(output);
    Ok(())
}

fn compute(
    secret: &dyn PlainText,
    salt: &[u8],
    cost: Cost,
    output: &mut [u8; OUTPUT_BYTES],
    memory: &mut Memory,
) -> Result<(), HashError> {
    #[cfg(all(test, feature = "sqlite"))]
    counted::note(cost);
    if !cost.is_acceptable() {
        return Err(HashError::OutOfRange(cost));
    }
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(OUTPUT_BYTES))
        .map_err(|_| HashError::OutOfRange(cost))?;
    let blocks = memory.blocks(params.block_count()).ok_or(HashError::NoMemory(cost))?;
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into_with_memory(secret.expose().as_bytes(), salt, output, blocks)
        .map_err(|_| HashError::NotArgon2id)
}

/// What was computed on this thread, so that tests can check the cost of a verification.
#[cfg(all(test, feature = "sqlite"))]
pub(crate) mod counted {
    use std::cell::RefCell;

    use super::Cost;

    thread_local! {
        static DONE: RefCell<Vec<Cost>> = const { RefCell::new(vec![]) };
    }

    pub(super) fn note(cost: Cost) {
        DONE.with_borrow_mut(|done| done.push(cost));
    }

    /// The costs since the last call.
    pub(crate) fn take() -> Vec<Cost> {
        DONE.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::token::{Id, Secret};

    fn secret(byte: u8) -> Secret {
        Secret::build(&"kw".parse().unwrap(), Id::from_random([0; 8]), &[byte; 32])
    }

    #[test]
    fn a_hash_matches_its_secret_alone() {
        let hash = HashedSecret::new(&secret(1), [7; 16], Cost::FLOOR).unwrap();
        assert!(hash.as_phc().starts_with("$argon2id$v=19$m=1024,t=1,p=1$BwcHBwcHBwcHBwcHBwcHBw$"));
        assert!(hash.matches(&secret(1)).unwrap());
        assert!(!hash.matches(&secret(2)).unwrap());
        assert_eq!(format!("{hash:?}"), "HashedSecret(…)");
    }

    /// A made-up secret; the hash was computed with the reference implementation's `argon2` command.
    #[test]
    fn the_reference_implementation_agrees() {
        let hash = HashedSecret::from_stored(REFERENCE.to_owned());
        assert!(hash.matches(&secret(0)).unwrap());
    }

    const REFERENCE: &str = include_str!("hashing_vector.txt").trim_ascii();

    #[test]
    fn other_parameters_verify_and_ask_for_renewal() {
        let other = Cost { memory_kib: 2_048, passes: 3, lanes: 2 };
        let hash = HashedSecret::new(&secret(1), [7; 16], other).unwrap();
        assert!(hash.matches(&secret(1)).unwrap());
        assert!(hash.needs_renewal(Cost::FLOOR));
        assert!(!hash.needs_renewal(other));
    }

    #[test]
    fn a_hostile_hash_is_refused_before_anything_is_allocated() {
        let tail = "$BwcHBwcHBwcHBwcHBwcHBw$BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc";
        for params in ["m=4294967295,t=1,p=1", "m=19456,t=4000000,p=1", "m=19456,t=2,p=255", "m=8,t=1,p=1"] {
            let hash = HashedSecret::from_stored(format!("$argon2id$v=19${params}{tail}"));
            assert!(matches!(hash.matches(&secret(1)), Err(HashError::OutOfRange(_))), "{params}");
        }
        for other in [
            "",
            "plain",
            "$argon2i$v=19$m=1024,t=1,p=1$BwcHBwcHBwcHBwcHBwcHBw$BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc",
            "$argon2id$v=16$m=1024,t=1,p=1$BwcHBwcHBwcHBwcHBwcHBw$BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc",
            "$argon2id$v=19$m=1024,t=1,p=1$BwcHBwcHBwcHBwcHBwcHBw",
            "$argon2id$v=19$m=1024,t=1,p=1,keyid=AAAA$BwcHBwcHBwcHBwcHBwcHBw$BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc",
        ] {
            let hash = HashedSecret::from_stored(other.to_owned());
            assert_eq!(hash.matches(&secret(1)), Err(HashError::NotArgon2id), "{other}");
        }
    }

    #[test]
    fn what_was_left_in_the_memory_changes_no_hash() {
        let costs = [(1_024, 1), (8_192, 2), (2_048, 3), (4_096, 1)];
        let mut memory = Memory::for_cost(Cost::FLOOR);
        for (memory_kib, passes) in costs.into_iter().chain(costs) {
            let cost = Cost { memory_kib, passes, lanes: 1 };
            let fresh = HashedSecret::new(&secret(1), [7; 16], cost).unwrap();
            assert_eq!(HashedSecret::new_in(&secret(1), [7; 16], cost, &mut memory).unwrap(), fresh, "{cost}");
            assert!(fresh.matches_in(&secret(1), &mut memory).unwrap(), "{cost}");
        }
    }

    #[test]
    fn a_cost_reads_back_what_it_displays() {
        assert_eq!(Cost::default().to_string(), "m=19456,t=2,p=1");
        assert_eq!("m=19456,t=2,p=1".parse(), Ok(Cost::default()));
        assert!("m=1,t=1,p=1".parse::<Cost>().is_err());
        assert!("m=19456".parse::<Cost>().is_err());
    }
}
