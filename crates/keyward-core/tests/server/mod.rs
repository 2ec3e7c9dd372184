//! A real PostgreSQL server for a test: in a temporary folder, on its own port, with TLS from a test CA. It is removed
//! when the test ends, even if it fails.
//!
//! The binaries come from Debian's `postgresql`, in `/usr/lib/postgresql/VERSION/bin`. The server does not run as root:
//! if the test does, the server runs as `nobody`.

mod authority;
mod standby;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

pub(crate) use rustix::process::Signal;
use rustix::process::{Pid, kill_process};
use tempfile::TempDir;

pub(crate) use authority::{Authority, Validity};

/// The user that servers run as when the test runs as root.
const NOBODY: u32 = 65_534;
/// The superuser, who can sign in over the socket without a password.
pub(crate) const OWNER: &str = "postgres";
/// The password of every role that has one.
pub(crate) const PASSWORD: &str = "geheim:w\\ort@1/2";

/// A folder owned by the server user.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("kw").tempdir_in("/tmp").unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        give(folder.path());
        Self(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Creates a file in it with this mode.
    pub(crate) fn file(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Makes the server user the owner of a file.
pub(crate) fn give(path: &Path) {
    if is_root() {
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
}

/// The program, run as the server user. It ends with the thread that started it.
pub(crate) fn unprivileged(program: impl AsRef<Path>) -> Command {
    unprivileged_in(None, program)
}

/// The same, in the network namespace of this name (ip-netns(8)).
fn unprivileged_in(network: Option<&str>, program: impl AsRef<Path>) -> Command {
    let mut command = match network {
        None => Command::new("setpriv"),
        Some(network) => {
            let mut command = Command::new("ip");
            command.args(["netns", "exec", network, "setpriv"]);
            command
        }
    };
    command.args(["--pdeathsig", "KILL"]);
    if is_root() {
        command.args([&format!("--reuid={NOBODY}"), &format!("--regid={NOBODY}"), "--clear-groups"]);
    }
    command.arg("--").arg(program.as_ref());
    command.env("LC_ALL", "C").current_dir("/");
    command
}

/// A PostgreSQL program, from the newest installed version.
pub(crate) fn program(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").unwrap_or_else(|_| panic!("please install postgresql"));
    let number = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
    let newest = versions.map(|entry| entry.unwrap().path()).filter(|path| number(path).is_some()).max_by_key(number);
    newest.unwrap().join("bin").join(name)
}

/// An unused port.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Runs it, and expects success.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// A server and its data folder.
pub(crate) struct Server {
    pub(crate) folder: Folder,
    pub(crate) port: u16,
    /// Its own network namespace, if it has one.
    network: Option<String>,
    process: Option<Child>,
}

impl Server {
    /// A server with the database `keyward`, and the role `ann` with [`PASSWORD`]. TCP requires the password (SCRAM);
    /// the socket lets everyone in.
    pub(crate) fn start() -> Self {
        Self::start_in(None, "")
    }

    /// The same in this network namespace, with these lines added to its settings.
    pub(crate) fn start_in(network: Option<&str>, more: &str) -> Self {
        let folder = Folder::new();
        let mut initdb = unprivileged(program("initdb"));
        initdb.args(["--no-sync", "--encoding=UTF8", "--locale=C", "--auth-local=trust", "--auth-host=scram-sha-256"]);
        run(initdb.args(["--username", OWNER, "--pgdata"]).arg(folder.path().join("data")));
        let settings = "fsync = off\nlog_connections = on\nlisten_addresses = '127.0.0.1,::1'\nmax_wal_senders = 4\n";
        append(&folder.path().join("data/postgresql.auto.conf"), &format!("{settings}{more}\n"));
        let server = Self::of(folder, network);
        let password = PASSWORD.replace('\'', "''");
        server
            .sql(OWNER, &format!("SET standard_conforming_strings = on; CREATE ROLE ann LOGIN PASSWORD '{password}'"));
        server.sql(OWNER, "CREATE DATABASE keyward OWNER ann");
        server
    }

    /// Starts a server whose data folder already exists.
    fn of(folder: Folder, network: Option<&str>) -> Self {
        let mut server = Self { folder, port: free_port(), network: network.map(str::to_owned), process: None };
        // Another process may have taken the port in the meantime.
        for _ in 0..3 {
            if server.begin() {
                break;
            }
            server.kill();
            server.port = free_port();
        }
        assert!(server.process.is_some(), "the server does not start: {}", server.log());
        server
    }

    /// Starts it again after it was killed.
    pub(crate) fn go_on(&mut self) {
        // Leftover processes and their shared memory may take a moment to go.
        let is_up = (0..20).any(|_| {
            self.begin() || {
                sleep(Duration::from_millis(100));
                false
            }
        });
        assert!(is_up, "the server does not start: {}", self.log());
    }

    /// Starts it, and returns whether it is up.
    fn begin(&mut self) -> bool {
        let log = fs::File::options().append(true).create(true).open(self.folder.path().join("log")).unwrap();
        let mut postgres = unprivileged_in(self.network.as_deref(), program("postgres"));
        postgres.arg("-D").arg(self.folder.path().join("data")).arg("-k").arg(self.folder.path());
        postgres.args(["-p", &self.port.to_string()]).stdin(Stdio::null());
        postgres.stdout(log.try_clone().unwrap()).stderr(log);
        let mut process = postgres.spawn().unwrap();
        let mut ready = Command::new(program("pg_isready"));
        ready.arg("-q").arg("-h").arg(self.folder.path()).args(["-p", &self.port.to_string()]);
        let is_up = (0..400).any(|_| {
            sleep(Duration::from_millis(50));
            ready.status().unwrap().success() || matches!(process.try_wait(), Ok(Some(_)))
        });
        let is_up = is_up && matches!(process.try_wait(), Ok(None));
        self.process = Some(process);
        is_up
    }

    /// The contents of its log.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// The PID of its main process.
    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.process.as_ref().unwrap().id()).unwrap()
    }

    /// The host part of a URL for its socket.
    pub(crate) fn socket_host(&self) -> String {
        format!("{}:{}", self.folder.path().to_str().unwrap().replace('/', "%2F"), self.port)
    }

    /// Runs statements directly in this database, bypassing keyward, and returns their output.
    pub(crate) fn sql(&self, database: &str, statements: &str) -> String {
        run(&mut self.psql(database, statements)).trim_end().to_owned()
    }

    /// The same for statements that may fail; returns whether they succeeded.
    pub(crate) fn try_sql(&self, database: &str, statements: &str) -> bool {
        self.psql(database, statements).output().unwrap().status.success()
    }

    fn psql(&self, database: &str, statements: &str) -> Command {
        let mut psql = Command::new(program("psql"));
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", OWNER, "-d", database, "-c", statements]);
        psql.arg("-h").arg(self.folder.path()).args(["-p", &self.port.to_string()]);
        psql
    }

    /// Adds a setting, and has the server reload its configuration.
    pub(crate) fn set(&self, setting: &str) {
        append(&self.folder.path().join("data/postgresql.auto.conf"), &format!("{setting}\n"));
        self.read_settings();
    }

    fn read_settings(&self) {
        let read = || self.sql(OWNER, "SELECT pg_conf_load_time()");
        let before = read();
        self.signal(Signal::HUP);
        for _ in 0..200 {
            sleep(Duration::from_millis(20));
            if read() != before {
                return;
            }
        }
        panic!("the server does not read its settings: {}", self.log());
    }

    /// Sets the lines of pg_hba.conf, which decide who may sign in and how.
    pub(crate) fn let_in(&self, lines: &str) {
        let file = self.folder.path().join("data/pg_hba.conf");
        fs::write(&file, format!("local all {OWNER} trust\n{lines}\n")).unwrap();
        self.read_settings();
    }

    pub(crate) fn signal(&self, signal: Signal) {
        signal_to(self.pid(), signal);
    }

    /// Sends a signal to all of its processes.
    pub(crate) fn signal_all(&self, signal: Signal) {
        // The main process first, because it keeps starting others.
        self.signal(signal);
        for child in children(self.process.as_ref().unwrap().id()) {
            signal_to(child, signal);
        }
    }

    /// Kills all of its processes at once, as if the power were cut.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            // A child started after they were listed would survive and keep its files open.
            signal_to(i32::try_from(process.id()).unwrap(), Signal::STOP);
            for child in children(process.id()) {
                signal_to(child, Signal::KILL);
            }
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            // An immediate shutdown, which waits for its children: so first continue those that a test has stopped.
            let pid = process.id();
            for pid in children(pid).into_iter().chain(i32::try_from(pid)) {
                signal_to(pid, Signal::CONT);
            }
            signal_to(i32::try_from(pid).unwrap(), Signal::QUIT);
            for _ in 0..100 {
                if matches!(process.try_wait(), Ok(Some(_))) {
                    self.process = None;
                    return;
                }
                sleep(Duration::from_millis(20));
            }
        }
        self.kill();
    }
}

pub(crate) fn signal_to(pid: i32, signal: Signal) {
    // The process may be gone already.
    let _ = kill_process(Pid::from_raw(pid).unwrap(), signal);
}

/// The child processes of this one.
fn children(pid: u32) -> Vec<i32> {
    let listed = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    listed.split_whitespace().map(|child| child.parse().unwrap()).collect()
}

fn append(path: &Path, text: &str) {
    let before = fs::read_to_string(path).unwrap_or_default();
    fs::write(path, before + text).unwrap();
    give(path);
}
