//! A key exists if and only if its secret was delivered.

use std::fs::File;
use std::io::{self, Write};
use std::process::Stdio;

use keyward_cli::world::StreamKinds;

use crate::harness::{Output, Recorder, Sandbox, finish, words};

/// A stream that accepts this many bytes and then fails.
pub struct Failing {
    pub left: usize,
    pub with: io::ErrorKind,
}

impl Write for Failing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.left.min(bytes.len()) {
            0 => Err(self.with.into()),
            count => {
                self.left -= count;
                Ok(count)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn if_stdout_fails_at_any_byte_there_is_no_key_and_no_new_secret() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("old");
    sandbox.mint("other");
    let before = (sandbox.run("list --json"), sandbox.run("history --json"));
    for with in [io::ErrorKind::BrokenPipe, io::ErrorKind::StorageFull, io::ErrorKind::Other] {
        for left in [0, 1, 40, 65] {
            for line in [
                "create new",
                "create new --json",
                "duplicate old new",
                "rotate old",
                "rotate old --json",
                "rotate old other",
                "rotate old other --json",
            ] {
                let output = sandbox.run_into(line, Box::new(Failing { left, with }));
                assert_eq!(output.code, 7, "{line} after {left} bytes: {output}");
                assert!(output.stderr.contains("nothing was changed"), "{output}");
            }
        }
    }
    assert_eq!((sandbox.run("list --json"), sandbox.run("history --json")), before);
    assert_eq!(sandbox.reason("", &secret), "allowed");
}

/// Runs the real binary with this as stdout; returns its exit code and stderr.
fn into(sandbox: &Sandbox, line: &str, stdout: impl Into<Stdio>) -> Output {
    let child = sandbox.binary(line).stdout(stdout).stderr(Stdio::piped()).spawn().unwrap();
    let output = child.wait_with_output().unwrap();
    Output {
        code: output.status.code().unwrap().try_into().unwrap(),
        stdout: String::new(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn the_real_binary_notices_a_full_device_and_a_closed_pipe() {
    let sandbox = Sandbox::new();
    for line in ["create new", "create new --json"] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = into(&sandbox, line, full);
        assert_eq!(output.code, 7, "{output}");
        assert!(output.stderr.contains("No space left"), "{output}");

        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let output = into(&sandbox, line, writer);
        assert_eq!(output.code, 7, "{output}");
    }
    assert_eq!(sandbox.run("list -q").stdout, "");
}

#[test]
fn a_closed_stdout_is_no_delivery() {
    let sandbox = Sandbox::new();
    let shell = |redirect: &str| {
        let keyward = sandbox.binary("create new");
        let mut shell = std::process::Command::new("sh");
        shell.arg("-c").arg(format!("{} create new {redirect}", keyward.get_program().display()));
        finish(shell.env("KEYWARD_STORE", sandbox.store()))
    };
    assert_eq!(shell(">&-").code, 7);
    assert_eq!(sandbox.run("list -q").stdout, "");
    // stderr and stdin do not affect the delivery.
    assert_eq!(shell("2>&- <&- >/dev/null").code, 0);
    assert_eq!(sandbox.run("list -q").stdout, "new\n");
}

#[test]
fn in_a_terminal_without_anyone_to_ask_the_secret_is_not_shown() {
    let sandbox = Sandbox::new();
    let terminal = StreamKinds { stdout_is_terminal: true, stderr_is_terminal: true, ..StreamKinds::default() };
    let run = |line: &str, streams| sandbox.run_in(&words(line), b"", &[("TERM", "xterm")], streams);
    let output = run("create new", terminal);
    assert_eq!((output.code, output.stdout.as_str()), (5, ""), "{output}");
    assert!(output.stderr.contains("--yes"), "{output}");
    let output = run("create new --no-input", StreamKinds { stdin_is_terminal: true, ..terminal });
    assert_eq!((output.code, output.stdout.as_str()), (5, ""), "{output}");
    assert_eq!(sandbox.run("list -q").stdout, "");
    let new = sandbox.path("new.db");
    assert_eq!(run(&format!("create new --store {}", new.display()), terminal).code, 5);
    assert!(!new.exists(), "refused before any work");
    assert_eq!(run("create one --yes", terminal).code, 0);
    assert_eq!(run("create two --json", terminal).code, 0);
}

#[test]
fn a_reader_that_stops_reading_a_list_is_no_error() {
    let sandbox = Sandbox::new();
    sandbox.mint("a");
    let broken = || Box::new(Failing { left: 0, with: io::ErrorKind::BrokenPipe });
    assert_eq!(sandbox.run_into("list", broken()).code, 0);
    assert_eq!(sandbox.run_into("list --fail-if-any", broken()).code, 8);
    let output = sandbox.run_into("list", Box::new(Failing { left: 0, with: io::ErrorKind::StorageFull }));
    assert_eq!(output.code, 1);
    assert!(output.stderr.contains("standard output"), "{output}");
}

#[test]
fn a_recorder_records() {
    // The tests above would pass with a harness that never writes; this one would not.
    let mut recorder = Recorder::default();
    recorder.write_all(b"x").unwrap();
    assert_eq!(recorder.text(), "x");
}
