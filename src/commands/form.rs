//! The form: what a new key is, one question at a time.
//!
//! It fills in the flags that were not given, so a key that was made with it is like any other. It
//! offers what there is in the store, checks each answer where it is given, and changes nothing: Esc
//! and Ctrl-C leave everything as it was.

use std::fmt::Display;
use std::str::FromStr;

use super::setting_args::SettingArgs;
use crate::error::Error;
use crate::session::{Session, cancelled};
use crate::terminal::{Answer, Section};
use keyward_core::rules::directory::Kind;
use keyward_core::rules::names::Name;
use keyward_core::rules::time::When;
use keyward_core::store::{Names, Store};

/// Asks for the name of a new key, and for every setting that `args` leaves open.
///
/// # Errors
/// A cancellation for Esc, an interruption for Ctrl-C.
pub fn fill(session: &mut Session, store: Option<&Store>, args: &mut SettingArgs) -> Result<Name, Error> {
    let section = session.question();
    let mut form = Form { session, section, store };
    form.session.terminal.say("A new key. Enter skips a question, or takes the marked answer; Esc cancels.");
    let name = form.name()?;
    if args.description.is_none() {
        args.description = form.text("What is it for?", "")?;
    }
    // Who acts owns what they make, and it is for their tenant; the summary shows it.
    let (owner, tenant) = match store {
        Some(store) => form.session.default_settings(store).map(|settings| (settings.owner, settings.tenant))?,
        None => (None, None),
    };
    for (kind, question, place, default) in [
        (Kind::Group, "Group", &mut args.group, None),
        (Kind::User, "Owner: on whose behalf does it act?", &mut args.owner, owner),
        (Kind::Role, "Role: what may it do at most?", &mut args.role, None),
        (Kind::Tenant, "Tenant: whose data is it good for?", &mut args.tenant, tenant),
    ] {
        if place.is_none() && default.is_none() {
            *place = form.entry(kind, question)?;
        }
    }
    if args.scope.is_none() {
        args.scope = form.several(Names::Scopes, "Scopes", "for example: rest, ui")?;
    }
    if args.level.is_none() {
        args.level =
            form.several(Names::Levels, "Security levels", "for example: Authenticated/Roles/Administrator")?;
    }
    if args.allow_ip.is_none() {
        args.allow_ip = form.list("Networks that it may be used from", "for example: 10.0.0.0/8; none for any")?;
    }
    if args.expires.is_none() {
        args.expires = form.expiry()?;
    }
    if !args.read_only && !args.read_write {
        args.read_only = form.one_of("Access", &["read and write", "read only: GET, HEAD, OPTIONS and TRACE"])? == 1;
    }
    if !args.require_secure && !args.allow_insecure {
        args.allow_insecure = form.one_of("Connections", &["secure ones alone", "plain http too"])? == 1;
    }
    Ok(name)
}

/// Asks for a name that no key has yet.
///
/// # Errors
/// As [`fill`].
pub fn new_name(session: &mut Session, store: &Store) -> Result<Name, Error> {
    let section = session.question();
    Form { session, section, store: Some(store) }.name()
}

fn given<T>(answer: Answer<T>) -> Result<T, Error> {
    match answer {
        Answer::Given(value) => Ok(value),
        Answer::Declined => Err(cancelled()),
    }
}

struct Form<'f> {
    session: &'f mut Session,
    section: Section,
    store: Option<&'f Store>,
}

