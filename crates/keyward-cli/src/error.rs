//! What went wrong, as data: a code for scripts, a message and hints for people, an exit code.
//!
//! This room knows what an error is, but not the rooms that errors come from: those are in `errors`.
//!
//! Codes and exit codes are a contract. They are only ever added, never renamed or renumbered; [`Exit::TABLE`] lists
//! the exit codes with their meanings, and the help texts use it too.

use serde::Serialize;

use crate::text::{clean, in_plain_words};
use keyward_core::rules::names::Name;
use keyward_core::rules::text::redact;

/// The exit code of a finished command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit(pub u8);

impl Exit {
    /// Done; for `verify`: allowed.
    pub const DONE: Self = Self(0);
    /// `verify`: no live, genuine credential was presented (HTTP 401).
    pub const UNAUTHENTICATED: Self = Self(3);
    /// `verify`: genuine, and not allowed to make this request (HTTP 403).
    pub const FORBIDDEN: Self = Self(4);
    /// The store can't be used.
    pub const UNUSABLE: Self = Self(6);
    /// `--fail-if-any` found something.
    pub const FOUND: Self = Self(8);
    /// `verify`: genuine and allowed, but over a limit (HTTP 429).
    pub const LIMITED: Self = Self(9);

    /// The worse of two: the greater code, except that over a limit is less bad than not allowed.
    #[must_use]
    pub fn worse(self, other: Self) -> Self {
        let order = |exit: Self| if exit == Self::LIMITED { (Self::FORBIDDEN.0, 0) } else { (exit.0, 1) };
        if order(other) > order(self) { other } else { self }
    }

    /// A bug in keyward.
    pub const BUG: Self = Self(70);

    /// Every exit code with its meaning.
    pub const TABLE: [(Self, &'static str); 12] = [
        (Self(0), "done; for verify: allowed"),
        (Self(1), "refused: no such key, name taken, in use, role ceiling, a value that this store does not allow"),
        (Self(2), "usage: the command line does not parse"),
        (Self(3), "verify: no live, genuine credential was presented (HTTP 401)"),
        (Self(4), "verify: genuine, and not allowed to make this request (HTTP 403)"),
        (Self(5), "cancelled, or a confirmation was needed and could not be asked"),
        (
            Self(6),
            "the store can't be used: missing, locked, corrupt, of a newer schema, not a keyward store, \
             unsafe permissions, disk full, read-only",
        ),
        (Self(7), "the secret could not be delivered: no key was kept"),
        (Self(8), "--fail-if-any found something"),
        (Self(9), "verify: genuine and allowed, but over a limit (HTTP 429)"),
        (Self(70), "a bug in keyward"),
        (Self(130), "interrupted"),
    ];
}

/// Declares the codes: each with its name in JSON, its exit code, and its meaning.
macro_rules! codes {
    ($($name:ident $code:literal $exit:literal $meaning:literal,)+) => {
        /// What kind of error it is, for scripts.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[expect(missing_docs, reason = "the table says what each means")]
        pub enum Code {
            $($name,)+
        }

        impl Code {
            /// All of them, grouped by their exit codes.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            fn row(self) -> (&'static str, Exit, &'static str) {
                match self {
                    $(Self::$name => ($code, Exit($exit), $meaning),)+
                }
            }
        }
    };
}

codes! {
    NotFound "not_found" 1 "there is no such key, group, user, role or tenant",
    NameTaken "name_taken" 1 "something else has this name, or an id that reads like it",
    InUse "in_use" 1 "keys or users refer to it, so it is not deleted",
    RoleCeiling "role_ceiling" 1 "the role of the acting user ranks too low",
    NotPermitted "not_permitted" 1 "the acting user, or the role of the database, may not do this; of verify, the exit code is 6",
    InvalidValue "invalid_value" 1 "a value cannot be used here, or its source cannot be read",
    Conflict "conflict" 1 "somebody else changed it, or mints for it; try again",
    OutputFailed "output_failed" 1 "standard output, or a file without a secret, cannot be written",
    AddressInUse "address_in_use" 1 "another program listens on the address",
    Usage "usage" 2 "the command line does not parse",
    Cancelled "cancelled" 5 "the person said no; with exit code 130: a signal came",
    ConfirmationRequired "confirmation_required" 5 "nobody could be asked; see --yes",
    StoreMissing "store_missing" 6 "there is no store where one is needed",
    StoreLocked "store_locked" 6 "other processes kept the store busy for too long",
    StoreCorrupt "store_corrupt" 6 "the store is damaged, or its history is not as it was written",
    StoreNewer "store_newer" 6 "a newer keyward wrote the store",
    StoreForeign "store_foreign" 6 "it is not a keyward store",
    StoreInsecure "store_insecure" 6 "others could change the store",
    StoreUnwritable "store_unwritable" 6
        "the system does not let keyward use the store: permissions, a full disk, too little memory",
    StoreMoved "store_moved" 6 "the store was moved; the message names where to",
    StoreRewound "store_rewound" 6 "the store is older than what this process has seen of it",
    ClockSkew "clock_skew" 6 "the clock of this machine is more than a minute off that of the server",
    UnknownOutcome "unknown_outcome" 6 "the connection was lost, and nobody knows whether the change was made",
    NotDelivered "not_delivered" 7 "the place for the secret did not take it, so no key was kept",
    Internal "internal" 70 "a bug in keyward",
    // For a script, an interruption is a cancellation; the shell sees the usual 130.
    Interrupted "cancelled" 130 "a signal came",
}

