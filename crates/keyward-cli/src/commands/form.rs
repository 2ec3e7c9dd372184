//! The form for a new key: one question at a time.
//!
//! It fills in the flags that were not given, so a key made with it is like any other. It offers what the store has,
//! checks each answer at once, and changes nothing: Esc and Ctrl-C leave everything as it was.

use std::fmt::Display;

use super::setting_args::list::{QUESTIONS, Question};
use super::setting_args::{SettingArgs, check, check_all};
use crate::error::Error;
use crate::session::{Session, cancelled};
use crate::terminal::{Answer, Item, Section};
use keyward_core::rules::directory::{Draft, Facts, Kind};
use keyward_core::rules::names::{InvalidText, Name, Prefix};
use keyward_core::rules::setting::{Setting, SettingValue, Settings};
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
    // The acting user owns the new key, and it is for their tenant; the summary shows that.
    let start = store.map(|store| form.session.default_settings(store)).transpose()?;
    for (setting, question, kind) in QUESTIONS {
        let is_decided =
            setting.refers_to.is_some() && start.as_ref().is_some_and(|settings| !setting.value(settings).is_empty());
        if !is_decided && !args.gives(setting) {
            form.ask(setting, question, kind, args)?;
        }
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

/// What an empty choice means for a setting.
fn none_of(setting: Setting) -> &'static str {
    match setting.refers_to {
        Some(Kind::Group) => "no group",
        Some(Kind::User) => "nobody: it stands for itself",
        Some(Kind::Role) => "no role: only requests that ask for one are refused",
        Some(Kind::Tenant) => "no tenant: it may be used for all of them",
        None => "none: only requests that ask for one are refused",
    }
}

struct Form<'f> {
    session: &'f mut Session,
    section: Section,
    store: Option<&'f Store>,
}

