//! Connections to a server, for those who answer many at once.
//!
//! To sign in at a server takes several ways over the network, and whoever asks waits on an event loop, with all others
//! behind them. So a thread of its own makes connections. Until a further one is there, the questions take turns with those
//! that there are; one that the server has closed while nobody used it is replaced in the same way. And while the server
//! is away, all are told so at once: else each of them would find out for itself, one after the other.

use std::path::{Path, PathBuf};
use std::sync::{PoisonError, Weak};
use std::thread;
use std::time::Duration;

use super::connections::{Connections, Idle, lock};
use super::reader::Reader;
use crate::store::{BUSY_TIMEOUT, StoreError};

/// How long somebody waits for a connection at most.
const LONGEST: Duration = Duration::from_millis(800);
/// How often somebody is woken at most and finds that others were faster.
const TURNS: u32 = 64;
/// How long after an attempt that failed the next one begins, while the server is away.
const PAUSE: Duration = Duration::from_millis(100);
/// What to do where a server does not answer.
const REMEDY: &str = "see whether the server is up";

/// Why a server is away, or not believed.
#[derive(Debug, Clone)]
pub(super) enum Lost {
    /// It does not answer.
    Away { path: PathBuf, detail: String, remedy: &'static str },
    /// It has lost changes that were seen before.
    Rewound(PathBuf),
}

impl Lost {
    /// What the error says about the server, if it does.
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
                    // Why there could be none, it finds out itself.
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

    /// Takes note of an error, which was met by this reader if there was one: where it says that the server is away, its
    /// connections are given up, and another one is made beside the questions.
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

    /// Has a connection made beside the questions, unless one is being made.
    fn connect(&self, idle: &mut Idle) {
        if idle.is_connecting {
            return;
        }
        let own = self.own.clone();
        let started = thread::Builder::new().name("keyward-connect".to_owned()).spawn(move || connect(&own));
        idle.is_connecting = started.is_ok();
    }

    /// Tries once to make a connection, and returns whether another attempt is of use: while the server is away.
    fn try_to_connect(&self) -> bool {
        // Nobody waits for this one only, so it may take its time.
        let mut way = lock(&self.way).clone();
        way.wait_for(BUSY_TIMEOUT);
        let times = self.times();
        let made = way.open().and_then(|store| self.welcome(store, times));
        let mut idle = lock(&self.idle);
        let was_lost = idle.lost.take();
        idle.lost = match made {
            Ok(()) => None,
            Err(StoreError::Locked(_)) => was_lost,
            // While others are connected, that no further one can be tells nothing of them.
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
