//! Everything that a git history ever added: each version of each file once, and the messages of commits and tags.
//!
//! The installed git reads the repository. Nothing that its configuration could start is run (hooks, pagers, external
//! diffs, signature checks, fetches), because the repository may come from anywhere.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use super::sources::{Buffer, Sighting, look_through};
use crate::error::{Code, Error};
use crate::text::clean;

/// An object that contains a secret.
pub(super) struct Object {
    /// The path of a file; `None` for a message.
    pub(super) path: Option<String>,
    /// The commit that added it, or whose message it is. `None` if no commit names it.
    pub(super) commit: Option<String>,
    pub(super) sightings: Vec<Sighting>,
}

/// What was found in a history.
pub(super) struct History {
    pub(super) objects: Vec<Object>,
    /// Whether older commits are missing here.
    pub(super) is_shallow: bool,
}

/// The secrets in the history of the repository at `folder`: all of it, or only the commits in `range`.
///
/// # Errors
/// If git is not installed, `folder` is in no repository, or git cannot read the history.
pub(super) fn look(folder: &Path, range: Option<&str>) -> Result<History, Error> {
    let mut ask = git(folder);
    ask.args(["rev-parse", "--is-shallow-repository"]);
    let mut asked = Running::start(ask)?;
    let mut answer = String::new();
    if let Some(mut stdout) = asked.child.stdout.take() {
        stdout.read_to_string(&mut answer).map_err(|error| broken(&error.to_string()))?;
    }
    asked.end()?;
    let mut list = git(folder);
    list.args(["rev-list", "--objects"]).args(revisions(range));
    let mut list = Running::start(list)?;
    let mut read = git(folder);
    read.args(["cat-file", "--buffer", "--batch=%(objectname) %(objecttype) %(objectsize) %(rest)"]);
    read.stdin(list.child.stdout.take().map_or_else(Stdio::null, Stdio::from));
    let mut read = Running::start(read)?;
    let found = match read.child.stdout.take() {
        Some(stdout) => objects(BufReader::new(stdout)),
        None => Ok(BTreeMap::new()),
    };
    // The first complaint says what is wrong.
    list.end()?;
    read.end()?;
    let mut found = found.map_err(|error| broken(&error.to_string()))?;
    name_commits(folder, range, &mut found)?;
    Ok(History { objects: found.into_values().collect(), is_shallow: answer.trim() == "true" })
}

/// Variables that name another repository than the folder's, as in a hook.
const OF_ANOTHER: [&str; 6] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_COMMON_DIR",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_INDEX_FILE",
];

