//! Keeps a secret in the clipboard as long as it takes to paste.
//!
//! On X11 and Wayland the clipboard belongs to a process that must stay alive to provide it. So this program starts
//! itself again as a *keeper*: in its own session (closing the terminal does not end it), in `/`, with the secret on
//! its standard input and never in its arguments or its environment. The keeper marks the content as not for clipboard
//! histories, ends when another program copies something, and clears its own content when the time is over.
//!
//! Without a display, for example over SSH, the terminal itself is asked with OSC 52. It does not answer, so this is
//! reported as sent, not as copied.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::Deposit;
use crate::error::{Code, Error};
use crate::platform;
use crate::session::Session;
use crate::text::count;
use keyward_core::rules::token::Secret;

/// How many seconds the clipboard keeps a secret by default.
pub const CLEAR_AFTER: u64 = 45;
/// How long the keeper waits before checking again whether it holds the clipboard, and how often it checks: three
/// seconds in all.
const READY_STEP: Duration = Duration::from_millis(10);
const READY_STEPS: u32 = 300;
/// What the keeper prints when the clipboard holds the secret.
const READY: &str = "ok";
/// How long the keeper may take to print that: a display that accepts a connection may never answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(6);

/// A keeper, as long as this program runs: it can be made to clear the clipboard at once.
#[derive(Debug)]
pub(super) struct Keeper(ChildStdin);

impl Keeper {
    /// Makes the keeper clear the clipboard, if that still holds the secret.
    pub(super) fn withdraw(mut self) -> std::io::Result<()> {
        self.0.write_all(b"\n")
    }
}

/// What took the secret.
#[derive(Debug)]
pub(super) enum Holder {
    /// A clipboard, and the number of seconds until it is cleared.
    Keeper(u64, Keeper),
    /// The terminal, which does not say what it did with the secret.
    Terminal,
}

impl Holder {
    /// What to tell the person.
    pub(super) fn note(&self) -> String {
        match self {
            Self::Keeper(seconds, _) => {
                format!("Copied. The clipboard will be cleared in {}.", count(*seconds, "second"))
            }
            Self::Terminal => {
                "Sent to the terminal, which may put it into your clipboard (it does not say whether it did); \
                           it will not be cleared."
                    .to_owned()
            }
        }
    }
}

/// Whether the terminal would take the secret: it gives no answer, so the person must.
pub fn needs_an_answer(session: &Session) -> bool {
    !has_display(session) && session.terminal.kinds().stderr_is_terminal && !session.terminal.is_dumb()
}

fn has_display(session: &Session) -> bool {
    let set = |name: &&str| session.environment(name).is_some_and(|value| !value.is_empty());
    platform::has_clipboard_without_display() || ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(set)
}

/// Copies, and asks the person if the terminal gives no answer.
pub(super) fn deliver(
    session: &mut Session,
    secret: &Secret,
    seconds: u64,
    trusting: bool,
    deposit: &mut Deposit,
) -> Result<(), Error> {
    let failed = |why: &dyn std::fmt::Display| {
        Error::new(Code::NotDelivered, format!("the secret was not copied: {why}; nothing was changed"))
            .hint("leave --copy out to have it shown, or use --json, or send standard output to where it belongs")
    };
    let copied = copy(session, secret, seconds).map_err(|error| failed(&error))?;
    session.terminal.note(&copied.note());
    match copied {
        Holder::Keeper(_, keeper) => {
            deposit.keeper = Some(keeper);
            return Ok(());
        }
        Holder::Terminal => deposit.set_final(),
    }
    if trusting {
        return Ok(());
    }
    if !session.terminal.can_ask() {
        return Err(failed(
            &"the terminal does not say whether it took it, and nobody can (--yes takes it for granted)",
        ));
    }
    let section = session.interrupts.section(Code::NotDelivered, super::INTERRUPTED);
    if session.terminal.confirm(&section, "Paste it where it belongs. Is it there?", false)? {
        Ok(())
    } else {
        Err(Error::new(Code::Cancelled, "discarded; nothing was changed"))
    }
}

/// Copies `secret`, to be cleared after this number of seconds.
pub(super) fn copy(session: &Session, secret: &Secret, seconds: u64) -> anyhow::Result<Holder> {
    let has_display = has_display(session);
    let kept =
        if has_display { start_keeper(session, secret, seconds) } else { Err(anyhow::anyhow!("there is no display")) };
    let error = match kept {
        Ok(keeper) => return Ok(Holder::Keeper(seconds, keeper)),
        Err(error) => error,
    };
    // On a machine with a display, the terminal is not a better clipboard: it would hide what is wrong.
    let is_remote = session.environment("SSH_TTY").is_some() || session.environment("SSH_CONNECTION").is_some();
    if has_display && !is_remote {
        return Err(error);
    }
    anyhow::ensure!(session.terminal.kinds().stderr_is_terminal, "there is neither a display nor a terminal");
    anyhow::ensure!(!session.terminal.is_dumb(), "there is no display, and this terminal has no clipboard");
    ask_terminal(secret)?;
    Ok(Holder::Terminal)
}

