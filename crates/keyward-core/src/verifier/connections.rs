//! The connections of one gate to its store: connections for reading, one of which each thread borrows for a moment,
//! and those of its recorders.
//!
//! What may break: another file takes the store's path. The first thread to notice has all connections to the former
//! file closed before it opens the new one, because SQLite would read the new file with its knowledge of the former.
//! Questions in between get the error that the store is locked, which is not a yes.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use super::away::Lost;
use super::epoch::{Commits, Written};
use super::limits::Meters;
use super::reader::Reader;
use super::rows::Rows;
use crate::store::{Store, StoreError, Way};

/// The longest time to try to open another file, and the pause after the last attempt, in which others have a turn.
const TRYING: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(2);

/// The connection of a recorder, while it has one.
pub(super) type Slot = Mutex<Option<Store>>;

pub(super) struct Connections {
    pub(super) path: PathBuf,
    pub(super) commits: Commits,
    pub(super) rows: Rows,
    pub(super) meters: Meters,
    /// How often a reader found the store changed.
    changes: AtomicU64,
    pub(super) way: Mutex<Way>,
    /// The number of the newest event that any reader has seen.
    newest: AtomicI64,
    /// How long a question may wait for other processes, and how long a write may.
    patience: [Duration; 2],
    is_on_server: bool,
    /// Whether connections to a server are made in the background.
    pub(super) reconnects_beside: bool,
    /// Held by each connected reader, to count them.
    count: Arc<()>,
    /// Notified when a connection is free.
    pub(super) returned: Condvar,
    pub(super) own: Weak<Self>,
    /// Whether the last attempt to open the store ran out of patience because it was locked. Until it can be opened, no
    /// question waits for it again: the next one would wait as long, and so would all those behind it.
    is_locked: AtomicBool,
    /// Idle connections. There are as many as were ever needed at once.
    pub(super) idle: Mutex<Idle>,
    recorders: Mutex<Vec<Weak<Slot>>>,
}

pub(super) struct Idle {
    pub(super) readers: Vec<Reader>,
    /// Readers whose connections were lost: they know the state at that time.
    pub(super) stale: Vec<Reader>,
    /// How often another file was found at the path.
    files: u64,
    /// How often the connections to the server were lost.
    losses: u64,
    /// Why there is no connection, while the server is away.
    pub(super) lost: Option<Lost>,
    /// Whether one is being made in the background.
    pub(super) is_connecting: bool,
}

/// How often another file was found, and how often connections were lost, when work on a connection began: after the
/// next time, the connection is useless.
#[derive(Clone, Copy)]
pub(super) struct Times {
    files: u64,
    losses: u64,
}