/// A git that does only what it is told, and nothing from a configuration.
fn git(folder: &Path) -> Command {
    let mut git = Command::new("git");
    git.arg("-C").arg(folder).args(["--no-pager", "--no-replace-objects", "-c", "log.showSignature=false"]);
    git.args(["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "core.quotePath=false"]);
    git.env("GIT_NO_LAZY_FETCH", "1").env("GIT_OPTIONAL_LOCKS", "0").env("GIT_TERMINAL_PROMPT", "0").env("LC_ALL", "C");
    // Versions that do not know the first of these could contact a remote, whose address may be a command.
    git.env("GIT_ALLOW_PROTOCOL", "none").env("GIT_GRAFT_FILE", "/dev/null");
    if folder != Path::new(".") {
        for name in OF_ANOTHER {
            git.env_remove(name);
        }
    }
    git.stdin(Stdio::null()).stdout(Stdio::piped());
    git
}

fn revisions(range: Option<&str>) -> Vec<&str> {
    match range {
        // A range that begins with a dash is not read as an option.
        Some(range) => vec!["--end-of-options", range, "--"],
        None => vec!["--all", "--"],
    }
}

/// A running git. Its error output goes into a file, because it is read only at the end and may be long.
struct Running {
    child: Child,
    said: File,
}

impl Running {
    fn start(mut command: Command) -> Result<Self, Error> {
        let kept = |error: io::Error| Error::new(Code::InvalidValue, format!("git could not be started: {error}"));
        let said = tempfile::tempfile().map_err(kept)?;
        command.stderr(said.try_clone().map_err(kept)?);
        let child = command.spawn().map_err(|error| {
            let hint = "install git, or look through the files that are there: keyward scan PATH";
            match error.kind() {
                io::ErrorKind::NotFound => Error::new(Code::InvalidValue, "git is not installed").hint(hint),
                _ => kept(error).hint(hint),
            }
        })?;
        Ok(Self { child, said })
    }

    fn end(mut self) -> Result<(), Error> {
        let status = self.child.wait().map_err(|error| broken(&error.to_string()))?;
        if status.success() {
            return Ok(());
        }
        let mut said = String::new();
        let read = self.said.rewind().and_then(|()| (&self.said).take(MOST_SAID).read_to_string(&mut said));
        read.map_err(|error| broken(&error.to_string()))?;
        let first = said.lines().find(|line| line.starts_with("fatal: ")).or(said.lines().next()).unwrap_or_default();
        Err(broken(first.trim_start_matches("fatal: ")))
    }
}

/// How much of git's error output is read.
const MOST_SAID: u64 = 1 << 20;

fn broken(what: &str) -> Error {
    Error::new(Code::InvalidValue, format!("git could not read the history: {}", clean(what)))
        .hint("name the folder of a repository, and commits that are in it: keyward scan FOLDER --git main..HEAD")
}

/// The objects with secrets in them, by their names, from what `cat-file --batch` prints.
fn objects(mut stream: BufReader<ChildStdout>) -> io::Result<BTreeMap<String, Object>> {
    let mut found = BTreeMap::new();
    let (mut head, mut buffer) = (vec![], Buffer::new());
    loop {
        head.clear();
        if stream.read_until(b'\n', &mut head)? == 0 {
            return Ok(found);
        }
        let text = String::from_utf8_lossy(&head);
        let mut words = text.trim_end_matches('\n').splitn(4, ' ');
        let mut word = || words.next().unwrap_or_default();
        let (name, kind, size, rest) = (word(), word(), word(), word());
        let Ok(size) = size.parse() else {
            return Err(io::Error::other(format!("the object {name} is not there; fetch it first")));
        };
        let (is_file, is_message) = (kind == "blob", ["commit", "tag"].contains(&kind));
        let mut content = (&mut stream).take(size);
        let mut sightings = vec![];
        if is_file || is_message {
            look_through(&mut content, &mut buffer, &mut |sighting| {
                sightings.push(sighting);
                Ok(())
            })?;
        }
        io::copy(&mut content, &mut io::sink())?;
        stream.read_until(b'\n', &mut Vec::new())?;
        if !sightings.is_empty() {
            let path = is_file.then(|| rest.to_owned());
            let commit = is_message.then(|| name.to_owned());
            found.entry(name.to_owned()).or_insert(Object { path, commit, sightings });
        }
    }
}

/// Finds out which commits added the files, and under which names. Reads all commits once, the oldest first.
fn name_commits(folder: &Path, range: Option<&str>, found: &mut BTreeMap<String, Object>) -> Result<(), Error> {
    if found.values().all(|object| object.commit.is_some()) {
        return Ok(());
    }
    let mut log = git(folder);
    log.args([
        "log",
        "--reverse",
        "--format=%H",
        "--raw",
        "--no-abbrev",
        "--no-renames",
        "--no-relative",
        "--root",
        "-m",
    ]);
    log.args(revisions(range));
    let mut log = Running::start(log)?;
    let mut commit = String::new();
    if let Some(stdout) = log.child.stdout.take() {
        for line in BufReader::new(stdout).split(b'\n') {
            let line = line.map_err(|error| broken(&error.to_string()))?;
            let line = String::from_utf8_lossy(&line);
            // ":old-mode new-mode old-name new-name status<tab>path", or the name of a commit.
            match line.strip_prefix(':') {
                Some(change) => {
                    let (names, path) = change.split_once('\t').unwrap_or((change, ""));
                    let added = names.split(' ').nth(3).unwrap_or_default();
                    if let Some(object) = found.get_mut(added).filter(|object| object.commit.is_none()) {
                        object.commit = Some(commit.clone());
                        object.path = Some(path.to_owned());
                    }
                }
                None if !line.is_empty() => commit = line.into_owned(),
                None => {}
            }
        }
    }
    log.end()
}
