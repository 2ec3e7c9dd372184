//! Limits in formats that people write: a text, `100/1m:20`, or the object that JSON shows.

use serde_json::{Map, Value as Json};

use super::settings_draft::no_such_field;
use super::tree::{Field, Mistake, Node, Value};

/// The text of a limit that JSON shows as an object, or nothing where the object is something else: labels, for example,
/// have only texts.
pub fn in_words(limit: &Map<String, Json>) -> Option<String> {
    let (count, period) = (limit.get("count")?.as_u64()?, limit.get("period")?.as_str()?);
    Some(match limit.get("burst")?.as_u64() {
        Some(burst) if burst != count => format!("{count}/{period}:{burst}"),
        _ => format!("{count}/{period}"),
    })
}

/// The text of a limit that is written as an object.
///
/// # Errors
/// For a field that a limit does not have, has with another type, or cannot be without.
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
