//! The log: one JSON object per line, written by a separate thread, so that no request waits for a reader of the log.
//!
//! It never contains the value of a header, a query, a cookie, a body or a secret. It names a key only if its secret
//! matched. What may break: a reader that does not read. Lines are lost then, and the next one that gets through says
//! how many.

use std::io::Write;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use http::HeaderMap;
use jiff::Timestamp;
use keyward_core::rules::credential::Presentation;
use keyward_core::rules::http::Transport;
use keyward_core::rules::token::Id;
use serde::Serialize;

use super::suppression::{Fate, Suppression};
use crate::answer::Ruling;
use crate::clock::Clock;
use crate::facts::Facts;

/// Lines that may wait to be written.
const WAITING: usize = 4_096;
/// How much of a path is written, in characters.
const MOST_PATH: usize = 256;

/// Where lines go. It can be called from any thread.
pub(crate) struct Log {
    lines: Mutex<Option<SyncSender<Vec<u8>>>>,
    /// The sink to use from the next line on, if it changes.
    next: Next,
    lost: AtomicU64,
    suppression: Suppression,
    clock: Clock,
    writer: Mutex<Option<JoinHandle<()>>>,
}

type Sink = Box<dyn Write + Send>;
type Next = Arc<Mutex<Option<Sink>>>;

/// What is logged about a decision besides its ruling.
pub(crate) struct Decision<'d> {
    pub(crate) policy: &'d str,
    pub(crate) facts: &'d Facts<'d>,
    pub(crate) ruling: &'d Ruling,
    pub(crate) took: Duration,
    pub(crate) headers: &'d HeaderMap,
    pub(crate) peer: &'d str,
    /// The code of the error, if it could not be checked.
    pub(crate) error: Option<(&'static str, String)>,
}

