//! What must hold for the guard's parsers (`crates/keyward-http`) with any input. As in `checks.rs`, each function
//! panics if a property fails, and returns in one word how the input was read.

use std::net::IpAddr;
use std::str::from_utf8;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use keyward_core::rules::http::{Transport, is_token};
use keyward_http::facts::{Dialect, Facts, Head};
use keyward_http::policy::{Policy, Route, Routes};
use keyward_http::server::{Config, asked_by};

/// Headers that hold one value, by dialect.
const SINGLE: [(Dialect, &[&str]); 4] = [
    (Dialect::Forward, &["x-forwarded-method", "x-forwarded-uri", "x-forwarded-host", "x-forwarded-proto"]),
    (Dialect::Nginx, &["x-forwarded-method", "x-forwarded-uri", "x-forwarded-host", "x-forwarded-proto"]),
    (Dialect::Original, &["x-original-method", "x-original-url"]),
    (Dialect::Envoy, &["host", "x-forwarded-proto"]),
];
const CLIENT: &str = "x-forwarded-for";
/// Headers that come from the client in every dialect.
const FOREIGN: [&str; 4] = ["forwarded", "x-real-ip", "x-forwarded-port", "x-envoy-original-path"];

/// Checks [`Head::facts`] with lines such as `name: value`, in every dialect. The first line is what follows the policy
/// in the path.
pub fn facts(data: &[u8]) -> &'static str {
    let mut lines = data.split(|byte| *byte == b'\n');
    let rest = lines.next().and_then(|line| from_utf8(line).ok()).unwrap_or_default();
    let mut headers = HeaderMap::new();
    for line in lines.take(64) {
        let Some(end) = line.iter().position(|byte| *byte == b':') else { continue };
        let value = line[end + 1..].trim_ascii();
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(&line[..end]), HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    let mut word = "nothing";
    for (dialect, single) in SINGLE {
        let read = in_dialect(dialect, rest, single, &headers);
        word = if read == "nothing" { word } else { read };
    }
    word
}

fn head<'h>(uri: &'h Uri, headers: &'h HeaderMap) -> Head<'h> {
    Head { method: &Method::GET, uri, headers }
}

