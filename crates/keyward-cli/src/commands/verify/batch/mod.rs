//! `keyward verify --batch`: one JSON question per line, one JSON answer per line, in order.
//!
//! One thread reads ([`reading`]), one per processor asks the gate ([`answering`]), and this one prints and counts
//! ([`printing`]). Questions travel in small chunks. A chunk is read only when there is room for it, and its room is
//! freed when its answers were printed. So memory is bounded, however fast the input and however slow the output: a
//! slow answer delays reading instead of using memory. Uses are counted in groups: once a second, when the input
//! pauses, at the end, and when a signal ends the run.

mod answering;
mod document;
mod printing;
mod question;
mod reading;

#[cfg(feature = "serve")]
pub(in crate::commands) use question::parse;

use std::num::NonZeroUsize;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use zeroize::Zeroizing;

use crate::error::{Code, Error, Exit};
use crate::platform::start_thread;
use crate::session::Session;
use crate::words::no_thread;
use keyward_core::rules::credential::Accepted;
use keyward_core::store::Uses;
use keyward_core::verifier::{Answer, Gate, Options};

/// The most lines in a chunk: few, because each may need an Argon2id hash.
const CHUNK: usize = 64;
/// The most chunks in flight for each asking thread: an answer that waits to be printed gets older.
const ROOMS: usize = 4;

/// The memory for a chunk, which is reused.
#[derive(Default)]
struct Room {
    /// The text of all lines, which holds credentials.
    input: Zeroizing<Vec<u8>>,
    /// The number of each line, and its position in the text.
    lines: Vec<(u64, std::ops::Range<usize>)>,
    /// The answers.
    output: Vec<u8>,
}

/// Lines that belong together.
struct Chunk {
    place: u64,
    bytes: u64,
    room: Room,
}

/// The result of a chunk.
struct Answered {
    chunk: Chunk,
    uses: Uses,
    /// Answers with secrets whose hashes should be renewed.
    renewals: Vec<Answer>,
    worst: Exit,
}

/// The channels between the threads.
struct Ways {
    rooms: (SyncSender<Room>, Receiver<Room>),
    questions: (SyncSender<Chunk>, Receiver<Chunk>),
    answers: (SyncSender<Answered>, Receiver<Answered>),
}

/// Verifies every line of standard input, and counts the uses if `record` says so. A question that does not name the
/// accepted presentations uses `accepted`.
pub(super) fn run(session: &mut Session, accepted: Accepted, record: bool) -> Result<Exit, Error> {
    let stopping = session.interrupts.stoppable();
    let askers = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let mut options = Options::default();
    // Everything that can be in flight at once: no question is ever refused here for lack of a thread.
    options.queue = askers.get() * CHUNK;
    options.takes = record;
    let store = if record { session.store_to_record()? } else { session.existing_store()? };
    // Without a random key, nothing can be cached safely, and nothing is answered.
    let key = session.random().map_err(|error| Error::new(Code::StoreUnwritable, error.message()))?;
    let gate = Gate::new(store, key, options)?;
    let recorder = gate.recorder(session.now())?;

    let rooms = askers.get() * ROOMS;
    let ways = Ways {
        rooms: mpsc::sync_channel(rooms),
        questions: mpsc::sync_channel(rooms),
        answers: mpsc::sync_channel(rooms),
    };
    for _ in 0..rooms {
        let _ = ways.rooms.0.send(Room::default());
    }
    let (stdin, rooms, questions) = (session.terminal.take_stdin(), ways.rooms.1, ways.questions.0);
    let reader = spawn(move || reading::read(stdin, &rooms, &questions))?;
    let asked = Arc::new(Mutex::new(ways.questions.1));
    for number in 0..askers.get() {
        let (gate, asked, answers) = (gate.clone(), Arc::clone(&asked), ways.answers.0.clone());
        let (clock, quiet) = (session.clock(), session.quiet());
        match spawn(move || answering::work(&gate, &asked, &answers, &clock, accepted, quiet)) {
            Err(error) if number == 0 => return Err(error),
            // The threads that did start do all the work.
            Err(_) => break,
            Ok(_) => {}
        }
    }
    drop((gate, ways.answers.0));

    let mut counting = printing::Counting::new(recorder, record);
    let worst = printing::print(session, &mut counting, &stopping, &ways.answers.1, &ways.rooms.0)?;
    if stopping.is_asked_for() {
        return Err(Error::new(Code::Interrupted, "interrupted; what was answered is counted"));
    }
    // Wait only for a reader that has finished: otherwise no one needs what it would read.
    let read = if reader.is_finished() { reader.join().unwrap_or(Ok(())) } else { Ok(()) };
    read.map_err(|error| {
        Error::new(Code::InvalidValue, format!("standard input cannot be read: {error}"))
            .hint("what was read was answered; pipe the rest in again")
    })?;
    Ok(worst)
}

/// Starts a thread.
fn spawn<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> Result<JoinHandle<T>, Error> {
    start_thread(f).map_err(|error| no_thread(&error))
}
