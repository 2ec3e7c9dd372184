//! One run of the program: what all commands share.
//!
//! A [`Session`] knows the global flags, the outside world and the terminal. It opens the store in
//! the way that a command needs, and says who acts when. Verbs take it by reference and stay thin.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use crate::error::{Code, Error};
use crate::global::GlobalArgs;
use crate::terminal::{Answer, Interrupts, Options, Section, Terminal};
pub use crate::world::Clock;
use crate::world::{Environment, Random, World};
use keyward_core::rules::authority::Authority;
use keyward_core::rules::directory::Kind;
use keyward_core::rules::key::{Key, Settings};
use keyward_core::rules::names::Name;
use keyward_core::rules::text::closest;
use keyward_core::rules::time::whole_seconds;
use keyward_core::store::{Stamp, Store, StoreError};

/// The store in the data folder of the platform, where none is named.
pub const DEFAULT_STORE: &str = "keys.db";

/// The state of one run.
#[derive(Debug)]
pub struct Session {
    /// The streams.
    pub terminal: Terminal,
    /// What signals look at.
    pub interrupts: Arc<Interrupts>,
    outside: Outside,
    now: Timestamp,
    actor: Option<Name>,
    store: StorePath,
    json: bool,
    quiet: bool,
}

/// The part of the world that is asked while a command runs.
struct Outside {
    clock: Clock,
    environment: Environment,
    random: Random,
    program: Option<PathBuf>,
}

impl std::fmt::Debug for Outside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Outside")
    }
}

/// Where the store is, and who said so.
#[derive(Debug)]
enum StorePath {
    Named(PathBuf),
    Default(PathBuf),
    Nowhere,
}

impl Session {
    /// Starts a run with the global flags that were given.
    pub fn start(world: World, global: GlobalArgs) -> Self {
        let set = |name: &str| (world.environment)(name).filter(|value| !value.is_empty());
        let options = Options {
            quiet: global.quiet,
            json: global.json,
            no_input: global.no_input,
            color: global.color,
            no_color: set("NO_COLOR").is_some(),
            dumb: set("TERM").is_none_or(|term| term == "dumb"),
        };
        let store = match (global.store, world.data_folder) {
            (Some(path), _) => StorePath::Named(path),
            (None, Some(folder)) => StorePath::Default(folder.join(DEFAULT_STORE)),
            (None, None) => StorePath::Nowhere,
        };
        Self {
            terminal: Terminal::new(world.stdin, world.stdout, world.stderr, world.streams, options),
            interrupts: world.interrupts,
            now: whole_seconds((world.clock)()),
            outside: Outside {
                clock: world.clock,
                environment: world.environment,
                random: world.random,
                program: world.program,
            },
            actor: global.acting,
            store,
            json: global.json,
            quiet: global.quiet,
        }
    }

    /// Where the store is, or would be.
    pub fn store_path(&self) -> Option<&std::path::Path> {
        match &self.store {
            StorePath::Named(path) | StorePath::Default(path) => Some(path),
            StorePath::Nowhere => None,
        }
    }

    /// The present, in whole seconds. It stands still while a command computes.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The clock, for another thread.
    pub fn clock(&self) -> Clock {
        Arc::clone(&self.outside.clock)
    }

    /// Looks at the clock again: after a wait for a person or for input, the present is another.
    pub fn look_at_the_clock(&mut self) {
        self.now = whole_seconds((self.outside.clock)());
    }

    /// Whether `--json` was given.
    pub fn json(&self) -> bool {
        self.json
    }

    /// Whether `--quiet` was given.
    pub fn quiet(&self) -> bool {
        self.quiet
    }

    /// The value of an environment variable.
    pub fn environment(&self, name: &str) -> Option<OsString> {
        (self.outside.environment)(name)
    }

    /// This program's own file.
    pub fn program(&self) -> Option<PathBuf> {
        self.outside.program.clone()
    }