impl Form<'_> {
    /// Asks for a setting; an empty answer leaves it unchanged.
    fn ask(&mut self, setting: Setting, question: &str, kind: Question, args: &mut SettingArgs) -> Result<(), Error> {
        let texts = match kind {
            Question::Text => self.text(question, "", |text| check(setting, text))?.map(|text| vec![text]),
            Question::Entry => match setting.refers_to {
                Some(kind) => self.entry(setting, kind, question)?.map(|name| vec![name]),
                None => None,
            },
            Question::Items(hint) => self.list(setting, question, hint)?,
            Question::Known(names, hint) => self.several(setting, names, question, hint)?,
            Question::End => {
                args.give_expiry(self.expiry(question)?);
                None
            }
            Question::Either(answers) => {
                if self.one_of(question, &answers)? == 1
                    && let SettingValue::Switch(default) = setting.value(&Settings::with_prefix(Prefix::default()))
                {
                    args.give_switch(setting, !default);
                }
                None
            }
        };
        if let Some(texts) = texts {
            args.give(setting, texts);
        }
        Ok(())
    }

    /// A name that is valid, and free.
    fn name(&mut self) -> Result<Name, Error> {
        loop {
            let Some(name) = self.text("Name", "letters, digits and . _ - @ /", str::parse::<Name>)? else { continue };
            match self.store.map(|store| store.view()?.find(name.as_str())).transpose()?.flatten() {
                None => return Ok(name),
                Some(_) => self.complain(&format!("there is already a key named {name}")),
            }
        }
    }

    /// One value, or none for an empty answer.
    fn text<T>(
        &mut self,
        question: &str,
        hint: &str,
        parse: impl Fn(&str) -> Result<T, InvalidText>,
    ) -> Result<Option<T>, Error> {
        loop {
            let answer = self.line(question, hint)?;
            match answer.trim() {
                "" => return Ok(None),
                text => match parse(text) {
                    Ok(value) => return Ok(Some(value)),
                    Err(error) => self.complain(&error),
                },
            }
        }
    }

    /// Items separated by commas, or none for an empty answer.
    fn list(&mut self, setting: Setting, question: &str, hint: &str) -> Result<Option<Vec<String>>, Error> {
        loop {
            let answer = self.line(question, hint)?;
            let texts = answer.split(',').map(str::trim).filter(|text| !text.is_empty());
            match check_all(setting, texts) {
                Ok(texts) if texts.is_empty() => return Ok(None),
                Ok(texts) => return Ok(Some(texts)),
                Err(error) => self.complain(&error),
            }
        }
    }

    /// Items, some of which are in the store already.
    fn several(
        &mut self,
        setting: Setting,
        names: Names,
        question: &str,
        hint: &str,
    ) -> Result<Option<Vec<String>>, Error> {
        let known = self.store.map(|store| store.view()?.names_starting(names, "")).transpose()?.unwrap_or_default();
        if known.is_empty() {
            return self.list(setting, question, hint);
        }
        let items = known.iter().map(|name| Item { name: name.clone(), facts: vec![] }).collect();
        let mut texts = self.pick(question, setting, items, true)?;
        let others = format!("Other {}", question.to_lowercase());
        texts.extend(self.list(setting, &others, hint)?.unwrap_or_default());
        Ok(if texts.is_empty() { None } else { Some(texts) })
    }

    /// A group, user, role or tenant, if there are any.
    fn entry(&mut self, setting: Setting, kind: Kind, question: &str) -> Result<Option<String>, Error> {
        let known = self.store.map(|store| store.view()?.entries(kind)).transpose()?.unwrap_or_default();
        if known.is_empty() {
            return Ok(None);
        }
        let item = |Draft { name, description, facts }: Draft| {
            let rank = match facts {
                Facts::Role { rank, .. } => format!("rank {rank}"),
                _ => String::new(),
            };
            Item {
                name: name.to_string(),
                facts: vec![rank, description.map(|text| text.to_string()).unwrap_or_default()],
            }
        };
        let items = known.into_iter().map(|entry| item(entry.draft)).collect();
        Ok(self.pick(question, setting, items, false)?.pop())
    }

    /// One of `items`, or with `is_many` any number of them, or none; the choice stays on the terminal.
    fn pick(
        &mut self,
        question: &str,
        setting: Setting,
        mut items: Vec<Item>,
        is_many: bool,
    ) -> Result<Vec<String>, Error> {
        let facts = items.first().map_or(0, |item| item.facts.len());
        items.insert(0, Item { name: none_of(setting).to_owned(), facts: vec![String::new(); facts] });
        let chosen = self.session.terminal.pick(&self.section, question, &items, is_many)?;
        self.session.look_at_the_clock();
        let chosen: Vec<String> =
            given(chosen)?.into_iter().filter(|place| *place > 0).map(|place| items[place].name.clone()).collect();
        let told = if chosen.is_empty() { none_of(setting).to_owned() } else { chosen.join(", ") };
        let mark = if question.ends_with('?') { "" } else { ":" };
        self.session.terminal.say(&format!("{question}{mark} {told}"));
        Ok(chosen)
    }

    /// An expiry in the future, within what the store allows.
    fn expiry(&mut self, question: &str) -> Result<When, Error> {
        let settings = self.store.map(|store| store.view()?.settings()).transpose()?.unwrap_or_default();
        // The default of the command line comes first.
        let usual = settings.lifetime_of_new().map_or_else(|| "never".to_owned(), |life| life.to_string());
        let others = ["90d", "30d", "1y", "never", "another time"].into_iter().filter(|other| *other != usual);
        let times: Vec<&str> = std::iter::once(&*usual).chain(others).collect();
        loop {
            let chosen = self.one_of(question, &times)?;
            let when = match times.get(chosen).and_then(|text| text.parse().ok()) {
                Some(when) => when,
                None => match self.text(
                    "Expires",
                    "a duration such as 12w, a date, or an RFC 3339 time",
                    str::parse::<When>,
                )? {
                    Some(when) => when,
                    None => continue,
                },
            };
            let now = self.session.now();
            match when.resolve(now) {
                Err(error) => self.complain(&error),
                Ok(Some(end)) if end <= now => self.complain(&"that is in the past"),
                Ok(end) => match settings.check_end(end, now) {
                    Ok(()) => return Ok(when),
                    Err(error) => self.complain(&error),
                },
            }
        }
    }

    fn one_of(&mut self, question: &str, items: &[&str]) -> Result<usize, Error> {
        let chosen = self.session.terminal.select_and_show(&self.section, question, items)?;
        self.session.look_at_the_clock();
        given(chosen)
    }

    fn line(&mut self, question: &str, hint: &str) -> Result<String, Error> {
        let question = if hint.is_empty() { question.to_owned() } else { format!("{question} ({hint})") };
        let line = self.session.terminal.line(&self.section, &question)?;
        self.session.look_at_the_clock();
        given(line)
    }

    fn complain(&mut self, what: &impl Display) {
        self.session.terminal.say(&format!("  {what}"));
    }
}
