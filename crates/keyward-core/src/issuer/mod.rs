//! The issuer: new keys and new secrets, from random bytes and a time that the caller passes in.
//!
//! [`create`] and [`rotate`] do all of it: mint, reserve, hand the secret over, commit. To deliver to several places,
//! or to wait for a person, take the steps one by one: [`Minted`] and [`mint_many`] make secrets, and a [`Lease`] is
//! the store's half of their delivery.
//!
//! Secrets can be minted without a store; the rest needs one.
//!
//! What it promises: a key exists if and only if `deliver` reported success. If it did and the change then fails, the
//! secret of a rotation keeps working beside the old one, and the secret of a new key opens nothing.

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
