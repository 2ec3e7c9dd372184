//! Questions to the person, and the errors for names that do not exist.
//!
//! Each question ends by reading the clock: the person may have thought about it for a while. Interrupting a question
//! changes nothing.

use jiff::Timestamp;

use super::Session;
use crate::error::{Code, Error};
use crate::terminal::{Answer, Item, Section};
use crate::text::{did_you_mean, shell_word};
use keyward_core::rules::directory::Kind;
use keyward_core::rules::key::Key;
use keyward_core::rules::names::Name;
use keyward_core::rules::time::relative;
use keyward_core::store::{Filter, Store, StoreError};

/// What Enter means if nothing was typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enter {
    /// Yes, for something that the person started.
    MeansYes,
    /// No, for what cannot be undone.
    MeansNo,
}

impl Session {
    /// Asks the person whether to go on.
    ///
    /// # Errors
    /// [`Code::Cancelled`] if they say no.
    pub fn confirm(&mut self, question: &str, enter: Enter) -> Result<(), Error> {
        let section = self.question();
        let confirmed = self.terminal.confirm(&section, question, enter == Enter::MeansYes)?;
        // They may have thought about it for a while.
        self.look_at_the_clock();
        if confirmed { Ok(()) } else { Err(cancelled()) }
    }

    /// Asks the person to type a name, for something that cannot be undone and would be missed.
    ///
    /// # Errors
    /// [`Code::Cancelled`] if they type something else.
    pub fn confirm_name(&mut self, question: &str, name: &str) -> Result<(), Error> {
        let section = self.question();
        let typed = self.terminal.line(&section, question)?;
        self.look_at_the_clock();
        match typed {
            Answer::Given(text) if text == name => Ok(()),
            Answer::Given(_) => Err(Error::new(Code::Cancelled, format!("that does not match {name}; not deleted"))),
            Answer::Declined => Err(cancelled()),
        }
    }

    /// A question whose interruption changes nothing.
    pub fn question(&self) -> Section {
        self.interrupts.section(Code::Interrupted, "interrupted; nothing was changed")
    }

    /// The named key, or in a terminal the one that the person chooses.
    ///
    /// # Errors
    /// [`Code::NotFound`], [`Code::Cancelled`], or [`Code::Usage`] if there is no one to ask.
    pub fn find_or_ask(&mut self, store: &Store, text: Option<&str>, question: &str) -> Result<Key, Error> {
        if let Some(text) = text {
            return find_key(store, text);
        }
        let keys = self.choose_keys(store, question, &Filter::default(), false)?;
        keys.into_iter().next().ok_or_else(cancelled)
    }

    /// The keys that the person chooses from those that `offered` matches.
    ///
    /// # Errors
    /// [`Code::NotFound`] if there are none, [`Code::Cancelled`], or [`Code::Usage`] if there is no one to ask.
    pub fn choose_keys(
        &mut self,
        store: &Store,
        question: &str,
        offered: &Filter,
        is_many: bool,
    ) -> Result<Vec<Key>, Error> {
        self.check_can_ask("KEY")?;
        let now = self.now();
        let (mut items, mut ids) = (vec![], vec![]);
        let first = Filter { limit: Some(OFFERED), ..offered.clone() };
        let view = store.view()?;
        view.each_key(&first, now, |key| {
            items.push(item(&key, now));
            ids.push(key.id);
            Ok::<_, StoreError>(())
        })?;
        let all = if items.len() as u64 == OFFERED { view.count_keys(offered, now)? } else { OFFERED };
        // A person who reads a list must not hold the view open.
        drop(view);
        if items.is_empty() {
            let (none, hint) = match offered.enabled {
                Some(false) => ("no key is disabled, so there is nothing to enable", "see all keys with: keyward list"),
                Some(true) => ("no key is enabled, so there is nothing to disable", "see all keys with: keyward list"),
                None => ("there are no keys yet", "make one with: keyward create"),
            };
            return Err(Error::new(Code::NotFound, none).hint(hint));
        }
        if all > OFFERED {
            self.terminal.say(&format!("the first {OFFERED} of {all} keys are offered; others are named as arguments"));
        }
        let section = self.question();
        let chosen = self.terminal.pick(&section, question, &items, is_many)?;
        self.look_at_the_clock();
        let Answer::Given(places) = chosen else { return Err(cancelled()) };
        let names: Vec<&str> = places.iter().map(|&place| items[place].name.as_str()).collect();
        self.terminal.say(&format!("{question} {}", names.join(", ")));
        let view = store.view()?;
        let find = |&place: &usize| {
            let key = view.key(&ids[place])?;
            key.ok_or_else(|| no_such_key(Some(store), &items[place].name))
        };
        places.iter().map(find).collect()
    }

