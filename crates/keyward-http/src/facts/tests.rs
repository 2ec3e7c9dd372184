use http::{HeaderName, HeaderValue};

use super::*;

/// The headers in a text such as `a: b | c: d`.
fn headers(text: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in text.split(" | ").filter_map(|line| line.split_once(": ")) {
        let name: HeaderName = name.parse().unwrap();
        headers.append(name, HeaderValue::from_bytes(value.replace("\\xff", "\u{fff}").as_bytes()).unwrap());
    }
    headers
}

/// The facts in one line, with `?` for unknown ones.
fn told(dialect: Dialect, rest: &str, text: &str) -> Result<String, Refusal> {
    let headers = headers(text);
    let uri = "/".parse().unwrap();
    let head = Head { method: &HttpMethod::PATCH, uri: &uri, headers: &headers };
    let facts = head.facts(dialect, rest, &["10.0.0.0/8".parse().unwrap()])?;
    let or = |text: Option<&str>| text.unwrap_or("?").to_owned();
    Ok(format!(
        "{} {} {} {} {}",
        or(facts.method.as_ref().map(AsRef::as_ref)),
        or(facts.target),
        or(facts.host),
        or(facts.transport.map(Transport::as_str)),
        facts.client.map_or("?".to_owned(), |client| client.to_string()),
    ))
}

const AMBIGUOUS: Result<&str, Refusal> = Err(Refusal::AmbiguousRequest);

fn check(dialect: Dialect, rest: &str, cases: &[(&str, Result<&str, Refusal>)]) {
    for (text, expected) in cases {
        assert_eq!(told(dialect, rest, text), expected.map(str::to_owned), "{dialect:?} {rest} {text}");
    }
}

#[test]
fn forward_reads_its_five_headers_and_no_other() {
    let all = "x-forwarded-method: GET | x-forwarded-uri: /a?b=c,d | x-forwarded-host: h:1 | x-forwarded-proto: wss | \
               x-forwarded-for: 192.0.2.1, 10.0.0.1";
    for dialect in [Dialect::Forward, Dialect::Nginx] {
        check(
            dialect,
            "",
            &[
                (all, Ok("GET /a?b=c,d h:1 https 192.0.2.1")),
                ("", Ok("? ? ? ? ?")),
                (
                    "host: h | x-original-url: https://h/ | x-original-method: GET | x-real-ip: 192.0.2.1",
                    Ok("? ? ? ? ?"),
                ),
                (
                    "forwarded: for=192.0.2.1;proto=https;host=h | x-forwarded-server: h | x-forwarded-port: 1",
                    Ok("? ? ? ? ?"),
                ),
                ("x-forwarded-method: ", Ok("? ? ? ? ?")),
                ("x-forwarded-method: get", Ok("get ? ? ? ?")),
                ("x-forwarded-method: G T", AMBIGUOUS),
                ("x-forwarded-method: GET, POST", AMBIGUOUS),
                ("x-forwarded-method: GET,", AMBIGUOUS),
                ("x-forwarded-method: GET | x-forwarded-method: GET", AMBIGUOUS),
                ("x-forwarded-uri: ", Ok("? ? ? ? ?")),
                ("x-forwarded-uri: *", Ok("? * ? ? ?")),
                ("x-forwarded-uri: a", AMBIGUOUS),
                ("x-forwarded-uri: /a /b", AMBIGUOUS),
                ("x-forwarded-uri: /a, /b", AMBIGUOUS),
                ("x-forwarded-uri: http://h/a", AMBIGUOUS),
                ("x-forwarded-uri: /a | x-forwarded-uri: /a", AMBIGUOUS),
                ("x-forwarded-uri: //a/../b", Ok("? //a/../b ? ? ?")),
                ("x-forwarded-host: a,b", AMBIGUOUS),
                ("x-forwarded-host: a | x-forwarded-host: b", AMBIGUOUS),
                ("x-forwarded-host: ", Ok("? ? ? ? ?")),
                ("x-forwarded-proto: HTTPS", Ok("? ? ? https ?")),
                ("x-forwarded-proto: ws", Ok("? ? ? http ?")),
                ("x-forwarded-proto: https, http", AMBIGUOUS),
                ("x-forwarded-proto: https | x-forwarded-proto: https", AMBIGUOUS),
                ("x-forwarded-proto: h2", AMBIGUOUS),
                ("x-forwarded-proto: https:", AMBIGUOUS),
                ("x-forwarded-proto: ", Ok("? ? ? ? ?")),
                // An unreadable entry leaves the client unknown: picking another one would be a guess.
                ("x-forwarded-for: x", Ok("? ? ? ? ?")),
                ("x-forwarded-for: 192.0.2.1, x", Ok("? ? ? ? ?")),
            ],
        );
    }
}

