use proptest::prelude::*;

use super::*;

fn parsed(text: &str) -> ServerUrl {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn encoded(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("%{byte:02x}")).collect::<Vec<_>>().concat()
}

#[test]
fn urls_and_what_is_shown_of_them() {
    for (text, shown) in [
        ("postgres://db.example/keys", "postgres://db.example/keys"),
        ("postgresql://ann@db.example:5433/keys", "postgres://ann@db.example:5433/keys"),
        ("postgres://ann@db.example:5432/keys?schema=keyward", "postgres://ann@db.example/keys"),
        (
            "postgres://ann@h/keys?connect_timeout=5&schema=other&application_name=x",
            "postgres://ann@h/keys?schema=other",
        ),
        ("postgres://ann:secret@a,b:6000/keys", "postgres://ann@a,b:6000/keys"),
        ("postgres://%2Frun%2Fpostgresql/keys", "postgres://%2Frun%2Fpostgresql/keys"),
        ("postgres://ann@%2frun%2fpostgresql:6000/keys", "postgres://ann@%2Frun%2Fpostgresql:6000/keys"),
        ("postgres://[::1]:6000,127.0.0.1/keys?sslmode=disable", "postgres://[::1]:6000,127.0.0.1/keys"),
        ("postgres://[2001:db8::1]/keys", "postgres://[2001:db8::1]/keys"),
        ("postgres://a%40b%3Ac@h/d%2Fe%20f", "postgres://a%40b%3Ac@h/d%2Fe%20f"),
        ("postgres://:secret@h/d", "postgres://h/d"),
        ("postgres://h/d%1B", "postgres://h/d%1B"),
    ] {
        let url = parsed(text);
        assert_eq!(url.to_string(), shown);
        assert_eq!(format!("{url:?}"), shown);
        assert_eq!(url.has_password(), text.contains("secret"), "{text}");
        assert_eq!(parsed(shown).to_string(), shown);
    }
}

#[test]
fn what_is_no_url() {
    use UrlError::*;
    for (text, error) in [
        ("", Scheme),
        ("postgres:/h/d", Scheme),
        ("mysql://h/d", Scheme),
        ("Postgres://h/d", Scheme),
        ("postgres://h", NoDatabase),
        ("postgres://h/", NoDatabase),
        ("postgres:///d", NoHost),
        ("postgres://a,/d", NoHost),
        ("postgres://u@/d", NoHost),
        ("postgres://:5/d", NoHost),
        ("postgres://h:/d", Port),
        ("postgres://h:0/d", Port),
        ("postgres://h:+1/d", Port),
        ("postgres://h:65536/d", Port),
        ("postgres://h:p/d", Port),
        ("postgres://[::1]5/d", Port),
        ("postgres://[::1/d", Host),
        ("postgres://[::1%25eth0]/d", Host),
        ("postgres://::1/d", NoHost),
        ("postgres://h%C3%BC/d", Host),
        ("postgres://@h%0a/d", Host),
        ("postgres://%2Frun%0A/d", Host),
        ("postgres://h d/d", Character),
        ("postgres://h/d\u{202e}", Character),
        ("postgres://h/d%", Percent),
        ("postgres://h/d%4", Percent),
        ("postgres://h/d%+1", Percent),
        ("postgres://h/d%00", Percent),
        ("postgres://h/%ff", Percent),
        ("postgres://u:p@ss@h/d", Reserved),
        ("postgres://u:1/ss@h/d", Reserved),
        ("postgres://u:p#ss@h/d", Reserved),
        ("postgres://h/d/e", Reserved),
        ("postgres://u:1?ss@h/d", NoDatabase),
        ("postgres://u:p/w?ss@h/d", Port),
        ("postgres://h/d?sslmod=disable", Parameter(Some("sslmode"))),
        ("postgres://h/d?ssl_mode=disable", Parameter(Some("sslmode"))),
        ("postgres://h/d?password=x", Parameter(None)),
        ("postgres://h/d?options=-c", Parameter(None)),
        ("postgres://h/d?Schema=x", Parameter(Some("schema"))),
        ("postgres://h/d?schema=a&schema=b", Twice("schema")),
        ("postgres://h/d?sslcert=a", HalfIdentity),
        ("postgres://h/d?sslkey=a", HalfIdentity),
        ("postgres://h/d?sslmode=disable", Exposed),
        ("postgres://localhost,h/d?sslmode=disable", Exposed),
        ("postgres://10.0.0.1/d?sslmode=disable", Exposed),
        ("postgres://[::2]/d?sslmode=disable", Exposed),
        ("postgres://localhost.evil/d?sslmode=disable", Exposed),
    ] {
        assert_eq!(text.parse::<ServerUrl>().unwrap_err(), error, "{text}");
    }
    for (parameter, value) in [
        ("schema", "Keyward"),
        ("schema", ""),
        ("schema", "1a"),
        ("schema", "a-b"),
        ("schema", "a%22b"),
        ("sslmode", "require"),
        ("sslmode", "prefer"),
        ("sslmode", ""),
        ("sslrootcert", ""),
        ("passfile", ""),
        ("connect_timeout", "0"),
        ("connect_timeout", "+1"),
        ("connect_timeout", "601"),
        ("connect_timeout", "1.5"),
        ("application_name", "%0a"),
        ("target_session_attrs", "any"),
    ] {
        let error = format!("postgres://h/d?{parameter}={value}").parse::<ServerUrl>().unwrap_err();
        assert!(matches!(error, Value(named, _) if named == parameter), "{parameter}={value}: {error:?}");
    }
}

