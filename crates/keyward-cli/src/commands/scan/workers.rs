//! Searches many files at once, and reports the findings in order.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, SyncSender};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::sources::{Buffer, Sighting, Source, Walk, look_through};

/// How many files a worker may be ahead of the report.
const AHEAD: usize = 10_000;
/// How many secrets may wait for earlier files. Those of the file being reported never wait.
const WAITING: usize = 100_000;
/// How many secrets are passed on at once.
const BATCH: usize = 100;
/// How many files without secrets are passed on at once: most have none, and reading one is faster than sending a
/// message.
const FINISHED: usize = 64;

/// News about a file.
pub(super) enum News {
    /// These secrets were found in it, and there may be more.
    Found(Vec<Sighting>),
    /// It could not be read, or not to its end.
    Unread(io::Error),
}

/// How many files were searched.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Looked {
    pub(super) files: u64,
    /// How many of these were compressed, and not searched.
    pub(super) compressed: u64,
}

/// How a file ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Read,
    /// Compressed, and not searched.
    Compressed,
    Unread,
}

enum Message {
    News(usize, PathBuf, News),
    /// There is no more news about these files.
    Finished(Vec<(usize, End)>),
}

/// A file and its number, or what could not be opened.
type Next = (usize, Result<Source, (PathBuf, io::Error)>);

struct State {
    walk: Walk,
    /// How many files were taken, and how many were reported.
    taken: usize,
    told: usize,
    /// Secrets that were found and not reported yet.
    waiting: usize,
    is_over: bool,
}

struct Shared {
    state: Mutex<State>,
    has_moved: Condvar,
}

/// The receiver is gone.
struct Deaf;

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything before the file `now` was reported, and there is `room` for this many secrets again.
    fn tell_progress(&self, now: usize, room: usize) {
        let mut state = self.state();
        let has_moved = now > state.told || room > 0;
        state.told = now;
        state.waiting -= room;
        drop(state);
        if has_moved {
            self.has_moved.notify_all();
        }
    }

    /// Waits until a worker may continue. Others may wait for news that it has not sent yet, so it sends that first.
    fn wait_while(
        &self,
        worker: &mut Worker<'_>,
        is_held: impl Fn(&State) -> bool,
    ) -> Result<MutexGuard<'_, State>, Deaf> {
        let is_held = |state: &State| is_held(state) && !state.is_over;
        if is_held(&self.state()) {
            worker.tell_finished()?;
        }
        Ok(self.has_moved.wait_while(self.state(), |state| is_held(state)).unwrap_or_else(PoisonError::into_inner))
    }

    /// The next file and its number.
    fn next(&self, worker: &mut Worker<'_>) -> Result<Option<Next>, Deaf> {
        let mut state = self.wait_while(worker, |state| state.taken >= state.told + AHEAD)?;
        let next = if state.is_over { None } else { state.walk.next() };
        let number = state.taken;
        state.taken += usize::from(next.is_some());
        Ok(next.map(|next| (number, next)))
    }

    /// Waits until there is room for secrets of this file.
    fn make_room(&self, number: usize, worker: &mut Worker<'_>) -> Result<(), Deaf> {
        self.wait_while(worker, |state| state.waiting >= WAITING && state.told != number)?.waiting += BATCH;
        Ok(())
    }

    /// Searches files until there are none left, or the receiver is gone.
    fn work(&self, messages: &SyncSender<Message>) -> Result<(), Deaf> {
        let mut worker = Worker { messages, finished: vec![] };
        let mut buffer = Buffer::new();
        while let Some((number, next)) = self.next(&mut worker)? {
            let (path, read) = match next {
                Ok(source) => {
                    let read = worker.look(self, number, &source, &mut buffer);
                    (source.path, read)
                }
                Err((path, error)) => (path, Err(error)),
            };
            let end = match read {
                Ok(false) => End::Read,
                Ok(true) => End::Compressed,
                Err(error) => {
                    worker.tell(Message::News(number, path, News::Unread(error)))?;
                    End::Unread
                }
            };
            worker.finished.push((number, end));
            if worker.finished.len() >= FINISHED {
                worker.tell_finished()?;
            }
        }
        worker.tell_finished()
    }
}

/// A searching thread.
struct Worker<'w> {
    messages: &'w SyncSender<Message>,
    finished: Vec<(usize, End)>,
}

