//! What a git history ever added: each version of each file once, and the messages of commits and tags.
//!
//! The installed git reads the repository. What its configuration would run (hooks, pagers, external diffs, signature
//! checks, fetches from elsewhere) is not run: a repository that is looked through may come from anywhere.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use super::sources::{Buffer, Sighting, look_through};
use crate::error::{Code, Error};
use crate::text::clean;

/// An object with a secret in it.
pub(super) struct Object {
    /// The path of a file; a message has none.
    pub(super) path: Option<String>,
    /// The commit that added it, or that has it as its message. `None` where no commit tells.
    pub(super) commit: Option<String>,
    pub(super) sightings: Vec<Sighting>,
}

/// The secrets in the history of the repository at `folder`: all of it, or those commits that a `range` names.
///
/// # Errors
/// Where git is not installed, there is no repository, or something of it cannot be read.
pub(super) fn look(folder: &Path, range: Option<&str>) -> Result<Vec<Object>, Error> {
    let mut list = git(folder);
    list.args(["rev-list", "--objects"]).args(revisions(range));
    let mut list = start(list)?;
    let mut read = git(folder);
    read.args(["cat-file", "--buffer", "--batch=%(objectname) %(objecttype) %(objectsize) %(rest)"]);
    read.stdin(list.stdout.take().map_or_else(Stdio::null, Stdio::from));
    let mut read = start(read)?;
    let found = match read.stdout.take() {
        Some(stdout) => objects(BufReader::new(stdout)),
        None => Ok(BTreeMap::new()),
    };
    // The first complaint is the one that says what is wrong.
    end(list)?;
    end(read)?;
    let mut found = found.map_err(|error| broken(&error.to_string()))?;
    name_commits(folder, range, &mut found)?;
    Ok(found.into_values().collect())
}

/// A git that does what it is told, and nothing that a configuration adds.
fn git(folder: &Path) -> Command {
    let mut git = Command::new("git");
    git.arg("-C").arg(folder).args(["--no-pager", "--no-replace-objects", "-c", "log.showSignature=false"]);
    git.args(["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"]);
    git.env("GIT_NO_LAZY_FETCH", "1").env("GIT_OPTIONAL_LOCKS", "0").env("GIT_TERMINAL_PROMPT", "0").env("LC_ALL", "C");
    git.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    git
}

fn revisions(range: Option<&str>) -> Vec<&str> {
    match range {
        // Whatever it looks like, it is no option.
        Some(range) => vec!["--end-of-options", range, "--"],
        None => vec!["--all", "--"],
    }
}

fn start(mut command: Command) -> Result<Child, Error> {
    command.spawn().map_err(|error| {
        let hint = "install git, or look through the files that are there: keyward scan PATH";
        match error.kind() {
            io::ErrorKind::NotFound => Error::new(Code::InvalidValue, "git is not installed").hint(hint),
            _ => Error::new(Code::InvalidValue, format!("git could not be started: {error}")).hint(hint),
        }
    })
}

fn end(child: Child) -> Result<(), Error> {
    let output = child.wait_with_output().map_err(|error| broken(&error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.lines().next().unwrap_or_default();
    Err(broken(said.trim_start_matches("fatal: ")))
}

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

/// Finds out which commits added the files. One look at all commits, the oldest first.
fn name_commits(folder: &Path, range: Option<&str>, found: &mut BTreeMap<String, Object>) -> Result<(), Error> {
    if found.values().all(|object| object.commit.is_some()) {
        return Ok(());
    }
    let mut log = git(folder);
    log.args(["log", "--reverse", "--format=%H", "--raw", "--no-abbrev", "--no-renames", "--root", "-m"]);
    let mut log = start({
        log.args(revisions(range));
        log
    })?;
    let mut commit = String::new();
    if let Some(stdout) = log.stdout.take() {
        for line in BufReader::new(stdout).split(b'\n') {
            let line = line.map_err(|error| broken(&error.to_string()))?;
            let line = String::from_utf8_lossy(&line);
            // ":old-mode new-mode old-name new-name status<tab>path", or the name of a commit.
            match line.strip_prefix(':').and_then(|change| change.split(' ').nth(3)) {
                Some(added) => {
                    if let Some(object) = found.get_mut(added).filter(|object| object.commit.is_none()) {
                        object.commit = Some(commit.clone());
                    }
                }
                None if !line.is_empty() => commit = line.into_owned(),
                None => {}
            }
        }
    }
    end(log)
}