#[test]
fn original_takes_the_url_apart() {
    check(
        Dialect::Original,
        "",
        &[
            (
                "x-original-method: POST | x-original-url: https://h.example:8443/a/b?c=d | x-forwarded-for: 192.0.2.1",
                Ok("POST /a/b?c=d h.example:8443 https 192.0.2.1"),
            ),
            ("x-original-url: http://h", Ok("? / h http ?")),
            ("x-original-url: http://h/", Ok("? / h http ?")),
            ("x-original-url: HTTP://[::1]:80/a", Ok("? /a [::1]:80 http ?")),
            ("x-original-url: ", Ok("? ? ? ? ?")),
            (
                "x-forwarded-uri: /a | x-forwarded-host: h | x-forwarded-proto: https | x-forwarded-method: GET",
                Ok("? ? ? ? ?"),
            ),
            ("x-original-url: /a", AMBIGUOUS),
            ("x-original-url: h/a", AMBIGUOUS),
            ("x-original-url: https:///a", AMBIGUOUS),
            ("x-original-url: ftp://h/a", AMBIGUOUS),
            ("x-original-url: https://a@h/", AMBIGUOUS),
            ("x-original-url: https://a:b@h/", AMBIGUOUS),
            ("x-original-url: https://h\\@other/", AMBIGUOUS),
            ("x-original-url: https://h,other/", AMBIGUOUS),
            ("x-original-url: https://h/a https://h/b", AMBIGUOUS),
            ("x-original-url: https://h/a | x-original-url: https://h/a", AMBIGUOUS),
            ("x-original-method: GET | x-original-method: GET", AMBIGUOUS),
            ("x-original-method: GET,GET", AMBIGUOUS),
            ("x-original-url: https://h?a@b", Ok("? ?a@b h https ?")),
        ],
    );
}

#[test]
fn envoy_tells_by_the_request_itself() {
    let text = "host: h | x-forwarded-proto: https | x-forwarded-for: 192.0.2.1";
    for (rest, target) in [("/a/b?c", "/a/b?c"), ("", "/"), ("?c", "/"), ("/../x", "/../x"), ("//x", "//x"), ("/", "/")]
    {
        check(Dialect::Envoy, rest, &[(text, Ok(&format!("PATCH {target} h https 192.0.2.1")))]);
    }
    check(
        Dialect::Envoy,
        "/a",
        &[
            ("", Ok("PATCH /a ? ? ?")),
            (
                "x-forwarded-method: GET | x-forwarded-uri: /b | x-forwarded-host: i | x-envoy-original-path: /c",
                Ok("PATCH /a ? ? ?"),
            ),
            ("host: a | host: b", AMBIGUOUS),
            ("host: a,b", AMBIGUOUS),
            ("x-forwarded-proto: https,http", AMBIGUOUS),
            ("x-forwarded-proto: x", AMBIGUOUS),
        ],
    );
}

#[test]
fn what_is_not_utf_8_is_no_fact() {
    for (dialect, name) in [
        (Dialect::Forward, "x-forwarded-method"),
        (Dialect::Forward, "x-forwarded-uri"),
        (Dialect::Forward, "x-forwarded-host"),
        (Dialect::Forward, "x-forwarded-proto"),
        (Dialect::Original, "x-original-url"),
        (Dialect::Envoy, "host"),
    ] {
        let mut headers = HeaderMap::new();
        headers.append(HeaderName::from_static(name), HeaderValue::from_bytes(b"/\xff").unwrap());
        let uri = "/".parse().unwrap();
        let head = Head { method: &HttpMethod::GET, uri: &uri, headers: &headers };
        assert_eq!(head.facts(dialect, "/", &[]), Err(Refusal::AmbiguousRequest), "{name}");
    }
}

#[test]
fn the_client_is_the_last_entry_that_is_no_proxy() {
    let proxies: Vec<IpNet> = ["10.0.0.0/8", "2001:db8::/32"].iter().map(|text| text.parse().unwrap()).collect();
    for (lines, client) in [
        (&["192.0.2.1"][..], Some("192.0.2.1")),
        (&["192.0.2.1, 192.0.2.2"], Some("192.0.2.2")),
        (&["192.0.2.1,10.0.0.1, 10.0.0.2"], Some("192.0.2.1")),
        (&["192.0.2.1", "10.0.0.1"], Some("192.0.2.1")),
        (&["192.0.2.1", "192.0.2.2"], Some("192.0.2.2")),
        (&["192.0.2.1, [2001:db8::1]:80"], Some("192.0.2.1")),
        (&["[2001:db9::1]"], Some("2001:db9::1")),
        (&["::ffff:10.0.0.1, ::ffff:192.0.2.1, ::ffff:10.0.0.1"], Some("192.0.2.1")),
        (&["10.0.0.1"], None),
        (&["192.0.2.1, x, 10.0.0.1"], None),
        (&["192.0.2.1, "], None),
        (&["192.0.2.1", ""], None),
        (&["192.0.2.1:x"], None),
        (&["192.0.2.1%eth0"], None),
        (&[], None),
    ] {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("x-forwarded-for", HeaderValue::from_str(line).unwrap());
        }
        let (found, origin) = client_address(&headers, &proxies);
        assert_eq!(found, client.map(|client| client.parse().unwrap()), "{lines:?}");
        assert_eq!(matches!(origin, Origin::Missing(_)), lines.is_empty(), "{lines:?}");
        assert_eq!(matches!(origin, Origin::Taken(_)), found.is_some(), "{lines:?}");
    }
}

#[test]
fn a_path_ends_where_the_query_begins() {
    let facts = |target| Facts { target: Some(target), ..Facts::default() };
    for (target, path) in [("/a?b?c", "/a"), ("/a", "/a"), ("/?", "/"), ("/a#b?c", "/a#b"), ("*", "*")] {
        assert_eq!(facts(target).path(), Some(path));
    }
    assert_eq!(Facts::default().path(), None);
}