impl Worker<'_> {
    fn tell(&self, message: Message) -> Result<(), Deaf> {
        self.messages.send(message).map_err(|_| Deaf)
    }

    fn tell_finished(&mut self) -> Result<(), Deaf> {
        let finished = std::mem::take(&mut self.finished);
        if finished.is_empty() { Ok(()) } else { self.tell(Message::Finished(finished)) }
    }

    /// Searches a file, and reports what is in it. Returns whether it is compressed.
    fn look(&mut self, shared: &Shared, number: usize, source: &Source, buffer: &mut Buffer) -> io::Result<bool> {
        let Some(mut file) = source.open()? else { return Ok(false) };
        let mut batch = vec![];
        let mut tell = |batch| {
            shared.make_room(number, self)?;
            self.tell(Message::News(number, source.path.clone(), News::Found(batch)))
        };
        let deaf = |Deaf| io::Error::from(io::ErrorKind::BrokenPipe);
        let read = look_through(&mut file, buffer, &mut |sighting| {
            batch.push(sighting);
            if batch.len() < BATCH { Ok(()) } else { tell(std::mem::take(&mut batch)).map_err(deaf) }
        });
        if !batch.is_empty() {
            tell(batch).map_err(deaf)?;
        }
        read
    }
}

/// The news about a file so far.
#[derive(Default)]
struct Heard {
    news: Vec<(PathBuf, News)>,
    end: Option<End>,
}

/// Puts the news about files in order.
#[derive(Default)]
struct Order {
    waiting: BTreeMap<usize, Heard>,
    /// The file being reported now.
    now: usize,
    looked: Looked,
}

impl Order {
    fn put(&mut self, message: Message) {
        match message {
            Message::News(number, path, news) => self.waiting.entry(number).or_default().news.push((path, news)),
            Message::Finished(files) => {
                for (number, end) in files {
                    self.waiting.entry(number).or_default().end = Some(end);
                }
            }
        }
    }

    /// Calls `hear` with all news that is next in order, and returns how many secrets there is room for again.
    fn tell<E>(&mut self, mut hear: impl FnMut(&Path, News) -> Result<(), E>) -> Result<usize, E> {
        let mut room = 0;
        while let Some(heard) = self.waiting.get_mut(&self.now) {
            for (path, news) in std::mem::take(&mut heard.news) {
                room += if matches!(news, News::Found(_)) { BATCH } else { 0 };
                hear(&path, news)?;
            }
            let Some(end) = heard.end else { break };
            self.looked.files += u64::from(end != End::Unread);
            self.looked.compressed += u64::from(end == End::Compressed);
            self.waiting.remove(&self.now);
            self.now += 1;
        }
        Ok(room)
    }
}

/// Searches the files of `walk` with `threads` threads, and calls `hear` with the news about each, in order.
///
/// # Errors
/// What `hear` returns; then the rest is not searched.
pub(super) fn in_order<E>(
    walk: Walk,
    threads: usize,
    mut hear: impl FnMut(&Path, News) -> Result<(), E>,
) -> Result<Looked, E> {
    let shared = Shared {
        state: Mutex::new(State { walk, taken: 0, told: 0, waiting: 0, is_over: false }),
        has_moved: Condvar::new(),
    };
    let (sender, receiver) = mpsc::sync_channel(threads * 4);
    thread::scope(|scope| {
        let mut workers = 0;
        while workers < threads.max(1) {
            let (shared, sender) = (&shared, sender.clone());
            let work = move || drop(shared.work(&sender));
            let started =
                keyward_core::has_room_for_a_thread() && thread::Builder::new().spawn_scoped(scope, work).is_ok();
            // If the process may not start another thread, the ones that run do all the work.
            if !started {
                break;
            }
            workers += 1;
        }
        drop(sender);
        if workers == 0 {
            let refused = io::Error::new(io::ErrorKind::OutOfMemory, "the system gives no thread to read it with");
            hear(Path::new("everything"), News::Unread(refused))?;
        }
        let mut order = Order::default();
        let told = receiver.iter().try_for_each(|message| {
            order.put(message);
            let room = order.tell(&mut hear)?;
            shared.tell_progress(order.now, room);
            Ok(())
        });
        shared.state().is_over = true;
        shared.has_moved.notify_all();
        drop(receiver);
        told.map(|()| order.looked)
    })
}
