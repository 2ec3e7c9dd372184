//! The body of a refusal (RFC 9457).

use http::StatusCode;
use serde::Serialize;

use super::Ruling;

pub(crate) const MEDIA_TYPE: &str = "application/problem+json";

#[derive(Serialize)]
struct Problem<'r> {
    /// With this type, the title is the phrase of the status (RFC 9457 section 4.2.1).
    r#type: &'static str,
    title: &'static str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    checks: Option<Vec<&'static str>>,
    request_id: &'r str,
}

/// The body, with the reasons if the policy explains them.
pub(super) fn body(ruling: &Ruling, explains: bool) -> Vec<u8> {
    let status = ruling.status();
    let title = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Refused");
    let problem = Problem {
        r#type: "about:blank",
        title,
        status,
        reason: explains.then(|| ruling.public_reason()),
        checks: explains.then(|| ruling.public_checks()),
        request_id: ruling.id().as_str(),
    };
    // Texts and numbers cannot fail to serialise.
    serde_json::to_vec(&problem).unwrap_or_default()
}