impl Code {
    /// The code in `--json`.
    pub fn as_str(self) -> &'static str {
        self.row().0
    }

    /// Its exit code.
    pub fn exit(self) -> Exit {
        self.row().1
    }

    /// The codes in `--json`, each once, with the exit code and what it means.
    pub fn table() -> impl Iterator<Item = (&'static str, Exit, &'static str)> {
        Self::ALL.iter().filter(|code| **code != Self::Interrupted).map(|code| code.row())
    }
}

#[derive(Serialize)]
struct ErrorDocument<'d> {
    error: ErrorJson<'d>,
}

#[derive(Serialize)]
struct ErrorJson<'d> {
    code: &'static str,
    message: &'d str,
    hint: Option<String>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    unknown: Option<&'d Unknown>,
}

/// What is known about a secret if it is unknown whether its change was made.
#[derive(Debug, Serialize)]
struct Unknown {
    /// Its public id.
    secret_id: String,
    /// Whether it was delivered.
    delivered: bool,
}

/// An error of a command. It never holds a secret.
///
/// It is one pointer: nearly every function returns it, and each `?` in the program moves it.
#[derive(Debug)]
pub struct Error(Box<Facts>);

#[derive(Debug)]
struct Facts {
    code: Code,
    message: String,
    hints: Vec<String>,
    cause: Option<anyhow::Error>,
    secret_is_out: bool,
    is_reserved: bool,
    exit: Option<Exit>,
    unknown: Option<Unknown>,
}

