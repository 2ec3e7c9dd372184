//! The command line of keyward: API keys for your own services, in one binary and one file.
//!
//! The rules, the store and the verifier are a crate of their own, [`keyward_core`]. The program is a package of its
//! own too: it is compiled for speed, and this one for size.
//!
//! # The map
//!
//! The rooms from top to bottom. Each knows only rooms below it; a test (`tests/it/rooms.rs`) checks the sources for
//! that.
//!
//! | room | what is in it |
//! |---|---|
//! | `run` | from a world to an exit code |
//! | [`cli`] | the root of the command line, and one `match` from subcommand to verb |
//! | [`commands`] | the verbs, one file each: arguments, `run`, nothing else |
//! | [`complete`], [`manual`] | completion and man pages, from the definition in [`cli`], which is handed to them |
//! | [`delivery`] | where a secret goes; the rule "deliver, then commit" is here, once |
//! | [`session`], [`global`], [`world`] | what all verbs share in one run: flags, clock, randomness, the acting user |
//! | [`terminal`] | streams, prompts, the alternate screen, tables |
//! | [`formats`] | the files that people write: manifest, editor document, dotenv |
//! | `errors`, [`error`] | the output of a failed run, and what other rooms' errors mean there |
//! | [`words`] | what a person is told about a check: sentences and remedies |
//! | [`text`] | words and shell words for messages |
//! | [`platform`] | what depends on the operating system |
//!
//! Effects (the time, random bytes, the environment, the streams) come in through a [`world::World`], which `main`
//! makes and tests replace.
//!
//! # Two paths through it
//!
//! **`create`**: `commands::create` turns flags into a patch of the default settings; `commands::mint` has the core's
//! issuer mint the key from random bytes and a time; `delivery::handover` announces it, hands the secret to its sink
//! without holding the store's lock, and commits the key when the sink has taken the secret.
//!
//! **`verify`**: `commands::verify` reads the input; the core finds the credential in it, looks the public id up,
//! computes one Argon2id hash, and decides about everything else; the answer is printed, and counted if it was yes.

#![forbid(unsafe_code)]

pub mod cli;
pub mod commands;
pub mod complete;
pub mod delivery;
pub mod error;
mod errors;
pub mod formats;
pub mod global;
pub mod manual;
pub mod platform;
pub mod session;
mod synopsis;
pub mod terminal;
pub mod text;
pub mod words;
pub mod world;

mod run;

pub use run::run;