fn in_dialect(dialect: Dialect, rest: &str, single: &[&'static str], headers: &HeaderMap) -> &'static str {
    let proxies = ["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
    let uri = Uri::from_static("/");
    let read = |headers: &HeaderMap| head(&uri, headers).facts(dialect, rest, &proxies).map(owned);
    let found = read(headers);
    // Other headers are ignored.
    let mut other = headers.clone();
    for name in FOREIGN.into_iter().chain(SINGLE.iter().flat_map(|(_, names)| names.iter().copied())) {
        if !single.contains(&name) {
            other.append(name, HeaderValue::from_static("https"));
        }
    }
    assert_eq!(found, read(&other), "{dialect:?} reads what is the client's");
    // A repeated header is refused, whatever its value.
    for name in single.iter().filter(|name| headers.contains_key(**name)) {
        let mut twice = headers.clone();
        twice.append(*name, headers[*name].clone());
        assert!(read(&twice).is_err(), "{dialect:?} takes one of two {name}");
    }
    let Ok(facts) = head(&uri, headers).facts(dialect, rest, &proxies) else { return "ambiguous" };
    if let Some(target) = facts.target {
        let is_of_the_url = dialect == Dialect::Original && target.starts_with(['?', '#']);
        assert!(target.starts_with('/') || target == "*" || is_of_the_url, "{target:?} is no target");
        assert!(dialect == Dialect::Envoy || !target.contains(' '));
        assert!(!facts.path().unwrap().contains('?'));
    }
    assert!(facts.method.as_ref().is_none_or(|method| is_token(method.as_ref())));
    assert!(facts.host.is_none_or(|host| !host.contains(',') && !host.is_empty()));
    if let Some(client) = facts.client {
        assert!(!proxies.iter().any(|network| network.contains(&client)), "{client} is a proxy");
        assert_eq!(client, client.to_canonical());
        // Earlier entries change nothing.
        let mut longer = HeaderMap::new();
        longer.append(CLIENT, HeaderValue::from_static("198.51.100.1, \"x, unknown"));
        for value in headers.get_all(CLIENT) {
            longer.append(CLIENT, value.clone());
        }
        let (again, _) = keyward_http::facts::client_address(&longer, &proxies);
        assert_eq!(again, Some(client), "the client wrote its own address");
    }
    // Envoy always gives the method and the path.
    let is_told = dialect != Dialect::Envoy && (facts.target.is_some() || facts.method.is_some());
    let is_nothing = facts.host.is_none() && facts.client.is_none() && facts.transport.is_none();
    if is_nothing && !is_told { "nothing" } else { "facts" }
}

type Owned = (Option<String>, Option<String>, Option<String>, Option<&'static str>, Option<IpAddr>);

fn owned(facts: Facts<'_>) -> Owned {
    (
        facts.method.map(|method| method.to_string()),
        facts.target.map(str::to_owned),
        facts.host.map(str::to_owned),
        facts.transport.map(Transport::as_str),
        facts.client,
    )
}

/// Checks the endpoints and [`Routes::policy`] with a host in the first line and a path in the second. The routes guard
/// the host `admin.example.org` and the path `/admin`: a request that gets another policy must reach neither, however
/// it is read.
pub fn routes(data: &[u8]) -> &'static str {
    let Ok(text) = from_utf8(data) else { return "not_utf8" };
    let (host, target) = text.split_once('\n').unwrap_or(("api.example.org", text));
    endpoint(target);
    let policy = |name: &str| Arc::new(Policy::new(name.parse().unwrap()));
    let route = |host, path, name| Route::new(host, path, vec![], policy(name)).unwrap();
    let routes = Routes::new(vec![
        route(Some("admin.example.org"), None, "host"),
        route(None, Some("/admin"), "path"),
        route(None, None, "rest"),
    ]);
    let mut facts = Facts::default();
    (facts.host, facts.target) = (Some(host), Some(target));
    let Ok(found) = routes.policy(&facts) else { return "refused" };
    match found.name.as_str() {
        "host" => "host",
        "path" => "path",
        _ => {
            for path in readings(target) {
                assert!(!is_below_admin(&path), "{target:?} is {path:?} to somebody");
            }
            let name = host.rsplit_once('@').map_or(host, |(_, host)| host).split([':', '/', '?', '#', '\\']).next();
            let name = name.unwrap_or_default().trim().trim_end_matches('.');
            assert!(!name.eq_ignore_ascii_case("admin.example.org"), "{host:?} is the guarded one");
            "rest"
        }
    }
}

/// The policy is exactly the text in the path.
fn endpoint(target: &str) {
    let Ok(uri) = target.parse::<Uri>() else { return };
    let Some((dialect, policy, rest)) = asked_by(&uri) else { return };
    let whole = uri.path_and_query().map_or("", |path| path.as_str());
    let after = whole.strip_prefix(&format!("/{}/", dialect.as_str())).unwrap();
    assert!(after.starts_with(policy), "{target:?} names {policy:?}");
    assert!(!policy.contains('?'), "the query is the client's");
    if dialect == Dialect::Envoy {
        assert_eq!(format!("{policy}{rest}"), after);
        assert!(!policy.contains('/'));
    } else {
        assert_eq!(rest, "");
        assert_eq!(after.split('?').next(), Some(policy));
    }
}

/// A path as different servers read it: raw, decoded once and twice, with backslashes as slashes, and without what
/// follows a semicolon or a number sign.
fn readings(target: &str) -> Vec<Vec<u8>> {
    let raw = target.split('?').next().unwrap_or_default().as_bytes().to_vec();
    let once = decoded(&raw);
    let twice = decoded(&once);
    let mut all = vec![raw, once, twice];
    for place in 0..all.len() {
        let plain: Vec<u8> = all[place].iter().map(|&byte| if byte == b'\\' { b'/' } else { byte }).collect();
        let bare: Vec<u8> = plain
            .split(|&byte| byte == b'/')
            .map(|segment| segment.split(|&byte| byte == b';').next().unwrap_or_default())
            .collect::<Vec<_>>()
            .join(&b'/');
        let cut = |path: &[u8], end: &[u8]| path.split(|byte| end.contains(byte)).next().unwrap_or_default().to_vec();
        all.extend([cut(&plain, b"#"), cut(&plain, b"#?\0"), bare, plain]);
    }
    all
}

fn decoded(path: &[u8]) -> Vec<u8> {
    let (mut out, mut place) = (vec![], 0);
    while let Some(&byte) = path.get(place) {
        let digits = path.get(place + 1..place + 3).and_then(|digits| from_utf8(digits).ok());
        let escaped = digits.filter(|_| byte == b'%').and_then(|digits| u8::from_str_radix(digits, 16).ok());
        out.push(escaped.unwrap_or(byte));
        place += if escaped.is_some() { 3 } else { 1 };
    }
    out
}

/// Whether the path, after resolving empty and dot segments, leads to `/admin` or below it.
fn is_below_admin(path: &[u8]) -> bool {
    let mut segments: Vec<&[u8]> = vec![];
    for segment in path.split(|&byte| byte == b'/') {
        match segment {
            b"" | b"." => {}
            b".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    segments.first() == Some(&&b"admin"[..])
}

/// Checks [`Config::parse`] and [`Config::check`].
pub fn configuration(data: &[u8]) -> &'static str {
    let Ok(text) = from_utf8(data) else { return "not_utf8" };
    let found = Config::parse(text);
    assert_eq!(found, Config::parse(text), "one text was read in two ways");
    match found {
        Ok(config) => {
            // An unknown table makes it invalid.
            assert!(Config::parse(&format!("{text}\n[there_is_no_such_table]\n")).is_err());
            match config.check() {
                Ok(()) => {
                    assert!(!config.policies.is_empty());
                    let is_open = config.listen.iter().any(|listen| !listen.address.is_local());
                    assert!(!is_open || !config.trust.is_empty(), "everybody may ask");
                    "config"
                }
                Err(_) => "unfit",
            }
        }
        Err(error) => {
            assert!(!error.message.is_empty() && !error.message.contains('\n'), "{error:?}");
            let line = error.message.strip_prefix("line ").and_then(|rest| rest.split(':').next()?.parse().ok());
            assert!(line.is_none_or(|line: usize| (1..=text.matches('\n').count() + 1).contains(&line)), "{error:?}");
            "mistake"
        }
    }
}
