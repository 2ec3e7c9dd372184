//! `keyward verify --batch`: a question a line in JSON, an answer a line in JSON, in order.
//!
//! One thread reads, one a processor verifies, and this one prints and counts. Questions travel in small chunks.
//! A chunk may only be read when there is a ticket for it, and its ticket comes back when its answers were printed:
//! so memory is bounded, however fast the input comes and however slowly the output goes, and an answer that
//! takes long holds up the reading, not the memory. Uses are counted in groups: once a second, when nothing more
//! comes, at the end, and when a signal ends the run.

use std::collections::BTreeMap;
use std::io::Read;
use std::net::IpAddr;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{AnswerJson, MOST_INPUT, exit_of, without_line_end};
use crate::error::{Code, Error, Exit};
use crate::session::{Clock, Session};
use keyward_core::rules::address::parse_address;
use keyward_core::rules::credential::parse_line;
use keyward_core::rules::decision::{Method, Request, Transport, WantedRole};
use keyward_core::rules::names::{Level, Name, Scope};
use keyward_core::rules::time::whole_seconds;
use keyward_core::store::{Stamp, Store, Uses};
use keyward_core::verifier::{Answer, Matches, Verifier};

/// Lines in a chunk at most: few, because each may cost an Argon2id.
const CHUNK: usize = 16;
/// Chunks that are on their way at most.
const TICKETS: usize = 64;
/// How long nothing may happen before what was answered is counted.
const COUNT_AFTER: Duration = Duration::from_millis(100);
/// Bytes that are read at once.
const READ: usize = 64 * 1024;
/// A credential, and what may stand around it.
const MOST_LINE: usize = 2 * MOST_INPUT as usize;

/// A question.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question<'q> {
    #[serde(borrow)]
    credential: std::borrow::Cow<'q, str>,
    method: Option<String>,
    ip: Option<String>,
    tenant: Option<String>,
    #[serde(default)]
    scopes: Vec<String>,
    #[serde(default)]
    levels: Vec<String>,
    role: Option<String>,
    transport: Option<String>,
}

type Line = (u64, Zeroizing<Vec<u8>>);

/// Lines that belong together, each with its number.
struct Chunk {
    place: u64,
    lines: Vec<Line>,
    bytes: u64,
}

/// What came of a chunk.
struct Answered {
    place: u64,
    text: Vec<u8>,
    uses: Uses,
    /// Answers with secrets whose hashes are to be renewed.
    renewals: Vec<Answer>,
    worst: Exit,
    bytes: u64,
}

/// What is said of a line that is no question: neither yes nor no.
#[derive(Serialize)]
struct WrongJson<'w> {
    line: u64,
    allowed: Option<bool>,
    error: WrongError<'w>,
}

#[derive(Serialize)]
struct WrongError<'w> {
    code: &'static str,
    message: &'w str,
    hint: String,
}

/// Verifies every line of standard input, and counts the uses if `record` says so.
pub(super) fn run(session: &mut Session, record: bool) -> Result<Exit, Error> {
    let stopping = session.interrupts.stoppable();
    let matches = Arc::new(Matches::new(session.random()?));
    let path = session.existing_store()?.path().to_owned();
    let (tickets, free) = mpsc::sync_channel(TICKETS);
    let (questions, asked) = mpsc::sync_channel(TICKETS);
    let (answers, answered) = mpsc::sync_channel(TICKETS);
    for _ in 0..TICKETS {
        let _ = tickets.send(());
    }
    let asked = Arc::new(Mutex::new(asked));
    for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
        let verifier = Verifier::with_matches(Store::open(&path)?, Arc::clone(&matches))?;
        let (asked, answers, clock) = (Arc::clone(&asked), answers.clone(), session.clock());
        let (quiet, matches) = (session.quiet(), Arc::clone(&matches));
        spawn(move || work(verifier, &matches, &asked, &answers, &clock, quiet))?;
    }
    drop(answers);
    let stdin = session.terminal.take_stdin();
    let reader = spawn(move || read(stdin, &free, &questions))?;

    let size = session.terminal.kinds().stdin_size;
    let mut progress = session.terminal.progress("verifying", size.unwrap_or(0));
    let mut recorder = Recorder::new(Store::open(&path)?, record, session.now());
    let mut waiting: BTreeMap<u64, Answered> = BTreeMap::new();
    let (mut next, mut done, mut worst) = (0, 0, Exit::DONE);
    let mut printed = Ok(());
    while printed.is_ok() {
        match answered.recv_timeout(COUNT_AFTER) {
            Ok(chunk) => drop(waiting.insert(chunk.place, chunk)),
            Err(RecvTimeoutError::Timeout) => recorder.flush(session),
            Err(RecvTimeoutError::Disconnected) => break,
        }
        while let Some(chunk) = waiting.remove(&next) {
            next += 1;
            worst = worst.worse(chunk.worst);
            printed = printed.and_then(|()| session.terminal.print_bytes(&chunk.text));
            recorder.add(session, chunk.uses, &chunk.renewals);
            done += chunk.bytes;
            let _ = tickets.send(());
        }
        if waiting.is_empty() {
            printed = printed.and_then(|()| session.terminal.flush());
        }
        if size.is_some() {
            progress.at(done);
        }
        recorder.flush_if_due(session);
        if stopping.is_asked_for() || session.terminal.is_unread() {
            break;
        }
    }
    drop(progress);
    // What was answered is counted, also where nobody takes the answers any more.
    recorder.flush(session);
    printed.and_then(|()| session.terminal.flush())?;
    if let Some(error) = recorder.failed {
        session.terminal.warn(&format!("some uses were not recorded: {}", error.message()));
    }
    if stopping.is_asked_for() {
        return Err(Error::new(Code::Interrupted, "interrupted; what was answered is counted"));
    }
    // Only a reader that came to its end is waited for: otherwise nobody wants what it would read.
    let read = if reader.is_finished() { reader.join().unwrap_or(Ok(())) } else { Ok(()) };
    read.map_err(|error| {
        Error::new(Code::InvalidValue, format!("standard input cannot be read: {error}"))
            .hint("what was read was answered; pipe the rest in again")
    })?;
    Ok(worst)
}

