//! What is left of a secret in the memory of the process that handled it.
//!
//! A full pipe blocks the process just before it ends, while it writes its last output. By then its secret has been
//! delivered, or presented and checked, and is no longer needed.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::pipe::{PipeFlags, pipe_with};

use crate::harness::Sandbox;

/// A pipe that is full until its other end is read.
fn full_pipe() -> (File, OwnedFd) {
    let (reader, writer) = pipe_with(PipeFlags::NONBLOCK).unwrap();
    let mut filled = File::from(writer);
    while filled.write(&[b'.'; 512]).is_ok() {}
    while filled.write(b".").is_ok() {}
    let writer = OwnedFd::from(filled);
    rustix::fs::fcntl_setfl(&writer, rustix::fs::OFlags::empty()).unwrap();
    (File::from(reader), writer)
}

/// A process that is killed when the test ends, however it ends.
struct Held(Child);

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until the process sleeps in a write.
fn until_it_is_held(child: &Child) {
    let of_process = |file: &str| std::fs::read_to_string(format!("/proc/{}/{file}", child.id())).unwrap_or_default();
    for _ in 0..1000 {
        // The syscall number of write(2), on each architecture that the tests run on.
        let write = if cfg!(target_arch = "x86_64") { "1 " } else { "64 " };
        if of_process("syscall").starts_with(write) && of_process("wchan").contains("pipe") {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("it is not held: {} {}", of_process("syscall"), of_process("wchan"));
}

/// Where these bytes occur in the writable memory of the process.
fn found(child: &Child, wanted: &[u8]) -> Vec<String> {
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", child.id())).unwrap();
    let mut memory = File::open(format!("/proc/{}/mem", child.id())).unwrap();
    let mut places = vec![];
    for line in maps.lines().filter(|line| line.split(' ').nth(1).unwrap().starts_with("rw")) {
        let (start, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let [start, end] = [start, end].map(|text| u64::from_str_radix(text, 16).unwrap());
        let mut bytes = vec![0; usize::try_from(end - start).unwrap()];
        memory.seek(SeekFrom::Start(start)).unwrap();
        if memory.read_exact(&mut bytes).is_err() {
            continue;
        }
        let here = bytes.windows(wanted.len()).enumerate().filter(|(_, window)| *window == wanted);
        places.extend(here.map(|(offset, _)| format!("{} + {offset:#x}", line.split(' ').next_back().unwrap())));
    }
    places
}

/// The random part of a secret, as text and as the bytes that it encodes.
fn traces(secret: &str) -> [Vec<u8>; 2] {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let text = &secret.trim().as_bytes()[16..59];
    let mut bytes = [0_u8; 32];
    for digit in text {
        let mut carry = DIGITS.iter().position(|known| known == digit).unwrap();
        for byte in bytes.iter_mut().rev() {
            carry += usize::from(*byte) * 62;
            *byte = carry as u8;
            carry >>= 8;
        }
    }
    // A part of it is a leak, too.
    [text[4..28].to_vec(), bytes[4..20].to_vec()]
}

#[test]
#[ignore = "needs root"]
fn nothing_of_the_secret_is_left_at_the_end_of_create() {
    for line in [
        "create new",
        "rotate old",
        "duplicate old new",
        "create new --secret-to cat>secret",
        "create new --secret-file secret",
    ] {
        let sandbox = Sandbox::new();
        sandbox.mint("old");
        let (_reader, stderr) = full_pipe();
        let mut command = sandbox.binary(line);
        command.current_dir(sandbox.path("")).env("PATH", "/usr/bin:/bin");
        let mut child = Held(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr).spawn().unwrap());
        until_it_is_held(&child.0);
        let secret = std::fs::read_to_string(sandbox.path("secret")).unwrap_or_else(|_| {
            let mut bytes = [0; 65];
            child.0.stdout.as_mut().unwrap().read_exact(&mut bytes).unwrap();
            String::from_utf8(bytes.to_vec()).unwrap()
        });
        // The search works: it finds the store's path, which the process still holds.
        assert!(!found(&child.0, sandbox.store().to_str().unwrap().as_bytes()).is_empty());
        for trace in traces(&secret) {
            assert_eq!(found(&child.0, &trace), Vec::<String>::new(), "{line}");
        }
    }
}

#[test]
#[ignore = "needs root"]
fn nothing_of_the_credential_is_left_at_the_end_of_verify() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("key");
    let basic = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, format!("key:{secret}"));
    std::fs::write(sandbox.path("file"), &secret).unwrap();
    for (flags, input) in [
        ("", secret.clone()),
        ("", format!("Authorization: Bearer key:{secret}")),
        ("", format!("Authorization: Basic {basic}")),
        ("--request", format!("GET /?a=b HTTP/1.1\r\nHost: x\r\nX-API-Key: {secret}\r\n\r\n")),
        ("--request", format!("GET https://x/?_auth_key={secret} HTTP/1.1\r\nHost: x\r\n\r\n")),
        ("--from-file file", String::new()),
        ("--scope none", secret.clone()),
    ] {
        let (_reader, stdout) = full_pipe();
        let mut command = sandbox.binary(&format!("verify {flags} --transport https"));
        command.current_dir(sandbox.path(""));
        let mut child = Held(command.stdin(Stdio::piped()).stdout(stdout).stderr(Stdio::null()).spawn().unwrap());
        child.0.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        until_it_is_held(&child.0);
        for trace in traces(&secret).into_iter().chain([basic.as_bytes()[30..60].to_vec()]) {
            assert_eq!(found(&child.0, &trace), Vec::<String>::new(), "{flags} {input}");
        }
    }
}

#[test]
#[ignore = "needs root and setpriv"]
fn no_core_is_dumped_and_nobody_looks_in() {
    /// The user `nobody`.
    const NOBODY: &str = "65534";
    let (_reader, stdout) = full_pipe();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", env!("CARGO_BIN_EXE_keyward")]);
    let child = Held(command.args(["completions", "bash"]).current_dir("/").stdout(stdout).spawn().unwrap());
    until_it_is_held(&child.0);
    // The files of a process in /proc belong to root if it dumps no core (proc(5)), and otherwise to its user.
    let owner = std::fs::metadata(format!("/proc/{}/mem", child.0.id())).unwrap().uid();
    assert_eq!(owner, 0);
}