fn start_keeper(session: &Session, secret: &Secret, seconds: u64) -> anyhow::Result<Keeper> {
    let program = session.program().ok_or_else(|| anyhow::anyhow!("this program's own file cannot be found"))?;
    let mut keeper = Command::new(program)
        .arg("hold-clipboard")
        .arg(seconds.to_string())
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let (Some(mut stdin), Some(stdout)) = (keeper.stdin.take(), keeper.stdout.take()) else {
        anyhow::bail!("its keeper has no pipes");
    };
    stdin.write_all(secret.expose().as_bytes())?;
    stdin.write_all(b"\n")?;
    let is_heard = platform::has_input(&stdout, ANSWER_WITHIN);
    if !matches!(is_heard, Ok(true)) {
        let _ = keeper.kill().and_then(|()| keeper.wait());
        is_heard?;
        anyhow::bail!("the display does not answer");
    }
    let mut answer = String::new();
    BufReader::new(stdout).read_line(&mut answer)?;
    if answer.trim_end() != READY {
        // It found no clipboard and has ended, or is about to.
        let _ = keeper.wait();
    }
    anyhow::ensure!(answer.trim_end() == READY, "{}", if answer.is_empty() { "no answer" } else { answer.trim_end() });
    Ok(Keeper(stdin))
}

/// Why the keeper stops.
enum End {
    /// Another program owns the clipboard now, or there is none.
    Lost(Result<(), arboard::Error>),
    /// The key was not made after all.
    Withdrawn,
}

/// The keeper: reads the secret as a line from stdin, holds it in the clipboard, and clears it after `seconds`, or at
/// once if more input arrives.
///
/// # Errors
/// If no clipboard can be reached.
pub fn hold(session: &mut Session, seconds: u64) -> Result<(), Error> {
    let no_clipboard =
        |error: &dyn std::fmt::Display| Error::new(Code::NotDelivered, format!("there is no clipboard: {error}"));
    platform::leave_terminal();
    let line = read_line().map_err(|error| no_clipboard(&error))?;
    let text = std::str::from_utf8(&line).map_err(|error| no_clipboard(&error))?;

    let (ended, end) = mpsc::channel();
    let (mine, withdrawn) = (Zeroizing::new(text.to_owned()), ended.clone());
    let own = move || ended.send(End::Lost(platform::keep_in_clipboard(&mine)));
    platform::start_thread(own).map_err(|error| no_clipboard(&error))?;
    wait_until_held(text, &end).map_err(|error| no_clipboard(&error))?;
    let listen = move || {
        // The end of the input means only that the program that started the keeper has ended.
        if platform::read_stdin(&mut [0; 1]).is_ok_and(|count| count > 0) {
            let _ = withdrawn.send(End::Withdrawn);
        }
    };
    platform::start_thread(listen).map_err(|error| no_clipboard(&error))?;
    session.terminal.print(&format!("{READY}\n"))?;
    session.terminal.flush()?;

    if !matches!(end.recv_timeout(Duration::from_secs(seconds)), Ok(End::Lost(_))) {
        // No other program has copied anything, so the content is ours.
        arboard::Clipboard::new().and_then(|mut clipboard| clipboard.clear()).map_err(|error| no_clipboard(&error))?;
    }
    Ok(())
}

/// The first line of stdin, without its line end. Later input is left there.
fn read_line() -> std::io::Result<Zeroizing<Vec<u8>>> {
    /// Much longer than any secret.
    const MOST: usize = 4096;
    let mut line = Zeroizing::new(Vec::with_capacity(MOST));
    let mut byte = Zeroizing::new([0; 1]);
    while line.len() < MOST {
        match platform::read_stdin(&mut *byte)? {
            0 => break,
            _ if byte[0] == b'\n' => break,
            _ => line.push(byte[0]),
        }
    }
    Ok(line)
}

fn wait_until_held(text: &str, end: &mpsc::Receiver<End>) -> anyhow::Result<()> {
    let mut clipboard = arboard::Clipboard::new()?;
    for _ in 0..READY_STEPS {
        if let Ok(End::Lost(result)) = end.try_recv() {
            result?;
            anyhow::bail!("another program took it over at once");
        }
        if clipboard.get_text().map(Zeroizing::new).is_ok_and(|held| held.as_str() == text) {
            return Ok(());
        }
        thread::sleep(READY_STEP);
    }
    anyhow::bail!("it did not take the secret")
}

/// OSC 52: asks the terminal to put the text into the clipboard of the person in front of it.
fn ask_terminal(secret: &Secret) -> anyhow::Result<()> {
    let encoded = Zeroizing::new(STANDARD.encode(secret.expose()));
    let mut terminal = platform::controlling_terminal()?;
    terminal.write_all(Zeroizing::new(format!("\x1b]52;c;{}\x07", *encoded)).as_bytes())?;
    Ok(())
}
