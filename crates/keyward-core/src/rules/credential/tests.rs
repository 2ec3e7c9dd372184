use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::*;
use crate::rules::http::Transport;
use crate::rules::plain::PlainText as _;
use crate::rules::token::{Id, Secret};

/// Made-up secrets.
fn secret(byte: u8) -> String {
    Secret::build(&"kw".parse().unwrap(), Id::from_random([byte; 8]), &[byte; 32]).expose().to_owned()
}

/// Writes `S` and `T` for two made-up secrets, `B(x)` for the base64 of x.
fn fill(template: &str) -> String {
    let filled = template.replace("{S}", &secret(1)).replace("{T}", &secret(2));
    match (filled.find("B("), filled.find(')')) {
        (Some(start), Some(end)) => {
            let encoded = STANDARD.encode(&filled[start + 2..end]);
            format!("{}{encoded}{}", &filled[..start], &filled[end + 1..])
        }
        _ => filled,
    }
}

fn shown(result: &Result<Credential, CredentialError>) -> String {
    match result {
        Ok(credential) => {
            assert_eq!(credential.expose(), secret(1));
            match &credential.name {
                Some(name) => format!("{} {}", credential.presentation.as_str(), name.as_str()),
                None => credential.presentation.as_str().to_owned(),
            }
        }
        Err(CredentialError::Missing(_)) => "missing".to_owned(),
        Err(CredentialError::NotAccepted(presentation)) => format!("not accepted: {}", presentation.as_str()),
        Err(CredentialError::Ambiguous { .. }) => "ambiguous".to_owned(),
        Err(error @ (CredentialError::ManyLines | CredentialError::Malformed(_))) => format!("malformed: {error}"),
    }
}

#[test]
fn lines() {
    for (line, expected) in [
        ("{S}", "bare"),
        ("deploy:{S}", "bare_named deploy"),
        ("Bearer {S}", "bearer"),
        ("bEARER   {S}", "bearer"),
        ("Bearer deploy:{S}", "bearer_named deploy"),
        ("Authorization: Bearer {S}", "bearer"),
        ("authorization:Bearer deploy:{S}", "bearer_named deploy"),
        ("rest_api_key={S}", "rest_api_key"),
        ("Authorization: rest_api_key={S}", "rest_api_key"),
        ("Basic B({S}:)", "basic"),
        ("Basic B(:{S})", "basic"),
        ("Authorization: basic B(someone:{S})", "basic"),
        ("Basic B({S}:x)", "basic"),
        ("Basic B({S}:{S})", "basic"),
        ("Basic B({S}:{T})", "ambiguous"),
        ("Basic B({S})", "malformed: the Basic credential has no colon between user and password"),
        ("Basic ???", "malformed: Basic takes base64 (RFC 7617)"),
        ("Bearer", "missing"),
        ("Authorization: Bearer\t{S}", "malformed: between a scheme and its credential stand spaces only"),
        ("Authorization: Bearer\t {S}", "malformed: between a scheme and its credential stand spaces only"),
        ("Bearer={S}", "malformed: between a scheme and its credential stand spaces only"),
        ("Basic B(u:p)", "missing"),
        ("Basic B(nocolon)", "malformed: the Basic credential has no colon between user and password"),
        ("{S}, {S}", "bare"),
        ("deploy:{S},{S}", "bare_named deploy"),
        ("{S}, {T}", "ambiguous"),
        ("{S},", "malformed: there is a comma around the credential"),
        ("Bearer {S}, Bearer deploy:{S}", "bearer deploy"),
        ("Bearer {S}, {T}", "ambiguous"),
        ("Bearer {S}, Basic B(u:p)", "bearer"),
        ("Basic B({S}:), {T}", "ambiguous"),
        ("Basic {S}", "malformed: Basic takes base64 (RFC 7617)"),
        ("\u{feff}{S}\r\n\r\n", "bare"),
        ("\u{feff}\n", "missing"),
        ("Negotiate abc", "missing"),
        ("x-api-key: {S},, {S}", "x_api_key"),
        ("x-api-key: {S}, {T}", "ambiguous"),
        ("x-api-key: ,", "missing"),
        ("Bearer:{S}", "bare_named Bearer"),
        ("X-Ignition-API-Token: deploy:{S}", "x_ignition_api_token deploy"),
        ("x-ignition-api-token: {S}", "malformed: X-Ignition-API-Token takes NAME:SECRET"),
        ("x-auth-key: {S}", "x_auth_key"),
        ("X-Api-Auth: {S}", "x_api_auth"),
        ("X-API-KEY:{S}", "x_api_key"),
        ("apiKey: {S}", "api_key"),
        ("x-api-key:", "missing"),
        ("Authorization: Digest username=x", "missing"),
        ("Authorization: {S}", "malformed: Authorization takes Bearer SECRET, Basic … or rest_api_key=SECRET"),
        ("Authorization: Bearer {S} \t", "bearer"),
        ("/ci/deploy:{S}", "bare_named /ci/deploy"),
        ("https://example.com/#?_auth_key={S}", "missing"),
        ("https://example.com/a?x=1&_auth_key={S}#f", "query_auth_key"),
        ("http://example.com/?_api_auth={S}", "query_api_auth"),
        ("/a?_auth_key={S}", "query_auth_key"),
        ("/a?_auth_key={S}&_api_auth={S}", "query_auth_key"),
        ("/a?_auth_key={S}&_auth_key={T}", "ambiguous"),
        ("/a?_AUTH_KEY={S}", "missing"),
        ("/a?_auth_key=", "missing"),
        ("", "missing"),
        (" \t", "missing"),
        (" {S}", "malformed: there is white space around the credential"),
        ("{S}\n{S}", "malformed: more than one line was presented"),
    ] {
        assert_eq!(shown(&parse_line(&fill(line)).own), expected, "{line}");
    }
}

