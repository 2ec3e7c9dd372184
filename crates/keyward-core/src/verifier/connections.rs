//! The connections of one gate to its store: those that read, of which each thread takes one for a moment, and those of
//! its recorders.
//!
//! What may break: another file is put at the path of the store. The first who notices has everybody close their
//! connection to the former one, and only then is the other one opened, because SQLite would read it with what it knows
//! of the former. Who comes in between is told that the store is locked, which is not a yes.

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

/// For how long it is tried to open another file at most, and how long after the last time: others have a turn until
/// then.
const TRYING: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(2);

/// The connection of a recorder, while it has one.
pub(super) type Slot = Mutex<Option<Store>>;

pub(super) struct Connections {
    pub(super) path: PathBuf,
    pub(super) commits: Commits,
    pub(super) rows: Rows,
    pub(super) meters: Meters,
    /// How often a reader has found the store changed.
    changes: AtomicU64,
    pub(super) way: Mutex<Way>,
    /// The number of the newest event that any of them has seen.
    newest: AtomicI64,
    /// How long who asks may wait for others, and how long who writes.
    patience: [Duration; 2],
    is_on_server: bool,
    /// Whether connections to a server are made beside the questions.
    pub(super) reconnects_beside: bool,
    /// Held by each reader that is connected.
    count: Arc<()>,
    /// Told when a connection is free.
    pub(super) returned: Condvar,
    pub(super) own: Weak<Self>,
    /// Whether the last time that the store was opened it was locked for as long as somebody was patient. Until it can
    /// be opened, nobody waits for it again: whoever comes next would wait as long, and all those behind them too.
    is_locked: AtomicBool,
    /// Connections that nobody uses at the moment. There are as many as were ever needed at once.
    pub(super) idle: Mutex<Idle>,
    recorders: Mutex<Vec<Weak<Slot>>>,
}

pub(super) struct Idle {
    pub(super) readers: Vec<Reader>,
    /// Those whose connections were lost: they know what was so then.
    pub(super) stale: Vec<Reader>,
    /// How often another file was found at the path.
    files: u64,
    /// How often the connections to the server were lost.
    losses: u64,
    /// Why there is none, while the server is away.
    pub(super) lost: Option<Lost>,
    /// Whether one is being made beside the questions.
    pub(super) is_connecting: bool,
}

/// How often, by the time that a connection began to be made, another file was found, and the others were lost: it is
/// of no use after the next time.
#[derive(Clone, Copy)]
pub(super) struct Times {
    files: u64,
    losses: u64,
}

impl Idle {
    /// Lets no connection be used any more that may be lost, that of this reader neither.
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
        // What was seen by others before this look must be there.
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
                // What was known of it is kept, and nothing else: it stands in the way of who mends it.
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

    /// A further connection, made by whoever wants it.
    pub(super) fn made_here(&self) -> Result<Reader, StoreError> {
        let times = self.times();
        let opened = self.open().and_then(|store| self.reader(store, times));
        opened.inspect_err(|error| self.note_loss(error, None))
    }

    /// How many readers are connected, as far as anybody knows.
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

    /// What was read before the connection to the server was lost, while it is; `None` where others look at all there is.
    pub(super) fn take_stale(&self) -> Option<Reader> {
        let mut idle = lock(&self.idle);
        if idle.lost.is_some() { idle.stale.pop() } else { None }
    }

    /// Takes in a connection that was made beside the questions.
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

    /// What is to be known before a connection is made.
    pub(super) fn times(&self) -> Times {
        let Idle { files, losses, .. } = *lock(&self.idle);
        Times { files, losses }
    }

    /// A place for the connection of a recorder.
    pub(super) fn slot(&self) -> Result<Arc<Slot>, StoreError> {
        let slot = Arc::new(Mutex::new(Some(self.open_to_write()?)));
        let mut recorders = lock(&self.recorders);
        recorders.retain(|slot| slot.strong_count() > 0);
        recorders.push(Arc::downgrade(&slot));
        Ok(slot)
    }

    /// Lets `write` change the store by the connection of the slot.
    pub(super) fn write<T, E: From<StoreError>>(
        &self,
        slot: &Slot,
        write: impl FnOnce(&mut Store) -> Result<T, E>,
    ) -> Result<T, E> {
        let files = lock(&self.idle).files;
        let written = self.write_by(slot, write);
        // Whoever gave up the others meanwhile did not wait for this one.
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
            // Whoever gives up the others waits for this slot.
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

    /// How often what was counted is written: a file belongs to one machine, and other hosts are to learn soon what was
    /// taken of limits that they share.
    pub(super) fn writes_every(&self) -> Duration {
        if self.is_on_server { Duration::from_millis(100) } else { Duration::from_secs(1) }
    }

    /// Which of the files that were at the path is the present one.
    pub(super) fn file(&self) -> u64 {
        lock(&self.idle).files
    }

    /// A recorder has written, and perhaps somebody else had too since its last time.
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
            // Nobody waits for what another one waits for.
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

    /// Remembers whether it was locked when it was opened.
    fn note(&self, found: Result<Store, StoreError>) -> Result<Store, StoreError> {
        self.is_locked.store(matches!(found, Err(StoreError::Locked(_))), Ordering::Relaxed);
        found
    }

    fn open_to_write(&self) -> Result<Store, StoreError> {
        // On a server, to sign in takes longer than to look; in a file, who opens it keeps the others waiting.
        let patience = if self.is_on_server { self.patience[1] } else { self.patience[0] };
        let mut store = self.note(self.try_to_open(patience))?;
        store.wait_for(self.patience[1]);
        Ok(store)
    }

    /// Opens the store when everybody has closed the former file.
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

    /// Has all connections to the present file closed as soon as they are not used, and returns which the next file is.
    fn give_up_others(&self) -> u64 {
        let files = {
            let mut idle = lock(&self.idle);
            idle.readers.clear();
            idle.files += 1;
            idle.files
        };
        let slots: Vec<_> = lock(&self.recorders).iter().filter_map(Weak::upgrade).collect();
        for slot in slots {
            // Who writes at the moment may wait for others, and closes it afterwards.
            if let Ok(mut slot) = slot.try_lock() {
                *slot = None;
            }
        }
        files
    }
}
