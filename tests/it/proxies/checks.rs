//! Whether a service can trust what it receives.

use super::lab::Lab;
use super::recorder::Request;

/// What clients send to impersonate someone else. None of it may arrive.
pub const FORGED: &str = "forged-value";
/// The address that the key "inside" may come from.
pub const INSIDE: &str = "203.0.113.9";

/// The headers that the service gets about "deploy" by default.
pub fn usual(lab: &Lab) -> Vec<String> {
    let others = [("owner", "-"), ("policy", "default"), ("role", "-"), ("scopes", "rest"), ("tenant", "-")];
    let mut usual = told("deploy", &others);
    usual.push(format!("x-keyward-id: {}", lab.id));
    usual.sort();
    usual
}

pub fn told(name: &str, others: &[(&str, &str)]) -> Vec<String> {
    let all = [("name", name), ("request-id", "true")].into_iter().chain(others.iter().copied());
    let mut all: Vec<_> = all.map(|(field, value)| format!("x-keyward-{field}: {value}")).collect();
    all.sort();
    all
}

/// Checks that the service can trust what it receives: each of our headers appears once, with the right value, and
/// neither the credential nor anything forged arrives.
pub fn is_guarded(lab: &Lab, request: &Request, expected: &[String], told: &str) {
    let told = format!("{told}\nthe service got: {}", request.head);
    let folded = |name: &str| name.to_lowercase().replace(['.', '_'], "-");
    let ours = |name: &str| folded(name).starts_with("x-keyward-");
    let mut headers: Vec<_> = request
        .headers()
        .filter(|(name, _)| ours(name))
        .map(|(name, value)| match name.to_lowercase() {
            name if name == "x-keyward-request-id" => format!("{name}: {}", !value.is_empty()),
            name => format!("{name}: {value}"),
        })
        .collect();
    headers.sort();
    assert_eq!(headers, expected, "{told}");
    let credentials = ["authorization", "x-api-key", "x-auth-key", "x-api-auth", "apikey", "x-ignition-api-token"];
    assert!(!request.headers().any(|(name, _)| credentials.contains(&folded(name).as_str())), "{told}");
    for gone in [&lab.secret, FORGED, INSIDE] {
        assert!(!request.head.contains(gone), "{told}");
    }
    assert_eq!(request.values("x-forwarded-proto"), ["http"], "{told}");
    assert_eq!(request.values("x-forwarded-for").len(), 1, "{told}");
    // The next hop would remove any header that Connection names.
    assert!(!request.values("connection").join(",").to_lowercase().contains("keyward"), "{told}");
    // On a connection upgraded to anything else, later requests would not be checked.
    assert!(request.values("upgrade").iter().all(|kind| *kind == "websocket"), "{told}");
    if !request.values("upgrade").is_empty() {
        assert!(request.values("connection").iter().any(|value| value.eq_ignore_ascii_case("upgrade")), "{told}");
    }
}

/// The head without our headers, in order, with placeholders for values that differ between runs.
pub fn plainly(request: &Request) -> String {
    let host = request.values("host")[0];
    let named = |line: &str| match line.split_once(": ") {
        Some(("x-request-id", _)) => "x-request-id: ID".to_owned(),
        Some(("x-forwarded-for", address)) if address != "127.0.0.1" => "x-forwarded-for: ADDRESS".to_owned(),
        _ => line.replace(host.split_once(':').map_or("PORT", |(_, port)| port), "PORT"),
    };
    let lines = request.head.lines().skip(1).filter(|line| !line.is_empty());
    let mut lines: Vec<_> = lines.filter(|line| !line.to_lowercase().starts_with("x-keyward-")).map(named).collect();
    lines.sort();
    format!("{}\n{}\n", request.line(), lines.join("\n"))
}