#[test]
fn requests() {
    for (head, expected) in [
        ("GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {S}\r\n\r\n", "bearer"),
        ("GET / HTTP/1.0\nauthorization: Bearer deploy:{S}\n\nbody", "bearer_named deploy"),
        ("GET / HTTP/1.1\r\nX-API-Key: {S}\n", "x_api_key"),
        ("GET / HTTP/1.1\r\nX-API-Key: {S}", "malformed: this is not the head of an HTTP request: it is cut short"),
        (
            "GET / HTTP/1.1\r\nX-API-Key: {S}\r\nX-Auth-K",
            "malformed: this is not the head of an HTTP request: it is cut short",
        ),
        ("GET / HTTP/1.1\r\nAuthorization: Basic B(user:pass)\r\nX-API-Key: {S}\r\n\r\n", "x_api_key"),
        ("GET / HTTP/1.1\r\nx-auth-key:\t{S}  \r\n\r\n", "x_auth_key"),
        ("GET / HTTP/1.1\r\nAuthorization: Bearer\r\n  {S}\r\n\r\n", "bearer"),
        ("GET /?_auth_key={S} HTTP/1.1\r\n\r\n", "query_auth_key"),
        ("GET http://h/p?a=%20&_api_auth={S} HTTP/1.1\r\n\r\n", "query_api_auth"),
        ("GET / HTTP/1.1\r\nx-api-key: {S}\r\nx-api-key: {S}\r\n\r\n", "x_api_key"),
        ("GET / HTTP/1.1\r\nx-api-key: {S}\r\nAuthorization: Bearer deploy:{S}\r\n\r\n", "x_api_key deploy"),
        ("GET / HTTP/1.1\r\nx-api-key: {S}\r\nx-auth-key: {T}\r\n\r\n", "ambiguous"),
        ("GET / HTTP/1.1\r\nAuthorization: Bearer a:{S}\r\nX-Ignition-API-Token: b:{S}\r\n\r\n", "ambiguous"),
        ("GET /?_auth_key={T} HTTP/1.1\r\nx-api-key: {S}\r\n\r\n", "ambiguous"),
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\nx-api-key: {S}", "missing"),
        (
            "GET / HTTP/1.1\r\nx-api-key: {S}\r\nAuthorization: Bearer\t {S}\r\n\r\n",
            "malformed: between a scheme and its credential stand spaces only",
        ),
        (
            "GET /?a#&_auth_key={T} HTTP/1.1\r\nx-api-key: {S}\r\n\r\n",
            "malformed: the target of the request has a fragment, which no client sends",
        ),
        (
            "GET / HTTP/1.1\r\na: b\r\n \rx-auth-key: {T}\r\r\nx-api-key: {S}\r\n\r\n",
            "malformed: this is not the head of an HTTP request: invalid header value",
        ),
        (
            "GET /\r\n HTTP/1.1\r\nx-api-key: {S}\r\n\r\n",
            "malformed: this is not the head of an HTTP request: invalid token",
        ),
        (
            "\r\nGET /\r\n HTTP/1.1\r\nx-api-key: {S}\r\n\r\n",
            "malformed: this is not the head of an HTTP request: invalid token",
        ),
        ("\r\nGET / HTTP/1.1\r\nx-api-key: {S}\r\n\r\n", "x_api_key"),
        (
            "GET / HTTP/1.1\r\n x: y\r\nx-api-key: {S}\r\n\r\n",
            "malformed: this is not the head of an HTTP request: invalid header name",
        ),
        ("GET / HTTP/1.1\r\nAuthorization: Digest a=b\r\nx-api-key: {S}\r\n\r\n", "x_api_key"),
        ("{S}\n", "malformed: this is not the head of an HTTP request: invalid token"),
        ("", "malformed: this is not the head of an HTTP request: it is cut short"),
        ("GET / HTTP/2.0\r\n\r\n", "missing"),
        ("GET / HTTP/2\r\nx-api-key: {S}\r\n\r\n", "x_api_key"),
        ("GET / HTTP/3\nx-api-key: {S}\n\n", "x_api_key"),
        ("GET / HTTP/3.0\r\nx-api-key: {S}\r\n\r\n", "x_api_key"),
        ("GET / HTTP/2.1\r\n\r\n", "malformed: this is not the head of an HTTP request: invalid HTTP version"),
        ("GET / http/2\r\n\r\n", "malformed: this is not the head of an HTTP request: invalid HTTP version"),
        ("GET /HTTP/2\r\n\r\n", "malformed: this is not the head of an HTTP request: invalid token"),
        (
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "malformed: this is how an HTTP/2 connection begins, and not the head of a request",
        ),
        ("\u{feff}GET / HTTP/1.1\r\nx-api-key: {S}\r\n\r\n", "x_api_key"),
        (" x-api-key: {S}\r\n", "malformed: this is not the head of an HTTP request: invalid token"),
    ] {
        let head = fill(head);
        let result = parse_request(head.as_bytes()).and_then(|head| head.credentials.own);
        assert_eq!(shown(&result), expected, "{head}");
    }
}

