//! The password: it does not appear on a command line, in output, or in anything left behind, and it is sent only to a
//! server that proves its identity.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::lan::SERVER;
use super::postgres::{Authority, PASSWORD, Server, Signal, Validity, signal_to};
use super::relay::Relay;
use super::{Site, encoded, start};
use crate::harness::{Output, finish, finish_with};
use crate::serve::eventually;

/// The password as written in a URL.
const IN_URL: &str = "geheim%3Aw%5Cort%401%2F2";

/// Whether a text contains the password in any form, or a revealing part of it.
fn has_password(text: &str) -> bool {
    ["geheim", "w\\ort", "w\\\\ort", "w%5Cort", "ort@1/2", "ort%401"].iter().any(|part| text.contains(part))
}

/// Builds a command from a line.
type Keyward<'s> = Box<dyn Fn(&str) -> Command + 's>;

/// The sources of the password: a file, a variable, and the URL in a variable.
fn sources(site: &Site) -> [Keyward<'_>; 3] {
    let without = site.url.split_once("&passfile=").unwrap().0.to_owned();
    let with = without.replace("ann@", &format!("ann:{IN_URL}@"));
    let of = move |line: &str, url: &str| {
        let mut command = site.on(1, line);
        command.env("KEYWARD_STORE", url);
        command
    };
    [
        Box::new(|line| site.on(1, line)),
        Box::new(move |line| {
            let mut command = of(line, &without);
            command.env("PGPASSWORD", PASSWORD);
            command
        }),
        Box::new(move |line| of(line, &with)),
    ]
}

#[test]
#[ignore = "needs PostgreSQL, openssl, root and ip netns"]
fn no_command_line_shows_it() {
    let (_server, site) = start(1);
    for (number, keyward) in sources(&site).iter().enumerate() {
        // Looks while keyward runs and is connected.
        let look =
            "for file in /proc/[0-9]*/cmdline; do tr '\\0' ' ' <$file 2>/dev/null; echo; done >seen; cat >/dev/null";
        let mut create = keyward(&format!("create to-{number} --json --secret-to"));
        let output = finish(create.arg(look));
        assert_eq!(output.code, 0, "{output}");
        let seen = fs::read_to_string(site.path("seen")).unwrap();
        assert!(seen.contains(&format!("create to-{number}")) && !has_password(&seen), "{seen}");
    }
}

#[test]
#[ignore = "needs PostgreSQL, openssl, root and ip netns"]
fn nothing_that_is_said_shows_it() {
    let (mut server, site) = start(1);
    let secret = site.mint("deploy");
    let mut said = String::new();
    let mut run = |command: &mut Command, code: Option<u8>| {
        let output = finish_with(command, secret.as_bytes());
        assert!(code.is_none_or(|code| output.code == code), "{command:?}: {output}");
        said += &(output.stdout + &output.stderr);
        assert!(!has_password(&said), "{said}");
    };
    for keyward in &sources(&site) {
        for line in
            ["list", "doctor", "doctor --json", "history --json", "verify", "show deploy --json", "create deploy"]
        {
            run(&mut keyward(line), None);
        }
        // The server refuses a wrong password, role or database.
        run(keyward("list --json").env("PGPASSWORD", format!("{PASSWORD}x")), None);
    }
    let other = |from: &str, to: &str| site.url.replace(from, to);
    for url in [other("ann@", "eve@"), other("/keyward?", "/other?"), other("/keyward?", "/keyward?schema=none&")] {
        for line in ["list", "list --json", "doctor", "doctor --json"] {
            run(site.on(1, line).env("KEYWARD_STORE", &url), Some(6));
        }
    }
    // Not a URL, or a URL with an unknown parameter.
    for url in [other("ann@", &format!("ann:{IN_URL}@")) + "&x=y", format!("postgres://ann:{IN_URL}@[/keyward")] {
        for line in ["list", "list --json"] {
            run(site.on(1, line).env("KEYWARD_STORE", &url), Some(2));
        }
    }
    server.kill();
    for keyward in &sources(&site) {
        for line in ["list", "list --json", "doctor", "doctor --json", "verify --json"] {
            run(&mut keyward(line), Some(6));
        }
    }
}

/// A process that crashes must not leave its memory behind.
#[test]
#[ignore = "needs PostgreSQL, openssl, root and ip netns"]
fn no_core_is_left() {
    let (_server, site) = start(1);
    let leaves_a_core = |mut command: Command| {
        let folder = tempfile::tempdir().unwrap();
        let name = command.get_program().to_owned();
        let words: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
        let mut limited = Command::new("prlimit");
        limited.args(["--core=unlimited".into(), name]).args(words).env_clear();
        limited.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command = limited;
        let mut child = command.current_dir(folder.path()).stdin(Stdio::piped()).spawn().unwrap();
        // Until it has become the program and sleeps.
        let pid = child.id();
        eventually(|| {
            let file = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
            let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let is_it = file == Path::new(env!("CARGO_BIN_EXE_keyward")) || file.ends_with("sleep");
            (is_it && state.contains(") S ")).then_some(())
        })
        .unwrap();
        std::thread::sleep(std::time::Duration::from_millis(300));
        signal_to(i32::try_from(pid).unwrap(), Signal::TRAP);
        let status = child.wait().unwrap();
        assert_eq!(status.signal(), Some(Signal::TRAP.as_raw()), "{status}");
        status.core_dumped() || fs::read_dir(folder.path()).unwrap().next().is_some()
    };
    let mut other = site.host(1).run("sleep");
    other.arg("60");
    assert!(leaves_a_core(other), "this system writes cores, so that a missing one says something");
    for line in ["verify --batch", "verify", "serve --listen 127.0.0.1:0"] {
        assert!(!leaves_a_core(site.on(1, line)), "{line}");
    }
}