/// Starts a thread.
fn spawn<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> Result<JoinHandle<T>, Error> {
    thread::Builder::new().spawn(f).map_err(|error| {
        Error::new(Code::InvalidValue, format!("the system gives no thread to verify on: {error}")).hint(
            "allow this user more processes, see `ulimit -u`; or verify one credential at a time, without --batch",
        )
    })
}

/// Counts uses in groups.
struct Recorder {
    store: Store,
    uses: Uses,
    record: bool,
    flushed_at: Timestamp,
    failed: Option<Error>,
}

impl Recorder {
    fn new(store: Store, record: bool, now: Timestamp) -> Self {
        Self { store, uses: Uses::default(), record, flushed_at: now, failed: None }
    }

    fn add(&mut self, session: &mut Session, uses: Uses, renewals: &[Answer]) {
        if !self.record {
            return;
        }
        self.uses.merge(uses);
        let can_renew = !self.store.is_read_only();
        for answer in renewals.iter().filter(|_| can_renew) {
            let salt = session.random();
            let renewed = salt.and_then(|salt| Ok(answer.renew(&mut self.store, salt, session.now())?));
            if let Err(error) = renewed {
                self.failed.get_or_insert(error);
            }
        }
    }

    /// The clock has whole seconds: in each of them the uses are written once, however many there are.
    fn flush_if_due(&mut self, session: &mut Session) {
        session.look_at_the_clock();
        if self.uses.are_many() || session.now() != self.flushed_at {
            self.flush(session);
        }
    }

    fn flush(&mut self, session: &mut Session) {
        if self.uses.is_empty() {
            return;
        }
        session.look_at_the_clock();
        self.flushed_at = session.now();
        let uses = std::mem::take(&mut self.uses);
        let stamp = Stamp { now: session.now(), actor: None };
        let write = |store: &mut Store| store.write(stamp, |changes| changes.record_uses(&uses));
        let written = self.store.check_writable().and_then(|()| write(&mut self.store));
        if let Err(error) = written {
            self.failed.get_or_insert(error.into());
        }
    }
}

/// Reads lines into chunks: as many as are there, so that a question that comes alone is answered at once.
fn read(mut input: Box<dyn Read + Send>, free: &Receiver<()>, questions: &SyncSender<Chunk>) -> std::io::Result<()> {
    let mut buffer = Zeroizing::new(vec![0; READ]);
    let mut rest = Zeroizing::new(Vec::with_capacity(READ));
    let (mut place, mut number) = (0, 0);
    let mut send = |lines: Vec<Line>| {
        let bytes = lines.iter().map(|(_, line)| line.len() as u64 + 1).sum();
        let chunk = Chunk { place, lines, bytes };
        place += 1;
        // Whoever would take it may be gone: then nobody wants an answer any more.
        free.recv().is_ok() && questions.send(chunk).is_ok()
    };
    loop {
        let count = input.read(&mut buffer)?;
        let (mut lines, mut part) = (vec![], &buffer[..count]);
        while let Some(length) = part.iter().position(|&byte| byte == b'\n') {
            let mut line = Zeroizing::new(Vec::with_capacity(rest.len() + length));
            line.extend_from_slice(&rest);
            line.extend_from_slice(&part[..length]);
            rest.clear();
            part = &part[length + 1..];
            number += 1;
            lines.push((number, line));
            if lines.len() == CHUNK && !send(std::mem::take(&mut lines)) {
                return Ok(());
            }
        }
        // Of a line that is too long, no more is kept than shows that it is.
        let room = (MOST_LINE + 1).saturating_sub(rest.len());
        rest.extend_from_slice(&part[..part.len().min(room)]);
        if count == 0 && !rest.is_empty() {
            lines.push((number + 1, std::mem::take(&mut rest)));
        }
        if !lines.is_empty() && !send(lines) || count == 0 {
            return Ok(());
        }
    }
}