#[test]
fn parameters_and_what_they_are_without_a_word() {
    let plain = parsed("postgres://h/d");
    assert!(plain.is_encrypted() && plain.user().is_none() && !plain.has_password());
    assert_eq!((plain.schema(), plain.application_name(), plain.database()), ("keyward", "keyward", "d"));
    assert_eq!((plain.roots(), plain.identity(), plain.passfile()), (&Roots::System, None, None));
    assert_eq!(plain.connect_timeout(), Duration::from_secs(5));
    let full = parsed(
        "postgres://u:p%3A%40@h/d?schema=_k1&sslmode=verify-full&sslrootcert=%2Fca&sslcert=a&sslkey=b&passfile=c\
         &connect_timeout=7&application_name=the%20name&target_session_attrs=read-write&",
    );
    assert_eq!((full.schema(), full.application_name(), full.user()), ("_k1", "the name", Some("u")));
    assert_eq!((full.roots(), full.passfile()), (&Roots::File("/ca".into()), Some(Path::new("c"))));
    assert_eq!(full.identity(), Some((Path::new("a"), Path::new("b"))));
    assert_eq!(full.connect_timeout(), Duration::from_secs(7));
    assert_eq!(full.password().unwrap().expose(), b"p:@");
    assert_eq!(parsed("postgres://h/d?sslrootcert=system").roots(), &Roots::System);
    for open in ["localhost", "127.0.0.1", "127.9.9.9:5", "[::1]", "%2Frun", "localhost,%2Frun,[::1]"] {
        assert!(!parsed(&format!("postgres://{open}/d?sslmode=disable")).is_encrypted(), "{open}");
    }
}

#[test]
fn a_path_is_told_from_a_url() {
    for (text, is_meant) in [
        ("postgres://h/d", true),
        ("postgresql:d", true),
        ("postgres:", true),
        ("./postgres:d", false),
        ("/var/postgres://h/d", false),
        ("postgres.db", false),
    ] {
        assert_eq!(ServerUrl::is_meant(text), is_meant, "{text}");
    }
}

/// Whether no run of bytes of the password, encoded or decoded, is in the text.
fn holds_nothing_of(text: &str, password: &[u8]) -> bool {
    let password = String::from_utf8_lossy(password);
    !text.contains(password.as_ref()) && !text.contains(&encoded(password.as_bytes()))
}

proptest! {
    #[test]
    fn any_text_is_parsed_without_a_panic(text in "(postgres://)?\\PC{0,80}") {
        if let Ok(url) = text.parse::<ServerUrl>() {
            prop_assert_eq!(parsed(&url.to_string()).to_string(), url.to_string());
        }
    }

    #[test]
    fn any_bytes_are_parsed_without_a_panic(bytes: Vec<u8>, place in 0_usize..5) {
        let text = ["{}", "postgres://{}", "postgres://u:{}@h/d", "postgres://{}/d", "postgres://h/d?{}"][place];
        let _ = text.replace("{}", &String::from_utf8_lossy(&bytes)).parse::<ServerUrl>();
        let _ = text.replace("{}", &encoded(&bytes)).parse::<ServerUrl>();
    }

    #[test]
    fn every_password_that_is_encoded_arrives_and_is_not_shown(password in prop::collection::vec(1..=255_u8, 4..40)) {
        let url = parsed(&format!("postgres://ann:{}@db.example/keys", encoded(&password)));
        prop_assert_eq!(url.password().unwrap().expose(), &password[..]);
        prop_assert_eq!(url.to_string(), "postgres://ann@db.example/keys");
        let told = format!("{url:?} {:?}", url.password());
        prop_assert!(!told.contains(&*String::from_utf8_lossy(&password)));
    }

    /// As written by someone who does not know about percent-encoding.
    #[test]
    fn no_error_and_nothing_that_is_shown_holds_a_part_of_a_password(
        password in "[A-Z0-9@/:?#%&=,\\[\\] ]{3,30}~Q[A-Z0-9@/:?#%&=]{3,30}",
    ) {
        let shown = match format!("postgres://ann:{password}@db.example/keys?schema=x").parse::<ServerUrl>() {
            Ok(url) => format!("{url} {url:?}"),
            Err(error) => format!("{error} {error:?}"),
        };
        // Two of its characters, which occur in no message and no name.
        prop_assert!(!shown.contains("~Q") && holds_nothing_of(&shown, password.as_bytes()), "{}", shown);
    }
}
