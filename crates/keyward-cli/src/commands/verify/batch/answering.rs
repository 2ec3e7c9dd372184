//! Asks the gate about the lines of a chunk, and writes the answers.
//!
//! All lines of a chunk are asked before the first is waited for, so that the hashes of one chunk use every processor.

use std::sync::mpsc::{Receiver, SyncSender};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

use super::super::answer::exit_of;
use super::document::Documents;
use super::question::{self, WrongJson};
use super::{Answered, Chunk};
use crate::error::{Error, Exit};
use crate::session::Clock;
use keyward_core::rules::credential::{Accepted, trimmed_bytes};
use keyward_core::rules::decision::Request;
use keyward_core::rules::time::whole_seconds;
use keyward_core::store::Uses;
use keyward_core::verifier::{Answer, Gate, Turn, Verdict};

/// The result of a line so far.
type Asked = Result<(Request, Verdict), Error>;

/// Answers chunks until no more come.
pub(super) fn work(
    gate: &Gate,
    asked: &Mutex<Receiver<Chunk>>,
    answers: &SyncSender<Answered>,
    clock: &Clock,
    accepted: Accepted,
    quiet: bool,
) {
    let mut documents = Documents::new(whole_seconds(clock()));
    loop {
        let next = asked.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(chunk) = next else { return };
        let mut answered = Answered { chunk, uses: Uses::default(), renewals: vec![], worst: Exit::DONE };
        // Rates need fractions of a second.
        let exact = clock();
        documents.look_at_the_clock(whole_seconds(exact));
        answer(gate, accepted, exact, &mut documents, &mut answered);
        if quiet {
            answered.chunk.room.output.clear();
        }
        if answers.send(answered).is_err() {
            return;
        }
    }
}

fn answer(gate: &Gate, accepted: Accepted, now: Timestamp, documents: &mut Documents, answered: &mut Answered) {
    let input = std::mem::take(&mut answered.chunk.room.input);
    let lines = std::mem::take(&mut answered.chunk.room.lines);
    answered.chunk.room.output.clear();
    let mut turn = gate.turn().map_err(Error::from);
    let is_exposed = turn.as_ref().is_ok_and(|turn| turn.exposure().is_some());
    // From the first line that has to be waited for.
    let mut waiting: Vec<(u64, Asked)> = vec![];
    let mut writer = Writer { answered, documents, is_exposed, now };
    for (line, place) in &lines {
        let text = trimmed_bytes(&input[place.clone()]);
        if text.trim_ascii().is_empty() {
            continue;
        }
        let asked = match &mut turn {
            Ok(turn) => ask(turn, accepted, text, now),
            // Once more, only for this line: the store may have been replaced by now.
            Err(_) => gate.turn().map_err(Error::from).and_then(|mut turn| ask(&mut turn, accepted, text, now)),
        };
        if waiting.is_empty() && !matches!(asked, Ok((_, Verdict::Hashing(_)))) {
            writer.finish(*line, asked);
        } else {
            waiting.push((*line, asked));
        }
    }
    drop(turn);
    for (line, asked) in waiting {
        writer.finish(line, asked);
    }
    let room = &mut writer.answered.chunk.room;
    (room.input, room.lines) = (input, lines);
}

fn ask(turn: &mut Turn, accepted: Accepted, text: &[u8], now: Timestamp) -> Asked {
    let (credential, request) = question::read(turn, accepted, text)?;
    let verdict = turn.ask(credential, &request, now);
    Ok((request, verdict))
}

/// Writes answers into the output of a chunk.
struct Writer<'w> {
    answered: &'w mut Answered,
    documents: &'w mut Documents,
    /// Whether others can read or write the store.
    is_exposed: bool,
    now: Timestamp,
}

impl Writer<'_> {
    fn finish(&mut self, line: u64, asked: Asked) {
        let answered = asked.and_then(|(request, verdict)| Ok((verdict.wait()?, request)));
        match answered {
            Ok((answer, request)) => self.write(line, answer, &request),
            Err(error) => self.write_error(line, &error),
        }
    }

    fn write(&mut self, line: u64, mut answer: Answer, request: &Request) {
        let answered = &mut *self.answered;
        answered.worst = answered.worst.worse(exit_of(&answer.decision));
        if let Some((key, call)) = answer.call() {
            answered.uses.add(&key.id, call, whole_seconds(self.now), request.ip);
        }
        if self.is_exposed {
            answer.warnings.push("store_permissions");
        }
        self.documents.write(line, &answer, request, &mut answered.chunk.room.output);
        if answer.wants_renewal() {
            answered.renewals.push(answer);
        }
    }

    fn write_error(&mut self, line: u64, error: &Error) {
        let answered = &mut *self.answered;
        answered.worst = answered.worst.worse(error.exit());
        let output = &mut answered.chunk.room.output;
        let _ = serde_json::to_writer(&mut *output, &WrongJson::new(line, error));
        output.push(b'\n');
    }
}