#[derive(Serialize)]
struct Line<'l> {
    ts: String,
    level: &'static str,
    event: &'static str,
    policy: &'l str,
    status: u16,
    reason: &'static str,
    checks: Vec<&'static str>,
    key: Option<&'l str>,
    key_id: Option<&'l Id>,
    secret_id: Option<&'l Id>,
    presentation: Option<&'static str>,
    client: Option<IpAddr>,
    method: Option<&'l str>,
    host: Option<String>,
    path: Option<String>,
    proto: Option<&'static str>,
    us: u64,
    request_id: &'l str,
    trace_id: Option<&'l str>,
    peer: &'l str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'l str>,
    #[serde(skip_serializing_if = "is_zero")]
    suppressed: u64,
    #[serde(skip_serializing_if = "is_zero")]
    lost: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Log {
    /// Starts to write to `sink`.
    pub(crate) fn start(sink: Sink, clock: Clock) -> Self {
        let (lines, waiting) = sync_channel(WAITING);
        let next = Next::default();
        let other = Arc::clone(&next);
        let work = move || write(sink, &waiting, &other);
        let writer = std::thread::Builder::new().name("keyward-log".to_owned()).spawn(work).ok();
        Self {
            lines: Mutex::new(Some(lines)),
            next,
            lost: AtomicU64::new(0),
            suppression: Suppression::default(),
            clock,
            writer: Mutex::new(writer),
        }
    }

    /// Writes to another sink from the next line on, for example after a log file was rotated. It does not wait for
    /// pending lines: their reader may be stuck.
    pub(crate) fn write_to(&self, sink: Sink) {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(sink);
    }

    /// Logs a decision.
    pub(crate) fn decision(&self, decision: &Decision<'_>) {
        let Decision { policy, facts, ruling, took, headers, peer, ref error } = *decision;
        let now = self.clock.now();
        let answer = ruling.answer();
        let key = ruling.key();
        let is_allowed = ruling.is_allowed();
        let mut suppressed = 0;
        if !is_allowed {
            let kind = (policy, ruling.reason(), facts.client, key.map(|key| key.id.as_str()));
            match self.suppression.fate(now.as_second(), kind) {
                Fate::Counted => return,
                Fate::Written(number) => suppressed = number,
            }
        }
        let level = match ruling.status() {
            200 => "info",
            500.. => "error",
            _ => "warn",
        };
        let line = Line {
            ts: time(now),
            level,
            event: "decision",
            policy,
            status: ruling.status(),
            reason: ruling.reason(),
            checks: ruling.checks(),
            key: key.map(|key| key.name.as_str()),
            key_id: key.map(|key| &key.id),
            secret_id: answer.and_then(|answer| answer.presented()).map(|presented| &presented.secret.id),
            presentation: answer.and_then(|answer| answer.presentation).map(Presentation::as_str),
            client: facts.client,
            method: facts.method.as_ref().map(AsRef::as_ref),
            host: facts.host.map(|host| clean(host, MOST_PATH)),
            path: facts.path().map(|path| clean(path, MOST_PATH)),
            proto: facts.transport.map(Transport::as_str),
            us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            request_id: ruling.id().as_str(),
            trace_id: trace_id(headers),
            peer,
            code: error.as_ref().map(|(code, _)| *code),
            message: error.as_ref().map(|(_, message)| message.as_str()),
            suppressed,
            lost: self.lost.swap(0, Ordering::Relaxed),
        };
        if !self.send(&line) {
            self.lost.fetch_add(line.lost + 1, Ordering::Relaxed);
        }
    }

    /// Logs an answer that is not a decision.
    pub(crate) fn problem(&self, status: u16, reason: &'static str, path: &str, peer: &str) {
        let fields = [
            ("status", status.into()),
            ("reason", reason.into()),
            ("path", clean(path, MOST_PATH).into()),
            ("peer", peer.into()),
        ];
        self.often("problem", reason, &fields);
    }

    /// Logs a connection on which no answer, or not the requested one, could be given.
    pub(crate) fn connection(&self, reason: &'static str, message: &str, peer: &str) {
        let fields = [("reason", reason.into()), ("message", message.into()), ("peer", peer.into())];
        self.often("connection", reason, &fields);
    }

    /// Logs an event that clients can cause as often as they like: equal ones are counted, like refusals.
    fn often(&self, event: &'static str, reason: &'static str, fields: &[(&'static str, serde_json::Value)]) {
        match self.suppression.fate(self.clock.now().as_second(), (event, reason)) {
            Fate::Counted => {}
            Fate::Written(0) => self.event("warn", event, fields),
            Fate::Written(number) => {
                self.event("warn", event, &[fields, &[("suppressed", number.into())]].concat());
            }
        }
    }

    /// Logs another event with its fields.
    pub(crate) fn event(&self, level: &'static str, event: &'static str, fields: &[(&'static str, serde_json::Value)]) {
        let mut line = serde_json::Map::new();
        line.insert("ts".to_owned(), time(self.clock.now()).into());
        line.insert("level".to_owned(), level.into());
        line.insert("event".to_owned(), event.into());
        for (name, value) in fields {
            line.insert((*name).to_owned(), value.clone());
        }
        if !self.send(&line) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns whether there was room for it.
    fn send(&self, line: &impl Serialize) -> bool {
        let Ok(mut text) = serde_json::to_vec(line) else { return false };
        text.push(b'\n');
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        match lines.as_ref().map(|lines| lines.try_send(text)) {
            Some(Err(TrySendError::Full(_) | TrySendError::Disconnected(_))) | None => false,
            Some(Ok(())) => true,
        }
    }

    /// Writes the pending lines while there is a reader, and ends.
    pub(crate) fn finish(&self) {
        let untold = self.suppression.untold();
        if untold > 0 {
            self.event("warn", "suppressed", &[("suppressed", untold.into())]);
        }
        *self.lines.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let Some(writer) = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        // A reader that does not read must not prevent the end.
        for _ in 0..100 {
            if writer.is_finished() {
                let _ = writer.join();
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn write(mut sink: Sink, waiting: &Receiver<Vec<u8>>, next: &Next) {
    while let Ok(line) = waiting.recv() {
        if let Some(other) = next.lock().unwrap_or_else(PoisonError::into_inner).take() {
            sink = other;
        }
        // If writing fails, the next line is tried again.
        let _ = sink.write_all(&line).and_then(|()| sink.flush());
    }
}

/// RFC 3339, with milliseconds.
fn time(now: Timestamp) -> String {
    format!("{now:.3}")
}

/// The text without control characters, shortened. JSON escapes the rest.
fn clean(text: &str, most: usize) -> String {
    text.chars().take(most).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// The id in `traceparent` (W3C Trace Context): 32 hexadecimal digits.
fn trace_id(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get("traceparent")?.to_str().ok()?;
    let id = text.split('-').nth(1)?;
    (id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(id)
}
