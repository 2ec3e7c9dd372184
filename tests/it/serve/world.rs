//! A store with users, and a guard with a policy of every kind.

use super::{Answer, FACTS, Guard};
use crate::harness::Sandbox;

const CONFIG: &str = r#"
[policy.default]
[policy.scoped]
scopes = ["a", "b"]
[policy.narrow]
scopes = ["a"]
levels = ["A"]
[policy.silent]
scopes = ["a"]
explain = false
[policy.secure]
transport = "https"
methods = ["GET"]
[policy.reads]
methods = ["GET", "HEAD"]
[policy.basic]
accept = ["basic", "bearer"]
[policy.acme]
tenant = "acme"
[policy.hosted]
tenant_from = "host:{tenant}.api.example.org"
[policy.levels]
levels = ["A/B"]
[policy.editor]
role = "editor"
[policy.all]
headers = ["id", "name", "owner", "tenant", "group", "role", "scopes", "levels", "policy"]
[policy.few]
headers = ["policy"]
[policy.query]
accept = ["query_auth_key"]
"#;

pub struct World {
    pub sandbox: Sandbox,
    pub guard: Guard,
}

impl World {
    /// For proxies only.
    pub fn new() -> Self {
        Self::listening_at("127.0.0.1:0")
    }

    /// Also for services that ask directly.
    pub fn with_api() -> Self {
        Self::listening_at("127.0.0.1:0,api")
    }

    fn listening_at(address: &str) -> Self {
        let sandbox = Sandbox::new();
        for line in ["tenant create acme", "tenant create other", "user create mia --role editor", "group create ci"] {
            let output = sandbox.run(line);
            assert_eq!(output.code, 0, "{line}: {output}");
        }
        let config = sandbox.path("serve.toml");
        std::fs::write(&config, CONFIG).unwrap();
        let line = format!("serve --listen {address} --admin 127.0.0.1:0 --config {}", config.display());
        let guard = Guard::spawn(sandbox.binary(&line));
        Self { sandbox, guard }
    }

    /// Asks an endpoint about a request, in the headers that it reads.
    pub fn at(&self, endpoint: &str, policy: &str, secret: Option<&str>, changes: &[(&str, &str)]) -> Answer {
        let is_envoy = endpoint == "envoy";
        let path = format!("/{endpoint}/{policy}{}", if is_envoy { "/orders" } else { "" });
        let mut headers = match endpoint {
            "original" => vec![
                ("X-Original-Method", "GET"),
                ("X-Original-URL", "https://api.example.org/orders"),
                ("X-Forwarded-For", "203.0.113.9"),
            ],
            "envoy" => vec![("X-Forwarded-Proto", "https"), ("X-Forwarded-For", "203.0.113.9")],
            _ => FACTS.to_vec(),
        };
        headers.retain(|(name, _)| !changes.iter().any(|(changed, _)| changed == name));
        headers.extend(changes.iter().filter(|(_, value)| *value != "-"));
        let credential = secret.map(|secret| format!("Bearer {secret}"));
        headers.extend(credential.as_deref().map(|value| ("Authorization", value)));
        self.guard.ask(&path, &headers)
    }
}
