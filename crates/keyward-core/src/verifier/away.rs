//! Connections to a server, for programs that answer many questions at once.
//!
//! Signing in to a server takes several round trips, and a question that waited for that on an event loop would hold up
//! all others. So a separate thread makes connections. Until a new one is ready, the questions share the existing ones.
//! A connection that the server closed while idle is replaced in the same way. While the server is away, all questions
//! fail at once: otherwise each would find out for itself, one after another.

use std::path::{Path, PathBuf};
use std::sync::{PoisonError, Weak};
use std::thread;
use std::time::Duration;

use super::connections::{Connections, Idle, lock};
use super::reader::Reader;
use crate::store::{BUSY_TIMEOUT, StoreError};

/// The longest wait for a connection.
const LONGEST: Duration = Duration::from_millis(800);
/// How often a waiting question is woken at most, only to find that others were faster.
const TURNS: u32 = 64;
/// The pause after a failed attempt to connect, while the server is away.
const PAUSE: Duration = Duration::from_millis(100);
/// What to do if a server does not answer.
const REMEDY: &str = "see whether the server is up";

/// Why a server is away, or not trusted.
#[derive(Debug, Clone)]
pub(super) enum Lost {
    /// It does not answer.
    Away { path: PathBuf, detail: String, remedy: &'static str },
    /// It has lost changes that were seen before.
    Rewound(PathBuf),
}

impl Lost {
    /// What the error says about the server, if anything.
    fn of(error: &StoreError) -> Option<Self> {
        match error {
            StoreError::Server { path, detail, remedy } => {
                Some(Self::Away { path: path.clone(), detail: detail.clone(), remedy })
            }
            StoreError::Rewound(path) => Some(Self::Rewound(path.clone())),
            _ => None,
        }
    }

    fn away(path: &Path, detail: &str) -> Self {
        Self::Away { path: path.to_owned(), detail: detail.to_owned(), remedy: REMEDY }
    }

    pub(super) fn error(&self) -> StoreError {
        match self.clone() {
            Self::Away { path, detail, remedy } => StoreError::Server { path, detail, remedy },
            Self::Rewound(path) => StoreError::Rewound(path),
        }
    }
}

impl Connections {
    /// A connection that is free now, or in a moment.
    pub(super) fn free_soon(&self) -> Result<Reader, StoreError> {
        let mut idle = lock(&self.idle);
        for _ in 0..TURNS {
            if let Some(lost) = &idle.lost {
                return Err(lost.error());
            }
            while let Some(reader) = idle.readers.pop() {
                if reader.store().is_connected() {
                    return Ok(reader);
                }
                idle.stale.push(reader.stale(&Lost::away(&self.path, "it closed the connection")));
            }
            self.connect(&mut idle);
            let (woken, waited) = self.returned.wait_timeout(idle, LONGEST).unwrap_or_else(PoisonError::into_inner);
            idle = woken;
            if idle.lost.is_none() && idle.readers.is_empty() {
                if self.connected() == 0 && !idle.is_connecting {
                    // The new attempt finds out why there could be none.
                    drop(idle);
                    return self.made_here();
                }
                if waited.timed_out() {
                    break;
                }
            }
        }
        Err(Lost::away(&self.path, "no connection to it is free").error())
    }

    /// Records an error, which this reader met, if one is given. If the error says that the server is away, its
    /// connections are given up, and another one is made in the background.
    pub(super) fn note_loss(&self, error: &StoreError, reader: Option<Reader>) {
        let Some(lost) = Lost::of(error).filter(|_| self.reconnects_beside) else {
            if let Some(reader) = reader {
                self.give_back(reader);
            }
            return;
        };
        let mut idle = lock(&self.idle);
        idle.retire(reader, &lost);
        self.connect(&mut idle);
        // Without a thread for that, each question finds out for itself.
        idle.lost = Some(lost).filter(|_| idle.is_connecting);
        self.returned.notify_all();
    }

    /// Makes a connection in the background, unless one is being made.
    fn connect(&self, idle: &mut Idle) {
        if idle.is_connecting {
            return;
        }
        let own = self.own.clone();
        let started = thread::Builder::new().name("keyward-connect".to_owned()).spawn(move || connect(&own));
        idle.is_connecting = started.is_ok();
    }

    /// Tries once to make a connection, and returns whether to try again: while the server is away.
    fn try_to_connect(&self) -> bool {
        // No question waits only for this one, so it may take its time.
        let mut way = lock(&self.way).clone();
        way.wait_for(BUSY_TIMEOUT);
        let times = self.times();
        let made = way.open().and_then(|store| self.welcome(store, times));
        let mut idle = lock(&self.idle);
        let was_lost = idle.lost.take();
        idle.lost = match made {
            Ok(()) => None,
            Err(StoreError::Locked(_)) => was_lost,
            // While others are connected, failing to make one more says nothing about them.
            Err(error) => Lost::of(&error).filter(|_| was_lost.is_some() || self.connected() == 0),
        };
        idle.is_connecting = idle.lost.is_some();
        self.returned.notify_all();
        idle.is_connecting
    }
}

fn connect(connections: &Weak<Connections>) {
    while let Some(connections) = connections.upgrade() {
        if !connections.try_to_connect() {
            return;
        }
        drop(connections);
        thread::sleep(PAUSE);
    }
}
