//! The issuer: new keys and new secrets, from random bytes and a time that are handed in.
//!
//! [`create`] and [`rotate`] do all of it: mint, reserve, hand the secret over, commit. Whoever has several places to
//! deliver to, or waits for a person, takes the steps one by one: [`Minted`] and [`mint_many`] make secrets, and a
//! [`Lease`] is the store's half of their delivery.
//!
//! Secrets can be minted without a store; the rest needs one.
//!
//! What it promises: a key exists if and only if `deliver` said that it took the secret. Where it did and the change
//! then fails, the secret of a rotation goes on working beside the old one, and that of a new key opens nothing.

#[cfg(feature = "sqlite")]
mod lease;
mod minted;
#[cfg(feature = "sqlite")]
mod whole;

#[cfg(feature = "sqlite")]
pub use lease::{LEASE, LONGEST_LEASE, Lease, Parcel, StagedSecret};
pub use minted::{Minted, SEED_BYTES, Seed, hash_many, mint_many};
#[cfg(feature = "sqlite")]
pub use whole::{IssueError, create, rotate};
