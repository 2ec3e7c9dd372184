//! The three streams, and what a person sees and types on them.
//!
//! stdout is for the result: a secret, a table, a document. Everything else goes to stderr. Whether there is anyone to
//! ask, and whether colours and symbols are wanted, is decided here, once.

mod editor;
mod interrupts;
mod keys;
mod menu;
mod pager;
mod picker;
mod progress;
mod prompt;
mod screen;
mod table;

use std::io::{self, BufWriter, ErrorKind, Read, Write};

use serde::Serialize;

pub use editor::Scratch;
pub use interrupts::{Hold, Interruption, Interrupts, RunningCommand, Section, StopRequest, TerminalState};
pub use pager::USUAL_PAGER;
pub use picker::Item;
pub use progress::{Progress, Spinner};
pub use prompt::Answer;
pub use screen::AlternateScreen;
pub use table::{BLOCK, Blocks, Cell, Column, ColumnWidths, card};

use self::pager::Pages;
use crate::error::{Code, Error, Exit};
use crate::platform::{self, StreamKinds};
use crate::text::clean;
use keyward_core::rules::text::redact;

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless `NO_COLOR` is set or `TERM` is `dumb`.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The tone of a text, shown if there are colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tone {
    /// Normal.
    #[default]
    Plain,
    /// Good.
    Good,
    /// Bad.
    Bad,
    /// A warning.
    Warning,
    /// Less important.
    Faint,
}

/// What the command line and the environment say about the terminal.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// `-q`: no notes and no warnings.
    pub quiet: bool,
    /// `--json`: stderr gets at most one object.
    pub json: bool,
    /// `--no-input`: never prompt.
    pub no_input: bool,
    /// `--color`.
    pub color: ColorChoice,
    /// `NO_COLOR` is set and not empty.
    pub no_color: bool,
    /// `TERM` is `dumb`, or not set.
    pub dumb: bool,
}

/// The streams of a run.
pub struct Terminal {
    stdin: Box<dyn Read + Send>,
    stdout: BufWriter<Box<dyn Write>>,
    stderr: Box<dyn Write>,
    kinds: StreamKinds,
    options: Options,
    /// stdout cannot be written: its reader is gone.
    stdout_is_lost: bool,
    /// What was printed, if it may need the person's pager.
    pages: Option<Pages>,
}

impl Terminal {
    /// Puts the streams together.
    pub fn new(
        stdin: Box<dyn Read + Send>,
        stdout: Box<dyn Write>,
        stderr: Box<dyn Write>,
        kinds: StreamKinds,
        options: Options,
    ) -> Self {
        Self { stdin, stdout: BufWriter::new(stdout), stderr, kinds, options, stdout_is_lost: false, pages: None }
    }

    /// Whether a question can be asked and answered.
    pub fn can_ask(&self) -> bool {
        self.kinds.stdin_is_terminal && self.kinds.stderr_is_terminal && !self.options.no_input
    }

    /// What the streams are connected to.
    pub fn kinds(&self) -> StreamKinds {
        self.kinds
    }

    /// Whether the terminal can only print lines.
    pub fn is_dumb(&self) -> bool {
        self.options.dumb
    }

    /// Whether stdout can show symbols such as ✓.
    pub fn stdout_has_symbols(&self) -> bool {
        self.kinds.stdout_is_terminal && !self.options.dumb && !self.options.no_color
    }

