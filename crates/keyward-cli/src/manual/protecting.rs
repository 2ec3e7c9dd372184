//! How a service is put behind the guard: the path of a proxy's question, units for systemd, and what has to be seen to.
//!
//! The fields, endpoints and answers are in the topic `serve.toml`.

use super::topics::{Part, terms};

const FIVE_MINUTES: &str = "\
keyward create demo --scope read --secret-file demo.key
keyward serve --scope read &
curl -i http://127.0.0.1:9180/forward/default -H \"Authorization: Bearer $(cat demo.key)\" -H \"X-Forwarded-Proto: https\"
curl -i http://127.0.0.1:9180/forward/default -H \"X-Forwarded-Proto: https\"";

/// The topic.
pub(super) fn parts() -> Vec<Part> {
    let mut parts = vec![
        Part::Text(
            "`keyward serve` answers a proxy before each request: 200, and the request may go on, or a refusal, \
             which the client gets. To try it, with curl in the place of the proxy:",
        ),
        Part::Lines("sh", FIVE_MINUTES),
        Part::Text(
            "The first answer is 200, with X-Keyward-Name: demo for your service; the second is 401. A key refuses \
             plain HTTP unless it was made with --allow-insecure: the header X-Forwarded-Proto in these lines says \
             that the client used HTTPS. What you change with other commands counts at the next request.",
        ),
        Part::Heading("With a proxy".to_owned()),
        Part::Text(
            "`keyward serve example nginx` prints all that nginx needs: every header of a credential removed before \
             the service, challenges and 429 for the client, keep-alive to the guard. There are examples for caddy, \
             traefik, envoy, haproxy, apache, ingress-nginx and gateway-api too. The first word of the path says \
             how the proxy asks, the second is the policy:",
        ),
    ];
    parts.extend(terms(&[
        ("/forward/POLICY", "most proxies"),
        ("/nginx/POLICY", "auth_request of nginx, which understands fewer answers"),
        ("/original/POLICY", "ingress-nginx"),
        ("/envoy/POLICY/PATH", "Envoy"),
    ]));
    parts.extend([
        Part::Text(
            "Flags describe one policy, default. Several stand in a file, which `keyward help serve.toml` \
             describes.",
        ),
        Part::Text(
            "If nginx itself listens without TLS, its $scheme is http, and the answer is 403 insecure_transport: \
             listen with ssl, or try it out with a key that was made with --allow-insecure. A 500 from nginx means \
             that the guard could not be reached, or that there is no policy of the name in the path. The guard's \
             log has the reason of every refusal, and `keyward verify` says what to do about it.",
        ),
        Part::Heading("Without a proxy".to_owned()),
        Part::Text(
            "A service in Rust checks its requests itself: keyward-http is a layer of tower, for axum and others. \
             Say behind_tls() only if TLS ends in front of this process: the layer then takes every request for a \
             secure one. If keys are bound to addresses, behind_proxies or peer tells the layer who the client is.",
        ),
        Part::Text(
            "Any other service asks with POST /v1/verify, on a listener that says api. A question is one of \
             `keyward verify --batch` with one more field, policy. Whatever is not a clear yes is a no: check that \
             the status is 200 and that `allowed` is true.",
        ),
        Part::Lines(
            "sh",
            "keyward serve --scope read --listen 127.0.0.1:9180,api &\n\
             curl http://127.0.0.1:9180/v1/verify -H \"Content-Type: application/json\" \\\n    \
             -d '{\"policy\":\"default\",\"headers\":[[\"Authorization\",\"Bearer '$(cat demo.key)'\"]],\"method\":\"GET\",\"transport\":\"https\"}'",
        ),
        Part::Heading("As a service of systemd".to_owned()),
        Part::Text(
            "packaging/systemd has units for the guard. Its store is /var/lib/keyward/keys.db, and its socket \
             /run/keyward/guard.sock, which SocketGroup= opens to the proxy. `systemctl reload` reads the \
             configuration again. `keyward serve --admin 127.0.0.1:9181` serves /metrics, /readyz and /livez there, \
             and nowhere else.",
        ),
        Part::Heading("What the guard trusts".to_owned()),
        Part::Text(
            "Everybody who can connect to it may ask. Over TCP that is this machine, and the networks that --trust \
             names.",
        ),
        Part::Text(
            "It believes the headers that the proxy writes, so the proxy has to overwrite all of them, as every \
             example does. A service that clients reach past the proxy is not guarded.",
        ),
        Part::Text(
            "Only an exact 200 means yes, and only the path that the proxy sets says which policy applies. A \
             request that brings an X-Keyward-* header of its own is refused with 403, so your service can believe \
             these headers.",
        ),
    ]);
    parts
}