#[test]
fn a_request_tells_its_method_and_whether_it_was_for_https() {
    for (line, method, transport) in [
        ("POST /x HTTP/1.1", "POST", Transport::Http),
        ("GET https://h/x HTTP/1.1", "GET", Transport::Https),
        ("GET HTTPS://h/x HTTP/1.1", "GET", Transport::Https),
        ("GET http://h/https://x HTTP/1.1", "GET", Transport::Http),
    ] {
        let head = parse_request(fill(&format!("{line}\r\nx-api-key: {{S}}\r\n\r\n")).as_bytes()).unwrap();
        assert_eq!((head.method.to_string().as_str(), head.transport), (method, transport), "{line}");
    }
}

#[test]
fn what_is_not_utf8_is_malformed() {
    let mut head = b"GET / HTTP/1.1\r\nx-api-key: ".to_vec();
    head.extend(b"\xff\xfe\r\n\r\n");
    let credentials = parse_request(&head).unwrap().credentials;
    assert!(matches!(credentials.own, Err(CredentialError::Malformed(_))) && credentials.texts.is_none());
}

/// What is found in a request if only these presentations are accepted.
fn found(fields: &[(&str, &[u8])], target: &str, accepted: Accepted) -> Result<Credential, CredentialError> {
    let reading = Reading { accepted, ..Reading::default() };
    parse_parts(&mut fields.iter().copied(), target, reading).and_then(|parts| parts.credentials.own)
}

