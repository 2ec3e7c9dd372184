//! Which servers are accepted, which are refused, and what is sent before that.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;

use super::server::{Authority, OWNER, Validity, give};
use super::*;

/// A server with TLS from an authority, for `localhost` and 127.0.0.1.
fn with_tls() -> (Postgres, Authority) {
    let postgres = Postgres::start();
    let authority = Authority::new(&postgres.folder, "authority");
    use_certificate(&postgres, authority.sign("good", "db", "DNS:localhost,IP:127.0.0.1", Validity::Now));
    (postgres, authority)
}

fn use_certificate(postgres: &Postgres, (certificate, key): (std::path::PathBuf, std::path::PathBuf)) {
    postgres.set(&format!("ssl_cert_file = '{}'\nssl_key_file = '{}'\nssl = on", certificate.display(), key.display()));
}

/// Answers each message on one connection with these bytes, and returns everything received.
fn listener(answers: &'static [&'static [u8]]) -> (u16, thread::JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let recorder = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut received = vec![];
        let mut bytes = [0; 4096];
        for answer in answers {
            let length = stream.read(&mut bytes).unwrap();
            received.extend(&bytes[..length]);
            stream.write_all(answer).unwrap();
        }
        let _ = stream.read_to_end(&mut received);
        received
    });
    (port, recorder)
}

#[test]
#[ignore = "needs postgresql and openssl"]
fn over_a_socket_and_over_tls_with_a_password() {
    let (postgres, authority) = with_tls();
    assert_eq!(tell(&over_socket(&postgres), "SELECT current_user::text"), "ann");
    let roots = encoded(&authority.root);
    for host in ["localhost", "127.0.0.1"] {
        let url = format!("postgres://ann@{host}:{}/keyward?sslrootcert={roots}&application_name=it", postgres.port);
        let client = connect(&url, with_password()).unwrap();
        assert!(client.peer().is_encrypted && client.peer().address.starts_with(host), "{:?}", client.peer());
        assert!(postgres.sql(OWNER, "SHOW server_version").starts_with(&client.peer().version));
        assert_eq!(tell(&client, "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()"), "TLSv1.3");
        assert_eq!(tell(&client, "SELECT current_setting('application_name')"), "it");
    }
    // Without TLS, if it stays on this machine.
    let url = format!("postgres://ann@localhost:{}/keyward?sslmode=disable", postgres.port);
    assert!(!connect(&url, with_password()).unwrap().peer().is_encrypted);
    let wrong = Surroundings { password: Some(Zeroizing::new(b"wrong".to_vec())), ..Surroundings::default() };
    let told = detail(connect(&url, wrong));
    assert!(told.contains("password authentication failed") && told.contains("PGPASSWORD"), "{told}");
    let told = detail(connect(&url, Surroundings::default()));
    assert!(told.contains("it asks for a password, and there is none"), "{told}");
    let told = detail(connect(&url.replace("/keyward", "/other"), with_password()));
    assert!(told.contains("does not exist") && told.contains("createdb"), "{told}");
}

/// A relay would have another certificate.
#[test]
#[ignore = "needs postgresql and openssl"]
fn a_sign_in_over_tls_is_bound_to_the_certificate() {
    use tokio_postgres::config::{ChannelBinding, Config, SslMode, SslNegotiation};
    use tokio_rustls::rustls::pki_types::ServerName;

    use crate::platform::Socket;
    use crate::store::postgres::line::Line;
    use crate::store::postgres::session::Session;
    use crate::store::postgres::tls::{Connector, SystemRoots, config};
    use crate::store::postgres::wait::Deadline;

    let (postgres, authority) = with_tls();
    let limit = std::time::Duration::from_secs(5);
    let mut how = Config::new();
    how.user("ann").dbname("keyward").password(PASSWORD).ssl_mode(SslMode::Require);
    how.ssl_negotiation(SslNegotiation::Direct).channel_binding(ChannelBinding::Require);
    let socket = Socket::connect(([127, 0, 0, 1], postgres.port).into(), limit).unwrap();
    let url = format!("postgres://ann@h/d?sslrootcert={}", encoded(&authority.root)).parse().unwrap();
    let Ok(config) = config(&url, &SystemRoots::new()) else { panic!("there is no config") };
    let connector = Connector { config, name: ServerName::try_from("localhost").unwrap() };
    let begun = Session::begin(Line::new(socket, true), &how, connector, Deadline::after(limit), limit);
    begun.unwrap_or_else(|failure| panic!("{failure:?}"));
}

