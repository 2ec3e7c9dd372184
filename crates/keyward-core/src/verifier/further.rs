//! Further connections to a server, for those who answer many at once.
//!
//! To sign in at a server takes several ways over the network, and whoever asks waits on an event loop. So a further
//! connection is made beside the questions, and until it is there they take turns with those that there are: each needs
//! one for a moment only. A connection that the server has closed while nobody used it is replaced in the same way.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use super::connections::{Connections, lock};
use super::reader::Reader;
use crate::store::{BUSY_TIMEOUT, StoreError};

/// How long somebody waits for a connection at most.
const LONGEST: Duration = Duration::from_millis(800);
/// How often somebody is woken at most and finds that others were faster.
const TURNS: u32 = 64;

impl Connections {
    /// A connection that is free now, or in a moment.
    pub(super) fn free_soon(&self) -> Result<Reader, StoreError> {
        let mut idle = lock(&self.idle);
        for _ in 0..TURNS {
            while let Some(reader) = idle.readers.pop() {
                if reader.store().is_connected() {
                    return Ok(reader);
                }
                let closed = self.closed();
                idle.stale.push(reader.stale(&closed));
            }
            self.make_another();
            let (woken, waited) = self.returned.wait_timeout(idle, LONGEST).unwrap_or_else(PoisonError::into_inner);
            idle = woken;
            self.check_here()?;
            let there_is_none = idle.readers.is_empty() && self.connected() == 0;
            if there_is_none && !self.is_making.load(Ordering::Acquire) {
                // Why none could be made, it finds out itself.
                drop(idle);
                return self.made_here();
            }
            if waited.timed_out() && idle.readers.is_empty() {
                break;
            }
        }
        Err(self.no_answer().error())
    }

    /// Makes another connection beside the questions, unless one is being made.
    fn make_another(&self) {
        if self.is_making.swap(true, Ordering::AcqRel) {
            return;
        }
        let own = self.own.clone();
        let make = move || {
            let Some(connections) = own.upgrade() else { return };
            // Nobody waits for this one alone.
            let mut way = lock(&connections.way).clone();
            way.wait_for(BUSY_TIMEOUT);
            let made = way.open().and_then(|store| connections.welcome(store));
            // While others are there, that no further one can be made tells nothing of them.
            if let Err(error) = made
                && connections.connected() == 0
            {
                connections.note_loss(&error, None);
            }
            connections.is_making.store(false, Ordering::Release);
            // Whoever is about to wait has seen that one is being made, or is told.
            drop(lock(&connections.idle));
            connections.returned.notify_all();
        };
        if thread::Builder::new().name("keyward-connect".to_owned()).spawn(make).is_err() {
            self.is_making.store(false, Ordering::Release);
        }
    }
}