    /// Checks that missing arguments can be asked for.
    ///
    /// # Errors
    /// [`Code::Usage`].
    pub fn check_can_ask(&self, value: &str) -> Result<(), Error> {
        if self.terminal.can_ask() {
            return Ok(());
        }
        Err(Error::new(Code::Usage, format!("the following required arguments were not provided: <{value}>"))
            .hint(format!("give {value} as an argument (in a terminal keyward asks)")))
    }
}

/// The most keys that are offered.
const OFFERED: u64 = 10_000;

/// A key in a list to choose from.
fn item(key: &Key, now: Timestamp) -> Item {
    let owner = key.settings.owner.as_ref().map_or_else(String::new, |owner| format!("of {owner}"));
    let used = key.last_used_at.map_or_else(|| "never used".to_owned(), |time| format!("used {}", relative(time, now)));
    let end = key.settings.expires_at;
    let end = end.map_or_else(
        || "never expires".to_owned(),
        |time| format!("{} {}", if time > now { "expires" } else { "expired" }, relative(time, now)),
    );
    Item { name: key.name.to_string(), facts: vec![key.state(now).to_string(), end, used, owner] }
}

/// The key that `text` names.
///
/// # Errors
/// [`Code::NotFound`], with names that are close.
pub fn find_key(store: &Store, text: &str) -> Result<Key, Error> {
    store.view()?.find(text)?.map_or_else(|| Err(no_such_key(Some(store), text)), Ok)
}

/// The error for a key that does not exist.
pub fn no_such_key(store: Option<&Store>, text: &str) -> Error {
    let error = Error::new(Code::NotFound, format!("there is no key {text:?}"));
    let past = store.and_then(|store| store.view().ok()?.keys_ever_named(text).ok()).unwrap_or_default();
    if let Some(key) = past.iter().find(|key| !key.is_gone) {
        return error.hint(format!("it is called {} now", key.name));
    }
    if !past.is_empty() {
        return error.hint(format!("it is gone; who did what: keyward history {}", shell_word(text)));
    }
    if text.contains(['*', '?', '[']) {
        let word = shell_word(text);
        let hint =
            format!("keys are named one by one; for many: keyward list -q --name {word} | xargs -r keyward disable --");
        return error.hint(hint);
    }
    let names = store.and_then(|store| store.view().ok()?.some_names().ok()).unwrap_or_default();
    match did_you_mean(&names, text) {
        Some(question) => error.hint(question),
        None => error.hint("see all keys with: keyward list"),
    }
}

/// The error for a group, user, role or tenant that does not exist.
pub fn no_such_entry(store: Option<&Store>, kind: Kind, name: &Name) -> Error {
    let names = store.and_then(|store| store.view().ok()?.names_of(kind).ok()).unwrap_or_default();
    let kind = kind.as_str();
    let error = Error::new(Code::NotFound, format!("there is no {kind} {name}"));
    match did_you_mean(&names, name.as_str()) {
        Some(question) => error.hint(question),
        None => error.hint(format!("see all {kind}s with: keyward {kind} list")),
    }
}

/// The error for a person who changed their mind.
pub fn cancelled() -> Error {
    Error::new(Code::Cancelled, "cancelled; nothing was changed")
}