#[test]
#[ignore = "needs postgresql and openssl"]
fn who_cannot_prove_to_be_the_server_gets_no_password() {
    let (postgres, authority) = with_tls();
    let stranger = Authority::new(&postgres.folder, "stranger");
    let url = |host: &str, root: &Path| {
        format!("postgres://ann@{host}:{}/keyward?sslrootcert={}", postgres.port, encoded(root))
    };
    let refused = |url: &str, because: &str| {
        let before = postgres.log().len();
        let told = detail(connect(url, with_password()));
        assert!(told.contains(because), "{told}");
        thread::sleep(std::time::Duration::from_millis(200));
        let log = postgres.log().split_off(before);
        assert!(!log.contains("connection auth") && !log.contains("password"), "{log}");
    };
    refused(&url("localhost", &stranger.root), "nobody who is trusted has signed its certificate");
    // The roots of this machine do not include the authority of a test.
    refused(
        &format!("postgres://ann@localhost:{}/keyward", postgres.port),
        "nobody who is trusted has signed its certificate",
    );
    refused(&url("[::1]", &authority.root), "its certificate is for another name");
    use_certificate(&postgres, authority.sign("other", "localhost", "DNS:other.example", Validity::Now));
    refused(&url("localhost", &authority.root), "its certificate is for another name");
    use_certificate(&postgres, authority.sign("old", "db", "DNS:localhost", Validity::Past));
    refused(&url("localhost", &authority.root), "its certificate has expired");
    postgres.set("ssl = off");
    refused(&url("localhost", &authority.root), "it speaks no TLS");
}

#[test]
#[ignore = "needs postgresql and openssl"]
fn a_client_can_prove_itself_by_a_certificate() {
    let (postgres, authority) = with_tls();
    postgres.set(&format!("ssl_ca_file = '{}'", authority.root.display()));
    postgres.let_in("hostssl all all 127.0.0.1/32 cert");
    let (certificate, key) = authority.sign("ann", "ann", "DNS:ann", Validity::Now);
    let plain = format!("postgres://ann@127.0.0.1:{}/keyward?sslrootcert={}", postgres.port, encoded(&authority.root));
    let url = format!("{plain}&sslcert={}&sslkey={}", encoded(&certificate), encoded(&key));
    assert!(connect(&url, Surroundings::default()).is_ok());
    assert!(detail(connect(&plain, with_password())).contains("certificate"));
    let open = postgres.folder.file("open.key", &std::fs::read_to_string(&key).unwrap(), 0o644);
    let url = format!("{plain}&sslcert={}&sslkey={}", encoded(&certificate), encoded(&open));
    let refused = connect(&url, Surroundings::default());
    assert!(matches!(refused, Err(StoreError::OpenSecret { mode: 0o644, .. })), "{refused:?}");
}

#[test]
fn without_a_user_it_is_who_runs_the_process() {
    assert!(!server("postgres://h/d", Surroundings::default()).role().is_empty());
    assert_eq!(server("postgres://ann@h/d", Surroundings::default()).role(), "ann");
}

#[test]
fn without_tls_nothing_is_sent_to_who_speaks_none() {
    let (port, recorder) = listener(&[b"N"]);
    let told = detail(connect(&format!("postgres://ann@127.0.0.1:{port}/keyward"), with_password()));
    assert!(told.contains("it speaks no TLS"), "{told}");
    // The TLS request, and not one more byte.
    assert_eq!(recorder.join().unwrap(), [0, 0, 0, 8, 4, 210, 22, 47]);
}

#[test]
fn a_password_that_is_asked_for_in_the_clear_is_not_sent() {
    for (answer, what) in [
        (&b"R\0\0\0\x08\0\0\0\x03"[..], "in the clear"),
        (&b"R\0\0\0\x0c\0\0\0\x05salt"[..], "by MD5"),
        // After a notice.
        (&b"N\0\0\0\x05\0R\0\0\0\x08\0\0\0\x03"[..], "in the clear"),
    ] {
        let answers: &[&[u8]] = Box::leak(Box::new([answer]));
        let (port, recorder) = listener(answers);
        let url = format!("postgres://ann@127.0.0.1:{port}/keyward?sslmode=disable");
        let told = detail(connect(&url, with_password()));
        assert!(told.contains(what) && told.contains("scram-sha-256"), "{told}");
        let received = recorder.join().unwrap();
        // Only the first message, which starts with its length.
        assert_eq!(received.len(), u32::from_be_bytes(*received.first_chunk().unwrap()) as usize);
    }
}

