//! Usage for programs: JSON and CSV.

use serde::Serialize;

use super::Report;
use crate::formats::limits::{self, LimitLeft};
use keyward_core::rules::names::Name;
use keyward_core::rules::time::{Rfc3339, rfc3339};
use keyward_core::rules::token::Id;
use keyward_core::rules::usage::Calls;

/// The whole document.
#[derive(Serialize)]
pub(super) struct Document<'r> {
    by: &'static str,
    since: Rfc3339,
    periods: Vec<Period>,
    total: Calls,
    keys: Vec<KeyJson<'r>>,
    limits: Vec<LimitLeft>,
}

#[derive(Serialize)]
struct Period {
    start: Rfc3339,
    #[serde(flatten)]
    calls: Calls,
}

#[derive(Serialize)]
struct KeyJson<'r> {
    name: &'r Name,
    id: &'r Id,
    #[serde(flatten)]
    calls: Calls,
}

impl<'r> Document<'r> {
    pub(super) fn new(report: &'r Report) -> Self {
        let period = |(start, calls): &(_, Calls)| Period { start: rfc3339(*start), calls: *calls };
        let mut keys: Vec<_> =
            report.keys.iter().map(|key| KeyJson { name: &key.name, id: &key.id, calls: key.calls }).collect();
        // A requested key is listed even if it had no calls.
        if let (Some((key, _)), true) = (&report.of_key, keys.is_empty()) {
            keys.push(KeyJson { name: &key.name, id: &key.id, calls: Calls::default() });
        }
        Self {
            by: report.by.as_str(),
            since: rfc3339(report.since),
            periods: report.periods.iter().map(period).collect(),
            total: report.total,
            keys,
            limits: limits::left(report.of_key.as_ref().map(|(_, left)| left)),
        }
    }
}

/// The periods as CSV (RFC 4180): nothing in them needs quoting.
pub(super) fn csv(report: &Report) -> String {
    let mut text = "start,allowed,forbidden,limited\r\n".to_owned();
    for (start, Calls { allowed, forbidden, limited }) in &report.periods {
        text.push_str(&format!("{},{allowed},{forbidden},{limited}\r\n", rfc3339(*start)));
    }
    text
}