fn refused(output: Output, exit: u8, code: &str, says: &str) {
    let error = output.error();
    assert_eq!((output.code, &error["code"]), (exit, &code.into()), "{output}");
    assert!(output.stderr.contains(says) && !has_password(&output.stderr), "{output}");
}

#[test]
#[ignore = "needs PostgreSQL, openssl, root and ip netns"]
fn where_others_could_read_it_it_is_refused() {
    let (server, site) = start(1);
    let relay = site.relay(server.port);
    let url = site.url_of(&[relay.port]);
    let with_password = url.split_once("&passfile=").unwrap().0.replace("ann@", &format!("ann:{IN_URL}@"));
    let output = finish(site.on(1, "list --json --store").arg(&with_password));
    refused(output, 2, "usage", "command line");
    let output = finish(site.on(1, "list").env("KEYWARD_STORE", &with_password));
    assert_eq!(output.code, 0, "{output}");
    assert!(output.stderr.starts_with("warning: ") && !has_password(&output.stderr), "{output}");
    assert_eq!(relay.sent().len(), 1, "the second one connected, and the first one did not");
    for mode in [0o644, 0o640, 0o604] {
        fs::set_permissions(site.path("passfile"), Permissions::from_mode(mode)).unwrap();
        let output = finish(site.on(1, "list --json").env("KEYWARD_STORE", &url));
        refused(output, 6, "store_insecure", "chmod 600");
        assert!(relay.sent().iter().all(Vec::is_empty), "{mode:o}: nothing is sent");
    }
    fs::set_permissions(site.path("passfile"), Permissions::from_mode(0o600)).unwrap();
    assert_eq!(finish(site.on(1, "list --json").env("KEYWARD_STORE", &url)).code, 0);
}

/// The lengths of the encrypted TLS messages.
fn encrypted(sent: &[u8]) -> Vec<usize> {
    // The request for TLS comes first, in the clear.
    let mut rest = sent.get(8..).unwrap_or_default();
    let mut lengths = vec![];
    while let [kind, _, _, high, low, behind @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if *kind == 23 {
            lengths.push(length);
        }
        rest = behind.get(length..).unwrap_or_default();
    }
    lengths
}

/// An alert, the content type and the authentication tag: what TLS 1.3 sends when it refuses a certificate.
const ALERT: usize = 2 + 1 + 16;

#[test]
#[ignore = "needs PostgreSQL, openssl, root and ip netns"]
fn who_does_not_prove_to_be_the_server_is_not_told() {
    let (server, site) = start(1);
    let relay = site.relay(server.port);
    let url = site.url_of(&[relay.port]);
    let list = |url: &str| finish(site.on(1, "list --json").env("KEYWARD_STORE", url));
    assert_eq!(list(&url).code, 0);
    let sent = relay.sent().concat();
    assert!(encrypted(&sent).len() > 3, "what a sign-in sends is seen here: {:?}", encrypted(&sent));
    let is_not_told = |url: &str, says: &str| {
        refused(list(url), 6, "store_unwritable", says);
        let sent = relay.sent();
        assert_eq!(sent.len(), 1);
        assert_eq!(encrypted(&sent[0]), [ALERT], "{says}: nothing but that it is refused");
    };
    let stranger = Authority::new(&server.folder, "stranger");
    is_not_told(&url.replace(&encoded(&site.authority.root), &encoded(&stranger.root)), "nobody who is trusted");
    use_certificate(&server, site.authority.sign("other", "db", "IP:198.18.0.9,DNS:other.example", Validity::Now));
    is_not_told(&url, "is for another name");
    use_certificate(&server, site.authority.sign("old", "db", &format!("IP:{SERVER}"), Validity::Past));
    is_not_told(&url, "has expired");
    server.set("ssl = off");
    refused(list(&url), 6, "store_unwritable", "it speaks no TLS");
    // The request for TLS and nothing else.
    assert_eq!(relay.sent().concat(), [0, 0, 0, 8, 4, 210, 22, 47]);
    // Unencrypted to another machine: no connection is made.
    let nobody = Relay::start(site.lan.hub(), None);
    let plain = site
        .url_of(&[nobody.port])
        .replace(&format!("sslrootcert={}", encoded(&site.authority.root)), "sslmode=disable");
    refused(list(&plain), 2, "usage", "sslmode");
    assert!(nobody.sent().is_empty());
}

fn use_certificate(server: &Server, (certificate, key): (std::path::PathBuf, std::path::PathBuf)) {
    server.set(&format!("ssl_cert_file = '{}'\nssl_key_file = '{}'", certificate.display(), key.display()));
}
