use super::*;
use crate::Refusal;

fn policy(name: &str) -> std::sync::Arc<Policy> {
    std::sync::Arc::new(Policy::new(name.parse().unwrap()))
}

fn route(host: Option<&str>, path: Option<&str>, methods: &[&str], name: &str) -> Route {
    let methods = methods.iter().map(|method| method.parse().unwrap()).collect();
    Route::new(host, path, methods, policy(name)).unwrap()
}

fn routes() -> Routes {
    Routes::new(vec![
        route(Some("admin.example.org"), None, &[], "host"),
        route(None, Some("/admin"), &["GET"], "read"),
        route(None, Some("/admin/"), &[], "write"),
        route(None, Some("/a%2db/%c3%a9"), &[], "escaped"),
        route(Some("api.example.org"), Some("/"), &[], "rest"),
    ])
}

fn of(method: Option<&str>, host: Option<&str>, target: Option<&str>) -> Result<String, Refusal> {
    let method = method.map(|method| method.parse().unwrap());
    let facts = Facts { method, target, host, ..Facts::default() };
    routes().policy(&facts).map(|policy| policy.name.to_string())
}

#[test]
fn the_first_route_that_matches_counts() {
    let api = Some("api.example.org");
    for (method, host, target, expected) in [
        ("GET", api, "/", Ok("rest")),
        ("GET", api, "/x?y#z", Ok("rest")),
        ("GET", api, "/admin", Ok("read")),
        ("POST", api, "/admin", Ok("write")),
        ("get", api, "/admin", Ok("write")),
        ("GET", api, "/admin/", Ok("read")),
        ("GET", api, "/admin/x", Ok("read")),
        ("GET", api, "/adminx", Ok("rest")),
        ("GET", api, "/Admin", Ok("rest")),
        ("GET", api, "/%61%64min", Ok("read")),
        ("GET", api, "/%41dmin", Ok("rest")),
        ("GET", api, "/a-b/%C3%A9/c", Ok("escaped")),
        ("GET", api, "/a-b/%c3%a9", Ok("escaped")),
        ("GET", api, "/a/b/...", Ok("rest")),
        ("GET", api, "/a%20b", Ok("rest")),
        ("GET", Some("API.example.org:443"), "/", Ok("rest")),
        ("GET", Some("api.example.org.:443"), "/", Ok("rest")),
        ("GET", Some("admin.example.org."), "/", Ok("host")),
        ("GET", Some("ADMIN.EXAMPLE.ORG:1"), "/admin", Ok("host")),
        ("GET", Some("other.example.org"), "/", Err(Refusal::NoRoute)),
        ("GET", Some("api.example.org.."), "/", Err(Refusal::NoRoute)),
        ("GET", Some("x.api.example.org"), "/", Err(Refusal::NoRoute)),
        ("GET", Some("api.example.org:x"), "/", Err(Refusal::NoRoute)),
        ("GET", Some("x@api.example.org"), "/", Err(Refusal::NoRoute)),
        ("GET", Some("api.example.org/"), "/", Err(Refusal::NoRoute)),
        ("GET", Some(""), "/", Err(Refusal::NoRoute)),
        ("GET", None, "/", Err(Refusal::NoRoute)),
    ] {
        assert_eq!(of(Some(method), host, Some(target)), expected.map(str::to_owned), "{method} {host:?} {target}");
    }
    assert_eq!(of(None, api, Some("/admin")), Err(Refusal::NoRoute), "which of two it is cannot be told");
    assert_eq!(of(None, api, Some("/x")), Ok("rest".to_owned()));
    assert_eq!(of(Some("GET"), api, None), Err(Refusal::NoRoute));
    assert_eq!(Routes::default().policy(&Facts { target: Some("/"), ..Facts::default() }), Err(Refusal::NoRoute));
}

#[test]
fn a_path_that_two_readers_read_differently_is_refused() {
    let all = [
        "",
        "*",
        "a",
        "//",
        "//a",
        "/a//",
        "/a//b",
        "/.",
        "/..",
        "/./a",
        "/a/.",
        "/a/..",
        "/a/../b",
        "/%2e",
        "/%2e%2e/a",
        "/.%2E/a",
        "/a/%2E%2e",
        "/a%2fb",
        "/a%2Fb",
        "/a%5cb",
        "/a%5Cb",
        "/a\\b",
        "/a;b",
        "/a/..;/b",
        "/a%3bb",
        "/a%3Bb",
        "/a%00",
        "/a%0d%0ab",
        "/a%09",
        "/a%7f",
        "/%",
        "/%2",
        "/%zz",
        "/%2x",
        "/%252e",
        "/%25",
        "/a b",
        "/a\tb",
        "/a\u{e9}",
        "/a#b",
        "/#",
        "/a%23",
        "/a%3fb",
        "/%c0%af",
        "/%c0%ae%c0%ae/a",
        "/%ff",
        "/%e9",
        "/\u{ff0f}",
        "/%E2%80",
        "http://h/a",
    ];
    for path in all {
        assert_eq!(of(Some("GET"), Some("api.example.org"), Some(path)), Err(Refusal::AmbiguousPath), "{path:?}");
        // Nothing in a query counts as a path.
        let hidden = format!("/x?{}", path.replace(['#'], ""));
        assert_eq!(of(Some("GET"), Some("api.example.org"), Some(&hidden)), Ok("rest".to_owned()), "{hidden:?}");
        // A route cannot be for it either.
        assert!(Route::new(None, Some(path), vec![], policy("a")).is_err(), "{path:?}");
    }
}

