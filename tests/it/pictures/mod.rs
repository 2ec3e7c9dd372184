//! The pictures of the README: what the real binary shows in a real terminal, drawn as SVG and checked to be current.
//!
//! Secrets and ids differ each time, so made-up ones of the same length take their place.

mod svg;

use std::path::Path;

use expect_test::expect_file;
use regex::Regex;

use crate::harness::Sandbox;
use crate::pty::Screen;
use svg::Picture;

/// The ones in the README.
const SECRET: &str = "kw_81h3n2p0gq6c_UKeAHQvNDEIV9kPMoodPm9xv3lHUoj4gB6sSU5v16Q81Sr1k0";
const ID: &str = "3w9ha0v2k7mf";

/// Compares the picture of what the screen shows with the one in the repository.
fn compare(file: &str, screen: &Screen, title: &str, alt: &str) {
    let drawn = screen.look(|screen| Picture { title, alt }.draw(screen));
    let secret = Regex::new(r"kw_[0-9a-z]{12}_[0-9A-Za-z]{49}\b").unwrap();
    let id = Regex::new(r"\(id [0-9a-z]{12}\)").unwrap();
    let drawn = secret.replace_all(&drawn, SECRET);
    let drawn = id.replace_all(&drawn, format!("(id {ID})"));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/images").join(file);
    expect_file![path].assert_eq(&drawn);
}

fn wait_until(is_so: impl Fn() -> bool) {
    for _ in 0..1000 {
        if is_so() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("it takes too long");
}

#[test]
fn the_reveal() {
    let sandbox = Sandbox::new();
    let command = "create deploy --scope rest --allow-ip 10.0.0.0/8 --expires 90d";
    let screen = Screen::start(&sandbox.store(), command, 100);
    screen.wait_for("Esc discards");
    compare(
        "reveal.svg",
        &screen,
        &format!("keyward {command}"),
        "The secret of a new key on a screen of its own, with header lines that are ready to paste, until it is stored",
    );
}

#[test]
#[ignore = "needs bash"]
fn an_answer() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("deploy --scope rest --allow-ip 10.0.0.0/8 --expires 2126-01-31");
    std::fs::write(sandbox.path("deploy.key"), secret).unwrap();
    let mut screen = Screen::start_program("bash", &["--norc", "-i"], &sandbox.store(), &sandbox.path(""));
    screen.press("PS1='\\[\\e[1;34m\\]$\\[\\e[0m\\] '; clear\r");
    // Input typed before the prompt appears would show twice.
    wait_until(|| screen.text().trim() == "$");
    for (command, answer) in [
        ("keyward verify --from-file deploy.key --ip 10.1.2.3 --scope rest", "allowed: deploy"),
        ("keyward verify --from-file deploy.key --ip 203.0.113.9 --scope ui", "--add-scope ui"),
        ("echo \"exit code $?\"", "exit code 4"),
    ] {
        screen.press(&format!("{command}\r"));
        screen.wait_for(&format!("{answer}\n$"));
    }
    compare(
        "verify.svg",
        &screen,
        "keyward verify",
        "One request is allowed; another one is refused, with each reason, what to do about it, and exit code 4",
    );
    screen.press("exit\r");
    screen.end();
}
