//! What all threads of a server share.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use keyward_core::store::StoreError;
use keyward_core::verifier::VerifyError;
use tokio::sync::watch;

use super::Api;
use super::config::{Config, ConfigError, Unfit};
use super::settings::Settings;
use crate::guard::{Guard, Rounds};
use crate::observe::{Log, Meters, Origins};

/// What all threads share.
pub(super) struct Shared {
    pub(super) guard: Guard,
    pub(super) log: Log,
    pub(super) api: Arc<dyn Api>,
    pub(super) version: &'static str,
    settings: RwLock<Arc<Settings>>,
    /// The health checks fail; requests are decided as before.
    pub(super) is_draining: AtomicBool,
    /// Requests still waiting for a decision are told that there will be none.
    over: watch::Sender<bool>,
    pub(super) connections: AtomicUsize,
    /// Connections from untrusted peers.
    pub(super) strangers: AtomicUsize,
    pub(super) config_loaded: AtomicU64,
    pub(super) config_failures: AtomicU64,
    /// Whether the store could be read the last time.
    pub(super) store: Mutex<Result<(), &'static str>>,
    pub(super) meters: Vec<Arc<Meters>>,
    pub(super) rounds: Vec<Rounds>,
    pub(super) keys: Mutex<KeyCounts>,
    pub(super) origins: Origins,
    /// Unknown policies that proxies have asked for.
    pub(super) unknown: Mutex<HashSet<String>>,
    pub(super) beats: Vec<AtomicU64>,
}

/// Keys by state, and keys that expire soon.
#[derive(Debug, Default, Clone)]
pub(super) struct KeyCounts {
    pub(super) states: Vec<(&'static str, u64)>,
    pub(super) expiring: Vec<(&'static str, u64)>,
}

impl Shared {
    pub(super) fn new(
        guard: Guard,
        log: Log,
        api: Arc<dyn Api>,
        version: &'static str,
        settings: Settings,
        workers: usize,
    ) -> Self {
        let shared = Self {
            guard,
            log,
            api,
            version,
            settings: RwLock::new(Arc::new(settings)),
            is_draining: AtomicBool::new(false),
            over: watch::channel(false).0,
            connections: AtomicUsize::new(0),
            strangers: AtomicUsize::new(0),
            config_loaded: AtomicU64::new(0),
            config_failures: AtomicU64::new(0),
            store: Mutex::new(Ok(())),
            meters: (0..workers).map(|_| Arc::default()).collect(),
            rounds: (0..workers).map(|_| Rounds::default()).collect(),
            keys: Mutex::default(),
            origins: Origins::default(),
            unknown: Mutex::default(),
            beats: (0..workers).map(|_| AtomicU64::new(0)).collect(),
        };
        shared.note_loaded();
        shared
    }

    /// The current configuration.
    pub(super) fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the configuration.
    pub(super) fn replace(&self, settings: Settings) {
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
        self.note_loaded();
    }

    /// Ends all decisions.
    pub(super) fn end(&self) {
        self.over.send_replace(true);
    }

    /// Waits until there are no more decisions.
    pub(super) async fn is_over(&self) {
        let mut over = self.over.subscribe();
        // It ends with the sender, which is here.
        let _ = over.wait_for(|is_over| *is_over).await;
    }

    fn note_loaded(&self) {
        let now = self.guard.clock().now().as_second();
        self.config_loaded.store(u64::try_from(now).unwrap_or(0), Ordering::Relaxed);
    }

    /// The code of the error that prevented a decision, and its message.
    pub(super) fn told(&self, error: &VerifyError) -> (&'static str, String) {
        match error {
            VerifyError::Store(error) => (self.api.code_of(error), error.to_string()),
            VerifyError::Overloaded => ("overloaded", error.to_string()),
            _ => ("internal", error.to_string()),
        }
    }

    /// Checks that the store has what the policies of a configuration require.
    ///
    /// # Errors
    /// If it does not, or cannot be read.
    pub(super) fn check_against_store(&self, config: &Config) -> Result<(), Unfit> {
        let turn = self.guard.gate().turn()?;
        let view = turn.view().map_err(|error| match error {
            VerifyError::Store(error) => Unfit::Store(error),
            error => Unfit::Config(ConfigError::new(error.to_string())),
        })?;
        config.check_in(&view)
    }

    /// Checks whether the store can be read, and logs any change in that.
    pub(super) fn look_at_store(&self) -> Result<(), &'static str> {
        let Err(error) = self.guard.gate().turn() else {
            self.note_store(Ok(()));
            return Ok(());
        };
        let code = self.api.code_of(&error);
        self.note_store(Err((code, &error)));
        Err(code)
    }

    /// Records whether the store can be read, and logs any change in that.
    pub(super) fn note_store(&self, found: Result<(), (&'static str, &StoreError)>) {
        let mut known = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        let code = found.map_err(|(code, _)| code);
        if *known == code {
            return;
        }
        *known = code;
        drop(known);
        match found {
            Ok(()) => self.log.event("info", "store_recovered", &[]),
            Err((code, error)) => {
                let fields = [("code", code.into()), ("message", error.to_string().into())];
                self.log.event("error", "store_error", &fields);
            }
        }
    }
}