fn work(
    mut verifier: Verifier,
    matches: &Arc<Matches>,
    asked: &Mutex<Receiver<Chunk>>,
    answers: &SyncSender<Answered>,
    clock: &Clock,
    quiet: bool,
) {
    loop {
        let next = asked.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Chunk { place, lines, bytes }) = next else { return };
        let (uses, renewals, worst) = (Uses::default(), vec![], Exit::DONE);
        let mut answered = Answered { place, text: vec![], uses, renewals, worst, bytes };
        for (number, line) in lines.iter().filter(|(_, line)| !line.trim_ascii().is_empty()) {
            if verifier.store().is_outdated()
                && let Ok(store) = Store::open(verifier.store().path())
                && let Ok(present) = Verifier::with_matches(store, Arc::clone(matches))
            {
                verifier = present;
            }
            answer(&verifier, *number, line, whole_seconds(clock()), &mut answered);
        }
        if quiet {
            answered.text.clear();
        }
        if answers.send(answered).is_err() {
            return;
        }
    }
}

/// Answers one line.
fn answer(verifier: &Verifier, line: u64, text: &[u8], now: Timestamp, into: &mut Answered) {
    let result = question(verifier, text).and_then(|(credential, request)| {
        Ok(verifier.verify(parse_line(without_line_end(&credential)), &request, now)?)
    });
    // Texts, numbers and times: they cannot fail to be JSON, and a Vec takes them all.
    let _ = match result {
        Ok(mut answer) => {
            into.worst = into.worst.worse(exit_of(&answer.decision));
            if let Some(key) = answer.key.as_ref().filter(|_| answer.decision.is_allowed()) {
                into.uses.add(&key.id, now);
            }
            if !verifier.store().warnings().is_empty() {
                answer.warnings.push("store_permissions");
            }
            let written = serde_json::to_writer(&mut into.text, &AnswerJson::new(Some(line), &answer, now));
            if answer.wants_renewal() {
                into.renewals.push(answer);
            }
            written
        }
        Err(error) => {
            into.worst = into.worst.worse(error.exit());
            let (code, message, hint) = (error.code().as_str(), error.message(), error.hints().join("\n"));
            let wrong = WrongJson { line, allowed: None, error: WrongError { code, message, hint } };
            serde_json::to_writer(&mut into.text, &wrong)
        }
    };
    into.text.push(b'\n');
}

/// What a line asks. A field that there is not is refused: it may be a restriction that is spelled wrong.
fn question(verifier: &Verifier, line: &[u8]) -> Result<(Zeroizing<String>, Request), Error> {
    let wrong = |what: String| {
        Error::new(Code::InvalidValue, keyward_core::rules::text::redact(&what).into_owned()).hint(
            "write an object such as {\"credential\":\"…\",\"method\":\"GET\",\"ip\":\"203.0.113.9\",\"scopes\":[\"rest\"]}",
        )
    };
    let bad = |field: &str, error: &dyn std::fmt::Display| wrong(format!("{field}: {error}"));
    if line.len() > MOST_LINE {
        return Err(wrong(format!("the line is longer than {} KiB", MOST_LINE / 1024)));
    }
    // What is derived would take a list of the values as well.
    if !line.trim_ascii_start().starts_with(b"{") {
        return Err(wrong("no question: it is no object".to_owned()));
    }
    let question: Question<'_> = serde_json::from_slice(line).map_err(|error| {
        // Where in the input the line stands, the answer says; the parser knows this line alone.
        wrong(format!("no question: {}", error.to_string().replace(" at line 1 column ", " at column ")))
    })?;
    let Question { credential, method, ip, tenant, scopes, levels, role, transport } = question;
    let credential = Zeroizing::new(credential.into_owned());
    let name = |field: &str, text: Option<String>| -> Result<Option<Name>, Error> {
        text.map(|text| text.parse().map_err(|error| bad(field, &error))).transpose()
    };
    let role = match name("role", role)? {
        Some(name) => Some(WantedRole { rank: verifier.store().rank_of(&name)?, name }),
        None => None,
    };
    let method: Option<Method> = method.map(|text| text.parse().map_err(|error| bad("method", &error))).transpose()?;
    let ip: Option<IpAddr> = ip.map(|text| parse_address(&text).map_err(|error| bad("ip", &error))).transpose()?;
    let transport: Option<Transport> =
        transport.map(|text| text.parse().map_err(|error| bad("transport", &error))).transpose()?;
    let scopes = scopes.iter().map(|text| text.parse::<Scope>().map_err(|error| bad("scopes", &error)));
    let levels = levels.iter().map(|text| text.parse::<Level>().map_err(|error| bad("levels", &error)));
    let request = Request {
        method,
        ip,
        tenant: name("tenant", tenant)?,
        scopes: scopes.collect::<Result<_, _>>()?,
        levels: levels.collect::<Result<_, _>>()?,
        role,
        transport: transport.unwrap_or(Transport::Local),
    };
    Ok((credential, request))
}
