//! Which line of a passfile counts, and which files are read.

use proptest::prelude::*;

use super::*;
use crate::store::postgres::passfile::{Wanted, look_up};
use crate::store::postgres::place::{Address, Host};

fn address(host: &str, port: u16) -> Address {
    let host = match host.parse() {
        Ok(ip) => Host::Ip(ip),
        Err(_) if host.starts_with('/') => Host::Folder(host.into()),
        Err(_) => Host::Name(host.to_owned()),
    };
    Address { host, port }
}

fn found(file: &str, host: &str) -> Option<String> {
    let wanted = Wanted { address: &address(host, 5432), database: "keys", user: "an:n\\" };
    look_up(file.as_bytes(), &wanted).map(|password| String::from_utf8(password.expose().to_vec()).unwrap())
}

#[test]
fn the_first_line_that_fits_counts() {
    for (file, host, password) in [
        ("h:5432:keys:an\\:n\\\\:one", "h", Some("one")),
        ("h:5432:keys:an:n\\:one", "h", None),
        ("h:5432:keys:*:one\nh:*:*:*:two", "h", Some("one")),
        ("h:5433:keys:*:one\r\nh:*:*:*:two\r\n", "h", Some("two")),
        ("#h:*:*:*:one\n*:*:*:*:two", "h", Some("two")),
        ("h:*:*:*:o\\:n\\\\e", "h", Some("o:n\\e")),
        ("h:*:*:*:one:two", "h", Some("one")),
        ("h:*:*:*:one\\", "h", Some("one\\")),
        ("h:*:*:*: one ", "h", Some(" one ")),
        ("h:*:*:*:", "h", None),
        ("h:*:*:*", "h", None),
        ("h:*:*", "h", None),
        ("", "h", None),
        ("*h:*:*:*:one", "h", None),
        ("\\*:*:*:*:one", "h", None),
        ("H:*:*:*:one", "h", None),
        ("\\:\\:1:*:*:*:one", "::1", Some("one")),
        ("127.0.0.1:*:*:*:one", "127.0.0.1", Some("one")),
        ("localhost:*:*:*:one", "127.0.0.1", None),
        ("localhost:*:*:*:one", "/run/postgresql", Some("one")),
        ("localhost:*:*:*:one", "/var/run/postgresql", Some("one")),
        ("localhost:*:*:*:one", "/tmp", Some("one")),
        ("localhost:*:*:*:one", "/srv/postgresql", None),
        ("/srv/postgresql:*:*:*:one", "/srv/postgresql", Some("one")),
        ("/tmp:*:*:*:one", "/tmp", Some("one")),
    ] {
        assert_eq!(found(file, host).as_deref(), password, "{file:?} {host}");
    }
}

proptest! {
    #[test]
    fn any_file_is_read_without_a_panic(bytes: Vec<u8>, lines in "([a-z*:\\\\#]{0,12}\n){0,4}") {
        let wanted = Wanted { address: &address("h", 5432), database: "d", user: "u" };
        let _ = look_up(&bytes, &wanted);
        let _ = look_up(lines.as_bytes(), &wanted);
    }

    #[test]
    fn every_password_that_is_escaped_arrives(password in "[^\r\n\u{0}]{1,30}") {
        let escaped = password.replace('\\', "\\\\").replace(':', "\\:");
        prop_assert_eq!(found(&format!("*:*:*:*:{escaped}\n"), "h"), Some(password));
    }
}

fn asked(url: &str, around: &Surroundings) -> Result<Option<String>, StoreError> {
    let url = url.parse().unwrap();
    let password = around.password_for(&url, &address("h", 5432), "u")?;
    Ok(password.map(|password| String::from_utf8(password.expose().to_vec()).unwrap()))
}

#[test]
fn one_place_after_the_other() {
    let folder = Folder::new();
    let all = |password: &str| format!("*:*:*:*:{password}\n");
    let [named, other] = ["named", "other"].map(|name| folder.file(name, &all(name), 0o600));
    folder.file(".pgpass", &all("home"), 0o600);
    let mut around = Surroundings {
        clock: None,
        password: Some(Zeroizing::new(b"variable".to_vec())),
        passfile: Some(other),
        home: Some(folder.path().to_owned()),
    };
    let with_file = format!("postgres://u@h/d?passfile={}", encoded(&named));
    let is = |url: &str, around: &Surroundings, password: Option<&str>| {
        assert_eq!(asked(url, around).unwrap().as_deref(), password, "{url}");
    };
    is(&with_file.replace("u@", "u:url@"), &around, Some("url"));
    is(&with_file, &around, Some("variable"));
    around.password = Some(Zeroizing::default());
    is(&with_file, &around, Some("named"));
    is("postgres://u@h/d", &around, Some("other"));
    around.passfile = None;
    is("postgres://u@h/d", &around, Some("home"));
    around.home = Some(folder.path().join("away"));
    is("postgres://u@h/d", &around, None);
    is("postgres://u@h/d", &Surroundings::default(), None);
}

#[test]
fn a_file_that_others_can_read_is_refused_and_so_is_one_that_is_none() {
    let folder = Folder::new();
    for mode in [0o644, 0o640, 0o604, 0o660, 0o601] {
        let file = folder.file("open", "*:*:*:*:geheim\n", mode);
        let around = Surroundings { passfile: Some(file.clone()), ..Surroundings::default() };
        let refused = asked("postgres://u@h/d", &around);
        assert!(matches!(&refused, Err(StoreError::OpenSecret { mode: told, .. }) if *told == mode), "{refused:?}");
        // A file that does not count is not read.
        let around = Surroundings { passfile: Some(file), ..with_password() };
        assert_eq!(asked("postgres://u@h/d", &around).unwrap().as_deref(), Some(PASSWORD));
    }
    for path in [folder.path().join("away"), folder.path().to_owned(), "/dev/null".into()] {
        let around = Surroundings { passfile: Some(path.clone()), ..Surroundings::default() };
        let refused = asked("postgres://u@h/d", &around);
        assert!(
            matches!(&refused, Err(StoreError::Server { detail, .. }) if detail.contains("PGPASSFILE")),
            "{refused:?}"
        );
    }
}
