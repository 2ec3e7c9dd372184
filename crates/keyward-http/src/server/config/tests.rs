use super::*;
use crate::policy::Identity;
use keyward_core::rules::credential::Presentation;

const FULL: &str = r#"
listen = ["unix:/run/keyward/guard.sock", { address = "127.0.0.1:9180", api = true }]
admin = "127.0.0.1:9181"
trust = ["192.0.2.0/24"]
proxies = ["10.0.0.0/8"]
log = "all"
metrics_per_key = true
[policy.rest]
scopes = ["rest"]
levels = ["A/B"]
role = "editor"
tenant_from = "host:{tenant}.api.example.org"
methods = ["GET", "HEAD"]
accept = ["bearer", "basic"]
transport = "https"
limits = ["1000/1m", "100000/1d"]
explain = false
headers = ["id", "group"]
[policy.admin]
tenant = "acme"
[[route]]
host = "api.example.org"
path = "/admin/"
methods = ["GET"]
policy = "admin"
[[route]]
policy = "rest"
"#;

#[test]
fn a_file_is_read_whole() {
    let config = Config::parse(FULL).unwrap();
    config.check().unwrap();
    assert!(!config.listen[0].api && config.listen[1].api);
    assert_eq!(config.log, Logged::All);
    let rest = config.policies.find("rest").unwrap();
    assert!(rest.requires_secure && !rest.explains && rest.offers_basic);
    assert_eq!(rest.limits.to_string(), "1000/1m 100000/1d");
    assert_eq!(rest.headers, [Identity::Id, Identity::Group]);
    assert!(rest.accept.contains(Presentation::Bearer) && !rest.accept.contains(Presentation::XApiKey));
    let admin = config.policies.find("admin").unwrap();
    assert!(!admin.accept.contains(Presentation::QueryApiAuth) && admin.accept.contains(Presentation::XApiKey));
    assert!(!admin.offers_basic && admin.explains);
    assert!(!config.routes.is_empty());
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    for (text, message, hint) in [
        ("listn = []", "line 1: there is no field listn", Some("did you mean listen?")),
        ("[policy.a]\nscope = [\"x\"]", "line 2: there is no field scope", Some("did you mean scopes?")),
        ("[policy.a]\nlimit = []", "line 2: there is no field limit", Some("did you mean limits?")),
        (
            "[policy.A]",
            "line 1: policy: a policy's name has 1 to 32 characters of a-z, 0-9 and -, and does not begin with -",
            None,
        ),
        (
            "[policy.routes]",
            "line 1: policy: a policy cannot be called routes: /forward/routes asks the [[route]] tables",
            None,
        ),
        (
            "trust = [\"10.0.0.0/8\",\n\"10.0.0.0/33\"]",
            "line 2: trust: \"10.0.0.0/33\" is not a network: write one as 10.0.0.0/8, and one address as 192.0.2.1/32",
            None,
        ),
        ("[policy.a]\n[[route]]\npolicy = \"b\"", "line 3: policy: there is no policy \"b\"", None),
        (
            "proxies = [\"10.0.0.1\"]",
            "line 1: proxies: \"10.0.0.1\" is not a network: write one as 10.0.0.0/8, and one address as 192.0.2.1/32",
            None,
        ),
        (
            "listen = [\n{ adress = \"127.0.0.1:1\" }]",
            "line 2: there is no field adress",
            Some("did you mean address?"),
        ),
        ("listen = [{ api = true }]", "line 1: missing field `address`", None),
        (
            "listen = [5]",
            "line 1: invalid type: integer `5`, expected an address, or a table { address = \"…\", api = true }",
            None,
        ),
        (
            "[policy.a]\n[[route]]\npth = \"/\"\npolicy = \"a\"",
            "line 3: there is no field pth",
            Some("did you mean path?"),
        ),
        (
            "[policy.a]\naccept = []",
            "line 2: accept: no credential would be looked at: name a place, or leave it out",
            None,
        ),
        ("log = \"some\"", "line 1: log: write refused, all or none", None),
        ("[policy.a]\ntransport = \"http\"", "line 2: transport: write https, or leave it out to allow both", None),
        (
            "[policy.a]\ntenant = \"a\"\ntenant_from = \"host:{tenant}.b\"",
            "line 3: tenant_from: there is a tenant already; write one of the two",
            None,
        ),
        (
            "listen = [\"9180\"]",
            "line 1: listen: \"9180\" is not an address to listen at: write unix:PATH, IP:PORT or fd:NAME",
            None,
        ),
    ] {
        let error = Config::parse(text).unwrap_err();
        assert_eq!((error.message.as_str(), error.hint.as_deref()), (message, hint), "{text}");
    }
}

#[test]
fn what_cannot_be_trusted_is_refused() {
    let check = |text: &str| Config::parse(text).unwrap().check().map_err(|error| error.message);
    assert_eq!(check("listen = [\"127.0.0.1:1\"]").unwrap_err(), "there is no policy");
    assert_eq!(
        check("listen = [\"0.0.0.0:9180\"]\n[policy.a]").unwrap_err(),
        "0.0.0.0:9180 can be reached from other machines, and no peer is trusted"
    );
    check("listen = [\"0.0.0.0:9180\"]\ntrust = [\"10.0.0.0/8\"]\n[policy.a]").unwrap();
    check("listen = [\"[::ffff:127.0.0.1]:9180\"]\n[policy.a]").unwrap();
    assert!(check("listen = [\"127.0.0.1:1\", \"127.0.0.1:1\"]\n[policy.a]").is_err());
}
