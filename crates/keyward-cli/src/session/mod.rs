//! One run of the program: what all commands share.
//!
//! A [`Session`] knows the global flags, the outside world and the terminal, and gives the acting user and the time.
//! `stores` opens the store in the way that a command needs; `asking` asks the person questions. Verbs take a session
//! by reference and stay thin.
//!
//! What may break: the time stands still while a command computes. After waiting for a person or for input, call
//! [`Session::look_at_the_clock`]; otherwise what is stored is older than what the person saw.

mod asking;
mod stores;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;

pub use self::asking::{Enter, cancelled, find_key, no_such_entry, no_such_key};
use crate::error::{Code, Error};
use crate::global::GlobalArgs;
use crate::terminal::{Interrupts, Options, Terminal, USUAL_PAGER};
pub use crate::world::Clock;
use crate::world::{Environment, Random, World};
use keyward_core::rules::authority::Authority;
use keyward_core::rules::key::Settings;
use keyward_core::rules::names::Name;
use keyward_core::rules::time::whole_seconds;
#[cfg(feature = "postgres")]
use keyward_core::store::ServerUrl;
use keyward_core::store::{Stamp, Store, StoreError};

/// The default store, in the platform's data folder.
pub const DEFAULT_STORE: &str = "keys.db";

/// The state of one run.
#[derive(Debug)]
pub struct Session {
    /// The streams.
    pub terminal: Terminal,
    /// What signal handlers check.
    pub interrupts: Arc<Interrupts>,
    outside: Outside,
    now: Timestamp,
    actor: Option<Name>,
    store: StorePath,
    json: bool,
    quiet: bool,
    no_pager: bool,
}

/// The part of the world that is used while a command runs.
struct Outside {
    clock: Clock,
    #[cfg(feature = "postgres")]
    is_host_clock: bool,
    environment: Environment,
    random: Random,
    program: Option<PathBuf>,
}

impl std::fmt::Debug for Outside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Outside")
    }
}

/// Where the store is, and where that was stated.
#[derive(Debug)]
enum StorePath {
    Named(PathBuf),
    /// In a database, and how to show that.
    #[cfg(feature = "postgres")]
    Server(Box<ServerUrl>, PathBuf),
    Default(PathBuf),
    Nowhere,
}

