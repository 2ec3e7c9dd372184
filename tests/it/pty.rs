//! The real binary in a real pseudo-terminal, seen through a terminal emulator.

use std::io::{Read as _, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

/// A program in its own terminal.
pub struct Screen {
    child: Box<dyn Child + Send + Sync>,
    master: Box<dyn MasterPty + Send>,
    keyboard: Box<dyn Write + Send>,
    shown: Arc<Mutex<Shown>>,
    modes_before: String,
}

struct Shown {
    terminal: vt100::Parser,
    raw: Vec<u8>,
}

impl Screen {
    /// Starts keyward on `store` in a terminal with this many columns.
    pub fn start(store: &Path, args: &str, columns: u16) -> Self {
        Self::start_with(store, args, columns, &[("TERM", "xterm-256color")])
    }

    /// The same with only these environment variables.
    pub fn start_with(store: &Path, args: &str, columns: u16, variables: &[(&str, &str)]) -> Self {
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_keyward"));
        command.args(args.split_whitespace());
        command.env_clear();
        command.env("KEYWARD_STORE", store);
        // A killed process leaves its drafts there, not beside those of others.
        if let Some(folder) = store.parent() {
            command.env("TMPDIR", folder);
        }
        for (name, value) in variables {
            command.env(name, value);
        }
        Self::run(command, columns, 24)
    }

    /// The same in a terminal with this many lines.
    pub fn start_small(store: &Path, args: &str, columns: u16, rows: u16) -> Self {
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_keyward"));
        command.args(args.split_whitespace());
        command.env_clear();
        command.env("KEYWARD_STORE", store);
        command.env("TERM", "xterm-256color");
        Self::run(command, columns, rows)
    }

    /// Starts another program, which can start keyward.
    pub fn start_program(program: &str, args: &[&str], store: &Path, home: &Path) -> Self {
        let mut command = CommandBuilder::new(program);
        command.args(args);
        command.env_clear();
        command.cwd(home);
        let folder = Path::new(env!("CARGO_BIN_EXE_keyward")).parent().unwrap().display().to_string();
        for (name, value) in [
            ("PATH", format!("{folder}:/usr/local/bin:/usr/bin:/bin")),
            ("HOME", home.display().to_string()),
            ("KEYWARD_STORE", store.display().to_string()),
            ("TERM", "xterm-256color".to_owned()),
        ] {
            command.env(name, value);
        }
        Self::run(command, 100, 24)
    }

    fn run(command: CommandBuilder, columns: u16, rows: u16) -> Self {
        let size = PtySize { rows, cols: columns, ..PtySize::default() };
        let pair = native_pty_system().openpty(size).unwrap();
        let modes_before = modes(&*pair.master);
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let terminal = vt100::Parser::new(rows, columns, 1000);
        let shown = Arc::new(Mutex::new(Shown { terminal, raw: vec![] }));
        let mut reader = pair.master.try_clone_reader().unwrap();
        let into = Arc::clone(&shown);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut bytes) {
                let mut shown = into.lock().unwrap();
                shown.terminal.process(&bytes[..count]);
                shown.raw.extend_from_slice(&bytes[..count]);
            }
        });
        let keyboard = pair.master.take_writer().unwrap();
        Self { child, master: pair.master, keyboard, shown, modes_before }
    }

    /// Waits until the screen shows `text`.
    pub fn wait_for(&self, text: &str) -> &Self {
        self.wait_until(text, |screen| screen.text().contains(text))
    }

    /// Waits until this holds.
    pub fn wait_until(&self, what: &str, holds: impl Fn(&Self) -> bool) -> &Self {
        for _ in 0..1000 {
            if holds(self) {
                return self;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("no {what:?} on the screen:\n{}", self.text());
    }

    /// Presses keys. Prompts discard what was typed before they asked, so wait a little.
    pub fn press(&mut self, keys: &str) -> &mut Self {
        std::thread::sleep(Duration::from_millis(200));
        self.keyboard.write_all(keys.as_bytes()).unwrap();
        self.keyboard.flush().unwrap();
        self
    }

    /// Types without waiting for a question.
    pub fn type_ahead(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
        self.keyboard.flush().unwrap();
    }

    /// Resizes the terminal.
    pub fn resize(&self, columns: u16, rows: u16) {
        self.shown.lock().unwrap().terminal.screen_mut().set_size(rows, columns);
        self.master.resize(PtySize { rows, cols: columns, ..PtySize::default() }).unwrap();
    }

    /// What the screen shows now.
    pub fn text(&self) -> String {
        self.shown.lock().unwrap().terminal.screen().contents()
    }

    /// Looks at the cells on the screen now.
    pub fn look<T>(&self, f: impl FnOnce(&vt100::Screen) -> T) -> T {
        f(self.shown.lock().unwrap().terminal.screen())
    }

    /// The scrollback, and the screen below it.
    pub fn scrollback(&self) -> String {
        let mut shown = self.shown.lock().unwrap();
        let screen = shown.terminal.screen_mut();
        screen.set_scrollback(usize::MAX);
        let mut text = String::new();
        for back in (0..=screen.scrollback()).rev() {
            screen.set_scrollback(back);
            text.push_str(&screen.contents());
            text.push('\n');
        }
        text
    }

    /// All bytes that the program wrote.
    pub fn raw(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().unwrap().raw).into_owned()
    }

    /// Sends a signal.
    pub fn signal(&self, name: &str) {
        let id = self.child.process_id().unwrap().to_string();
        assert!(std::process::Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    /// Waits for the program to end and returns the exit code.
    pub fn end(&mut self) -> u32 {
        // A program that does not end must fail the test, not hang it.
        let ended = (0..3000).find_map(|_| {
            let ended = self.child.try_wait().unwrap();
            if ended.is_none() {
                std::thread::sleep(Duration::from_millis(10));
            }
            ended
        });
        let Some(ended) = ended else {
            self.child.kill().unwrap();
            panic!("the program does not end:\n{}", self.text());
        };
        let code = ended.exit_code();
        // The last output may still be on its way through the terminal.
        std::thread::sleep(Duration::from_millis(100));
        code
    }

    /// Asserts that the terminal is as a shell left it: main screen, visible cursor, echo, line mode.
    pub fn assert_restored(&self) {
        {
            let shown = self.shown.lock().unwrap();
            assert!(!shown.terminal.screen().alternate_screen(), "the alternate screen is still shown");
            assert!(!shown.terminal.screen().hide_cursor(), "the cursor is hidden");
        }
        assert_eq!(modes(&*self.master), self.modes_before, "the modes of the terminal differ");
    }
}

fn modes(terminal: &dyn MasterPty) -> String {
    format!("{:?}", terminal.get_termios())
}
