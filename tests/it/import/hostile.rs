//! Input that is harmful by design or by accident.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::json;

use super::{ONE, assert_silent, file, lines, three};
use crate::harness::{Sandbox, finish, finish_with};

#[test]
fn what_is_no_import_is_told_so() {
    let sandbox = Sandbox::empty();
    let folder = sandbox.path("folder");
    fs::create_dir(&folder).unwrap();
    let gzip = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3].repeat(100);
    for (argument, code, says) in [
        (folder.display().to_string(), 1, "it is a folder"),
        (sandbox.path("missing.jsonl").display().to_string(), 1, "No such file"),
        (file(&sandbox, "array.json", json!([{"name": "a"}]).to_string()), 1, "jq -c '.[]'"),
        (file(&sandbox, "archive.gz", gzip), 1, "line 1"),
        (file(&sandbox, "names.txt", "just\nsome\nwords\n"), 1, "the first line has to name the columns"),
        (file(&sandbox, "endless.jsonl", "x".repeat(1 << 20)), 1, "longer than 256 KiB"),
        (file(&sandbox, "open.csv", format!("name,secret\n\"{}", "x\n".repeat(1 << 20))), 1, "longer than 256 KiB"),
        (file(&sandbox, "empty.jsonl", ""), 0, "there is no key"),
        (file(&sandbox, "heading.csv", "name,secret\n"), 0, "there is no key"),
        (format!("{} --format csv", file(&sandbox, "lines.jsonl", three())), 1, "line 1"),
    ] {
        let output = sandbox.run(&format!("import {argument}"));
        assert_eq!(output.code, code, "{argument}: {output}");
        assert!(output.stderr.contains(says), "{argument}: {output}");
        assert_silent(&output);
        assert!(!sandbox.store().exists());
    }
}

#[test]
fn an_endless_device_ends() {
    let sandbox = Sandbox::new();
    let output = finish(
        Command::new("timeout")
            .args(["60", env!("CARGO_BIN_EXE_keyward"), "import", "/dev/zero"])
            .env("KEYWARD_STORE", sandbox.store()),
    );
    assert!(output.code == 1 && output.stderr.contains("longer than 256 KiB"), "{output}");
}

#[test]
fn a_pipe_a_link_and_a_fifo_are_read() {
    let sandbox = Sandbox::new();
    let piped = finish_with(&mut sandbox.binary("import - --dry-run"), three().as_bytes());
    assert_eq!(piped.code, 0, "{piped}");
    let target = file(&sandbox, "keys.jsonl", three());
    let link = sandbox.path("link.jsonl");
    symlink(target, &link).unwrap();
    assert_eq!(sandbox.run(&format!("import {} --dry-run", link.display())).code, 0);
    let fifo = sandbox.path("fifo.jsonl");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let writer = {
        let fifo = fifo.clone();
        thread::spawn(move || OpenOptions::new().write(true).open(fifo).unwrap().write_all(three().as_bytes()).unwrap())
    };
    let output = finish(&mut sandbox.binary(&format!("import {}", fifo.display())));
    writer.join().unwrap();
    assert_eq!(output.code, 0, "{output}");
    assert_eq!(sandbox.run("list -q").stdout.lines().count(), 3);
}

#[test]
fn a_file_that_changes_meanwhile_is_not_imported() {
    let sandbox = Sandbox::new();
    sandbox.mint("own");
    sandbox.run("settings set hash-parameters m=19456,t=2,p=1");
    // Enough secrets to take a few seconds to hash.
    let records: Vec<_> =
        (0..200).map(|number| json!({"name": format!("k{number}"), "secret": format!("{ONE}-{number}")})).collect();
    let path = file(&sandbox, "keys.jsonl", lines(&records));
    let child = sandbox.binary(&format!("import {path}")).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    thread::sleep(Duration::from_millis(700));
    let mut file = OpenOptions::new().append(true).open(&path).unwrap();
    writeln!(file, "{}", json!({"name": "late", "secret": "client-late-9f8c1b7e42d04c6f"})).unwrap();
    drop(file);
    let output = child.wait_with_output();
    let output = output.unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("was changed while it was read"), "{stderr}");
    assert_eq!(sandbox.run("list -q").stdout, "own\n");
}

#[test]
fn names_with_escapes_do_not_reach_the_terminal() {
    let sandbox = Sandbox::new();
    let records = lines(&[json!({"name": "a\u{1b}[2J", "secret": ONE}), json!({"na\u{1b}]0;x\u{7}me": "b"})]);
    let output = sandbox.run_with("import -", records);
    assert_eq!(output.code, 1);
    assert!(!output.stderr.contains('\u{1b}') && !output.stderr.contains('\u{7}'), "{output}");
}

#[test]
fn very_many_mistakes_are_told_up_to_a_point() {
    let sandbox = Sandbox::new();
    let path = file(&sandbox, "wrong.jsonl", "{}\n".repeat(30_000));
    let output = sandbox.run(&format!("import {path}"));
    assert_eq!(output.code, 1);
    assert!(
        output.stderr.contains("60000 mistakes") && output.stderr.contains("and 50000 more"),
        "{}",
        &output.stderr[..200]
    );
    drop(File::open(path).unwrap());
}
