//! The flags that every command takes, and the variables that stand in for them.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueHint};

use crate::error::{Code, Error};
use crate::terminal::ColorChoice;
use crate::text::unexpanded;
use keyward_core::rules::names::Name;

/// Flags that every command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub struct GlobalArgs {
    /// The store [env: KEYWARD_STORE] [default: keys.db in the data folder of your platform]
    #[arg(long, global = true, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub store: Option<PathBuf>,
    /// Print one JSON document, and errors as JSON on stderr
    #[arg(long, global = true)]
    pub json: bool,
    /// Print no notes; of lists only names, of checks only what is wrong
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Never prompt; fail instead
    #[arg(long, global = true)]
    pub no_input: bool,
    /// Never use a pager for long output [env: KEYWARD_PAGER, PAGER] [default: less -FRX]
    #[arg(long, global = true)]
    pub no_pager: bool,
    /// When to use colours: auto, always or never
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t, hide_possible_values = true)]
    pub color: ColorChoice,
    /// The user who acts [env: KEYWARD_AS] [default: the owner of the store, who may do everything]
    ///
    /// It guards against mistakes and is recorded in the history. It is not a security boundary:
    /// that is the permissions of the store's file.
    #[arg(long = "as", global = true, value_name = "USER")]
    pub acting: Option<Name>,
    /// The database that `store` names, if any.
    #[cfg(feature = "postgres")]
    #[arg(skip)]
    pub server: Option<keyward_core::store::ServerUrl>,
}

impl GlobalArgs {
    /// Fills in from the environment what the command line leaves open.
    ///
    /// # Errors
    /// If a variable holds a value that does not parse.
    pub fn or_environment(mut self, environment: &dyn Fn(&str) -> Option<OsString>) -> Result<Self, Error> {
        let set = |name: &str| environment(name).filter(|value| !value.is_empty());
        let (from, named) = match self.store.take() {
            Some(path) => ("--store", Some(path)),
            None => ("KEYWARD_STORE", set("KEYWARD_STORE").map(PathBuf::from)),
        };
        match named.map(|path| named_store(path, from)).transpose()? {
            Some(NamedStore::File(path)) => self.store = Some(path),
            #[cfg(feature = "postgres")]
            Some(NamedStore::Server(url)) => self.server = Some(*url),
            None => {}
        }
        if self.acting.is_none()
            && let Some(user) = set("KEYWARD_AS")
        {
            let user = user
                .to_string_lossy()
                .parse()
                .map_err(|error| Error::new(Code::Usage, format!("KEYWARD_AS is not the name of a user: {error}")))?;
            self.acting = Some(user);
        }
        Ok(self)
    }
}

/// A store as given.
#[derive(Debug, Clone)]
pub enum NamedStore {
    /// A file.
    File(PathBuf),
    /// A database.
    #[cfg(feature = "postgres")]
    Server(Box<keyward_core::store::ServerUrl>),
}

/// What `from`, a flag or a variable, names: a path, or the URL of a database.
///
/// # Errors
/// [`Code::Usage`] for a URL that does not parse or that brings a password on a command line, and for a path that no
/// shell has expanded.
pub fn named_store(path: PathBuf, from: &str) -> Result<NamedStore, Error> {
    if is_url(&path) { parse_url(&path, from) } else { expanded(path, from).map(NamedStore::File) }
}

#[cfg(feature = "postgres")]
fn parse_url(text: &std::path::Path, from: &str) -> Result<NamedStore, Error> {
    let url: keyward_core::store::ServerUrl =
        text.to_string_lossy().parse().map_err(|error: keyward_core::store::UrlError| {
            let error = Error::new(Code::Usage, format!("{from} is not the URL of a store: {error}"));
            error.hint("for a file that is really called so, write ./ in front")
        })?;
    if url.has_password() && from.starts_with("--") {
        return Err(Error::new(Code::Usage, "a password on a command line can be read by every user of the machine")
            .hint("take it out of the URL, and keep it in ~/.pgpass (mode 600) or in PGPASSWORD"));
    }
    Ok(NamedStore::Server(Box::new(url)))
}

#[cfg(not(feature = "postgres"))]
fn parse_url(_: &std::path::Path, from: &str) -> Result<NamedStore, Error> {
    Err(Error::new(Code::Usage, format!("{from} names a database, and this keyward was built without PostgreSQL"))
        .hint("build it with: cargo install keyward --features postgres")
        .hint("a file that is really called so: ./postgres:…"))
}

/// Whether the text is meant as a database, however it is written: what is taken for a path may become a file, and shows
/// in messages, with the password in it.
fn is_url(text: &std::path::Path) -> bool {
    let text = text.to_string_lossy();
    let text = text.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '<'));
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    let is_known = ["postgres", "postgresql"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
    is_scheme && (is_known || rest.starts_with("//"))
}

/// Refuses a path with a tilde or a variable that a shell should have expanded: a new store in a folder with that name
/// is not what was meant.
fn expanded(path: PathBuf, from: &str) -> Result<PathBuf, Error> {
    let Some((what, instead)) = unexpanded(&path) else { return Ok(path) };
    let text = path.to_string_lossy();
    let message = format!("{from} is {text}, and no shell replaced the {what} by {instead}");
    Err(Error::new(Code::Usage, message)
        .hint("write the whole path; within quotes, and in most configuration files, nothing is replaced")
        .hint(format!("for a folder that is really called so: ./{text}")))
}
