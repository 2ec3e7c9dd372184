//! What a person reads about a check: the one place for the sentences, the remedies and the commands in them.
//!
//! The core decides in data; sentences are made here, from the check, the key and the request. The sentences are in
//! JSON too (`detail`), and scripts show them to people, so they change rarely; to distinguish refusals, use the
//! reason. Nothing is said about a key whose secret has not matched, because there is no key here then.

mod facts;
mod remedies;

pub use facts::owner_of_limit;

use std::fmt;

use keyward_core::rules::decision::{Check, Outcome, Request};
use keyward_core::rules::hashing::HashError;
use keyward_core::rules::key::Key;
use keyward_core::verifier::VerifyError;
use serde::ser::{Serialize, SerializeSeq as _, SerializeStruct as _, Serializer};

use crate::error::{Code, Error};

/// Checks, and what they are about.
#[derive(Debug, Clone, Copy)]
pub struct Checks<'c> {
    /// The checks.
    pub checks: &'c [Check],
    /// The key, if its secret matched.
    pub key: Option<&'c Key>,
    /// The request.
    pub request: &'c Request,
}

impl<'c> Checks<'c> {
    /// Each check in words.
    pub fn in_words(self) -> impl ExactSizeIterator<Item = CheckWords<'c>> {
        self.checks.iter().map(move |check| CheckWords { check, key: self.key, request: self.request })
    }
}

impl Checks<'_> {
    /// Writes the same JSON as [`Serialize`], but fast enough for millions: a fixed sentence is copied without
    /// searching it for characters to escape.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        out.push(b'[');
        for (number, words) in self.in_words().enumerate() {
            let outcome = match words.check.outcome {
                Outcome::Pass => "\",\"outcome\":\"pass\",\"detail\":\"",
                Outcome::Fail => "\",\"outcome\":\"fail\",\"detail\":\"",
                Outcome::Skip => "\",\"outcome\":\"skip\",\"detail\":\"",
            };
            let (start, reason) = (if number == 0 { "{\"check\":\"" } else { ",{\"check\":\"" }, words.check.reason);
            out.extend_from_slice(start.as_bytes());
            out.extend_from_slice(reason.as_str().as_bytes());
            out.extend_from_slice(b"\",\"subject\":\"");
            out.extend_from_slice(reason.subject().as_bytes());
            out.extend_from_slice(outcome.as_bytes());
            if let Some(text) = words.fixed() {
                out.extend_from_slice(text.as_bytes());
                out.extend_from_slice(b"\"}");
            } else {
                // The output begins with the quotation mark that is already there. A text cannot fail to serialise.
                out.pop();
                let _ = serde_json::to_writer(&mut *out, &Detail(words));
                out.push(b'}');
            }
        }
        out.push(b']');
    }
}

impl Serialize for Checks<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.checks.len()))?;
        for words in self.in_words() {
            list.serialize_element(&words)?;
        }
        list.end()
    }
}

/// A check in words: its facts as `Display`, its remedy separately.
#[derive(Debug, Clone, Copy)]
pub struct CheckWords<'c> {
    /// The check.
    pub check: &'c Check,
    key: Option<&'c Key>,
    request: &'c Request,
}

impl Serialize for CheckWords<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut check = serializer.serialize_struct("Check", 4)?;
        check.serialize_field("check", &self.check.reason)?;
        check.serialize_field("subject", self.check.reason.subject())?;
        check.serialize_field("outcome", &self.check.outcome)?;
        check.serialize_field("detail", &Detail(*self))?;
        check.end()
    }
}

/// Only its facts. Most of them are fixed sentences, which are not formatted again.
struct Detail<'c>(CheckWords<'c>);

impl Serialize for Detail<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.fixed() {
            Some(text) => serializer.serialize_str(text),
            None => serializer.collect_str(&self.0),
        }
    }
}

impl fmt::Display for CheckWords<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.fixed(), self.key) {
            (Some(text), _) => f.write_str(text),
            (None, Some(key)) => self.variable(f, key),
            (None, None) => self.refusal(f),
        }
    }
}

/// The error for a credential that could not be checked, which is neither yes nor no.
pub fn not_checked(error: VerifyError) -> Error {
    match error {
        VerifyError::Store(error) => Error::from(error).neither_yes_nor_no(),
        VerifyError::NoThread(error) => no_thread(&error),
        VerifyError::Hash(error @ HashError::NoMemory(_)) => no_memory(&error),
        VerifyError::Hash(error) => {
            Error::new(Code::StoreCorrupt, format!("the credential could not be checked: {error}"))
                .hint("nothing was decided; replace the secret with `keyward rotate KEY`, or put a backup in place")
        }
        VerifyError::NotMetered => Error::new(Code::StoreUnwritable, error.to_string()).hint(
            "nothing was decided; make the store writable, or verify with --no-record, which takes nothing of a limit",
        ),
        other => anyhow::Error::new(other).into(),
    }
}

/// The error for a thread that the system does not provide.
pub fn no_thread(error: &std::io::Error) -> Error {
    Error::new(Code::StoreUnwritable, format!("the system gives no thread to verify on: {error}"))
        .hint("allow this user more processes and memory, see `ulimit -u` and `ulimit -v`; or verify one credential at a time, without --batch")
}

/// The error for memory that the system does not provide.
pub fn no_memory(error: &HashError) -> Error {
    Error::new(Code::StoreUnwritable, error.to_string()).hint(
        "nothing was decided or changed; allow this process more memory, see `ulimit -v` and `ulimit -d`, or lower the \
         cost for new secrets: keyward settings set hash-parameters",
    )
}

/// The error for a new secret that cannot be hashed with the parameters of the store.
pub fn not_hashed(error: &HashError) -> Error {
    if matches!(error, HashError::NoMemory(_)) {
        return no_memory(error);
    }
    Error::new(Code::InvalidValue, format!("the store's hash parameters cannot be used: {error}"))
        .hint("set others with: keyward settings set hash-parameters m=19456,t=2,p=1")
}

/// A value that must exist, because a check mentions it.
fn text<T: fmt::Display>(value: Option<&T>) -> Text<'_, T> {
    Text(value)
}

struct Text<'t, T>(Option<&'t T>);

impl<T: fmt::Display> fmt::Display for Text<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |value| value.fmt(f))
    }
}

#[cfg(test)]
mod tests;