#[test]
fn fields_and_a_target_are_read_as_a_head_is() {
    let (one, other) = (secret(1), secret(2));
    let bearer = format!("Bearer {one}");
    let url = format!("https://h/?_auth_key={one}");
    for (fields, target, expected) in [
        (&[("x-api-key", one.as_bytes())][..], "/", "x_api_key"),
        (&[(":path", b"/"), ("AUTHORIZATION", bearer.as_bytes())], "", "bearer"),
        (&[("x-api-key", b"")], &url, "query_auth_key"),
        (&[("x-api-key", one.as_bytes()), ("apikey", other.as_bytes())], "*", "ambiguous"),
        (
            &[("x-api-key", one.as_bytes())],
            "/#",
            "malformed: the target of the request has a fragment, which no client sends",
        ),
        (&[("x-api-key ", one.as_bytes())], "/", "malformed: the name of a header is not a token"),
        (
            &[("a", b"\r\nx"), ("x-api-key", one.as_bytes())],
            "/",
            "malformed: the value of a header holds a line end or a NUL",
        ),
        (&[], "/", "missing"),
    ] {
        assert_eq!(shown(&found(fields, target, Accepted::ALL)), expected, "{fields:?} {target}");
    }
}

#[test]
fn what_is_not_looked_at_is_no_credential() {
    let (one, other) = (secret(1), secret(2));
    let both = [("x-api-key", one.as_bytes()), ("x-auth-key", other.as_bytes())];
    for (accepted, expected) in [
        (Presentation::XApiKey, "x_api_key"),
        (Presentation::Bearer, "not accepted: x_api_key"),
        (Presentation::QueryAuthKey, "ambiguous"),
    ] {
        let accepted =
            if accepted == Presentation::QueryAuthKey { Accepted::ALL } else { [accepted].into_iter().collect() };
        assert_eq!(shown(&found(&both, "/", accepted)), expected);
    }
    for presentation in Presentation::ALL {
        assert_eq!(presentation.as_str().parse(), Ok(presentation));
        let only: Accepted = [presentation].into_iter().collect();
        assert!(Presentation::ALL.into_iter().all(|other| only.contains(other) == (other == presentation)));
    }
    assert!("Bearer".parse::<Presentation>().is_err());
}

/// Made-up texts of another system.
const A: &str = "a-Made-up:Text,0001";
const B: &str = "b-Made-up-Text-0002";

/// What counts in a store with secrets of other systems: presentations, names and texts, in order.
fn texts(credentials: &Credentials) -> String {
    match credentials.texts.as_deref() {
        None => "as own".to_owned(),
        Some(Texts::Own(own)) => format!("own: {}", shown(own)),
        Some(Texts::Ambiguous(error)) => shown(&Err(error.clone())),
        Some(Texts::Candidates { texts, in_query }) => {
            let text = |text: &PresentedText| {
                let name = text.name.as_ref().map_or("", |name| name.as_str());
                format!("{} {name}|{}", text.presentation.as_str(), text.text.expose())
            };
            let all: Vec<_> = texts.iter().map(text).collect();
            format!("{} / {}", all.join(" "), if *in_query { "in query" } else { "" })
        }
    }
}

fn of_others(template: &str) -> String {
    fill(&template.replace("{A}", A).replace("{B}", B))
}