#[test]
fn an_answer_that_is_none_is_an_error() {
    for answer in [&b""[..], b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff"] {
        let answers: &[&[u8]] = Box::leak(Box::new([answer]));
        let (port, recorder) = listener(answers);
        let url = format!("postgres://ann@127.0.0.1:{port}/keyward?sslmode=disable&connect_timeout=1");
        detail(connect(&url, with_password()));
        recorder.join().unwrap();
    }
}

#[test]
#[ignore = "needs postgresql"]
fn the_first_host_that_takes_changes_is_used() {
    let mut standby = Postgres::start();
    standby.kill();
    standby.folder.file("data/standby.signal", "", 0o600);
    give(&standby.folder.path().join("data/standby.signal"));
    standby.go_on();
    let primary = Postgres::start();
    let url = |hosts: &[&str]| format!("postgres://ann@{}/keyward?sslmode=disable", hosts.join(","));
    // No server of another test uses this port.
    let away = "127.0.0.1:1";
    let client = connect(&url(&[away, &standby.socket_host(), &primary.socket_host()]), with_password()).unwrap();
    assert!(client.peer().address.ends_with(&primary.port.to_string()), "{:?}", client.peer());
    let told = detail(connect(&url(&[away, &standby.socket_host()]), with_password()));
    assert!(
        told.contains("nobody listens there") && told.contains("it is a standby") && told.contains("HOST1"),
        "{told}"
    );
    let told = detail(connect(&url(&[away]), with_password()));
    assert!(told.contains("nobody listens there"), "{told}");
    let told = detail(connect("postgres://ann@%2Fnowhere/keyward", with_password()));
    assert!(told.contains("there is no socket"), "{told}");
    let told = detail(connect("postgres://ann@name.invalid/keyward", with_password()));
    assert!(told.contains("its name has no address") || told.contains("did not answer"), "{told}");
}

#[test]
#[ignore = "needs postgresql"]
fn a_passfile_opens_a_server_and_one_that_others_can_read_does_not() {
    let postgres = Postgres::start();
    let line = format!("localhost:*:keyward:ann:{}\n", PASSWORD.replace('\\', "\\\\").replace(':', "\\:"));
    let url = |mode| {
        let file = postgres.folder.file("passfile", &line, mode);
        format!("postgres://ann@localhost:{}/keyward?sslmode=disable&passfile={}", postgres.port, encoded(&file))
    };
    assert!(connect(&url(0o600), Surroundings::default()).is_ok());
    let refused = connect(&url(0o644), Surroundings::default());
    assert!(matches!(refused, Err(StoreError::OpenSecret { mode: 0o644, .. })), "{refused:?}");
}

#[test]
fn files_for_tls_that_are_wrong_are_told_without_their_paths() {
    let folder = Folder::new();
    let empty = encoded(&folder.file("empty", "", 0o600));
    let broken = encoded(&folder.file("broken", "-----BEGIN CERTIFICATE-----\n\n-----END CERTIFICATE-----\n", 0o600));
    for (parameters, because) in [
        ("sslrootcert=%2Fnowhere".to_owned(), "the file that sslrootcert names cannot be read"),
        (format!("sslrootcert={empty}"), "the file that sslrootcert names holds no certificate"),
        (format!("sslrootcert={broken}"), "the file that sslrootcert names cannot be read"),
        (format!("sslcert={empty}&sslkey={empty}"), "the file that sslcert names holds no certificate"),
        ("passfile=%2Fnowhere".to_owned(), "the file that passfile names cannot be read"),
    ] {
        let told =
            detail(connect(&format!("postgres://ann@127.0.0.1:1/keyward?{parameters}"), Surroundings::default()));
        assert!(told.contains(because) && !told.contains("nowhere") && !told.contains("/tmp"), "{told}");
    }
}