impl Form<'_> {
    /// A name that is valid, and free.
    fn name(&mut self) -> Result<Name, Error> {
        loop {
            let Some(name) = self.text::<Name>("Name", "letters, digits and . _ - @ /")? else { continue };
            match self.store.map(|store| store.find(name.as_str())).transpose()?.flatten() {
                None => return Ok(name),
                Some(_) => self.complain(&format!("there is already a key named {name}")),
            }
        }
    }

    /// One value, or none for an empty answer.
    fn text<T: FromStr<Err: Display>>(&mut self, question: &str, hint: &str) -> Result<Option<T>, Error> {
        loop {
            let answer = self.line(question, hint)?;
            match answer.trim() {
                "" => return Ok(None),
                text => match text.parse() {
                    Ok(value) => return Ok(Some(value)),
                    Err(error) => self.complain(&error),
                },
            }
        }
    }

    /// Values that are separated by commas, or none for an empty answer.
    fn list<T: FromStr<Err: Display>>(&mut self, question: &str, hint: &str) -> Result<Option<Vec<T>>, Error> {
        loop {
            let answer = self.line(question, hint)?;
            let texts = answer.split(',').map(str::trim).filter(|text| !text.is_empty());
            match texts.map(str::parse).collect::<Result<Vec<T>, _>>() {
                Ok(values) if values.is_empty() => return Ok(None),
                Ok(values) => return Ok(Some(values)),
                Err(error) => self.complain(&error),
            }
        }
    }

    /// Values of which some are in the store already.
    fn several<T: FromStr<Err: Display>>(
        &mut self,
        names: Names,
        question: &str,
        hint: &str,
    ) -> Result<Option<Vec<T>>, Error> {
        let known = self.store.map(|store| store.names_starting(names, "")).transpose()?.unwrap_or_default();
        if known.is_empty() {
            return self.list(question, hint);
        }
        let items: Vec<&str> = known.iter().map(String::as_str).collect();
        let chosen = self.session.terminal.choose(&self.section, &format!("{question} (Enter chooses)"), &items)?;
        let chosen = given(chosen)?.into_iter().filter_map(|index| known[index].parse().ok());
        let mut values: Vec<T> = chosen.collect();
        values.extend(self.list::<T>(&format!("Other {}", question.to_lowercase()), hint)?.unwrap_or_default());
        Ok(if values.is_empty() { None } else { Some(values) })
    }

    /// A group, user, role or tenant, where there are any.
    fn entry(&mut self, kind: Kind, question: &str) -> Result<Option<Name>, Error> {
        let known = self.store.map(|store| store.names_of(kind)).transpose()?.unwrap_or_default();
        if known.is_empty() {
            return Ok(None);
        }
        let items: Vec<&str> = std::iter::once("none").chain(known.iter().map(String::as_str)).collect();
        let chosen = self.one_of(question, &items)?;
        Ok(chosen.checked_sub(1).and_then(|index| known[index].parse().ok()))
    }

    /// An expiry in the future, within what the store allows.
    fn expiry(&mut self) -> Result<Option<When>, Error> {
        const TIMES: [&str; 5] = ["90d", "30d", "1y", "never", "another time"];
        let now = self.session.now();
        let settings = self.store.map(Store::settings).transpose()?.unwrap_or_default();
        loop {
            let chosen = self.one_of("Expires in", &TIMES)?;
            let when = match TIMES.get(chosen).and_then(|text| text.parse().ok()) {
                Some(when) => when,
                None => match self.text::<When>("Expires", "a duration such as 12w, a date, or an RFC 3339 time")? {
                    Some(when) => when,
                    None => continue,
                },
            };
            match when.resolve(now) {
                Err(error) => self.complain(&error),
                Ok(Some(end)) if end <= now => self.complain(&"that is in the past"),
                Ok(end) => match settings.check_life(end, now) {
                    Ok(()) => return Ok(Some(when)),
                    Err(error) => self.complain(&error),
                },
            }
        }
    }

    fn one_of(&mut self, question: &str, items: &[&str]) -> Result<usize, Error> {
        let chosen = self.session.terminal.select_and_show(&self.section, question, items)?;
        given(chosen)
    }

    fn line(&mut self, question: &str, hint: &str) -> Result<String, Error> {
        let question = if hint.is_empty() { question.to_owned() } else { format!("{question} ({hint})") };
        let line = self.session.terminal.line(&self.section, &question)?;
        given(line)
    }

    fn complain(&mut self, what: &impl Display) {
        self.session.terminal.say(&format!("  {what}"));
    }
}
