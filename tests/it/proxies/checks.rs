//! Whether a service can rely on what it gets.

use super::lab::Lab;
use super::recorder::Request;

/// What clients write to pass for somebody else. Nothing of it may arrive.
pub const FORGED: &str = "forged-value";
/// Where the key "inside" may come from.
pub const INSIDE: &str = "203.0.113.9";

/// What the service is told of "deploy", where the policy does not say what.
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

/// Whether the service can rely on what it gets: every header of ours is there once, and says what keyward knows; the
/// credential is gone, and so is what the client made up.
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
    // Whoever comes next would remove what Connection names.
    assert!(!request.values("connection").join(",").to_lowercase().contains("keyward"), "{told}");
    // On a connection of another kind, nobody would ask about what follows.
    assert!(request.values("upgrade").iter().all(|kind| *kind == "websocket"), "{told}");
    if !request.values("upgrade").is_empty() {
        assert!(request.values("connection").iter().any(|value| value.eq_ignore_ascii_case("upgrade")), "{told}");
    }
}

/// The head without the headers of ours, in order, with what differs from run to run named.
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