    /// Random bytes that are fit for secrets.
    ///
    /// # Errors
    /// Where the operating system gives none.
    pub fn random<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut bytes = [0; N];
        (self.outside.random)(&mut bytes)?;
        Ok(bytes)
    }

    /// Opens the store for a command that makes things; makes the store where there is none.
    ///
    /// # Errors
    /// Where there can be no store, or it cannot be written.
    pub fn create_store(&mut self) -> Result<Store, Error> {
        let path = match &self.store {
            StorePath::Named(path) | StorePath::Default(path) => path,
            StorePath::Nowhere => return Err(StoreError::Nowhere.into()),
        };
        let store = Store::create(path, self.now)?;
        self.admit(store)
    }

    /// Opens the store for a command that changes what is there.
    ///
    /// # Errors
    /// As [`Session::create_store`], and where there is no store.
    pub fn change_store(&mut self) -> Result<Store, Error> {
        let store = self.open_at()?;
        self.admit(store)
    }

    /// Opens the store for a command that only reads; `None` where nobody named a store and there
    /// is none yet.
    ///
    /// # Errors
    /// Where there is a store that cannot be read, or none where one was named.
    pub fn read_store(&mut self) -> Result<Option<Store>, Error> {
        match self.open_at() {
            Ok(store) => {
                self.pass_on_warnings(&store);
                Ok(Some(store))
            }
            Err(StoreError::Missing(_)) if matches!(self.store, StorePath::Default(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens the store for `verify`: it must be there.
    ///
    /// # Errors
    /// Where there is no store that can be read.
    pub fn open(&mut self) -> Result<Store, Error> {
        let store = self.open_at()?;
        self.pass_on_warnings(&store);
        Ok(store)
    }

    /// Who acts, and when.
    pub fn stamp(&self) -> Stamp<'_> {
        Stamp { now: self.now, actor: self.actor.as_ref() }
    }

    /// The settings of a key about which nothing was said: it belongs to the acting user and to their
    /// tenant.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn default_settings(&self, store: &Store) -> Result<Settings, Error> {
        let mut settings = Settings::with_prefix(store.settings()?.prefix);
        if let Authority::User(actor) = store.authority(self.actor.as_ref())? {
            settings.owner = Some(actor.name);
            settings.tenant = actor.tenant;
        }
        Ok(settings)
    }

    /// Makes sure that the acting user may manage keys at all, before they answer a question about one.
    ///
    /// # Errors
    /// [`Code::NotPermitted`].
    pub fn check_key_manager(&self, store: &Store) -> Result<(), Error> {
        store.authority(self.actor.as_ref())?.manage_keys().map_err(|denied| StoreError::from(denied).into())
    }

    /// Asks the person to confirm what cannot be undone: Enter alone is a no.
    ///
    /// # Errors
    /// [`Code::Cancelled`] where they say no.
    pub fn confirm(&mut self, question: &str) -> Result<(), Error> {
        self.ask_yes_or_no(question, false)
    }

    /// Asks the person to go on with what they began: Enter alone is a yes.
    ///
    /// # Errors
    /// [`Code::Cancelled`] where they say no.
    pub fn go_on(&mut self, question: &str) -> Result<(), Error> {
        self.ask_yes_or_no(question, true)
    }

    fn ask_yes_or_no(&mut self, question: &str, default: bool) -> Result<(), Error> {
        let section = self.question();
        let confirmed = self.terminal.confirm(&section, question, default)?;
        // They may have thought about it for a while.
        self.look_at_the_clock();
        if confirmed { Ok(()) } else { Err(cancelled()) }
    }

    /// Asks the person to type a name, for what cannot be undone and would be missed.
    ///
    /// # Errors
    /// [`Code::Cancelled`] where they type something else.
    pub fn confirm_name(&mut self, question: &str, name: &str) -> Result<(), Error> {
        let section = self.question();
        let typed = self.terminal.line(&section, question)?;
        self.look_at_the_clock();
        match typed {
            Answer::Given(text) if text == name => Ok(()),
            Answer::Given(_) => {
                Err(Error::new(Code::Cancelled, format!("that is not its name, {name}; nothing was changed")))
            }
            Answer::Declined => Err(cancelled()),
        }
    }

    /// A question, the interruption of which changes nothing.
    pub fn question(&self) -> Section {
        self.interrupts.section(Code::Interrupted, "interrupted; nothing was changed")
    }

    /// The key that was named, or in a terminal the one that the person chooses.
    ///
    /// # Errors
    /// [`Code::NotFound`], [`Code::Cancelled`], or [`Code::Usage`] where nobody can be asked.
    pub fn find_or_ask(&mut self, store: &Store, text: Option<&str>, what: &str) -> Result<Key, Error> {
        if let Some(text) = text {
            return self.find(store, text);
        }
        self.can_ask_for("KEY")?;
        let names = store.some_names()?;
        if names.is_empty() {
            return Err(
                Error::new(Code::NotFound, "there are no keys yet").hint("make the first one with: keyward create")
            );
        }
        let section = self.question();
        match self.terminal.search(&section, what, &names)? {
            Answer::Given(index) => self.find(store, &names[index]),
            Answer::Declined => Err(cancelled()),
        }
    }

    /// Whether what the command line leaves open can be asked for.
    ///
    /// # Errors
    /// [`Code::Usage`].
    pub fn can_ask_for(&self, value: &str) -> Result<(), Error> {
        if self.terminal.can_ask() {
            return Ok(());
        }
        Err(Error::new(Code::Usage, format!("the following required arguments were not provided: <{value}>"))
            .hint("write it behind the command; in a terminal, you are asked for it"))
    }

    /// The store, if there is one by now.
    ///
    /// # Errors
    /// Where there is one that cannot be read.
    pub fn store_if_any(&mut self) -> Result<Option<Store>, Error> {
        match self.open_at() {
            Ok(store) => Ok(Some(store)),
            Err(StoreError::Missing(_) | StoreError::Nowhere) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The key that `text` names.
    ///
    /// # Errors
    /// [`Code::NotFound`], with names that are close.
    pub fn find(&self, store: &Store, text: &str) -> Result<Key, Error> {
        store.find(text)?.map_or_else(|| Err(self.no_such_key(Some(store), text)), Ok)
    }

    /// The error for a key that is not there.
    pub fn no_such_key(&self, store: Option<&Store>, text: &str) -> Error {
        let error = Error::new(Code::NotFound, format!("there is no key {text:?}"));
        let names = store.and_then(|store| store.some_names().ok()).unwrap_or_default();
        match closest(&names, text) {
            Some(name) => error.hint(format!("did you mean {name}?")),
            None => error.hint("see the keys that there are with: keyward list"),
        }
    }

    /// The error for a group, user, role or tenant that is not there.
    pub fn no_such_entry(&self, store: Option<&Store>, kind: Kind, name: &Name) -> Error {
        let names = store.and_then(|store| store.names_of(kind).ok()).unwrap_or_default();
        let kind = kind.as_str();
        let error = Error::new(Code::NotFound, format!("there is no {kind} {name}"));
        match closest(&names, name.as_str()) {
            Some(name) => error.hint(format!("did you mean {name}?")),
            None => error.hint(format!("see the {kind}s that there are with: keyward {kind} list")),
        }
    }

    /// Writes the JSON document of the command.
    ///
    /// # Errors
    /// Where stdout takes nothing.
    pub fn print_json(&mut self, document: &impl Serialize) -> Result<(), Error> {
        self.terminal.print_json(document)
    }

    fn open_at(&self) -> Result<Store, StoreError> {
        match &self.store {
            StorePath::Named(path) | StorePath::Default(path) => Store::open(path),
            StorePath::Nowhere => Err(StoreError::Nowhere),
        }
    }

    fn admit(&mut self, store: Store) -> Result<Store, Error> {
        store.check_writable()?;
        self.pass_on_warnings(&store);
        Ok(store)
    }

    fn pass_on_warnings(&mut self, store: &Store) {
        for warning in store.warnings() {
            self.terminal.warn(warning);
        }
    }
}

/// The error for a person who changed their mind.
pub fn cancelled() -> Error {
    Error::new(Code::Cancelled, "cancelled; nothing was changed")
}
