//! Which endpoint a path is, and which policy it names. Only the path counts: the query of the guard's own URL may come
//! from the client, because some proxies append it, and so may any header.

use http::Uri;

use crate::facts::Dialect;

/// The endpoint of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Endpoint<'u> {
    /// A proxy asks about a request.
    Forward {
        /// How the proxy describes the request.
        dialect: Dialect,
        /// The name of the policy, as in the path.
        policy: &'u str,
        /// What follows the policy, with the query: the client's path, if the dialect puts it here.
        rest: &'u str,
    },
    /// A service asks directly.
    Verify,
    /// A proxy asks whether the guard is up.
    Health,
    /// No known endpoint.
    None,
}

impl<'u> Endpoint<'u> {
    pub(super) fn of(uri: &'u Uri) -> Self {
        let whole = uri.path_and_query().map_or("", |path| path.as_str());
        let path = uri.path();
        match path {
            "/healthz" => return Self::Health,
            "/v1/verify" => return Self::Verify,
            _ => {}
        }
        for dialect in Dialect::ALL {
            let after = whole.strip_prefix('/').and_then(|rest| rest.strip_prefix(dialect.as_str()));
            let Some(after) = after.and_then(|after| after.strip_prefix('/')) else { continue };
            if dialect == Dialect::Envoy {
                let end = after.find(['/', '?']).unwrap_or(after.len());
                let (policy, rest) = after.split_at(end);
                return Self::Forward { dialect, policy, rest };
            }
            // Literally: `/forward/rest/` and `/forward/rest/x` do not name a policy.
            let policy = after.split('?').next().unwrap_or_default();
            return Self::Forward { dialect, policy, rest: "" };
        }
        Self::None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_path_names_the_policy() {
        let forward = |dialect, policy, rest| Endpoint::Forward { dialect, policy, rest };
        for (uri, endpoint) in [
            ("/forward/rest", forward(Dialect::Forward, "rest", "")),
            ("/forward/rest?policy=admin", forward(Dialect::Forward, "rest", "")),
            ("/forward/rest/", forward(Dialect::Forward, "rest/", "")),
            ("/forward/rest/../admin", forward(Dialect::Forward, "rest/../admin", "")),
            ("/forward/%72est", forward(Dialect::Forward, "%72est", "")),
            ("/forward/", forward(Dialect::Forward, "", "")),
            ("/nginx/rest", forward(Dialect::Nginx, "rest", "")),
            ("/original/rest", forward(Dialect::Original, "rest", "")),
            ("/envoy/rest", forward(Dialect::Envoy, "rest", "")),
            ("/envoy/rest/a?b=c", forward(Dialect::Envoy, "rest", "/a?b=c")),
            ("/envoy/rest?b=c", forward(Dialect::Envoy, "rest", "?b=c")),
            ("/envoy/rest/../admin/x", forward(Dialect::Envoy, "rest", "/../admin/x")),
            ("/envoy//rest/x", forward(Dialect::Envoy, "", "/rest/x")),
            ("/v1/verify", Endpoint::Verify),
            ("/v1/verify?x", Endpoint::Verify),
            ("/healthz", Endpoint::Health),
            ("/healthz/", Endpoint::None),
            ("/forward", Endpoint::None),
            ("/Forward/rest", Endpoint::None),
            ("//forward/rest", Endpoint::None),
            ("/metrics", Endpoint::None),
            ("/", Endpoint::None),
            ("*", Endpoint::None),
            ("http://other/forward/rest?x", forward(Dialect::Forward, "rest", "")),
        ] {
            assert_eq!(Endpoint::of(&uri.parse().unwrap()), endpoint, "{uri}");
        }
        assert_eq!(Endpoint::of(&"host:80".parse().unwrap()), Endpoint::None);
    }
}
