//! Limits in the formats that people write: a text, `100/1m:20`, or an object as in JSON output.

use serde::Serialize;
use serde_json::{Map, Value as Json};

use super::settings_draft::no_such_field;
use super::tree::{Field, Mistake, Node, Value};
use keyward_core::rules::limits::Reckoning;
use keyward_core::rules::time::{Rfc3339, rfc3339};

/// A limit with what is left of it, in JSON.
#[derive(Debug, Serialize)]
pub struct LimitLeft {
    whose: &'static str,
    count: u64,
    period: String,
    burst: Option<u64>,
    remaining: u64,
    /// When it is full again; null if it is full now.
    full_at: Option<Rfc3339>,
    /// Seconds until one more may pass; 0 if it may now.
    retry_after: u64,
}

/// Each limit that was checked.
pub fn left(reckoning: Option<&Reckoning>) -> Vec<LimitLeft> {
    let Some(reckoning) = reckoning else { return vec![] };
    let all = reckoning.standings.iter().map(|(whose, limit, standing)| LimitLeft {
        whose: whose.as_str(),
        count: limit.count(),
        period: limit.period().to_string(),
        burst: limit.burst(),
        remaining: standing.remaining,
        full_at: (reckoning.full_in(standing) > 0).then(|| rfc3339(standing.full_at)),
        retry_after: standing.retry_after(),
    });
    all.collect()
}

/// The text of a limit in the form of a JSON object, or `None` if the object is something else: labels, for example,
/// have only texts.
pub fn in_words(limit: &Map<String, Json>) -> Option<String> {
    let (count, period) = (limit.get("count")?.as_u64()?, limit.get("period")?.as_str()?);
    Some(match limit.get("burst")?.as_u64() {
        Some(burst) if burst != count => format!("{count}/{period}:{burst}"),
        _ => format!("{count}/{period}"),
    })
}

/// The text of a limit written as an object.
///
/// # Errors
/// For a field that is unknown, has the wrong type, or is missing.
pub fn read(item: &Node, fields: &[Field]) -> Result<String, Mistake> {
    let wrong = |at| Mistake::new(at, "a limit is { count = 100, period = \"1m\", burst = 20 } or \"100/1m:20\"");
    let (mut count, mut period, mut burst) = (None, None, None);
    for field in fields {
        match (field.name.as_str(), &field.node.value) {
            ("count", Value::Number(number)) => count = Some(*number),
            ("period", Value::Text(text)) => period = Some(text.as_str()),
            ("burst", Value::Number(number)) => burst = Some(*number),
            ("burst", Value::Nothing) => {}
            ("count" | "period" | "burst", _) => return Err(wrong(field.node.at)),
            _ => return Err(no_such_field(field, &["count", "period", "burst"])),
        }
    }
    let (Some(count), Some(period)) = (count, period) else { return Err(wrong(item.at)) };
    Ok(burst.map_or_else(|| format!("{count}/{period}"), |burst| format!("{count}/{period}:{burst}")))
}
