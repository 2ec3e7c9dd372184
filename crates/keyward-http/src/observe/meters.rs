//! Counters, and their text in the format of Prometheus (text format 0.0.4).
//!
//! Every series is bounded: policies times reasons, a few fixed names and, only on request, the thousand most used
//! keys.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::guard::Writing;
use crate::policy::PolicyName;

/// The bucket bounds for the duration of decisions, in seconds.
const BOUNDS: [(u64, &str); 13] = [
    (50, "0.00005"),
    (100, "0.0001"),
    (250, "0.00025"),
    (500, "0.0005"),
    (1_000, "0.001"),
    (2_500, "0.0025"),
    (5_000, "0.005"),
    (10_000, "0.01"),
    (25_000, "0.025"),
    (50_000, "0.05"),
    (100_000, "0.1"),
    (500_000, "0.5"),
    (1_000_000, "1"),
];
/// The most keys with a series of their own.
const MOST_KEYS: usize = 1_000;
/// The most keys that are counted at all. Later ones count as others.
const MOST_COUNTED: usize = 100_000;

/// The name of the series for all other keys.
const OTHER: &str = "other";

/// How a decision was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Path {
    /// The credential had matched before.
    Cached,
    /// A hash was computed.
    Hashed,
    /// It was refused earlier.
    Refused,
}

impl Path {
    const ALL: [Self; 3] = [Self::Cached, Self::Hashed, Self::Refused];

    fn as_str(self) -> &'static str {
        match self {
            Self::Cached => "cached",
            Self::Hashed => "hashed",
            Self::Refused => "refused",
        }
    }
}

/// The counters of one thread.
#[derive(Default)]
pub(crate) struct Meters(Mutex<Counted>);

#[derive(Default)]
struct Counted {
    decisions: HashMap<(Option<PolicyName>, u16, &'static str), u64>,
    seconds: [Histogram; 3],
    store_errors: BTreeMap<&'static str, u64>,
    limited: BTreeMap<(String, String), u64>,
    keys: HashMap<String, [u64; 2]>,
}

#[derive(Default, Clone, Copy)]
struct Histogram {
    buckets: [u64; BOUNDS.len()],
    count: u64,
    micros: u64,
}

impl Histogram {
    fn take(&mut self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        if let Some(place) = BOUNDS.iter().position(|(bound, _)| micros <= *bound) {
            self.buckets[place] += 1;
        }
        self.count += 1;
        self.micros = self.micros.saturating_add(micros);
    }