#[test]
fn lines_with_secrets_of_other_systems() {
    for (line, expected) in [
        ("{B}", "bare |{B} / "),
        ("deploy:{B}", "bare |deploy:{B} bare_named deploy|{B} / "),
        ("{A}", "bare |{A} / "),
        ("{B},{B}", "bare |{B},{B} bare |{B} / "),
        ("Bearer {B}", "bearer |{B} / "),
        ("authorization: bEARER  {B}", "bearer |{B} / "),
        ("Bearer deploy:{B}", "bearer |deploy:{B} bearer_named deploy|{B} / "),
        ("Bearer {B}, Bearer {B}", "bearer |{B} / "),
        ("Bearer {B}, {B}", "bearer |{B} / "),
        ("rest_api_key={B}", "bare |rest_api_key={B} rest_api_key |{B} / "),
        ("Basic B({B}:)", "basic |{B}: basic |{B} / "),
        ("Basic B(:{B})", "basic |:{B} basic |{B} / "),
        ("Basic B(me:{B})", "basic |me:{B} basic me|{B} / "),
        ("Basic B({A}:x)", "basic |{A}:x / "),
        ("Basic B({A}{A}:x)", "basic |{A}{A}:x basic a-Made-up|Text,0001{A}:x / "),
        ("Basic B(me:short-password)", "basic |me:short-password / "),
        ("Basic B(a:b)", "as own"),
        ("Basic {B}", "as own"),
        ("X-Ignition-API-Token: {B}", "x_ignition_api_token |{B} / "),
        ("X-Ignition-API-Token: n:{B}", "x_ignition_api_token |n:{B} x_ignition_api_token n|{B} / "),
        ("x-api-key: {B}", "x_api_key |{B} / "),
        ("x-api-key:{B}", "bare |x-api-key:{B} x_api_key |{B} / "),
        ("x-api-key: {A}", "x_api_key |{A} / "),
        ("x-api-key: {A}, {B}", "as own"),
        ("x-api-key: {B},{B}", "x_api_key |{B},{B} x_api_key |{B} / "),
        ("https://h/?_auth_key={B}", "bare |https://h/?_auth_key={B} query_auth_key |{B} / in query"),
        ("short", "as own"),
        ("{B} ", "as own"),
        ("{B},", "bare |{B}, / "),
        ("Digest {B}", "as own"),
        ("{S}", "as own"),
        ("deploy:{S}", "as own"),
        ("{S},", "as own"),
        ("{S}, {B}", "own: bare"),
        ("Bearer {S}, Basic B(me:{B})", "as own"),
    ] {
        let found = texts(&parse_line(&of_others(line)));
        assert_eq!(found, of_others(expected).replace("{A}", A), "{line}");
    }
}

#[test]
fn several_places_with_secrets_of_other_systems() {
    let named = format!("deploy:{B}");
    let basic = |text: &str| of_others(&format!("Basic B({text})"));
    let (user, long, weak) = (basic(&format!("me:{B}")), basic("me:another-long-password"), basic("me:short-password"));
    for (fields, expected) in [
        (&[("x-api-key", B), ("x-auth-key", B)][..], "x_api_key |{B} / "),
        (&[("x-api-key", B), ("x-ignition-api-token", named.as_str())], "x_api_key deploy|{B} / "),
        (&[("x-api-key", B), ("x-auth-key", A)], "ambiguous"),
        (&[("x-api-key", B), ("authorization", user.as_str())], "x_api_key me|{B} / "),
        (&[("x-api-key", B), ("authorization", long.as_str())], "ambiguous"),
        (&[("x-api-key", B), ("authorization", weak.as_str())], "x_api_key |{B} / "),
        (&[("x-api-key", &secret(1)), ("authorization", user.as_str())], "as own"),
        (&[("x-api-key", &secret(1)), ("x-auth-key", B)], "own: x_api_key"),
        (&[("x-api-key", B), ("x-auth-key", &secret(1))], "own: x_auth_key"),
        (&[("x-api-key", &secret(1)), ("x-auth-key", B), ("apikey", &secret(2))], "own: ambiguous"),
    ] {
        let fields = &mut fields.iter().map(|(name, value)| (*name, value.as_bytes()));
        let found = texts(&parse_parts(fields, "/", Reading::default()).unwrap().credentials);
        assert_eq!(found, of_others(expected), "{expected}");
    }
}

#[test]
fn the_user_of_a_basic_is_nobodys_name() {
    let named = format!("deploy:{B}");
    let basic = of_others(&format!("Basic B(me:{B})"));
    let fields = [("x-ignition-api-token", named.as_str()), ("authorization", basic.as_str())];
    for fields in [fields, [fields[1], fields[0]]] {
        let fields = &mut fields.iter().map(|(name, value)| (*name, value.as_bytes()));
        let found = parse_parts(fields, "/", Reading::default()).unwrap().credentials;
        let Some(Texts::Candidates { texts, .. }) = found.texts.as_deref() else { panic!("{found:?}") };
        let [text] = &texts[..] else { panic!("{found:?}") };
        let name = text.name.as_ref().map(|name| name.as_str());
        assert_eq!((text.text.expose(), name, text.is_user), (B, Some("deploy"), false));
    }
}

#[test]
fn a_basic_need_not_be_utf_8() {
    let encoded = STANDARD.encode([b"m\xfcller:", B.as_bytes()].concat());
    assert_eq!(texts(&parse_line(&format!("Authorization: Basic {encoded}"))), format!("basic |{B} / "));
}