    /// Whether stdout can show colours.
    pub fn stdout_has_color(&self) -> bool {
        match self.options.color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => self.stdout_has_symbols(),
        }
    }

    /// The text in the colour of its tone, if stdout can show colours.
    pub fn paint(&self, text: &str, tone: Tone) -> String {
        let style = console::Style::new().force_styling(self.stdout_has_color());
        let style = match tone {
            Tone::Plain => style,
            Tone::Good => style.green(),
            Tone::Bad => style.red(),
            Tone::Warning => style.magenta(),
            Tone::Faint => style.dim(),
        };
        style.apply_to(text).to_string()
    }

    /// How many columns a line of stdout may have; `None` if stdout is not a terminal.
    pub fn width(&self) -> Option<u16> {
        if self.kinds.stdout_is_terminal { Some(self.kinds.width.unwrap_or(80)) } else { None }
    }

    /// Whether the reader of stdout is gone, so that long output can end early.
    pub fn is_unread(&self) -> bool {
        self.stdout_is_lost
    }

    /// Writes to stdout. A reader that is gone (`| head`) is not an error.
    ///
    /// # Errors
    /// If stdout cannot be written for another reason, such as a full disk.
    pub fn print(&mut self, text: &str) -> Result<(), Error> {
        self.print_bytes(text.as_bytes())
    }

    /// As [`Terminal::print`], for text that is already bytes.
    ///
    /// # Errors
    /// As [`Terminal::print`].
    pub fn print_bytes(&mut self, text: &[u8]) -> Result<(), Error> {
        if self.stdout_is_lost {
            return Ok(());
        }
        if let Some(pages) = &mut self.pages {
            if pages.take(text).is_ok() {
                return Ok(());
            }
            self.show_pages(None)?;
        }
        let written = self.stdout.write_all(text);
        self.after_write(written)
    }

    /// From here on, output longer than the screen is for a pager. Only for a person, and never for output that may
    /// contain a secret.
    pub fn use_pager(&mut self, command: String) {
        if let Some(rows) = self.kinds.height.filter(|_| self.kinds.stdout_is_terminal && !self.options.dumb) {
            self.pages = Some(Pages::new(command, rows));
        }
    }

    /// Whether [`Terminal::end_pages`] will start a pager.
    pub fn needs_pager(&self) -> bool {
        self.pages.as_ref().is_some_and(Pages::is_long)
    }

    /// Shows what was printed for a pager, and then the notes. The pager gets the terminal of the section.
    ///
    /// # Errors
    /// As [`Terminal::print`].
    pub fn end_pages(&mut self, section: Option<Section>) -> Result<(), Error> {
        self.show_pages(section)
    }

    fn show_pages(&mut self, section: Option<Section>) -> Result<(), Error> {
        let Some(pages) = self.pages.take() else { return Ok(()) };
        let (shown, notes) = pages.show(&mut self.stdout, section);
        let shown = self.after_write(shown);
        for note in notes {
            self.say(&note);
        }
        shown
    }

    /// Standard input, for another thread; from now on it is at its end here.
    pub fn take_stdin(&mut self) -> Box<dyn Read + Send> {
        std::mem::replace(&mut self.stdin, Box::new(io::empty()))
    }

    /// Flushes everything that was printed.
    ///
    /// # Errors
    /// As [`Terminal::print`].
    pub fn flush(&mut self) -> Result<(), Error> {
        if self.stdout_is_lost {
            return Ok(());
        }
        let flushed = self.stdout.flush();
        self.after_write(flushed)
    }

    fn after_write(&mut self, result: io::Result<()>) -> Result<(), Error> {
        self.stdout_is_lost = result.is_err();
        match result {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            Err(error) => Err(Error::new(Code::OutputFailed, format!("standard output takes nothing more: {error}"))
                .hint("what the command changed stays changed; only what it prints is not complete")),
            Ok(()) => Ok(()),
        }
    }

    /// Writes one JSON document to stdout.
    ///
    /// # Errors
    /// As [`Terminal::print`].
    pub fn print_json(&mut self, document: &impl Serialize) -> Result<(), Error> {
        let mut text = serde_json::to_string(document).map_err(anyhow::Error::new)?;
        text.push('\n');
        self.print(&text)
    }

    /// Writes one JSON document, or with `in_array` an array, even of one.
    ///
    /// # Errors
    /// As [`Terminal::print`].
    pub fn print_documents(&mut self, documents: &[impl Serialize], in_array: bool) -> Result<(), Error> {
        match documents {
            [only] if !in_array => self.print_json(only),
            all => self.print_json(&all),
        }
    }

    /// Writes bytes that must arrive to stdout: at once, with every failure reported, and bypassing the buffer, which
    /// is not wiped.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn deliver(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stdout.flush()?;
        let stdout = self.stdout.get_mut();
        stdout.write_all(bytes)?;
        stdout.flush()?;
        if self.kinds.stdout_is_file {
            // The key survives a power cut, so its secret must too.
            platform::sync_stdout()?;
        }
        Ok(())
    }

    /// Writes a note to stderr, unless the person asked for quiet or for JSON. It is not an error if nobody reads it.
    /// Anything that looks like a secret, for example in a file name, is left out.
    pub fn note(&mut self, text: &str) {
        if !self.options.quiet && !self.options.json {
            self.say(&redact(text));
        }
    }

    /// Writes a note that scripts need too: with `--json` as a separate object, on its own line.
    pub fn note_with_code(&mut self, code: &'static str, text: &str) {
        if !self.options.json {
            self.note(text);
        } else if !self.options.quiet {
            let warning = serde_json::json!({"warning": {"code": code, "message": redact(text)}});
            let _ = writeln!(self.stderr, "{warning}");
        }
    }

    /// Writes a warning; with `--json` as an object with this code.
    pub fn warn_with_code(&mut self, code: &'static str, text: &str) {
        if self.options.json { self.note_with_code(code, text) } else { self.warn(text) }
    }

    /// Writes a warning, under the same rules as [`Terminal::note`].
    pub fn warn(&mut self, text: &str) {
        self.note(&format!("warning: {text}"));
    }

    /// Writes lines to stderr, whatever the options.
    pub fn say(&mut self, text: &str) {
        if let Some(pages) = &mut self.pages {
            return pages.tell(text.to_owned());
        }
        // On a screen, both streams appear in the order in which they were written.
        if self.kinds.stdout_is_terminal && !self.stdout_is_lost {
            self.stdout_is_lost = self.stdout.flush().is_err();
        }
        let text = self.wrapped(&clean(text), self.kinds.stderr_is_terminal);
        let _ = writeln!(self.stderr, "{text}");
    }

    /// The text with its lines broken between words, if a person sees them. The rest of a broken line is indented two
    /// columns more than its beginning.
    pub fn wrapped(&self, text: &str, is_seen: bool) -> String {
        let Some(width) = self.kinds.width.filter(|_| is_seen).map(usize::from).filter(|&width| width > 20) else {
            return text.to_owned();
        };
        let wrap = |line: &str| {
            let blanks = line.len() - line.trim_start().len();
            let below = " ".repeat(blanks + 2);
            // A word that does not fit stays whole: it may be a secret, a path, or something to copy.
            let options = textwrap::Options::new(width).subsequent_indent(&below).break_words(false);
            textwrap::fill(line, options.word_splitter(textwrap::WordSplitter::NoHyphenation))
        };
        text.split('\n').map(wrap).collect::<Vec<_>>().join("\n")
    }

    /// Writes a workflow command of GitHub Actions, `::command::value`, on its own line, at once, even with `--quiet`:
    /// the runner obeys only what it reads.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn write_runner_command(&mut self, command: &str, value: &str) -> io::Result<()> {
        let mut line = zeroize::Zeroizing::new(String::with_capacity(command.len() + value.len() + 5));
        for part in ["::", command, "::", value, "\n"] {
            line.push_str(part);
        }
        self.stderr.write_all(line.as_bytes())?;
        self.stderr.flush()
    }

    /// Reports an error on stderr, in the requested form; returns its exit code.
    pub fn report(&mut self, error: &Error, json: bool) -> Exit {
        let text = error.report(json);
        let text = if json { text } else { self.wrapped(&text, self.kinds.stderr_is_terminal) };
        let _ = self.stderr.write_all(text.as_bytes());
        error.exit()
    }

    /// Reads stdin to its end, but at most `most` bytes and one.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn read_input(&mut self, most: u64, into: &mut Vec<u8>) -> io::Result<()> {
        // Enough room from the start: a buffer that grows leaves copies behind.
        into.reserve(usize::try_from(most).unwrap_or(usize::MAX).saturating_add(1));
        (&mut self.stdin).take(most + 1).read_to_end(into).map(drop)
    }
}

impl Terminal {
    /// As [`Terminal::read_input`], for long input that is not secret: memory is allocated as needed.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn read_pipe(&mut self, most: u64, into: &mut Vec<u8>) -> io::Result<()> {
        (&mut self.stdin).take(most + 1).read_to_end(into).map(drop)
    }
}

impl std::fmt::Debug for Terminal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Terminal").field("kinds", &self.kinds).field("options", &self.options).finish_non_exhaustive()
    }
}
