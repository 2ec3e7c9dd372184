//! keyward: API keys for your own services, in one binary and one file.
//!
//! # The map
//!
//! | room | what is in it |
//! |---|---|
//! | [`cli`] | the root of the command line, and one `match` from subcommand to verb |
//! | [`commands`] | the verbs, one file each: arguments, `run`, nothing else |
//! | [`complete`], [`manual`] | completion and man pages, from the definition in [`cli`] |
//! | [`session`], [`global`] | what all verbs share during one run: flags, clock, randomness, who acts |
//! | [`verifier`] | the one path of a verification: parse, look up, hash, decide, record |
//! | [`delivery`] | where a secret goes; the rule "deliver, then commit" stands here, once |
//! | [`terminal`] | streams, prompts, the alternate screen, tables |
//! | [`store`] | all SQL; speaks in terms of the domain |
//! | [`domain`] | the rules, pure: values in, values out |
//! | [`words`] | what a person is told about a check: sentences and remedies |
//! | [`error`], [`world`] | what goes out of every run and what comes in |
//!
//! Dependencies point one way: `cli → commands → delivery → session → {verifier, terminal, store} → domain`.
//! `terminal` and `store` do not know each other. Effects (the time, random bytes, the environment,
//! the streams) come in through a [`world::World`], which `main` makes and tests replace.
//!
//! # Two paths through it
//!
//! **`create`**: `commands::create` turns flags into a patch of the default settings; `commands::mint`
//! makes a secret from random bytes (`domain::token`) and hashes it (`domain::hashing`);
//! `delivery::deliver_then_commit` has the store make the key, hands the secret to its sink, and
//! commits only when the sink has taken it.
//!
//! **`verify`**: `commands::verify` reads the input; `domain::credential` finds the credential in it;
//! `verifier` looks the public id up, spends one Argon2id, and asks `domain::decision` about
//! everything else; the answer is printed, and counted where it was yes.

pub mod cli;
pub mod commands;
pub mod complete;
pub mod delivery;
pub mod error;
pub mod formats;
pub mod global;
pub mod manual;
pub mod session;
pub mod terminal;
pub mod words;
pub mod world;

mod run;

pub use run::run;
