//! A server that is away, for those who answer many at once.
//!
//! Whoever asks waits on an event loop, and those behind them wait as well. So a connection that was lost is made again
//! beside them, on a thread of its own, and until then all are told at once that nothing can be checked. Without that, each
//! of them would find out for itself, one after the other.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use super::connections::{Connections, lock};
use super::reader::Reader;
use crate::store::{BUSY_TIMEOUT, StoreError};

/// How long after an attempt that failed the next one begins.
const PAUSE: Duration = Duration::from_millis(100);

/// Why a server is away.
#[derive(Debug, Clone)]
pub(super) struct Lost {
    path: PathBuf,
    detail: String,
    remedy: &'static str,
}

impl Lost {
    /// What the error tells of a server that is away, if it does.
    fn of(error: &StoreError) -> Option<Self> {
        match error {
            StoreError::Server { path, detail, remedy } => {
                Some(Self { path: path.clone(), detail: detail.clone(), remedy })
            }
            _ => None,
        }
    }

    fn new(path: &Path, detail: &str) -> Self {
        Self { path: path.to_owned(), detail: detail.to_owned(), remedy: "see whether the server is up" }
    }

    pub(super) fn error(&self) -> StoreError {
        let Self { path, detail, remedy } = self.clone();
        StoreError::Server { path, detail, remedy }
    }
}

impl Connections {
    /// Of a connection that was found closed.
    pub(super) fn closed(&self) -> Lost {
        Lost::new(&self.path, "it closed the connection")
    }

    /// Where no connection became free.
    pub(super) fn no_answer(&self) -> Lost {
        Lost::new(&self.path, "no connection to it is free")
    }

    /// Refuses, while the server is away.
    pub(super) fn check_here(&self) -> Result<(), StoreError> {
        if !self.is_away.load(Ordering::Acquire) {
            return Ok(());
        }
        lock(&self.lost).as_ref().map_or(Ok(()), |lost| Err(lost.error()))
    }

    /// Takes note of an error, which was met by this reader if there was one: where it tells that the server is away, its
    /// connections are given up, and another one is made beside the questions.
    pub(super) fn note_loss(&self, error: &StoreError, reader: Option<Reader>) {
        let lost = Lost::of(error).filter(|_| self.reconnects_beside);
        let Some(lost) = lost else {
            if let Some(reader) = reader {
                self.give_back(reader);
            }
            return;
        };
        *lock(&self.lost) = Some(lost.clone());
        self.retire_readers(reader, &lost);
        let was_away = self.is_away.swap(true, Ordering::AcqRel);
        self.returned.notify_all();
        if was_away {
            return;
        }
        let own = self.own.clone();
        let started = thread::Builder::new().name("keyward-connect".to_owned()).spawn(move || connect_again(&own));
        // Without a thread, each question finds out for itself.
        if started.is_err() {
            self.is_away.store(false, Ordering::Release);
        }
    }

    /// Tries once, and returns whether another attempt is of use.
    fn try_to_come_back(&self) -> bool {
        // Nobody waits for this one.
        let mut way = lock(&self.way).clone();
        way.wait_for(BUSY_TIMEOUT);
        let error = way.open().and_then(|store| self.welcome(store)).err();
        match error.as_ref().map(|error| (Lost::of(error), error)) {
            Some((Some(lost), _)) => *lock(&self.lost) = Some(lost),
            Some((None, StoreError::Locked(_))) => {}
            // What else is wrong, who asks next finds out.
            None | Some(_) => {
                self.is_away.store(false, Ordering::Release);
                return false;
            }
        }
        true
    }
}

fn connect_again(connections: &Weak<Connections>) {
    loop {
        let Some(connections) = Weak::upgrade(connections) else { return };
        if !Arc::as_ref(&connections).try_to_come_back() {
            return;
        }
        drop(connections);
        thread::sleep(PAUSE);
    }
}