impl Idle {
    /// Stops the use of any connection that may be lost, including this reader's.
    pub(super) fn retire(&mut self, reader: Option<Reader>, lost: &Lost) {
        self.losses += 1;
        let files = self.files;
        let retired = std::mem::take(&mut self.readers).into_iter().chain(reader);
        self.stale.extend(retired.filter(|reader| reader.file() == files).map(|reader| reader.stale(lost)));
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Connections {
    pub(super) fn new(
        mut store: Store,
        patience: [Duration; 2],
        reconnects_beside: bool,
    ) -> Result<Arc<Self>, StoreError> {
        store.wait_for(patience[0]);
        let (path, way) = (store.path().to_owned(), Mutex::new(store.way()));
        let is_on_server = store.is_on_server();
        let newest = store.known_head().map_or(0, |head| head.seq);
        let count = Arc::new(());
        let readers = vec![Reader::after(0, &count, store, 0)?];
        let idle = Mutex::new(Idle { readers, stale: vec![], files: 0, losses: 0, lost: None, is_connecting: false });
        Ok(Arc::new_cyclic(|own| Self {
            reconnects_beside: reconnects_beside && is_on_server,
            count,
            returned: Condvar::new(),
            own: own.clone(),
            path,
            newest: AtomicI64::new(newest),
            commits: Commits::default(),
            rows: Rows::new(),
            meters: Meters::default(),
            changes: AtomicU64::new(0),
            way,
            patience,
            is_on_server,
            is_locked: AtomicBool::new(false),
            idle,
            recorders: Mutex::default(),
        }))
    }

    /// A connection, with what was read through it, as of now.
    pub(super) fn take(&self) -> Result<Reader, StoreError> {
        let mut reader = if self.reconnects_beside {
            self.free_soon()?
        } else {
            let free = lock(&self.idle).readers.pop();
            free.map_or_else(|| self.made_here(), Ok)?
        };
        // What others saw before this check must be there.
        if reader.store().known_head().is_none_or(|head| head.seq < self.newest.load(Ordering::Acquire)) {
            reader.adopt(&lock(&self.way));
        }
        match reader.look(&self.commits, &self.changes) {
            Ok(true) => Ok(reader),
            Ok(false) => {
                self.learn(reader.store());
                Ok(reader)
            }
            Err(StoreError::Replaced(_)) => {
                let files = self.give_up_others();
                drop(reader);
                let mut reader = Reader::new(self.open_soon()?, files)?;
                reader.look(&self.commits, &self.changes)?;
                Ok(reader)
            }
            Err(error @ StoreError::Rewound(_)) => {
                // Only what was known of it is kept: an open connection would hinder its repair.
                self.give_up_others();
                self.note_loss(&error, None);
                Err(error)
            }
            Err(error) => {
                self.note_loss(&error, Some(reader));
                Err(error)
            }
        }
    }

    fn learn(&self, store: &Store) {
        let mut way = lock(&self.way);
        way.learn(store);
        self.newest.store(way.newest(), Ordering::Release);
    }

    /// One more connection, made by the thread that needs it.
    pub(super) fn made_here(&self) -> Result<Reader, StoreError> {
        let times = self.times();
        let opened = self.open().and_then(|store| self.reader(store, times));
        opened.inspect_err(|error| self.note_loss(error, None))
    }

    /// How many readers are connected, as far as is known.
    pub(super) fn connected(&self) -> usize {
        Arc::strong_count(&self.count) - 1
    }

    pub(super) fn give_back(&self, reader: Reader) {
        let mut idle = lock(&self.idle);
        if reader.file() != idle.files {
            return;
        }
        if reader.stale.is_some() {
            if idle.lost.is_some() {
                idle.stale.push(reader);
            }
        } else if reader.lost == idle.losses {
            idle.readers.push(reader);
            self.returned.notify_one();
        }
    }

    /// A reader with what was read before the connection to the server was lost; `None` if it is not lost, or if all
    /// such readers are in use.
    pub(super) fn take_stale(&self) -> Option<Reader> {
        let mut idle = lock(&self.idle);
        if idle.lost.is_some() { idle.stale.pop() } else { None }
    }

    /// Takes over a connection that was made in the background.
    pub(super) fn welcome(&self, mut store: Store, times: Times) -> Result<(), StoreError> {
        store.wait_for(self.patience[0]);
        self.learn(&store);
        let reader = self.reader(store, times)?;
        lock(&self.idle).stale.clear();
        self.give_back(reader);
        Ok(())
    }

    fn reader(&self, store: Store, Times { files, losses }: Times) -> Result<Reader, StoreError> {
        Reader::after(losses, &self.count, store, files)
    }

    /// What has to be known before a connection is made.
    pub(super) fn times(&self) -> Times {
        let Idle { files, losses, .. } = *lock(&self.idle);
        Times { files, losses }
    }

    /// A slot for the connection of a recorder.
    pub(super) fn slot(&self) -> Result<Arc<Slot>, StoreError> {
        let slot = Arc::new(Mutex::new(Some(self.open_to_write()?)));
        let mut recorders = lock(&self.recorders);
        recorders.retain(|slot| slot.strong_count() > 0);
        recorders.push(Arc::downgrade(&slot));
        Ok(slot)
    }

    /// Runs `write` on the connection in the slot.
    pub(super) fn write<T, E: From<StoreError>>(
        &self,
        slot: &Slot,
        write: impl FnOnce(&mut Store) -> Result<T, E>,
    ) -> Result<T, E> {
        let files = lock(&self.idle).files;
        let written = self.write_by(slot, write);
        // A thread that gave up the others meanwhile did not wait for this one.
        if lock(&self.idle).files != files {
            *lock(slot) = None;
        }
        written
    }

    fn write_by<T, E: From<StoreError>>(
        &self,
        slot: &Slot,
        write: impl FnOnce(&mut Store) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut own = lock(slot);
        let mut store = match own.take() {
            Some(store) => store,
            None => self.open_to_write()?,
        };
        if let Err(error) = store.refresh() {
            if !matches!(error, StoreError::Replaced(_)) {
                *own = Some(store);
                return Err(error.into());
            }
            // A thread that gives up the others waits for this slot.
            drop(own);
            self.give_up_others();
            drop(store);
            store = self.open_soon()?;
            store.wait_for(self.patience[1]);
            own = lock(slot);
        }
        let written = write(&mut store);
        *own = Some(store);
        written
    }

    /// How often counts are written: a file belongs to one machine, but hosts that share limits on a server must learn
    /// soon what was taken of them.
    pub(super) fn writes_every(&self) -> Duration {
        if self.is_on_server { Duration::from_millis(100) } else { Duration::from_secs(1) }
    }

    /// Which of the files that were at the path is the current one.
    pub(super) fn file(&self) -> u64 {
        lock(&self.idle).files
    }

    /// Records that a recorder has written, and whether others had written since its last time.
    pub(super) fn finish(&self, written: Written, saw_others: bool) {
        self.commits.finish(written.clone(), saw_others);
        self.rows.learn(&written);
    }

    fn open(&self) -> Result<Store, StoreError> {
        self.note(self.try_to_open(self.patience[0]))
    }

    fn try_to_open(&self, patience: Duration) -> Result<Store, StoreError> {
        let was_locked = self.is_locked.load(Ordering::Relaxed);
        let patience = if was_locked { Duration::ZERO } else { patience };
        let mut store = if self.is_on_server {
            // One connection does not wait for what another waits for.
            let mut way = lock(&self.way).clone();
            way.wait_for(patience);
            let store = way.open()?;
            self.learn(&store);
            store
        } else {
            let mut way = lock(&self.way);
            way.wait_for(patience);
            way.open()?
        };
        store.wait_for(self.patience[0]);
        Ok(store)
    }

    /// Records whether the store was locked when it was opened.
    fn note(&self, found: Result<Store, StoreError>) -> Result<Store, StoreError> {
        self.is_locked.store(matches!(found, Err(StoreError::Locked(_))), Ordering::Relaxed);
        found
    }

    fn open_to_write(&self) -> Result<Store, StoreError> {
        // On a server, signing in takes longer than checking; with a file, opening it keeps the others waiting.
        let patience = if self.is_on_server { self.patience[1] } else { self.patience[0] };
        let mut store = self.note(self.try_to_open(patience))?;
        store.wait_for(self.patience[1]);
        Ok(store)
    }

    /// Opens the store when all connections to the former file are closed.
    fn open_soon(&self) -> Result<Store, StoreError> {
        let was_locked = self.is_locked.load(Ordering::Relaxed);
        let most = if was_locked { Duration::ZERO } else { TRYING.min(self.patience[0]) };
        let mut waited = Duration::ZERO;
        loop {
            match self.try_to_open(self.patience[0]) {
                Err(StoreError::Locked(_)) if waited < most => thread::sleep(PAUSE),
                found => return self.note(found),
            }
            waited += PAUSE;
        }
    }

    /// Has all connections to the current file closed as soon as they are idle, and returns the number of the next
    /// file.
    fn give_up_others(&self) -> u64 {
        let files = {
            let mut idle = lock(&self.idle);
            idle.readers.clear();
            idle.files += 1;
            idle.files
        };
        let slots: Vec<_> = lock(&self.recorders).iter().filter_map(Weak::upgrade).collect();
        for slot in slots {
            // A connection that is writing may wait for others, and is closed afterwards.
            if let Ok(mut slot) = slot.try_lock() {
                *slot = None;
            }
        }
        files
    }
}
