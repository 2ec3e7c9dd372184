//! Output longer than the screen goes through the user's pager.

use std::fs;

use crate::harness::{Sandbox, words};
use crate::pty::Screen;

/// A store with many keys.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    let keys: Vec<String> = (0..60).map(|number| format!("[[key]]\nname = \"key-{number:02}\"\n")).collect();
    fs::write(sandbox.path("keys.toml"), keys.concat()).unwrap();
    let [file, secrets] = ["keys.toml", "secrets"].map(|name| sandbox.path(name).display().to_string());
    assert_eq!(sandbox.run_args(&words(&format!("apply {file} --secrets-dir {secrets} -q")), b"").code, 0);
    sandbox
}

fn start(sandbox: &Sandbox, line: &str, variables: &[(&str, &str)]) -> Screen {
    let usual = [("TERM", "xterm-256color"), ("PATH", "/usr/bin:/bin")];
    Screen::start_with(&sandbox.store(), line, 100, &[&usual, variables].concat())
}

/// What a pager was given, and what it may do: it writes both to a file.
fn given(sandbox: &Sandbox, line: &str, variable: &str, more: &[(&str, &str)]) -> Option<String> {
    let file = sandbox.path("given");
    let _ = fs::remove_file(&file);
    let pager = format!("(cat; env | grep ^LESSSECURE) >{}", file.display());
    let mut screen = start(sandbox, line, &[&[(variable, pager.as_str())], more].concat());
    assert_eq!(screen.end(), 0, "{}", screen.text());
    fs::read_to_string(file).ok()
}

#[test]
#[ignore = "needs less"]
fn a_long_list_is_read_in_less_and_its_end_is_told_behind_it() {
    let sandbox = sandbox();
    let mut screen = start(&sandbox, "list", &[]);
    screen.wait_for("key-20");
    assert!(!screen.text().contains("key-40") && !screen.text().contains("60 keys"), "{}", screen.text());
    // Ctrl-C goes to the pager, and the store is not locked meanwhile.
    screen.press("\x03");
    assert_eq!(sandbox.run("disable key-59").code, 0);
    screen.press("G").wait_for("key-59");
    screen.press("q");
    assert_eq!(screen.end(), 0);
    assert!(screen.text().contains("60 keys"), "{}", screen.text());
    screen.assert_restored();
    // What fits is printed directly.
    let mut screen = start(&sandbox, "list --limit 5", &[]);
    assert_eq!(screen.end(), 0);
    assert!(screen.text().contains("key-04") && screen.text().contains("5 of 60 keys"), "{}", screen.text());
}

#[test]
fn whose_pager_it_is_and_what_it_gets() {
    let sandbox = sandbox();
    for variable in ["PAGER", "KEYWARD_PAGER"] {
        let text = given(&sandbox, "list --color always", variable, &[]).unwrap();
        assert!(text.contains("key-00") && text.contains("key-59") && text.contains("\x1b["), "{text}");
        assert!(text.ends_with("LESSSECURE=1\n"), "{text}");
    }
    assert!(given(&sandbox, "list", "KEYWARD_PAGER", &[("PAGER", "false")]).is_some());
    assert!(given(&sandbox, "list", "PAGER", &[("KEYWARD_PAGER", "")]).is_none());
    for (line, is_paged) in [
        ("help create", true),
        ("history", true),
        ("export", true),
        ("list -q", true),
        ("list --no-pager", false),
        ("list --json", false),
        ("list --csv", false),
        ("list --limit 20", false),
        ("status", false),
        ("apply --dry-run keys.toml", false),
    ] {
        let line = line.replace("keys.toml", &sandbox.path("keys.toml").display().to_string());
        assert_eq!(given(&sandbox, &line, "PAGER", &[]).is_some(), is_paged, "{line}");
    }
}

#[test]
fn a_pager_that_cannot_be_started_is_none_and_one_that_ends_early_is_no_error() {
    let sandbox = sandbox();
    for pager in ["/does/not/exist", "/dev/null", " "] {
        let mut screen = start(&sandbox, "list", &[("PAGER", pager)]);
        assert_eq!(screen.end(), 0, "{pager}");
        assert!(screen.text().contains("key-59") && screen.text().contains("60 keys"), "{pager}: {}", screen.text());
    }
    for pager in ["head -n 3", "false", "exec kill -9 $$"] {
        let mut screen = start(&sandbox, "list", &[("PAGER", pager)]);
        assert_eq!(screen.end(), 0, "{pager}");
        assert!(!screen.text().contains("key-59") && screen.text().contains("60 keys"), "{pager}: {}", screen.text());
    }
    // If long output cannot be buffered, it is printed directly.
    let mut screen = start(&sandbox, "list", &[("TMPDIR", "/does/not/exist")]);
    assert_eq!(screen.end(), 0);
    assert!(screen.text().contains("key-59"), "{}", screen.text());
}
