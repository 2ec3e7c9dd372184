//! The configuration of `keyward serve`, and everything that proxies, services and operators see of it.

use keyward_core::rules::credential::Presentation;
use keyward_http::server::metrics;

use super::topics::{Part, Rows, terms};

const EXAMPLE: &str = "\
listen = [\"unix:/run/keyward/guard.sock\", { address = \"127.0.0.1:9180\", api = true }]
admin = \"127.0.0.1:9181\"
proxies = [\"10.0.0.0/8\"]
[policy.rest]
scopes = [\"rest\"]
accept = [\"bearer\", \"x_api_key\"]
limits = [\"1000/1m\", \"100000/1d\"]
[policy.tenants]
tenant_from = \"host:{tenant}.api.example.org\"
[[route]]
host = \"api.example.org\"
path = \"/admin\"
policy = \"rest\"";

const FIELDS: Rows = &[
    (
        "listen",
        "where proxies ask: a list of addresses, each a text or a table { address = \"IP:PORT\", api = true }. An \
         address is IP:PORT, unix:PATH or fd:NAME, a socket that systemd hands over. Behind the path of a socket may \
         stand ,mode=0660 and ,group=NAME. With api, services may ask for themselves there. Where nothing is said: \
         fd:guard if systemd hands it over, else unix:$RUNTIME_DIRECTORY/guard.sock under systemd, else 127.0.0.1:9180",
    ),
    (
        "admin",
        "where operators look, an address of its own; none where nothing is said, unless systemd hands over fd:admin",
    ),
    (
        "trust",
        "networks whose machines may ask, beside this one: a list such as [\"10.0.0.0/8\"]. It is about every address, \
         that of operators too; without it, none may be reached from other machines. Sockets are for whom their mode \
         and group let in",
    ),
    (
        "proxies",
        "networks of proxies in front of the one that asks: a list. Their entries in X-Forwarded-For are skipped, from \
         the right, and the first other one is the client",
    ),
    (
        "proxy_secret_file",
        "a file with one line of at least 16 visible characters. Every request has to carry it as \
         Keyward-Proxy-Secret, but for those to /healthz and of operators",
    ),
    (
        "log",
        "which decisions are logged: refused (where nothing is said), all or none. Events are logged always, \
         but with none no problem and no connection",
    ),
    ("metrics_per_key", "true: metrics tell how often each key is used, by name, for the thousand that are used most"),
];

const POLICY: Rows = &[
    ("scopes", "a list of scopes that every request needs, all of them"),
    ("levels", "the same with levels"),
    ("role", "the least role that every request needs. The store has to have it"),
    ("tenant", "the tenant whose data is behind the guard. The store has to have it"),
    ("tenant_from", "instead: the label of the host that names the tenant, as \"host:{tenant}.api.example.org\""),
    ("methods", "a list of methods; others are refused. All, where nothing is said"),
    (
        "accept",
        "a list of the places in which a credential is looked for, see below. What is elsewhere is none, and is not \
         looked at. All but those in a query, where nothing is said",
    ),
    ("transport", "\"https\" refuses requests that did not come by it, whatever the key allows"),
    ("limits", "a list of limits, N/PERIOD or N/PERIOD:BURST, for keys that have none of their own"),
    ("explain", "false: bodies of 401 and 403 do not say why, and no scope is named. True, where nothing is said"),
    (
        "headers",
        "a list of what the service is told: id, name, owner, tenant, group, role, scopes, levels, policy. All but \
         group and levels, where nothing is said",
    ),
];

const ROUTE: Rows = &[
    ("host", "the host that the request is for, without a port; any, where nothing is said"),
    ("path", "the path, or one above it, segment by segment; any, where nothing is said"),
    ("methods", "a list of methods; all, where nothing is said"),
    ("policy", "the name of the policy that is asked then"),
];

const ENDPOINTS: Rows = &[
    (
        "/forward/POLICY",
        "what is asked about is told by X-Forwarded-Method, -Uri, -Host, -Proto and -For: for Caddy, Traefik, HAProxy, \
         Apache",
    ),
    ("/nginx/POLICY", "the same for auth_request of nginx: no answer has a body, and 429 comes as 403"),
    (
        "/original/POLICY",
        "by X-Original-Method, X-Original-URL and X-Forwarded-For: for ingress-nginx. It is answered as nginx is",
    ),
    (
        "/envoy/POLICY/PATH",
        "by the method and the path of the question itself, Host, X-Forwarded-Proto and -For: for Envoy, Istio, \
         Gateway API",
    ),
    ("/forward/routes, /envoy/routes", "the policy is that of the first [[route]] that matches"),
    (
        "/v1/verify",
        "POST: a service asks for itself, where the listener has api. The body is one line of `keyward verify --batch` \
         with a field \"policy\", as application/json, of 128 KiB at most; what else it says is asked beside what the \
         policy asks. The answer is 200 with the answer object of `keyward help json`, whether it is yes or no",
    ),
    ("/healthz", "200 while it serves, 503 while it drains"),
];

const OPERATORS: Rows = &[
    ("/livez", "200 while the event loops turn"),
    (
        "/readyz",
        "200 if the store can be read and nothing is draining, else 503; in JSON: status (ready, degraded, not_ready) \
         and checks (store: ok or an error code; uses: whether they can be written; draining)",
    ),
    ("/metrics", "the metrics below, in the text format of Prometheus"),
];

const ASKED: Rows = &[
    ("Keyward-Proxy-Secret", "the line of proxy_secret_file"),
    ("X-Request-Id", "what the request is called, if it is 1 to 64 letters, digits and . _ -; else it gets a name"),
    ("traceparent", "its trace id is logged (W3C Trace Context)"),
];

const ANSWERS: Rows = &[
    ("200", "allowed. No other answer means yes"),
    ("401", "no genuine credential of a live key; WWW-Authenticate says how to present one"),
    ("403", "the key may not do this, or the request is one that nobody may make"),
    ("429", "too often; Retry-After says in how many seconds it may be tried again"),
    ("503", "it could not be checked, and is neither yes nor no; Retry-After is 1"),
    ("500", "the proxy asks for a policy that there is not, or there is a mistake in keyward"),
    ("404", "the path is none of the endpoints"),
    (
        "400, 405, 408, 413, 415",
        "at /v1/verify: no question, another method, a body that does not come, too large, no JSON",
    ),
    ("414, 431", "the head has more than 64 KiB or 100 lines"),
];

const HEADERS: Rows = &[
    ("X-Keyward-Id", "the id of the key, which never changes"),
    ("X-Keyward-Name", "its name"),
    ("X-Keyward-Owner", "its owner"),
    ("X-Keyward-Tenant", "its tenant"),
    ("X-Keyward-Group", "its group"),
    ("X-Keyward-Role", "the role in which it acts"),
    ("X-Keyward-Scopes", "its scopes, joined by commas"),
    ("X-Keyward-Levels", "its levels, joined by commas"),
    ("X-Keyward-Policy", "the policy that was asked"),
    ("X-Keyward-Request-Id", "what the request is called, on every answer of a policy"),
    ("X-Keyward-Reason", "allowed, or why not, on every answer of a policy"),
    ("X-Keyward-Status", "429, where it comes as 403"),
    ("X-Keyward-Stale", "true, where the server of the store is away and --stale-for lets old knowledge decide"),
    (
        "RateLimit-Policy",
        "the limits that apply, as \"1m\";q=1000;w=60; those of a user and a tenant are user-1m, tenant-1m",
    ),
    ("RateLimit", "what is left of each, as \"1m\";r=12;t=7: requests, and seconds until there are more or all again"),
];

const REASONS: Rows = &[
    ("no_credential", "401: there is none"),
    ("ambiguous_credential", "401: there are two that differ"),
    ("not_genuine", "401: unknown, wrong or not a secret at all. The log says malformed for the last"),
    ("secret_retired", "401: the secret was replaced, and its grace is over"),
    ("key_disabled", "401: the key is disabled"),
    ("key_expired", "401: the key has expired"),
    ("owner_disabled", "401: its owner is disabled"),
    ("tenant_disabled", "401: its tenant is disabled"),
    (
        "insecure_transport",
        "403: key or policy want HTTPS, and the request did not come by it, or nobody says how it came",
    ),
    ("ip_not_allowed", "403: the client's address is in none of the key's networks, or is not known"),
    ("tenant_mismatch", "403: the key works for another tenant"),
    ("method_not_allowed", "403: the key is read-only, the policy has other methods, or the method is not known"),
    ("scope_missing", "403: the key lacks a scope"),
    ("level_missing", "403: the key lacks a level"),
    ("role_too_low", "403: the role in which the key acts is too low"),
    ("untrusted_peer", "403: whoever asks is in none of the networks of trust, or does not know the proxy secret"),
    ("forged_header", "403: the request has a header that looks like X-Keyward-..., or names one in Connection"),
    ("ambiguous_request", "403: a header of the facts stands twice, is a list or says nothing, or there are two hosts"),
    ("ambiguous_path", "403: at routes: the path has //, . or .. segments, ; # \\ or escapes of them"),
    ("no_route", "403: no [[route]] is for the request"),
    ("rate_limited", "429: a limit of up to an hour is used up"),
    ("quota_exceeded", "429: a limit of a day or a month is used up"),
    (
        "too_many_failures",
        "429: too many wrong credentials from this address; one that has matched before still passes",
    ),
    ("store_unusable", "503: the store cannot be read, or what was taken of a limit cannot be written"),
    ("overloaded", "503: too many credentials wait for a hash, or too many connections are open"),
    ("draining", "503: the guard has ended before it could decide"),
    ("name_unusable", "503: a name of the key, such as -, would read as another one in a header"),
    ("unknown_policy", "500: there is no policy of the name in the path"),
    ("internal", "500: a mistake in keyward"),
];

const DECISION: Rows = &[
    ("ts", "when, in UTC, with milliseconds"),
    ("level", "info, warn or error"),
    ("event", "decision, or another one of those below"),
    ("policy", "the policy that was asked"),
    ("status", "the status that is meant"),
    ("reason", "allowed, or why not"),
    ("checks", "all checks that failed"),
    ("key, key_id, secret_id", "the key, and its secret, where the secret matched; else null"),
    ("presentation", "where the credential stood"),
    ("client", "the address of the client"),
    (
        "method, host, path, proto",
        "what was asked about, as far as it is known; the path without its query, up to 256 characters",
    ),
    ("us", "microseconds that it took"),
    ("request_id", "X-Keyward-Request-Id"),
    ("trace_id", "that of traceparent"),
    ("peer", "who asked: an address, or unix"),
    ("code, message", "the error of the store, where it could not be checked"),
    ("suppressed", "how many equal lines were left out before this one: more than a hundred a second"),
    ("lost", "how many lines were lost before this one, because nobody took them"),
];

const EVENTS: Rows = &[
    ("start", "listen, api, admin, policies, store, version: what is served"),
    ("reload", "the same after a reload; or message, and the former configuration is kept"),
    ("stop, stopped", "it was told to end (drain_seconds), and has ended"),
    ("store_error, store_recovered", "the store cannot be read (code, message), and can be read again"),
    (
        "socket_unused",
        "systemd handed over a socket (socket), but nothing accepts its connections (message), so clients hang",
    ),
    ("flush_error", "uses cannot be written (code, message, unrecorded_uses); it is tried again each second"),
    ("unknown_policy", "asked, policies: a proxy names a policy that there is not; once for each path"),
    ("problem", "status, reason, path, peer: an answer other than a decision, such as 404"),
    (
        "connection",
        "reason, message, peer: head_too_large, head_malformed, head_cut_short, head_too_slow, too_many_connections",
    ),
    ("one_client", "nearly all requests come from one address: perhaps it belongs into proxies"),
    ("accept_error, log_error", "a connection cannot be taken, the log cannot be opened anew"),
    ("suppressed", "how many lines were left out and are told by no other"),
];

const BOUNDS: Rows = &[
    ("heads", "64 KiB and 100 lines; five seconds from the first byte on. A body is not waited for, but at /v1/verify"),
    ("connections", "10,000, and 64 of peers that are not trusted; one is closed after 120 idle seconds"),
    (
        "wrong credentials",
        "an address (of IPv6 a /64) may fail 30 times, then 10 times a minute; unknown ones 100 times a second",
    ),
    ("hashes", "a thread a processor, and 64 credentials that wait; one that matched before waits for none"),
    ("uses", "written once a second. Only kill -9 loses any: those of the last second"),
];

/// The topic.
pub(super) fn parts() -> Vec<Part> {
    let mut parts = vec![
        Part::Text(
            "`keyward serve` answers proxies before each request. Flags describe one policy, default; a file in TOML, \
             named by `--config`, describes any number of them. Flags beside it win over what it says, and those of a \
             policy are refused. A field that there is not is a mistake, as is a file or folder that everybody can \
             write to. `keyward serve --check` says whether all of it is in order; with `--json` it prints an object \
             with listen, admin and policies.",
        ),
        Part::Lines("toml", EXAMPLE),
    ];
    add(&mut parts, "Fields", FIELDS);
    parts.push(Part::Heading("Fields of a policy".to_owned()));
    parts.push(Part::Text(
        "[policy.NAME] describes one. A name has 1 to 32 characters of a-z, 0-9 and -, does not begin with -, and is \
         not routes. It stands in the path that the proxy asks, as it is: nothing that a client sends changes it.",
    ));
    parts.extend(terms(POLICY));
    parts.push(Part::Heading("Fields of a route".to_owned()));
    parts.push(Part::Text(
        "Where a proxy cannot name the policy, it asks for routes, and the first [[route]] that matches names it. A \
         path that two programs could read differently is refused. Policies in the path are safer.",
    ));
    parts.extend(terms(ROUTE));
    parts.push(Part::Heading("Places of a credential".to_owned()));
    parts.extend(Presentation::ALL.map(|place| Part::Term(place.as_str().to_owned(), place.place().to_owned())));
    add(&mut parts, "Endpoints for proxies and services", ENDPOINTS);
    parts.push(Part::Heading("Headers of questions".to_owned()));
    parts.push(Part::Text(
        "Each endpoint reads its own headers and no other. One that is missing leaves its fact unknown, and what needs \
         it refuses.",
    ));
    parts.extend(terms(ASKED));
    parts.push(Part::Heading("Answers".to_owned()));
    parts.push(Part::Text(
        "A refusal has a body of application/problem+json (RFC 9457) with type, title, status, reason, checks and \
         request_id, but none at /nginx and /original.",
    ));
    parts.extend(terms(ANSWERS));
    parts.push(Part::Heading("Headers of answers".to_owned()));
    parts.push(Part::Text(
        "On 200, those that the policy names are all there and never empty: - stands for none. What a proxy hands on \
         to the service overwrites what the client sent.",
    ));
    parts.extend(terms(HEADERS));
    add(&mut parts, "Reasons", REASONS);
    add(&mut parts, "Endpoints for operators", OPERATORS);
    parts.push(Part::Heading("Metrics".to_owned()));
    parts.extend(metrics().into_iter().map(|[name, kind, help]| Part::Term(name, format!("{kind}: {help}"))));
    parts.push(Part::Heading("Log".to_owned()));
    parts.push(Part::Text(
        "One JSON object a line, on standard error or in `--log-file`. No credential, no cookie, no query and no body \
         is ever in it. A decision has these fields:",
    ));
    parts.extend(terms(DECISION));
    parts.push(Part::Heading("Events".to_owned()));
    parts.push(Part::Text("Other events have ts, level and event as well, and:"));
    parts.extend(terms(EVENTS));
    add(&mut parts, "Bounds", BOUNDS);
    parts.push(Part::Heading("Reload and end".to_owned()));
    parts.push(Part::Text(
        "SIGHUP reads the file again, opens the log anew, and takes over all of it or nothing; listeners that are the \
         same stay open. Keys, their settings and what they are part of need no reload: a change by any command counts \
         at the next request. SIGTERM and SIGINT end it. For as long as `--drain` says, /healthz and /readyz say 503 \
         and requests are decided as before; then nobody is let in any more, what is under way has five seconds, and \
         all uses are written. A second signal ends it at once. The exit status is 0 then, 1 where an address is \
         taken, 2 for a flag or a configuration that cannot be meant, and 6 where the store cannot be used.",
    ));
    parts
}

fn add(parts: &mut Vec<Part>, heading: &str, rows: Rows) {
    parts.push(Part::Heading(heading.to_owned()));
    parts.extend(terms(rows));
}