#[test]
fn a_text_that_others_may_see_is_not_passed_over() {
    let basic = STANDARD.encode(format!("users:{A}"));
    let unpadded = basic.trim_end_matches('=');
    assert_ne!(unpadded, basic);
    let no_colon = STANDARD.encode(B);
    let weak = STANDARD.encode("ab:short-password");
    for (value, expected) in [
        (format!("Basic {unpadded}"), "malformed: Basic takes base64 (RFC 7617)"),
        (format!("Basic {no_colon}"), "malformed: the Basic credential has no colon between user and password"),
        (format!("Basic\t{basic}"), "malformed: between a scheme and its credential stand spaces only"),
        (format!("Bearer\t{A}"), "malformed: between a scheme and its credential stand spaces only"),
        (format!("Bearer={A}"), "malformed: between a scheme and its credential stand spaces only"),
        (format!("Basic {}", weak.trim_end_matches('=')), "x_api_key |{B} / "),
        ("Basic ???".to_owned(), "x_api_key |{B} / "),
        (format!("Token {A}"), "x_api_key |{B} / "),
        ("Bearer".to_owned(), "x_api_key |{B} / "),
    ] {
        let fields = [("x-api-key", B), ("authorization", value.as_str())];
        let fields = &mut fields.iter().map(|(name, value)| (*name, value.as_bytes()));
        let found = texts(&parse_parts(fields, "/", Reading::default()).unwrap().credentials);
        assert_eq!(found, of_others(expected), "{value}");
    }
}

#[test]
fn a_secret_of_another_system_is_looked_at_only_where_it_is_accepted() {
    let only = |presentation| [presentation].into_iter().collect();
    let line = |line: &str, accepted| texts(&parse_line_for(of_others(line).as_bytes(), accepted));
    assert_eq!(line("x-api-key: {B}", only(Presentation::Bearer)), "as own");
    assert_eq!(line("Bearer n:{B}", only(Presentation::BearerNamed)), of_others("bearer_named n|{B} / "));
    assert_eq!(line("Bearer n:{B}", only(Presentation::Bearer)), of_others("bearer |n:{B} / "));
}

/// Pieces from which header values are built.
fn soup() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "Bearer ",
        "bearer",
        "Basic ",
        "rest_api_key=",
        "Digest a=",
        "Negotiate",
        "{S}",
        "{T}",
        "{S}",
        "deploy:",
        ", ",
        ",",
        " ",
        "\t",
        "\"",
        "=",
        "B({S}:x)",
        "B(u:p)",
        "B({T})",
        "x",
    ]);
    prop::collection::vec(piece, 0..8).prop_map(|pieces| fill(&pieces.concat()))
}

proptest! {
    #[test]
    fn no_request_with_two_secrets_has_one_credential(value in soup(), name in "(authorization|x-api-key|x-ignition-api-token)") {
        let other = Secret::build(&"kw".parse().unwrap(), Id::from_random([3; 8]), &[3; 32]);
        let one = found(&[(&name, value.as_bytes())], "/", Accepted::ALL);
        for place in ["x-auth-key", "x-api-key"] {
            let other = (place, other.expose().as_bytes());
            let two = found(&[(&name, value.as_bytes()), other], "/", Accepted::ALL);
            if one.is_ok() {
                prop_assert!(matches!(two, Err(CredentialError::Ambiguous { .. })), "{name}: {value}");
            }
        }
    }

    #[test]
    fn a_line_and_its_field_are_one_credential(value in soup(), name in "(Authorization|X-API-Key)") {
        let line = parse_line(&format!("{name}: {value}"));
        let field = found(&[(&name, value.trim_matches([' ', '\t']).as_bytes())], "/", Accepted::ALL);
        prop_assert_eq!(line.own.ok(), field.ok());
    }

    #[test]
    fn any_line_and_any_bytes_are_read_without_a_panic(line in "\\PC{0,80}", bytes: Vec<u8>) {
        let _ = parse_line(&line);
        let _ = parse_request(&bytes);
        let _ = parse_request(format!("GET / HTTP/1.1\r\n{line}\r\n\r\n").as_bytes());
    }
}