    fn add(&mut self, other: &Self) {
        for (own, other) in self.buckets.iter_mut().zip(other.buckets) {
            *own += other;
        }
        self.count += other.count;
        self.micros = self.micros.saturating_add(other.micros);
    }
}

impl Meters {
    fn counted(&self) -> MutexGuard<'_, Counted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a decision, with the key's name if keys are counted.
    pub(crate) fn decided(
        &self,
        policy: Option<&PolicyName>,
        (status, reason): (u16, &'static str),
        (path, took): (Path, Duration),
        key: Option<&str>,
    ) {
        let mut counted = self.counted();
        *counted.decisions.entry((policy.cloned(), status, reason)).or_default() += 1;
        counted.seconds[path as usize].take(took);
        if let Some(key) = key {
            let place = usize::from(status != 200);
            if let Some(own) = counted.keys.get_mut(key) {
                own[place] += 1;
            } else {
                let name = if counted.keys.len() < MOST_COUNTED { key } else { "" };
                counted.keys.entry(name.to_owned()).or_default()[place] += 1;
            }
        }
    }

    /// Counts a request refused by a limit, such as `user-1m`.
    pub(crate) fn limited(&self, policy: &str, limit: &str) {
        *self.counted().limited.entry((policy.to_owned(), limit.to_owned())).or_default() += 1;
    }

    /// Counts an error of the store.
    pub(crate) fn store_error(&self, code: &'static str) {
        *self.counted().store_errors.entry(code).or_default() += 1;
    }
}

/// Values that are looked up, not counted.
#[derive(Debug, Default, Clone)]
pub(crate) struct Totals {
    pub(crate) connections: u64,
    pub(crate) hash_queue: u64,
    pub(crate) writing: Option<Writing>,
    pub(crate) config_loaded: f64,
    pub(crate) config_failures: u64,
    /// Keys by state, and those that expire within certain numbers of days.
    pub(crate) keys: Vec<(&'static str, u64)>,
    pub(crate) expiring: Vec<(&'static str, u64)>,
    pub(crate) version: &'static str,
}

/// All metrics as text.
pub(crate) fn exposition(meters: &[Arc<Meters>], totals: &Totals) -> String {
    let mut all = Counted::default();
    for meters in meters {
        let counted = meters.counted();
        for (key, count) in &counted.decisions {
            *all.decisions.entry(key.clone()).or_default() += count;
        }
        for (own, other) in all.seconds.iter_mut().zip(&counted.seconds) {
            own.add(other);
        }
        for (place, count) in &counted.limited {
            *all.limited.entry(place.clone()).or_default() += count;
        }
        for (code, count) in &counted.store_errors {
            *all.store_errors.entry(code).or_default() += count;
        }
        for (name, counts) in &counted.keys {
            let own = all.keys.entry(name.clone()).or_default();
            own[0] += counts[0];
            own[1] += counts[1];
        }
    }
    let mut text = String::with_capacity(8 * 1024);
    write(&mut text, &all, totals);
    text
}

/// The name, the kind and the meaning of every metric.
pub(crate) fn catalogue() -> Vec<[String; 3]> {
    let all = Counted { keys: HashMap::from([(String::new(), [0; 2])]), ..Counted::default() };
    let mut text = String::new();
    write(&mut text, &all, &Totals { writing: Some(Writing::default()), ..Totals::default() });
    let mut found: Vec<[String; 3]> = vec![];
    for line in text.lines().filter_map(|line| line.strip_prefix("# ")) {
        let mut words = line.splitn(3, ' ').map(str::to_owned);
        match (words.next().as_deref(), words.next(), words.next(), found.last_mut()) {
            (Some("HELP"), Some(name), Some(help), _) => found.push([name, String::new(), help]),
            (Some("TYPE"), _, Some(kind), Some(last)) => last[1] = kind,
            _ => {}
        }
    }
    found
}

/// Writes to a text, which cannot fail.
macro_rules! put {
    ($text:expr, $($arg:tt)*) => { let _ = writeln!($text, $($arg)*); };
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    put!(text, "# HELP {name} {help}");
    put!(text, "# TYPE {name} {kind}");
}

fn one(text: &mut String, name: &str, kind: &str, help: &str, value: impl std::fmt::Display) {
    head(text, name, kind, help);
    put!(text, "{name} {value}");
}

#[expect(clippy::cast_precision_loss, reason = "metrics are doubles")]
fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

fn write(text: &mut String, all: &Counted, totals: &Totals) {
    head(text, "keyward_decisions_total", "counter", "Decisions, by policy, status and reason.");
    let mut decisions: Vec<_> = all.decisions.iter().collect();
    decisions.sort();
    for ((policy, status, reason), count) in decisions {
        let policy = policy.as_ref().map_or("", PolicyName::as_str);
        put!(text, "keyward_decisions_total{{policy=\"{policy}\",status=\"{status}\",reason=\"{reason}\"}} {count}");
    }
    head(text, "keyward_decision_seconds", "histogram", "How long decisions took, by the way in which they were made.");
    for path in Path::ALL {
        let (histogram, path) = (&all.seconds[path as usize], path.as_str());
        let mut sum = 0;
        for ((_, bound), count) in BOUNDS.iter().zip(histogram.buckets) {
            sum += count;
            put!(text, "keyward_decision_seconds_bucket{{path=\"{path}\",le=\"{bound}\"}} {sum}");
        }
        put!(text, "keyward_decision_seconds_bucket{{path=\"{path}\",le=\"+Inf\"}} {}", histogram.count);
        put!(text, "keyward_decision_seconds_sum{{path=\"{path}\"}} {}", seconds(histogram.micros));
        put!(text, "keyward_decision_seconds_count{{path=\"{path}\"}} {}", histogram.count);
    }
    head(text, "keyward_cache_lookups_total", "counter", "Credentials, by whether they had matched before.");
    for (path, outcome) in [(Path::Cached, "hit"), (Path::Hashed, "miss")] {
        put!(text, "keyward_cache_lookups_total{{outcome=\"{outcome}\"}} {}", all.seconds[path as usize].count);
    }
    one(
        text,
        "keyward_hash_queue",
        "gauge",
        "Credentials that wait for a hash, or are being hashed.",
        totals.hash_queue,
    );
    head(text, "keyward_limited_total", "counter", "Requests that a limit refused, by policy and limit.");
    for ((policy, limit), count) in &all.limited {
        put!(text, "keyward_limited_total{{policy=\"{policy}\",limit=\"{limit}\"}} {count}");
    }
    head(
        text,
        "keyward_store_errors_total",
        "counter",
        "Decisions that could not be made because of the store, by error code.",
    );
    for (code, count) in &all.store_errors {
        put!(text, "keyward_store_errors_total{{code=\"{code}\"}} {count}");
    }
    if let Some(writing) = totals.writing {
        one(
            text,
            "keyward_unrecorded_uses",
            "gauge",
            "Uses that could not be written to the store so far.",
            writing.unrecorded,
        );
        head(text, "keyward_flush_seconds", "summary", "How long it took to write the uses of a second.");
        put!(text, "keyward_flush_seconds_sum {}", writing.took.as_secs_f64());
        put!(text, "keyward_flush_seconds_count {}", writing.written + writing.failed);
        one(
            text,
            "keyward_flush_failures_total",
            "counter",
            "Writings of uses that failed; they are tried again.",
            writing.failed,
        );
    }
    one(text, "keyward_connections", "gauge", "Connections of proxies and services.", totals.connections);
    one(
        text,
        "keyward_config_loaded_timestamp_seconds",
        "gauge",
        "When the configuration was last taken over.",
        totals.config_loaded,
    );
    one(
        text,
        "keyward_config_load_failures_total",
        "counter",
        "Configurations that were refused, the former one kept.",
        totals.config_failures,
    );
    head(text, "keyward_keys", "gauge", "Keys in the store, by state; looked up once a minute.");
    for (state, count) in &totals.keys {
        put!(text, "keyward_keys{{state=\"{state}\"}} {count}");
    }
    head(text, "keyward_keys_expiring", "gauge", "Active keys that expire within this time; looked up once a minute.");
    for (within, count) in &totals.expiring {
        put!(text, "keyward_keys_expiring{{within=\"{within}\"}} {count}");
    }
    head(text, "keyward_build_info", "gauge", "The version of keyward.");
    put!(text, "keyward_build_info{{version=\"{}\"}} 1", totals.version);
    if !all.keys.is_empty() {
        write_keys(text, &all.keys);
    }
}

fn write_keys(text: &mut String, keys: &HashMap<String, [u64; 2]>) {
    head(text, "keyward_key_requests_total", "counter", "Requests by key, those that are used most by name.");
    // A key may have the name that stands for all others.
    let is_other = |name: &str| name.is_empty() || name == OTHER;
    let mut named: Vec<_> = keys.iter().filter(|(name, _)| !is_other(name)).collect();
    named.sort_by_key(|(name, counts)| (std::cmp::Reverse(counts[0] + counts[1]), *name));
    let mut other = [0; 2];
    let unnamed = keys.iter().filter(|(name, _)| is_other(name));
    for (_, counts) in named.iter().skip(MOST_KEYS).copied().chain(unnamed) {
        other[0] += counts[0];
        other[1] += counts[1];
    }
    // Names contain neither quotation marks nor backslashes.
    for (name, counts) in named.into_iter().take(MOST_KEYS) {
        for (outcome, count) in ["allowed", "refused"].into_iter().zip(counts) {
            put!(text, "keyward_key_requests_total{{name=\"{name}\",outcome=\"{outcome}\"}} {count}");
        }
    }
    for (outcome, count) in ["allowed", "refused"].into_iter().zip(other) {
        put!(text, "keyward_key_requests_total{{name=\"{OTHER}\",outcome=\"{outcome}\"}} {count}");
    }
}
