//! A command that reads the secret from its standard input: `gh secret set`, `vault kv put`, `kubectl`.
//!
//! The secret is never in an argument or the environment, and the command gets no other input, not even a line feed. It
//! has taken the secret when it has read all of it and exits with 0. What it prints is shown on stderr, redacted,
//! because standard output is for keyward's own output.

use std::io::{Read, Write as _};
use std::process::{ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::error::{Code, Error};
use crate::platform::{self, start_thread};
use crate::session::Session;
use crate::terminal::Hold;
use keyward_core::rules::text::redact;
use keyward_core::rules::token::Secret;

/// How much of a command's output is kept.
const MOST: usize = 16 * 1024;
/// How long a child of the command that has outlived it may keep its streams open.
const REST_WITHIN: Duration = Duration::from_millis(500);

/// The message for an interruption of the command.
const INTERRUPTED: &str = "interrupted before the command had taken the secret; nothing was changed";

/// Runs `command`, a shell command line, and gives it the secret.
///
/// # Errors
/// [`Code::NotDelivered`], also for an interruption.
pub(super) fn run(session: &mut Session, command: &str, secret: &Secret) -> Result<Hold, Error> {
    let section = session.interrupts.section(Code::NotDelivered, INTERRUPTED);
    let failed = |why: &dyn std::fmt::Display| {
        Error::new(
            Code::NotDelivered,
            format!("the command {command:?} did not take the secret: {why}; nothing was changed"),
        )
    };
    // Our own pipe, whose reading end is kept open: what is left in it was never read.
    let no_pipe = |error: std::io::Error| failed(&error).hint("allow this process more open files: see `ulimit -n`");
    let (reader, mut writer) = std::io::pipe().map_err(no_pipe)?;
    let stdin = reader.try_clone().map_err(no_pipe)?;
    // A secret fits into any pipe, so this never waits. It is written before the command starts: after a crash in
    // between, the command could take empty input for the secret, and replace the old one with it.
    writer.write_all(secret.expose().as_bytes()).map_err(no_pipe)?;
    drop(writer);
    // The readers start before the command: it must not run without them.
    let not_started = |what: &str, error| {
        failed(&format!("{what}: {error}"))
            .hint("it needs a shell, `sh`, a few processes and a few open files: see `ulimit -u` and `ulimit -n`")
    };
    let nobody_reads = |error| not_started("the system gives no thread to read what it prints", error);
    let (printed, said) = (Collector::start().map_err(nobody_reads)?, Collector::start().map_err(nobody_reads)?);
    let mut shell = platform::shell(command);
    shell.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
    let (mut child, running) =
        section.running(|| shell.spawn()).map_err(|error| not_started("no shell could be started", error))?;
    printed.read(child.stdout.take());
    said.read(child.stderr.take());
    let status = child.wait().map_err(|error| failed(&error))?;
    let interrupted = running.ended().map_err(|error| error.hint("the command was ended; run keyward again"));
    let unread = platform::unread(&reader).map_err(|error| failed(&error))?;
    let said = said.lines() + &printed.lines();
    interrupted?;
    if !status.success() {
        let error = failed(&ending(status));
        let error = if said.is_empty() { error } else { error.hint(format!("it said: {}", said.trim_end())) };
        return Err(error.hint(match status.code() {
            Some(127) => "is it installed, and spelled right?",
            _ => "try the command by itself, with something harmless on its standard input",
        }));
    }
    if unread > 0 {
        return Err(failed(&"it ended without reading all of its standard input").hint(
            "it has to read the secret there; with some commands, that is an argument such as `-` or /dev/stdin",
        ));
    }
    if !said.is_empty() {
        session.terminal.note(said.trim_end());
    }
    Ok(section.answered())
}

fn ending(status: ExitStatus) -> String {
    match (status.code(), platform::ending_signal(status)) {
        (Some(code), _) => format!("it ended with exit code {code}"),
        (None, Some(signal)) => format!("signal {signal} ended it"),
        (None, None) => status.to_string(),
    }
}

/// Reads a stream of the command to its end, so that the command never waits for a reader.
struct Collector {
    stream: mpsc::Sender<Box<dyn Read + Send>>,
    text: mpsc::Receiver<Zeroizing<Vec<u8>>>,
}

impl Collector {
    fn start() -> std::io::Result<Self> {
        let (stream, given) = mpsc::channel::<Box<dyn Read + Send>>();
        let (done, text) = mpsc::channel();
        start_thread(move || {
            let Ok(mut stream) = given.recv() else { return };
            let mut kept = Zeroizing::new(Vec::with_capacity(MOST));
            let mut chunk = Zeroizing::new([0; 1024]);
            while let Ok(count @ 1..) = stream.read(&mut *chunk) {
                let room = MOST.saturating_sub(kept.len()).min(count);
                kept.extend_from_slice(&chunk[..room]);
            }
            let _ = done.send(kept);
        })?;
        Ok(Self { stream, text })
    }

    fn read(&self, stream: Option<impl Read + Send + 'static>) {
        let _ = stream.map(|stream| self.stream.send(Box::new(stream)));
    }

    /// The content of the stream, for people.
    fn lines(self) -> String {
        let text = self.text.recv_timeout(REST_WITHIN).unwrap_or_default();
        let text = Zeroizing::new(String::from_utf8_lossy(&text).into_owned());
        let text = redact(text.trim_end()).into_owned();
        if text.is_empty() { text } else { text + "\n" }
    }
}
