//! The clipboard under a real X server.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::harness::{Sandbox, finish};
use crate::pty::Screen;

/// An X server that ends with the test.
pub struct XServer {
    process: Child,
    pub display: String,
}

impl XServer {
    pub fn start() -> Self {
        let mut process = Command::new("Xvfb")
            .args(["-displayfd", "1", "-nolisten", "tcp", "-screen", "0", "320x200x24"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("Xvfb");
        let mut display = String::new();
        let stdout = process.stdout.take().unwrap();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut display).unwrap();
        Self { process, display: format!(":{}", display.trim()) }
    }

    pub fn xclip(&self, args: &[&str]) -> Command {
        let mut command = Command::new("xclip");
        command.args(["-selection", "clipboard"]).args(args).env("DISPLAY", &self.display);
        command
    }

    pub fn pasted(&self) -> String {
        let output = self.xclip(&["-out"]).stderr(Stdio::null()).output().expect("xclip");
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for XServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
#[ignore = "needs Xvfb and xclip"]
fn the_reveal_copies_and_the_keeper_outlives_the_command() {
    let server = XServer::start();
    let sandbox = Sandbox::new();
    let variables = [("TERM", "xterm-256color"), ("DISPLAY", server.display.as_str())];
    let mut screen = Screen::start_with(&sandbox.store(), "create new", 80, &variables);
    screen.wait_for("I have stored it");
    screen.press("\x1b[B\r");
    screen.wait_for("Copied. The clipboard will be cleared in 45 seconds.");
    screen.press("\r");
    assert_eq!(screen.end(), 0);
    let secret = server.pasted();
    assert_eq!(sandbox.reason("", &secret), "allowed");

    // When another program copies something, the keeper ends and leaves it there.
    let mut other = server.xclip(&["-in", "-loops", "1"]).stdin(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut other.stdin.take().unwrap(), b"something else").unwrap();
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(server.pasted(), "something else");
    assert!(other.wait().unwrap().success());
}

#[test]
#[ignore = "needs Xvfb and xclip"]
fn the_keeper_clears_what_is_still_its_own() {
    let server = XServer::start();
    let sandbox = Sandbox::empty();
    let mut keeper = sandbox.binary("hold-clipboard 1");
    keeper.env("DISPLAY", &server.display).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut keeper = keeper.spawn().unwrap();
    std::io::Write::write_all(&mut keeper.stdin.take().unwrap(), b"a made-up secret\n").unwrap();
    let mut answer = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(keeper.stdout.take().unwrap()), &mut answer).unwrap();
    assert_eq!((answer.as_str(), server.pasted().as_str()), ("ok\n", "a made-up secret"));
    assert!(keeper.wait().unwrap().success());
    assert_eq!(server.pasted(), "");
}

#[test]
#[ignore = "needs Xvfb and xclip"]
fn what_was_copied_and_discarded_is_cleared_at_once() {
    let server = XServer::start();
    let sandbox = Sandbox::new();
    let variables = [("TERM", "xterm-256color"), ("DISPLAY", server.display.as_str())];
    let mut screen = Screen::start_with(&sandbox.store(), "create new", 80, &variables);
    screen.wait_for("I have stored it");
    screen.press("\x1b[B\r").wait_for("Copied.");
    assert!(server.pasted().starts_with("kw_"));
    screen.press("\x1b[B\x1b[B\r");
    assert_eq!(screen.end(), 5);
    let is_cleared = || {
        server.pasted().is_empty() || {
            std::thread::sleep(Duration::from_millis(100));
            false
        }
    };
    assert!((0..50).any(|_| is_cleared()), "{}", server.pasted());
}

#[test]
fn a_display_that_never_answers_is_no_clipboard() {
    // An X server's socket that nothing reads. On Linux, an abstract name needs no file.
    use std::os::linux::net::SocketAddrExt as _;
    let number = 40_000 + std::process::id() % 10_000;
    let address = std::os::unix::net::SocketAddr::from_abstract_name(format!("/tmp/.X11-unix/X{number}")).unwrap();
    let _silent = std::os::unix::net::UnixListener::bind_addr(&address).unwrap();
    let sandbox = Sandbox::new();
    let mut command = sandbox.binary("create new --copy --json");
    let output = finish(command.env("DISPLAY", format!(":{number}")));
    assert_eq!((output.code, output.error()["code"].as_str()), (7, Some("not_delivered")), "{output}");
    assert!(output.error()["message"].as_str().unwrap().contains("does not answer"), "{output}");
    assert_eq!(sandbox.run("list -q").stdout, "");
}

#[test]
fn without_a_display_the_terminal_is_asked_and_that_is_said() {
    let sandbox = Sandbox::new();
    let mut screen = Screen::start(&sandbox.store(), "create new", 100);
    screen.wait_for("I have stored it");
    screen.press("\x1b[B\r");
    screen.wait_for("Sent to the terminal");
    assert!(screen.raw().contains("\x1b]52;c;"), "OSC 52");
    screen.press("\r");
    assert_eq!(screen.end(), 0);
}

#[test]
#[ignore = "needs Xvfb and xclip"]
fn copy_delivers_to_the_clipboard_alone() {
    let server = XServer::start();
    let sandbox = Sandbox::new();
    let mut command = sandbox.binary("create new --copy --clear-after 4s --json");
    let output = finish(command.env("DISPLAY", &server.display));
    assert_eq!((output.code, &output.json()["secret"]), (0, &serde_json::Value::Null), "{output}");
    let secret = server.pasted();
    assert_eq!(sandbox.reason("", &secret), "allowed");
    assert!(!output.stdout.contains(&secret) && !output.stderr.contains(&secret));
    // The secret is not in the keeper's arguments or environment.
    let keepers =
        Command::new("sh").args(["-c", "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null"]).output().unwrap();
    assert!(String::from_utf8_lossy(&keepers.stdout).contains("hold-clipboard"), "the keeper is there to be looked at");
    assert!(!String::from_utf8_lossy(&keepers.stdout).contains(&secret[16..40]));
    std::thread::sleep(Duration::from_millis(4500));
    assert_eq!(server.pasted(), "");
}

#[test]
fn without_a_clipboard_there_is_no_key() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("old");
    for line in ["create new --copy", "duplicate old new --copy", "rotate old --copy"] {
        for display in [None, Some(":99999")] {
            let mut command = sandbox.binary(&format!("{line} --json"));
            if let Some(display) = display {
                command.env("DISPLAY", display);
            }
            let output = finish(&mut command);
            assert_eq!((output.code, output.error()["code"].as_str()), (7, Some("not_delivered")), "{line}: {output}");
            assert!(output.error()["hint"].as_str().unwrap().contains("--copy"), "{output}");
            assert!(!output.error()["message"].as_str().unwrap().contains("no answer"), "{output}");
        }
    }
    assert_eq!(sandbox.run("list -q").stdout, "old\n");
    assert_eq!(sandbox.reason("", &secret), "allowed");
    assert_eq!(sandbox.run("create new --clear-after 5s --json").error()["code"], "usage");
    for time in ["0s", "2d"] {
        let output = sandbox.run(&format!("create new --copy --clear-after {time} --json"));
        assert_eq!(output.error()["code"], "invalid_value");
    }
}

#[test]
fn what_the_terminal_took_is_asked_for() {
    let sandbox = Sandbox::new();
    for (answer, code, keys) in [("n", 5, ""), ("\x03", 7, ""), ("y", 0, "new\n")] {
        let mut screen = Screen::start(&sandbox.store(), "create new --copy", 100);
        screen.wait_for("Is it there?");
        assert!(screen.raw().contains("\x1b]52;c;"), "OSC 52");
        assert!(!screen.text().contains("kw_"), "{}", screen.text());
        screen.press(answer);
        assert_eq!(screen.end(), code, "{answer:?}");
        screen.assert_restored();
        assert_eq!(sandbox.run("list -q").stdout, keys, "{answer:?}");
    }
}

/// A headless Wayland compositor that ends with the test.
struct Wayland {
    process: Child,
    folder: tempfile::TempDir,
}

impl Wayland {
    fn start() -> Self {
        /// The user `nobody`: sway refuses to run as root.
        const NOBODY: u32 = 65_534;
        let folder = tempfile::tempdir().unwrap();
        let mut command = if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
            let mut command = Command::new("setpriv");
            command.args([&format!("--reuid={NOBODY}"), &format!("--regid={NOBODY}"), "--clear-groups", "sway"]);
            command
        } else {
            Command::new("sway")
        };
        command.args(["-c", "/dev/null"]).env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin");
        command.env("HOME", folder.path()).env("XDG_RUNTIME_DIR", folder.path());
        for (name, value) in
            [("WLR_BACKENDS", "headless"), ("WLR_LIBINPUT_NO_DEVICES", "1"), ("WLR_RENDERER", "pixman")]
        {
            command.env(name, value);
        }
        let process = command.current_dir("/").stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("sway");
        let wayland = Self { process, folder };
        for _ in 0..1000 {
            if wayland.folder.path().join("wayland-1").exists() {
                return wayland;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("sway does not start");
    }

    fn here<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command.env("XDG_RUNTIME_DIR", self.folder.path()).env("WAYLAND_DISPLAY", "wayland-1")
    }