impl Error {
    /// An error with a message: one sentence in lower case, without a full stop.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self(Box::new(Facts {
            code,
            message: in_plain_words(message.into()),
            hints: vec![],
            cause: None,
            secret_is_out: false,
            is_reserved: false,
            exit: None,
            unknown: None,
        }))
    }

    /// An error that no user can cause: a bug in keyward.
    pub fn bug(cause: anyhow::Error) -> Self {
        let mut error = Self::new(Code::Internal, "this is a bug in keyward");
        error.0.cause = Some(cause);
        error.hint("nothing was changed; please report it with the command that you ran and this message")
    }

    /// A panic at this place in the source. Its message is left out, because it may contain anything.
    pub fn panic(place: &str) -> Self {
        Self::bug(anyhow::anyhow!("a panic at {place}"))
    }

    /// The same error after secrets were delivered: another attempt would deliver new ones. `void` is how many of them
    /// open nothing. The new secrets of the `working` keys work, and so do those that they should have replaced.
    #[must_use]
    pub fn after_delivery(mut self, void: usize, working: &[&Name]) -> Self {
        self.0.secret_is_out = true;
        let error = match (void, working) {
            (0, _) => self,
            (1, []) => self.hint("the secret that was just delivered opens nothing: throw it away"),
            (_, []) => self.hint("the secrets that were just delivered open nothing: throw them away"),
            _ => self.hint("those of the other keys open nothing: throw them away"),
        };
        let names = |between: &str| working.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(between);
        let which = match working {
            [] => return error,
            [_] => "the one that was just delivered, and the one before it",
            _ => "the ones that were just delivered, and those before them",
        };
        error
            .hint(format!("both secrets of {} work now: {which}", names(", ")))
            .hint(format!("to stop both when the store can be written again: keyward rotate {}", names(" ")))
    }

    /// The same, if it is unknown whether the change for this delivered secret was made.
    #[must_use]
    pub fn of_unknown_outcome(mut self, secret_id: &impl std::fmt::Display) -> Self {
        self.0.secret_is_out = true;
        self.0.unknown = Some(Unknown { secret_id: secret_id.to_string(), delivered: true });
        self
    }

    /// The same, if another process is about to mint for the same name or key: it passes by itself.
    #[must_use]
    pub fn reserved(mut self) -> Self {
        self.0.is_reserved = true;
        self
    }

    /// The same, for a verification that could not be made: it must not look like a refusal of the credential.
    #[must_use]
    pub fn neither_yes_nor_no(mut self) -> Self {
        if self.0.code == Code::NotPermitted {
            self.0.exit = Some(Exit::UNUSABLE);
        }
        self
    }

    /// Whether it passes by itself as soon as the other process has minted.
    pub fn is_reserved(&self) -> bool {
        self.0.is_reserved
    }

    /// Whether a secret was delivered before the error occurred.
    pub fn is_after_delivery(&self) -> bool {
        self.0.secret_is_out
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hints.push(hint.into());
        self
    }

    /// What happened, without what to do next.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What to do next.
    pub fn hints(&self) -> &[String] {
        &self.0.hints
    }

    /// What kind of error it is.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The exit code of the command that ends with it.
    pub fn exit(&self) -> Exit {
        self.0.exit.unwrap_or_else(|| self.0.code.exit())
    }

    /// The same with each hint changed by `f`.
    #[must_use]
    pub fn with_hints(mut self, f: impl Fn(&str) -> String) -> Self {
        for hint in &mut self.0.hints {
            *hint = f(hint);
        }
        self
    }

    /// The error in the requested form.
    pub fn report(&self, json: bool) -> String {
        if json { self.render_json() } else { clean(&self.render()).into_owned() }
    }

    /// The error for people: a line for the message, and a line for each hint.
    pub fn render(&self) -> String {
        let mut text = format!("error: {}\n", self.0.message);
        if let Some(cause) = &self.0.cause {
            text.push_str(&format!("cause: {cause:#}\n"));
        }
        for hint in &self.0.hints {
            text.push_str(&format!("hint: {hint}\n"));
        }
        redact(&text).into_owned()
    }

    /// The error in the form of `--json`: `{"error":{"code","message","hint"}}`.
    pub fn render_json(&self) -> String {
        let hint = if self.0.hints.is_empty() { None } else { Some(redact(&self.0.hints.join("\n")).into_owned()) };
        let message = match &self.0.cause {
            Some(cause) => format!("{}: {cause:#}", self.0.message),
            None => self.0.message.clone(),
        };
        let error =
            ErrorJson { code: self.0.code.row().0, message: &redact(&message), hint, unknown: self.0.unknown.as_ref() };
        // Three texts cannot fail to serialise.
        let document = serde_json::to_string(&ErrorDocument { error }).unwrap_or_default();
        format!("{document}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyward_core::rules::token::{Id, Secret};

    #[test]
    fn an_error_is_one_object_with_three_fields() {
        let error = Error::new(Code::NotFound, "no key").hint("one").hint("two");
        assert_eq!(error.render(), "error: no key\nhint: one\nhint: two\n");
        assert_eq!(
            error.render_json(),
            "{\"error\":{\"code\":\"not_found\",\"message\":\"no key\",\"hint\":\"one\\ntwo\"}}\n"
        );
        assert_eq!(error.exit(), Exit(1));
    }

    #[test]
    fn no_error_repeats_a_secret() {
        let secret = Secret::build(&"kw".parse().unwrap(), Id::from_random([3; 8]), &[9; 32]);
        let error = Error::new(Code::Usage, format!("unexpected argument '{}'", secret.expose()))
            .hint(format!("about {}", secret.expose()));
        assert!(!error.render().contains(secret.expose()));
        assert!(!error.render_json().contains(secret.expose()));
    }

    #[test]
    fn every_exit_code_is_documented() {
        for code in Code::ALL {
            assert!(Exit::TABLE.iter().any(|(exit, _)| *exit == code.exit()), "{code:?}");
        }
    }

    /// The contract names exactly these.
    #[test]
    fn every_code_of_the_contract_is_there_once() {
        let mut contract =
            "conflict output_failed address_in_use store_moved store_rewound unknown_outcome clock_skew not_found \
                            name_taken in_use role_ceiling not_permitted invalid_value usage cancelled \
                            confirmation_required store_missing store_locked store_corrupt store_newer store_foreign \
                            store_insecure store_unwritable not_delivered internal"
                .split_whitespace()
                .collect::<Vec<_>>();
        let mut own: Vec<_> = Code::table().map(|(code, ..)| code).collect();
        contract.sort_unstable();
        own.sort_unstable();
        assert_eq!(own, contract);
    }

    #[test]
    fn a_panic_is_told_in_the_form_that_was_asked_for() {
        let json: serde_json::Value = serde_json::from_str(&Error::panic("src/x.rs:1:2").report(true)).unwrap();
        assert_eq!(json["error"]["code"], "internal");
        assert!(json["error"]["message"].as_str().unwrap().contains("src/x.rs:1:2"), "{json}");
        assert!(json["error"]["hint"].is_string());
        let text = Error::panic("src/x.rs:1:2").report(false);
        assert!(text.starts_with("error: this is a bug in keyward\ncause: a panic at src/x.rs:1:2\nhint: "), "{text}");
        assert_eq!(Error::panic("").exit(), Exit::BUG);
    }
}