impl Session {
    /// Starts a run with the given global flags.
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
        #[cfg(feature = "postgres")]
        let store = match global.server {
            Some(url) => {
                let shown = PathBuf::from(url.to_string());
                StorePath::Server(Box::new(url), shown)
            }
            None => store,
        };
        #[cfg_attr(not(feature = "postgres"), expect(unused_mut, reason = "nothing is said of a file"))]
        let mut session = Self {
            terminal: Terminal::new(world.stdin, world.stdout, world.stderr, world.streams, options),
            interrupts: world.interrupts,
            now: whole_seconds((world.clock)()),
            outside: Outside {
                clock: world.clock,
                #[cfg(feature = "postgres")]
                is_host_clock: world.is_host_clock,
                environment: world.environment,
                random: world.random,
                program: world.program,
            },
            actor: global.acting,
            store,
            json: global.json,
            quiet: global.quiet,
            no_pager: global.no_pager,
        };
        #[cfg(feature = "postgres")]
        session.warn_of_password();
        session
    }

    /// Warns about a password in a variable, which may end up where nobody expects one. On a command line it is
    /// refused.
    #[cfg(feature = "postgres")]
    fn warn_of_password(&mut self) {
        if matches!(&self.store, StorePath::Server(url, _) if url.has_password()) {
            self.terminal.warn(
                "KEYWARD_STORE holds a password, and every program that is started from here gets it too; keep it in \
                 ~/.pgpass (mode 600)",
            );
        }
    }

    /// Where the store is, or would be.
    pub fn store_path(&self) -> Option<&std::path::Path> {
        match &self.store {
            StorePath::Named(path) | StorePath::Default(path) => Some(path),
            #[cfg(feature = "postgres")]
            StorePath::Server(_, shown) => Some(shown),
            StorePath::Nowhere => None,
        }
    }

    /// Whether the store is in a database.
    pub fn is_on_server(&self) -> bool {
        match &self.store {
            StorePath::Named(_) | StorePath::Default(_) | StorePath::Nowhere => false,
            #[cfg(feature = "postgres")]
            StorePath::Server(..) => true,
        }
    }

    /// The current time, in whole seconds. It stands still while a command computes.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The clock, for another thread.
    pub fn clock(&self) -> Clock {
        Arc::clone(&self.outside.clock)
    }

    /// Reads the clock again: needed after waiting for a person or for input.
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

    /// From here on, output longer than the screen goes through the person's pager.
    pub fn use_pager(&mut self) {
        let named = ["KEYWARD_PAGER", "PAGER"].into_iter().find_map(|name| self.environment(name));
        let command = named.map_or_else(|| USUAL_PAGER.into(), |command| command.to_string_lossy().into_owned());
        if !self.json && !self.no_pager && !command.trim().is_empty() {
            self.terminal.use_pager(command);
        }
    }

    /// Flushes everything that was printed.
    ///
    /// # Errors
    /// If standard output cannot be written.
    pub fn end_output(&mut self) -> Result<(), Error> {
        let section = self.terminal.needs_pager().then(|| self.question());
        self.terminal.end_pages(section)?;
        self.terminal.flush()
    }

    /// The value of an environment variable.
    pub fn environment(&self, name: &str) -> Option<OsString> {
        (self.outside.environment)(name)
    }

    /// The text with its commands for this store, if a flag named it: without the flag they would reach another one.
    pub fn advice(&self, text: &str) -> String {
        // What a variable names is the store of the next command, too.
        let variable = self.environment("KEYWARD_STORE").unwrap_or_default();
        let (named, is_by_variable) = match &self.store {
            StorePath::Named(path) => (path, variable == path.as_os_str()),
            #[cfg(feature = "postgres")]
            StorePath::Server(_, shown) => {
                let url = variable.to_str().and_then(|text| text.parse::<ServerUrl>().ok());
                (shown, url.is_some_and(|url| std::path::Path::new(&url.to_string()) == shown))
            }
            StorePath::Default(_) | StorePath::Nowhere => return text.to_owned(),
        };
        if is_by_variable {
            return text.to_owned();
        }
        crate::text::with_flag(text, &format!("--store {}", crate::text::shell_path(named)))
    }

    /// This program's own file.
    pub fn program(&self) -> Option<PathBuf> {
        self.outside.program.clone()
    }

    /// Random bytes that are fit for secrets.
    ///
    /// # Errors
    /// If the operating system provides none.
    pub fn random<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut bytes = [0; N];
        (self.outside.random)(&mut bytes).map_err(|error| {
            let message = format!("the system gives no random numbers, of which secrets are made: {error}");
            Error::new(Code::NotDelivered, message)
                .hint("nothing was changed; in a container or a chroot, see whether /dev/urandom is there")
        })?;
        Ok(bytes)
    }

    /// The acting user, and the time.
    pub fn stamp(&self) -> Stamp<'_> {
        Stamp { now: self.now, actor: self.actor.as_ref() }
    }

    /// The default settings of a key: it belongs to the acting user and to their tenant.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn default_settings(&self, store: &Store) -> Result<Settings, Error> {
        let view = store.view()?;
        let mut settings = Settings::with_prefix(view.settings()?.prefix);
        if let Authority::User(actor) = view.authority(self.actor.as_ref())? {
            settings.owner = Some(actor.name);
            settings.tenant = actor.tenant;
        }
        Ok(settings)
    }

    /// Checks that the acting user may manage keys at all, before they answer a question about one.
    ///
    /// # Errors
    /// [`crate::error::Code::NotPermitted`].
    pub fn check_key_manager(&self, store: &Store) -> Result<(), Error> {
        let authority = store.view()?.authority(self.actor.as_ref())?;
        authority.manage_keys().map_err(|denied| StoreError::from(denied).into())
    }
}
