//! A store in a real PostgreSQL that several hosts share, through the real binary, when everything goes wrong.
//!
//! The hosts are network namespaces ([`lan`]), the server listens with TLS in one of them, and keyward signs in with a
//! password. The documentation of the store says what it guarantees; these tests attack it: they kill and stop
//! processes at any moment, on either side, cut networks, and let a standby take over.
//!
//! | file | what happens |
//! |---|---|
//! | `batch` | (a batch that the other tests query) |
//! | `crowd` | many processes on several hosts make changes at once |
//! | `crashes` | the server is killed while something is changed |
//! | `holders` | keyward is killed, stopped or cut off while others wait for it |
//! | `silence` | the server or the network goes silent |
//! | `failover` | a standby takes over |
//! | `revocation` | a key is disabled on one host while others still allow it |
//! | `uses` | keys are used on several hosts while the server is killed |
//! | `passwords` | others look for the password |
//!
//! `tests/run` runs a short form of them. `KEYWARD_PROOF=full` runs the long one.

mod batch;
mod crashes;
mod crowd;
mod failover;
mod holders;
mod lan;
mod passwords;
mod psql;
mod relay;
mod revocation;
mod silence;
mod uses;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use lan::{Host, Lan, SERVER};
use postgres::{Authority, OWNER, PASSWORD, Server, Validity};
use relay::Relay;

use crate::database::postgres;
use crate::harness::{Output, finish, finish_with, words};
use crate::serve::Guard;

/// Hosts that use one store on a server.
pub struct Site {
    /// The files of the hosts.
    folder: tempfile::TempDir,
    pub authority: Authority,
    /// The URL of the store.
    pub url: String,
    lan: Lan,
    sockets: AtomicU32,
}

/// The lowest hash cost allowed.
const CHEAP: &str = "settings set hash-parameters m=1024,t=1,p=1";

/// Whether the long form of the tests runs.
pub fn is_full() -> bool {
    std::env::var("KEYWARD_PROOF").is_ok_and(|how| how == "full")
}

/// A server with an empty store, and this many hosts. The server is separate, so that a test can kill it while the
/// hosts work.
pub fn start(hosts: u32) -> (Server, Site) {
    let lan = Lan::new(hosts);
    let settings = format!("listen_addresses = '127.0.0.1,{SERVER}'\nmax_connections = 200");
    let server = Server::start_in(Some(lan.hub()), &settings);
    let authority = Authority::new(&server.folder, "authority");
    let (certificate, key) = authority.sign("server", "db", &format!("IP:{SERVER}"), Validity::Now);
    server.set(&format!("ssl_cert_file = '{}'\nssl_key_file = '{}'\nssl = on", certificate.display(), key.display()));
    server.let_in("local replication postgres trust\nhostssl all ann 198.18.0.0/24 scram-sha-256");
    let folder = tempfile::tempdir().unwrap();
    let passfile = folder.path().join("passfile");
    let password = PASSWORD.replace('\\', "\\\\").replace(':', "\\:");
    fs::write(&passfile, format!("*:*:keyward:ann:{password}\n")).unwrap();
    fs::set_permissions(&passfile, Permissions::from_mode(0o600)).unwrap();
    let mut site = Site { folder, authority, url: String::new(), lan, sockets: AtomicU32::new(0) };
    site.url = site.url_of(&[server.port]);
    site.must("store init");
    site.must(CHEAP);
    (server, site)
}

impl Site {
    /// The URL of the store on servers at these ports.
    pub fn url_of(&self, ports: &[u16]) -> String {
        let servers: Vec<_> = ports.iter().map(|port| format!("{SERVER}:{port}")).collect();
        format!(
            "postgres://ann@{}/keyward?sslrootcert={}&passfile={}",
            servers.join(","),
            encoded(&self.authority.root),
            encoded(&self.path("passfile"))
        )
    }

    /// The machine with this number, counted from 1.
    pub fn host(&self, number: usize) -> &Host {
        &self.lan.hosts[number - 1]
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// keyward on this machine.
    pub fn on(&self, host: usize, line: &str) -> Command {
        let mut command = self.host(host).run(env!("CARGO_BIN_EXE_keyward"));
        command.args(words(line)).env("KEYWARD_STORE", &self.url).env("TERM", "dumb").current_dir(self.folder.path());
        command.stdin(Stdio::null());
        command
    }

    /// Runs a line on the first host; it must succeed.
    pub fn must(&self, line: &str) -> Output {
        let output = finish(&mut self.on(1, line));
        assert_eq!(output.code, 0, "{line}: {output}");
        output
    }

    /// Creates a key and returns its secret.
    pub fn mint(&self, line: &str) -> String {
        self.must(&format!("create {line}")).stdout.trim_end().to_owned()
    }

    /// The exit code of a verification on this host.
    pub fn verify(&self, host: usize, secret: &str) -> u8 {
        finish_with(&mut self.on(host, "verify -q"), secret.as_bytes()).code
    }

    /// Whether a secret works and belongs to the key with this name.
    pub fn opens(&self, secret: &str, key: &str) -> bool {
        let output = finish_with(&mut self.on(1, "verify --no-record --json"), secret.as_bytes());
        output.code == 0 && output.json()["key"]["name"] == key
    }

    /// A guard on this machine that listens on Unix sockets.
    pub fn guard(&self, host: usize) -> Guard {
        self.guard_of(host, &self.url)
    }

    /// The same for the store at this URL.
    pub fn guard_of(&self, host: usize, url: &str) -> Guard {
        let number = self.sockets.fetch_add(1, Ordering::Relaxed);
        let place = |name: &str| format!("unix:{}", self.path(&format!("{name}{number}")).display());
        let mut serve = self.on(host, &format!("serve --listen {} --admin {}", place("guard"), place("admin")));
        serve.env("KEYWARD_STORE", url);
        Guard::spawn(serve)
    }

    /// A relay to the server at this port that can hold answers back, and sees what is sent.
    pub fn relay(&self, port: u16) -> Relay {
        Relay::start(self.lan.hub(), Some(port))
    }
}

/// Prints what was measured.
#[allow(clippy::print_stdout, reason = "figures of a test, which it shows with --nocapture")]
fn tell(figures: &str) {
    println!("{figures}");
}

/// The output of a process that was started with pipes.
fn end(child: Child) -> Output {
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let code = output.status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(255);
    Output { code, stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Slows every change down, before its COMMIT and within it, so that failures hit the middle of one more often.
fn slow_down(server: &Server) {
    server.sql(
        "keyward",
        "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.05); RETURN NEW; END';
         CREATE TRIGGER wait BEFORE INSERT ON keyward.history FOR EACH ROW EXECUTE FUNCTION public.wait();
         CREATE CONSTRAINT TRIGGER wait_to_commit AFTER INSERT ON keyward.history DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW EXECUTE FUNCTION public.wait()",
    );
}

/// How many commits wait for a standby that does not exist: they are made, but not acknowledged.
fn unheard(server: &Server) -> usize {
    server.sql(OWNER, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'").parse().unwrap()
}

fn encoded(path: &Path) -> String {
    path.to_str().unwrap().replace('/', "%2F")
}
