//! Writes answers in the format of [`AnswerJson`], many times a second.
//!
//! The part about a key stays the same as long as its row and the second do, so it is cached as text. The part about a
//! request is written each time.

use std::collections::HashMap;
use std::io::Write as _;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use crate::formats::limits;
use crate::words::Checks;
use keyward_core::rules::credential::Presentation;
use keyward_core::rules::decision::Request;
use keyward_core::store::Presented;
use keyward_core::verifier::Answer;

/// How many texts are cached: more keys than this are rarely used in one second.
const MOST: usize = 1_024;

/// Texts about keys, for one second.
pub(super) struct Documents {
    at: Timestamp,
    /// By the address of the row, which is held here, so that no other can be at that address.
    keys: HashMap<usize, (Arc<Presented>, Vec<u8>)>,
}

impl Documents {
    pub(super) fn new(at: Timestamp) -> Self {
        Self { at, keys: HashMap::new() }
    }

    /// Forgets the texts of another second.
    pub(super) fn look_at_the_clock(&mut self, now: Timestamp) {
        if self.at != now {
            *self = Self::new(now);
        }
    }

    /// Writes the answer and the end of its line.
    pub(super) fn write(&mut self, line: u64, answer: &Answer, request: &Request, out: &mut Vec<u8>) {
        let decision = &answer.decision;
        let (reason, status) = match decision.reason() {
            None => ("allowed", 200),
            Some(reason) => (reason.as_str(), reason.status()),
        };
        let (allowed, presentation) = (reason == "allowed", answer.presentation.map(Presentation::as_str));
        // Writing to a Vec cannot fail, and texts, numbers and times cannot fail to serialise.
        let _ = write!(out, "{{\"line\":{line},\"allowed\":{allowed},\"reason\":\"{reason}\",\"status\":{status}");
        out.extend_from_slice(b",\"presentation\":");
        json(out, &presentation);
        match answer.presented() {
            Some(presented) => out.extend_from_slice(self.of_key(presented)),
            None => out.extend_from_slice(b",\"key\":null,\"effective_role\":null"),
        }
        out.extend_from_slice(b",\"checks\":");
        Checks { checks: decision.checks(), key: answer.key(), request }.write_json(out);
        out.extend_from_slice(b",\"limits\":");
        json(out, &limits::left(answer.reckoning()));
        out.extend_from_slice(b",\"warnings\":");
        json(out, &answer.warnings);
        out.extend_from_slice(b"}\n");
    }

    fn of_key(&mut self, presented: &Arc<Presented>) -> &[u8] {
        if self.keys.len() >= MOST {
            self.keys.clear();
        }
        let at = self.at;
        let (_, text) = self.keys.entry(Arc::as_ptr(presented).addr()).or_insert_with(|| {
            let (key, mut text) = (&presented.key, b",\"key\":".to_vec());
            json(&mut text, &key.to_json(at));
            text.extend_from_slice(b",\"effective_role\":");
            json(&mut text, &key.effective_role().map(|(role, _)| role));
            (Arc::clone(presented), text)
        });
        text
    }
}

fn json(out: &mut Vec<u8>, value: &impl Serialize) {
    let _ = serde_json::to_writer(out, value);
}