#[test]
fn an_escape_leads_around_no_route() {
    let plain: String = (0x21..0x7f_u8).map(char::from).filter(|c| !r#""%/;#?\*<>[]^`{|}"#.contains(*c)).collect();
    let escaped = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<Vec<_>>().concat();
    for own in [plain.as_str(), "$metadata", "@admin", "a:b", "(x)", "a+b,c=d"] {
        let routes =
            |path: &str| Routes::new(vec![route(None, Some(path), &[], "admin"), route(None, None, &[], "rest")]);
        for asked in [own.to_owned(), escaped(own), escaped(own).to_ascii_uppercase(), format!("{own}/x")] {
            for path in [format!("/{own}"), format!("/{}", escaped(own))] {
                let target = format!("/{asked}");
                let facts = Facts { target: Some(&target), ..Facts::default() };
                let found = routes(&path).policy(&facts).map(|policy| policy.name.to_string());
                assert_eq!(found, Ok("admin".to_owned()), "{asked} for {path}");
            }
        }
    }
}

#[test]
fn a_route_that_no_request_matches_is_refused() {
    for path in ["/report?kind=secret", "/a/*", "/*", "/a*"] {
        assert!(Route::new(None, Some(path), vec![], policy("a")).is_err(), "{path}");
    }
    for (method, is_right) in [("post", false), ("Get", false), ("POST", true), ("M-SEARCH", true), ("purge", true)] {
        let route = Route::new(None, None, vec![method.parse().unwrap()], policy("a"));
        assert_eq!(route.is_ok(), is_right, "{method}");
    }
}

#[test]
fn a_host_of_a_route_is_one() {
    for host in ["", "a:80", "a.", "a/b", "a@b", "a b", "a,b", "\u{e9}", "[::1", "[::1]:80", "[x]"] {
        assert!(Route::new(Some(host), None, vec![], policy("a")).is_err(), "{host:?}");
    }
    for host in ["a", "A.b-c_d", "127.0.0.1", "[::1]"] {
        assert!(Route::new(Some(host), None, vec![], policy("a")).is_ok(), "{host:?}");
    }
}

#[test]
fn names_are_what_stands_in_a_path_as_it_is() {
    let long = "a".repeat(32);
    for name in ["a", "0", "a-", "rest-2", &long] {
        assert_eq!(name.parse::<PolicyName>().unwrap().as_str(), name);
    }
    let too_long = "a".repeat(33);
    for name in ["", "-", "-a", "A", "a_b", "a.b", "a/b", "a%62", "\u{e9}", "routes", " a", &too_long] {
        assert!(name.parse::<PolicyName>().is_err(), "{name:?}");
    }
}

#[test]
fn a_tenant_is_one_label_of_the_host() {
    let of = |pattern: &str, host: &str| {
        let tenant: TenantFrom = pattern.parse().unwrap();
        tenant.of(Some(host)).map(|name| name.to_string())
    };
    for (pattern, host, expected) in [
        ("host:{tenant}.example.org", "acme.example.org", Some("acme")),
        ("host:{tenant}.example.org", "ACME.EXAMPLE.ORG:443", Some("acme")),
        ("host:{tenant}.Example.org", "acme.example.org.", Some("acme")),
        ("host:{tenant}.example.org", "a.acme.example.org", None),
        ("host:{tenant}.example.org", ".example.org", None),
        ("host:{tenant}.example.org", "example.org", None),
        ("host:{tenant}.example.org", "acme.example.org.evil", None),
        ("host:{tenant}.example.org", "x@acme.example.org", None),
        ("host:{tenant}.example.org", "acme.example.org:x", None),
        ("host:api-{tenant}", "api-acme", Some("acme")),
        ("host:api-{tenant}.x", "api-.x", None),
    ] {
        assert_eq!(of(pattern, host).as_deref(), expected, "{pattern} {host}");
    }
    for wrong in [
        "",
        "{tenant}",
        "host:",
        "host:{tenant}",
        "host:a",
        "host:a b{tenant}",
        "path:{tenant}",
        "host:{tenant}.a/{tenant}",
        "host:{tenant}{tenant}",
    ] {
        assert!(wrong.parse::<TenantFrom>().is_err(), "{wrong}");
    }
    let tenant: TenantFrom = "host:{tenant}.a".parse().unwrap();
    assert_eq!(tenant.of(None), None);
}

#[test]
fn of_two_policies_with_one_name_there_is_one() {
    let mut policies = Policies::default();
    policies.add(Policy::new("a".parse().unwrap())).unwrap();
    assert!(policies.add(Policy::new("a".parse().unwrap())).is_err());
    for name in ["A", "a ", "a/", "", "b"] {
        assert!(policies.find(name).is_none(), "{name:?}");
    }
}
