//! The verbs, one file each: its arguments (whose comments are its help), and `run`.
//!
//! A verb is thin: it reads like the sentence in its help. What several verbs need is in [`mint`] (new secrets),
//! [`setting_args`] (the flags of settings) and [`views`] (keys for people).

mod absent;
pub mod apply;
pub mod backup;
pub mod completions;
pub mod create;
pub mod damaged;
pub mod delete;
pub mod directory;
pub mod doctor;
pub mod duplicate;
pub mod edit;
pub mod enable;
pub mod ensure;
pub mod expiry;
pub mod export;
pub mod form;
mod hash_memory;
pub mod help;
pub mod history;
pub mod hold_clipboard;
pub mod import;
pub mod key_columns;
mod key_csv;
pub mod list;
pub mod man;
pub mod mint;
pub mod restore;
pub mod rotate;
pub mod scan;
mod secrets_dir;
#[cfg(feature = "serve")]
pub mod serve;
pub mod setting_args;
pub mod settings;
pub mod show;
pub mod status;
#[cfg(feature = "postgres")]
pub mod store;
pub mod usage;
pub mod verify;
pub mod views;

use std::str::FromStr;

use clap::builder::{PossibleValue, PossibleValuesParser, Str, TypedValueParser};

/// Parses one of these words, which the help and completion show.
fn one_of<T>(words: impl IntoIterator<Item = impl Into<Str>>) -> impl TypedValueParser<Value = T>
where
    T: FromStr<Err: std::error::Error + Send + Sync> + Clone + Send + Sync + 'static,
{
    let words = words.into_iter().map(PossibleValue::new);
    PossibleValuesParser::new(words).try_map(|word| word.parse::<T>())
}