    fn pasted(&self, args: &[&str]) -> String {
        let output = self.here(Command::new("wl-paste").args(args)).stderr(Stdio::null()).output().expect("wl-paste");
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Wayland {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
#[ignore = "needs sway and wl-clipboard"]
fn wayland_keeps_the_secret_and_loses_it_in_time() {
    let wayland = Wayland::start();
    let sandbox = Sandbox::new();
    let output = finish(wayland.here(&mut sandbox.binary("create new --copy --clear-after 4s")));
    assert_eq!((output.code, output.stdout.as_str()), (0, ""), "{output}");
    assert_eq!(sandbox.reason("", &wayland.pasted(&["--no-newline"])), "allowed");
    assert!(
        wayland.pasted(&["--list-types"]).contains("x-kde-passwordManagerHint"),
        "histories are told to leave it out"
    );
    std::thread::sleep(Duration::from_millis(4500));
    assert_eq!(wayland.pasted(&["--no-newline"]), "");

    // Another program's clipboard content stays.
    let output = finish(wayland.here(&mut sandbox.binary("rotate new --copy --clear-after 4s")));
    assert_eq!(output.code, 0, "{output}");
    let mut other = Command::new("wl-copy");
    assert!(
        wayland
            .here(other.arg("something else"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap()
            .success()
    );
    std::thread::sleep(Duration::from_millis(4500));
    assert_eq!(wayland.pasted(&["--no-newline"]), "something else");
}
