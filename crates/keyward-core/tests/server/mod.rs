//! A real PostgreSQL for a test: made in a temporary folder, on a port of its own, with TLS by an authority of the test,
//! and gone with the test, also with one that fails.
//!
//! The programs are those of Debian's `postgresql`, in `/usr/lib/postgresql/VERSION/bin`. The server does not run as
//! root; where the test does, it runs as `nobody`.

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

/// The user that servers run as, where the test is root.
const NOBODY: u32 = 65_534;
/// The superuser, who may sign in over the socket as he is.
pub(crate) const OWNER: &str = "postgres";
/// The password of every role that has one.
pub(crate) const PASSWORD: &str = "geheim:w\\ort@1/2";

/// A folder that belongs to the user of the servers.
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

    /// A new file in it, of this mode.
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

/// Gives a file to the user of the servers.
pub(crate) fn give(path: &Path) {
    if is_root() {
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
}

/// The program as the user of the servers runs it. It ends with the thread that started it.
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

/// A program of PostgreSQL, of the newest version that is installed.
pub(crate) fn program(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").unwrap_or_else(|_| panic!("please install postgresql"));
    let number = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
    let newest = versions.map(|entry| entry.unwrap().path()).filter(|path| number(path).is_some()).max_by_key(number);
    newest.unwrap().join("bin").join(name)
}

/// A port that nobody listens on.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Runs it to its end, which has to be a good one.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// A server, and where it keeps its rows.
pub(crate) struct Server {
    pub(crate) folder: Folder,
    pub(crate) port: u16,
    /// The network namespace that it is in, if it is in one of its own.
    network: Option<String>,
    process: Option<Child>,
}

impl Server {
    /// A server with the database `keyward`, and the role `ann` with [`PASSWORD`]. Over TCP it asks for it by SCRAM; over
    /// the socket it lets everybody in.
    pub(crate) fn start() -> Self {
        Self::start_in(None, "")
    }

    /// The same in this network namespace, with these lines behind its settings.
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

    /// Starts one that has its files.
    fn of(folder: Folder, network: Option<&str>) -> Self {
        let mut server = Self { folder, port: free_port(), network: network.map(str::to_owned), process: None };
        // Somebody else may have taken the port meanwhile.
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
        // What is left of its processes may take a moment to go, and their memory with them.
        let is_up = (0..20).any(|_| {
            self.begin() || {
                sleep(Duration::from_millis(100));
                false
            }
        });
        assert!(is_up, "the server does not start: {}", self.log());
    }

    /// Starts it, and says whether it is up.
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

    /// What it has written to its log.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// The number of its first process.
    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.process.as_ref().unwrap().id()).unwrap()
    }

    /// Where its socket is, as a URL has it.
    pub(crate) fn socket_host(&self) -> String {
        format!("{}:{}", self.folder.path().to_str().unwrap().replace('/', "%2F"), self.port)
    }

    /// Runs statements in the database of this name, past keyward, and returns what they say.
    pub(crate) fn sql(&self, database: &str, statements: &str) -> String {
        run(&mut self.psql(database, statements)).trim_end().to_owned()
    }

    /// The same, where it may fail: whether it did not.
    pub(crate) fn try_sql(&self, database: &str, statements: &str) -> bool {
        self.psql(database, statements).output().unwrap().status.success()
    }

    fn psql(&self, database: &str, statements: &str) -> Command {
        let mut psql = Command::new(program("psql"));
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", OWNER, "-d", database, "-c", statements]);
        psql.arg("-h").arg(self.folder.path()).args(["-p", &self.port.to_string()]);
        psql
    }

    /// Adds a setting, and has the server read all of them again.
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

    /// Says who is let in how: the lines of pg_hba.conf.
    pub(crate) fn let_in(&self, lines: &str) {
        let file = self.folder.path().join("data/pg_hba.conf");
        fs::write(&file, format!("local all {OWNER} trust\n{lines}\n")).unwrap();
        self.read_settings();
    }

    pub(crate) fn signal(&self, signal: Signal) {
        signal_to(self.pid(), signal);
    }

    /// To all of its processes.
    pub(crate) fn signal_all(&self, signal: Signal) {
        // The first one starts others as long as it goes on.
        self.signal(signal);
        for child in children(self.process.as_ref().unwrap().id()) {
            signal_to(child, signal);
        }
    }

    /// As if the power were cut: every process of it is gone at once.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            // What it starts after they were counted would live on, and keep its files.
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
            // At once, and it waits for its own processes, also for those that a test has stopped.
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
    // One that is gone needs none.
    let _ = kill_process(Pid::from_raw(pid).unwrap(), signal);
}

/// The processes that this one has started.
fn children(pid: u32) -> Vec<i32> {
    let listed = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    listed.split_whitespace().map(|child| child.parse().unwrap()).collect()
}

fn append(path: &Path, text: &str) {
    let before = fs::read_to_string(path).unwrap_or_default();
    fs::write(path, before + text).unwrap();
    give(path);
}
