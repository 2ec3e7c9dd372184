//! Looks through many files at once, and tells what was found in their order.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, SyncSender};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::sources::{Sighting, Walk, look_through};

/// A worker is never further ahead of what was told than this many files.
const AHEAD: usize = 1_000;
/// So many secrets are passed on at once.
const BATCH: usize = 100;

/// What comes of a file.
pub(super) enum News {
    /// These were found in it, and there may be more.
    Found(Vec<Sighting>),
    /// All of it was looked through. What is compressed was not looked into.
    Done { is_compressed: bool },
    /// It could not be read, or not to its end.
    Unread(io::Error),
}

struct State {
    walk: Walk,
    /// How many files were taken, and how many were told.
    taken: usize,
    told: usize,
    is_over: bool,
}

struct Shared {
    state: Mutex<State>,
    has_moved: Condvar,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks through files until there are none left, or nobody listens.
    fn work(&self, news: &SyncSender<(usize, PathBuf, News)>) {
        loop {
            let mut state = self.state();
            while state.taken >= state.told + AHEAD && !state.is_over {
                state = self.has_moved.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            let next = if state.is_over { None } else { state.walk.next() };
            let Some(next) = next else { return };
            let number = state.taken;
            state.taken += 1;
            drop(state);
            let tell = |path: &Path, what| {
                news.send((number, path.to_owned(), what)).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
            };
            let (path, end) = match next {
                Ok(source) => {
                    let mut batch = vec![];
                    let read = source.open().and_then(|file| {
                        let Some(mut file) = file else { return Ok(false) };
                        look_through(&mut file, &mut |sighting| {
                            batch.push(sighting);
                            if batch.len() < BATCH {
                                return Ok(());
                            }
                            tell(&source.path, News::Found(std::mem::take(&mut batch)))
                        })
                    });
                    if !batch.is_empty() && tell(&source.path, News::Found(batch)).is_err() {
                        return;
                    }
                    (source.path, read.map_or_else(News::Unread, |is_compressed| News::Done { is_compressed }))
                }
                Err((path, error)) => (path, News::Unread(error)),
            };
            if tell(&path, end).is_err() {
                return;
            }
        }
    }
}

/// Looks through the files of `walk` with `threads` threads, and calls `hear` with what comes of each, in their order.
///
/// # Errors
/// What `hear` returns; then the rest is not looked through.
pub(super) fn in_order<E>(
    walk: Walk,
    threads: usize,
    mut hear: impl FnMut(&Path, News) -> Result<(), E>,
) -> Result<(), E> {
    let shared =
        Shared { state: Mutex::new(State { walk, taken: 0, told: 0, is_over: false }), has_moved: Condvar::new() };
    let (sender, receiver) = mpsc::sync_channel(threads * 4);
    thread::scope(|scope| {
        let mut workers = 0;
        while workers < threads.max(1) {
            let (shared, sender) = (&shared, sender.clone());
            // Where the limits of the process have no room for another one, those that there are do all of it.
            let started = keyward_core::has_room_for_a_thread()
                && thread::Builder::new().spawn_scoped(scope, move || shared.work(&sender)).is_ok();
            if !started {
                break;
            }
            workers += 1;
        }
        drop(sender);
        if workers == 0 {
            let refused = io::Error::new(io::ErrorKind::OutOfMemory, "the system gives no thread to read it with");
            return hear(Path::new("everything"), News::Unread(refused));
        }
        let mut waiting: BTreeMap<usize, Vec<(PathBuf, News)>> = BTreeMap::new();
        let mut now = 0;
        let mut told = Ok(());
        for (number, path, news) in &receiver {
            waiting.entry(number).or_default().push((path, news));
            while let Some(all) = waiting.remove(&now) {
                let mut is_done = false;
                for (path, news) in all {
                    is_done |= !matches!(news, News::Found(_));
                    told = told.and_then(|()| hear(&path, news));
                }
                if !is_done {
                    break;
                }
                now += 1;
                shared.state().told = now;
                shared.has_moved.notify_all();
            }
            if told.is_err() {
                break;
            }
        }
        shared.state().is_over = true;
        shared.has_moved.notify_all();
        drop(receiver);
        told
    })
}
