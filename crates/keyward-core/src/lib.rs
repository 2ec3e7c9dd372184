//! API keys for your own services: mint them, keep them in a store, and decide whether a presented one may make a
//! request.
//!
//! This is what the command line `keyward` is made of. It has no terminal and reads no clock, environment or generator:
//! the caller passes the time and random bytes in, and other code writes the messages for people.
//!
//! # Mint a key
//!
//! A key exists if and only if its secret was delivered. So keyward hands the secret to a function of yours, and keeps
//! the key only if that function reports success.
//!
#![cfg_attr(feature = "sqlite", doc = "```")]
#![cfg_attr(not(feature = "sqlite"), doc = "```ignore")]
//! use keyward_core::issuer::{self, Seed};
//! use keyward_core::rules::setting::Settings;
//! use keyward_core::store::{Stamp, Store};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("keys.db");
//! # let from_the_system = [7; keyward_core::issuer::SEED_BYTES];
//! let now = "2026-01-31T12:00:00Z".parse()?;
//! let mut store = Store::create(&path, now)?;
//! let settings = Settings::with_prefix("acme".parse()?);
//! let mut delivered = String::new();
//! let stamp = Stamp { now, actor: None };
//! let key = issuer::create(&mut store, stamp, &"deploy".parse()?, &settings, &Seed::new(from_the_system), |_, secret| {
//!     delivered.push_str(secret.expose());
//!     Ok::<_, std::convert::Infallible>(())
//! })?;
//! assert!(key.name.as_str() == "deploy" && delivered.starts_with("acme_"));
//! # Ok(())
//! # }
//! ```
//!
//! # Verify one
//!
//! A [`verifier::Gate`] serves all threads of a service. What another process changes counts at the next question.
//!
#![cfg_attr(feature = "sqlite", doc = "```")]
#![cfg_attr(not(feature = "sqlite"), doc = "```ignore")]
//! use keyward_core::rules::credential::parse_line;
//! use keyward_core::rules::decision::{Request, Transport};
//! use keyward_core::store::Store;
//! use keyward_core::verifier::{Gate, Options};
//!
//! # use keyward_core::{issuer, rules::setting::Settings, store::Stamp};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("keys.db");
//! # let random = [7; 32];
//! let now = "2026-01-31T12:00:00Z".parse()?;
//! # let mut secret = String::new();
//! # issuer::create(
//! #     &mut Store::create(&path, now)?,
//! #     Stamp { now, actor: None },
//! #     &"deploy".parse()?,
//! #     &Settings::with_prefix("kw".parse()?),
//! #     &issuer::Seed::new([7; issuer::SEED_BYTES]),
//! #     |_, plain| { secret.push_str(plain.expose()); Ok::<_, std::convert::Infallible>(()) },
//! # )?;
//! let gate = Gate::new(Store::open(&path)?, random, Options::default())?;
//! let credential = parse_line(&format!("Authorization: Bearer {secret}"));
//! let answer = gate.ask(credential, &Request::over(Transport::Https), now).wait()?;
//! assert!(answer.decision.is_allowed());
//! # Ok(())
//! # }
//! ```
//!
//! # The rooms
//!
//! | room | what is in it |
//! |---|---|
//! | [`issuer`] | new keys and new secrets, and the store's half of their delivery |
//! | [`verifier`] | from a presented credential to an answer |
//! | [`store`] | keys, directory, settings and history, in one file; all SQL |
//! | [`rules`] | what is valid, what is allowed, what a secret looks like: values in, values out |
//! | `platform` | what is the operating system's own |
//!
//! The order is `{issuer, verifier} → store → rules → platform`, and a test holds it. Without the feature `sqlite` there
//! is neither a store nor a verifier, but the rules are there, and secrets can be minted for a store of your own.

// In a build without a store, the links to it above are broken.
#![cfg_attr(not(feature = "sqlite"), allow(rustdoc::broken_intra_doc_links))]

pub mod issuer;
mod platform;
pub mod rules;
#[cfg(feature = "sqlite")]
pub mod store;
#[cfg(feature = "sqlite")]
pub mod verifier;

#[cfg(feature = "sqlite")]
pub use platform::has_room_for_a_thread;
