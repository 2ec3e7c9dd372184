//! Leaked secrets: found wherever they are, reported by public id, and disabled only if genuine.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::ToSpan as _;
use keyward_core::rules::token::{Id, Secret};
use serde_json::{Value, json};

use crate::harness::{Output, Sandbox, finish, finish_with, words};
use crate::pty::Screen;

/// A folder to scan, beside the store.
fn folder(sandbox: &Sandbox) -> String {
    let folder = sandbox.path("tree");
    fs::create_dir_all(&folder).unwrap();
    folder.display().to_string()
}

fn put(folder: &str, name: &str, text: impl AsRef<[u8]>) {
    let path = Path::new(folder).join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A different secret with the same public id and a valid checksum: anyone can make one.
fn forged(secret: &str) -> String {
    let id = Secret::parse(secret).unwrap().id().clone();
    Secret::build(&"kw".parse().unwrap(), id, &[5; 32]).expose().to_owned()
}

/// A secret of another store.
fn foreign(number: u8) -> String {
    Secret::build(&"other_app".parse().unwrap(), Id::from_random([number; 8]), &[number; 32]).expose().to_owned()
}

/// Checks that the output shows no more of a secret than its prefix and id.
fn assert_silent(output: &Output, secrets: &[&str]) {
    for secret in secrets {
        let hidden = &secret[secret.len() - 49..];
        for text in [&output.stdout, &output.stderr] {
            assert!(!text.contains(&hidden[..8]) && !text.contains(&hidden[20..30]), "{output}");
        }
    }
}

fn told(output: &Output, what: &[&str]) -> Vec<Value> {
    let findings = output.json();
    let findings = findings.as_array().unwrap_or_else(|| panic!("{output}"));
    findings.iter().map(|finding| what.iter().map(|field| finding[field].clone()).collect()).collect()
}

#[test]
fn each_secret_is_told_with_its_place_and_what_is_known_of_it() {
    let sandbox = Sandbox::new();
    let tree = folder(&sandbox);
    let live = sandbox.mint("live");
    let disabled = sandbox.mint("disabled --disabled");
    let expired = sandbox.mint("expired --expires 1m");
    sandbox.run("user create ann");
    let suspended = sandbox.mint("suspended --owner ann");
    sandbox.run("user disable ann");
    let retired = sandbox.mint("rotated");
    let variables = sandbox.path("variables");
    let ensure = format!("rotated --ensure --rotate-if-missing --env-file {} --env-name Y", variables.display());
    assert!(sandbox.mint(&ensure).is_empty());
    let rotated = sandbox.run("rotate rotated").stdout.trim_end().to_owned();
    let deleted = sandbox.mint("deleted");
    sandbox.run("delete deleted --yes");
    sandbox.pass(2.minutes());
    let (forged, foreign) = (forged(&live), foreign(1));
    put(&tree, "a.py", format!("import os\nKEY = \"{live}\"\n"));
    put(&tree, "b/c.txt", format!("{disabled}\n{expired} {suspended}\n"));
    put(&tree, "b/d.bin", [b"\0\x01\xff".as_slice(), retired.as_bytes(), rotated.as_bytes(), b"\0"].concat());
    put(&tree, "z.yaml", format!("key: {}\n", STANDARD.encode(&deleted)));
    put(&tree, "zz", format!("{forged},{foreign}"));
    let output = sandbox.run(&format!("scan {tree} --json"));
    assert_eq!((output.code, output.stderr.as_str()), (0, ""));
    let fields = ["line", "column", "key", "state", "genuine", "prefix"];
    let second = 1 + disabled.len() as u64;
    assert_eq!(
        told(&output, &fields),
        [
            json!([2, 8, "live", "active", true, "kw"]),
            json!([1, 1, "disabled", "disabled", true, "kw"]),
            json!([2, 1, "expired", "expired", true, "kw"]),
            json!([2, second + 1, "suspended", "suspended", true, "kw"]),
            json!([1, 4, "rotated", "retired", true, "kw"]),
            json!([1, 4 + retired.len(), "rotated", "active", true, "kw"]),
            json!([1, 6, "deleted", "deleted", null, "kw"]),
            json!([1, 1, "live", "active", false, "kw"]),
            json!([1, forged.len() + 2, null, null, null, "other_app"]),
        ]
    );
    let first = &output.json()[0];
    assert_eq!((&first["file"], &first["commit"]), (&json!(format!("{tree}/a.py")), &Value::Null));
    assert_eq!(first["id"], Secret::parse(&live).unwrap().id().as_str());
    let secrets = [&*live, &disabled, &expired, &suspended, &retired, &rotated, &deleted, &forged, &foreign];
    for form in ["", "--json", "--sarif", "-q", "--fail-if-any", "--disable --yes"] {
        assert_silent(&sandbox.run(&format!("scan {tree} {form}")), &secrets);
    }
    // Only genuine secrets that still worked were disabled.
    assert_eq!(sandbox.reason("", &live), "key_disabled");
    assert_eq!(sandbox.run("list --state disabled -q").stdout, "disabled\nlive\nrotated\n");
    let output = sandbox.run(&format!("scan {tree}"));
    assert_eq!(output.stderr, "9 secrets in 5 files; none of them works\n");
    let lines = output.stdout;
    for says in [
        "a.py:2:8: secret of the key live, which is disabled (kw_",
        "zz:1:1: forged: it has the id of a secret of the key live",
        "secret of another store (other_app_",
        "former secret of the key rotated",
        "secret of the key deleted, which was deleted",
    ] {
        assert!(lines.contains(says), "{says}: {lines}");
    }
}

#[test]
fn a_text_with_the_id_of_a_key_stops_nothing() {
    let sandbox = Sandbox::new();
    let tree = folder(&sandbox);
    let live = sandbox.mint("live");
    put(&tree, "forged", forged(&live));
    let output = sandbox.run(&format!("scan {tree} --disable --yes -q"));
    assert_eq!((output.code, output.stdout.as_str()), (0, ""));
    assert_eq!(sandbox.reason("", &live), "allowed");
    // Next to the genuine one, in either order.
    for text in [format!("{live}\n{}", forged(&live)), format!("{}\n{live}", forged(&live))] {
        put(&tree, "forged", text);
        let mut genuine = told(&sandbox.run(&format!("scan {tree} --json")), &["genuine"]);
        genuine.sort_by_key(Value::to_string);
        assert_eq!(genuine, [json!([false]), json!([true])]);
    }
}

/// Moving from one store to another imports secrets in keyward's own format.
#[test]
fn a_secret_that_was_imported_from_another_store_is_known() {
    let sandbox = Sandbox::new();
    let tree = folder(&sandbox);
    let (moved, unknown) = (foreign(1), foreign(2));
    let record = json!({"name": "moved", "secret": moved});
    assert_eq!(sandbox.run_with("import -", format!("{record}\n")).code, 0);
    put(&tree, "a", format!("{moved}\n{unknown}\n{moved}\n"));
    let output = sandbox.run(&format!("scan {tree} --json"));
    let expected = [json!(["moved", "active", true]), json!([null, null, null]), json!(["moved", "active", true])];
    assert_eq!(told(&output, &["key", "state", "genuine"]), expected, "{output}");
    assert_silent(&output, &[&moved, &unknown]);
    assert_eq!(sandbox.run(&format!("scan {tree} --disable --yes")).code, 0);
    assert_eq!(sandbox.reason("", &moved), "key_disabled");
}

#[test]
fn exit_codes_and_what_is_refused_before_any_work() {
    let sandbox = Sandbox::new();
    let tree = folder(&sandbox);
    let live = sandbox.mint("live");
    for (line, code) in [("--fail-if-any", 0), ("", 0)] {
        assert_eq!(sandbox.run(&format!("scan {tree} {line}")).code, code);
    }
    put(&tree, "a", &live);
    for (line, code, error) in [
        ("--fail-if-any", 8, None),
        ("--disable", 5, Some("confirmation_required")),
        ("--yes", 2, Some("usage")),
        ("--sarif --json", 2, Some("usage")),
        ("--git nosuch", 1, Some("invalid_value")),
    ] {
        let output = sandbox.run(&format!("scan {tree} {line}"));
        assert_eq!(output.code, code, "{line}: {output}");
        if let Some(error) = error {
            let output = sandbox.run(&format!("scan {tree} {} --json", line.replace("--json", "")));
            assert_eq!(output.error()["code"], error, "{line}: {output}");
        }
    }
    // A path that cannot be read is an error, not a clean result.
    let output = sandbox.run(&format!("scan {tree} {tree}/nosuch --fail-if-any"));
    assert_eq!((output.code, output.stdout.lines().count()), (1, 1), "{output}");
    assert!(!output.stderr.contains("os error"), "{output}");
    // So is a store that cannot be read.
    fs::write(sandbox.store(), "no store").unwrap();
    let output = sandbox.run(&format!("scan {tree}"));
    assert_eq!((output.code, output.stdout.as_str()), (6, ""), "{output}");
}

#[test]
fn without_a_store_secrets_are_found_all_the_same() {
    let sandbox = Sandbox::new();
    let tree = folder(&sandbox);
    put(&tree, "a", foreign(2));
    let mut scan = sandbox.binary("scan --json --fail-if-any");
    scan.arg(&tree).env_remove("KEYWARD_STORE").env("HOME", sandbox.path("nobody")).env_remove("XDG_DATA_HOME");
    let output = finish(&mut scan);
    assert_eq!(output.code, 8, "{output}");
    assert_eq!(told(&output, &["key", "genuine"]), [json!([null, null])]);
}

/// What the standard requires of the parts that we write. The whole document was once validated by hand against the
/// OASIS schema.
#[test]
fn sarif_has_what_code_scanning_reads() {
    let sandbox = Sandbox::new();
    let tree = folder(&sandbox);
    let live = sandbox.mint("live");
    let empty = sandbox.run(&format!("scan {tree} --sarif")).json();
    assert_eq!(empty["runs"][0]["results"], json!([]));
    put(&tree, "a b/ü#.py", format!("\n{live} {}", foreign(1)));
    let output = sandbox.run(&format!("scan {tree} --sarif"));
    let document = output.json();
    assert_eq!((&document["version"], document["runs"].as_array().unwrap().len()), (&json!("2.1.0"), 1));
    let run = &document["runs"][0];
    let rule = &run["tool"]["driver"]["rules"][0];
    assert_eq!(run["tool"]["driver"]["name"], "keyward");
    let results = run["results"].as_array().unwrap();
    let levels: Vec<_> = results.iter().map(|result| result["level"].as_str().unwrap()).collect();
    assert_eq!(levels, ["error", "warning"]);
    for result in results {
        assert_eq!(result["ruleId"], rule["id"]);
        assert!(result["message"]["text"].as_str().is_some_and(|text| !text.is_empty()));
        let place = &result["locations"][0]["physicalLocation"];
        assert_eq!(place["region"], json!({"startLine": 2}));
        let uri = place["artifactLocation"]["uri"].as_str().unwrap();
        assert!(uri.starts_with("file:///") && uri.ends_with("/a%20b/%C3%BC%23.py"), "{uri}");
    }
}

#[test]
fn links_pipes_and_git_folders_are_left_out_and_names_are_no_secrets() {
    let sandbox = Sandbox::new();
    let tree = folder(&sandbox);
    let live = sandbox.mint("live");
    put(&tree, ".git/config", &live);
    put(&tree, "sub/.git", &live);
    put(&sandbox.path("outside").display().to_string(), "a", &live);
    symlink(sandbox.path("outside"), Path::new(&tree).join("link")).unwrap();
    symlink(sandbox.path("outside/a"), Path::new(&tree).join("file")).unwrap();
    symlink("loop", Path::new(&tree).join("loop")).unwrap();
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mkfifoat(rustix::fs::CWD, Path::new(&tree).join("pipe"), mode).unwrap();
    let output = sandbox.run(&format!("scan {tree} --json"));
    assert_eq!((output.code, told(&output, &["file"]).len()), (0, 0), "{output}");
    // Links named on the command line are followed.
    assert_eq!(told(&sandbox.run(&format!("scan {tree}/link {tree}/file --json")), &["key"]).len(), 2);
    // File names are shown, but with secrets and escape sequences removed.
    put(&tree, &format!("{live}.txt"), &live);
    put(&tree, "a\x1b[2J\nb", &live);
    for form in ["", "--json", "--sarif"] {
        let output = sandbox.run(&format!("scan {tree} {form}"));
        assert_silent(&output, &[&live]);
        assert!(!output.stdout.contains('\x1b'), "{output}");
    }
    assert_eq!(sandbox.run(&format!("scan {tree}")).stdout.lines().count(), 2);
}

#[test]
fn a_stream_is_looked_through_to_its_end() {
    let sandbox = Sandbox::new();
    let live = sandbox.mint("live");
    // A line longer than the read buffer.
    let text = "x.".repeat(1_500_000) + &live + &".y".repeat(1_500_000) + "\n" + &live;
    let output = sandbox.run_with("scan - --json", &text);
    assert_eq!(told(&output, &["file", "line", "column"]), [json!(["-", 1, 3_000_001]), json!(["-", 2, 1])]);
    let output = sandbox.run_with("scan - --fail-if-any", "nothing");
    assert_eq!(
        (output.code, output.stdout.as_str(), output.stderr.as_str()),
        (0, "", "no secrets in standard input\n")
    );
}

#[test]
fn many_files_are_told_in_their_order() {
    let sandbox = Sandbox::new();
    let tree = folder(&sandbox);
    let mut expected = vec![];
    for number in 0..3_000 {
        let name = format!("{:02}/{number:04}", number % 40);
        let secrets = number % 3;
        put(&tree, &name, format!("{}\n", foreign(9)).repeat(secrets));
        expected.extend(vec![format!("{tree}/{name}"); secrets]);
    }
    // One file that holds up the others, and one with more results than fit in one batch.
    put(&tree, "00/0000a", "x\n".repeat(4_000_000) + &foreign(9));
    put(&tree, "39/9999", format!("{}\n", foreign(9)).repeat(5_000));
    expected.push(format!("{tree}/00/0000a"));
    expected.extend(vec![format!("{tree}/39/9999"); 5_000]);
    expected.sort();
    let output = sandbox.run(&format!("scan {tree} --json"));
    let files: Vec<_> = told(&output, &["file"]).iter().map(|file| file[0].as_str().unwrap().to_owned()).collect();
    let wrong = files.iter().zip(&expected).position(|(file, other)| file != other);
    let around = wrong.map(|at| (at, &files[at.saturating_sub(2)..at + 2], &expected[at.saturating_sub(2)..at + 2]));
    assert!(around.is_none() && files.len() == expected.len(), "{around:?} {} {}", files.len(), expected.len());
    let told = sandbox.run(&format!("scan {tree} --fail-if-any")).stderr;
    assert!(told.contains("8001 secrets in 3002 files; none of them works"), "{told}");
}

#[test]
fn in_a_terminal_what_works_can_be_stopped_at_once() {
    for (keys, reason) in [("\r", "allowed"), ("n", "allowed"), ("\x1b", "allowed"), ("y", "key_disabled")] {
        let sandbox = Sandbox::new();
        let tree = folder(&sandbox);
        let live = sandbox.mint("live");
        put(&tree, "a", &live);
        let mut screen = Screen::start(&sandbox.store(), &format!("scan {tree}"), 100);
        screen.wait_for("Disable 1 key now: live?");
        screen.press(keys);
        assert_eq!(screen.end(), 0, "{keys:?}: {}", screen.text());
        assert_eq!(sandbox.reason("", &live), reason, "{keys:?}");
    }
}

/// Runs git in a folder, with a neutral identity.
fn git(folder: &str, line: &str) {
    let mut git = Command::new("git");
    git.current_dir(folder).args([
        "-c",
        "user.name=test",
        "-c",
        "user.email=test@example.org",
        "-c",
        "commit.gpgsign=false",
    ]);
    let output = finish(git.args(line.split(' ')).env("HOME", folder).env("GIT_CONFIG_NOSYSTEM", "1"));
    assert_eq!(output.code, 0, "{line}: {output}");
}

#[test]
#[ignore = "needs git"]
fn all_that_a_history_ever_added_is_looked_through() {
    let sandbox = Sandbox::new();
    let tree = folder(&sandbox);
    let (live, other) = (sandbox.mint("live"), sandbox.mint("other"));
    git(&tree, "init -q -b main");
    put(&tree, "src/a b.py", format!("one\nkey = '{live}'\n"));
    git(&tree, "add -A");
    git(&tree, "commit -qm first");
    let first = fs::read_to_string(Path::new(&tree).join(".git/refs/heads/main")).unwrap();
    put(&tree, "src/a b.py", "one\n");
    git(&tree, "commit -qam removed");
    git(&tree, "checkout -q -b side");
    put(&tree, "blob.bin", [b"\0\0".as_slice(), other.as_bytes()].concat());
    git(&tree, "add -A");
    git(&tree, &format!("commit -qm it-is-{live}"));
    git(&tree, "checkout -q main");
    put(&tree, "more", "more\n");
    git(&tree, "add -A");
    git(&tree, "commit -qm more");
    git(&tree, "merge -q --no-ff -m merged side");
    git(&tree, "rm -q blob.bin");
    git(&tree, "commit -qm gone");
    assert_eq!(sandbox.run(&format!("scan {tree}")).stdout, "", "nothing of it is left in the files");

    let output = sandbox.run(&format!("scan {tree} --git --json"));
    let mut found = told(&output, &["file", "line", "column", "key"]);
    found.sort_by_key(Value::to_string);
    let message = 7;
    assert_eq!(found.len(), 3, "{output}");
    assert_eq!(found[0], json!(["blob.bin", 1, 3, "other"]));
    assert_eq!(found[1], json!(["src/a b.py", 2, 8, "live"]));
    assert_eq!((&found[2][0], &found[2][2], &found[2][3]), (&Value::Null, &json!(message), &json!("live")));
    let commits = told(&output, &["file", "commit"]);
    assert!(commits.contains(&json!(["src/a b.py", first.trim_end()])), "{output}");
    assert!(commits.iter().all(|finding| finding[1].as_str().is_some_and(|commit| commit.len() == 40)), "{output}");
    assert_silent(&output, &[&live, &other]);
    // For a range, only what it added.
    let ranges = [("main~4..main~3", 0), ("main~3..main", 2), ("side", 3), ("main~4", 1)];
    for (range, number) in [("main..side", 0)].into_iter().chain(ranges) {
        let output = sandbox.run(&format!("scan {tree} --json --git {range}"));
        assert!(output.code == 0 || range == "main~4", "{range}: {output}");
        if output.code == 0 && range != "side" {
            assert_eq!(told(&output, &["key"]).len(), number, "{range}: {output}");
        }
    }
    // A range cannot pass an option, and programs named in the repository's configuration do not run.
    for range in ["--output=owned", "-h"] {
        let output = sandbox.run(&format!("scan {tree} --json --git={range}"));
        assert_eq!((output.code, output.error()["code"].as_str()), (1, Some("invalid_value")), "{range}: {output}");
    }
    assert!(!Path::new(&tree).join("owned").exists());
    git(&tree, "config core.fsmonitor touch${IFS}owned");
    git(&tree, "config core.pager touch${IFS}owned");
    git(&tree, "config diff.external touch${IFS}owned");
    git(&tree, "config log.showSignature true");
    git(&tree, "config gpg.program touch${IFS}owned");
    assert_eq!(sandbox.run(&format!("scan {tree} --git --fail-if-any -q")).code, 8);
    assert!(!Path::new(&tree).join("owned").exists());
    // Not a repository, and an empty one.
    let empty = sandbox.path("empty").display().to_string();
    fs::create_dir(&empty).unwrap();
    let output = sandbox.run(&format!("scan {empty} --git --json"));
    assert_eq!((output.code, output.error()["code"].as_str()), (1, Some("invalid_value")), "{output}");
    git(&empty, "init -q");
    assert_eq!(sandbox.run(&format!("scan {empty} --git")).code, 0);
}

#[test]
#[ignore = "needs git"]
fn a_history_that_is_not_whole_and_another_repository_are_told() {
    let sandbox = Sandbox::new();
    let (whole, other) = (folder(&sandbox), sandbox.path("other").display().to_string());
    let live = sandbox.mint("live");
    fs::create_dir(&other).unwrap();
    for (folder, text) in [(&whole, live.as_str()), (&other, "nothing")] {
        git(folder, "init -q -b main");
        put(folder, "a", text);
        git(folder, "add -A");
        git(folder, "commit -qm first");
        put(folder, "a", "clean");
        git(folder, "commit -qam second");
    }
    let shallow = sandbox.path("shallow").display().to_string();
    git(&whole, &format!("clone -q --depth 1 file://{whole} {shallow}"));
    let output = sandbox.run(&format!("scan {shallow} --git"));
    assert!(output.code == 0 && output.stderr.contains("is a shallow clone"), "{output}");
    let output = sandbox.run(&format!("scan {shallow} --git --json"));
    assert!(output.stderr.contains(r#"{"warning":{"code":"shallow""#), "{output}");
    // A missing folder must not fall back to another one.
    let output = sandbox.run(&format!("scan {whole}x --git --json"));
    assert_eq!((output.code, output.stdout.as_str()), (1, "[]\n"), "{output}");
    // The environment that git sets for a hook does not redirect a scan of another repository.
    let mut scan = sandbox.binary(&format!("scan {whole} --git -q"));
    assert_eq!(finish(scan.env("GIT_DIR", format!("{other}/.git"))).stdout, "live\n");
    // A flood of error messages does not block the scan.
    let alternates = (0..4_000).fold(String::new(), |text, number| text + &format!("/nonexistent/{number}\n"));
    put(&whole, ".git/objects/info/alternates", alternates);
    assert_eq!(finish(&mut sandbox.binary(&format!("scan {whole} --git -q"))).stdout, "live\n");
}

#[test]
fn what_is_damaged_keeps_nothing_else_from_being_stopped() {
    let sandbox = Sandbox::new();
    let tree = folder(&sandbox);
    let (broken, live) = (sandbox.mint("broken"), sandbox.mint("live"));
    put(&tree, "a", format!("{broken}\n{live}\n"));
    let conn = rusqlite::Connection::open(sandbox.store()).unwrap();
    conn.execute("UPDATE secret SET hash = 'no hash' WHERE key = (SELECT id FROM key WHERE name = 'broken')", [])
        .unwrap();
    drop(conn);
    let output = sandbox.run(&format!("scan {tree} --disable --yes --json"));
    assert_eq!(output.code, 6, "{output}");
    assert_eq!(told(&output, &["key"]), [json!([null]), json!(["live"])], "{output}");
    assert!(output.stderr.starts_with(r#"{"warning":{"code":"damaged""#), "{output}");
    assert_eq!(sandbox.reason("", &live), "key_disabled");
}

#[test]
fn what_was_rotated_meanwhile_is_not_stopped() {
    let sandbox = Sandbox::new();
    let tree = folder(&sandbox);
    let leaked = sandbox.mint("live");
    put(&tree, "a", &leaked);
    let pipe = sandbox.path("pipe");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, mode).unwrap();
    let line = format!("scan {tree}/a {} --disable --yes", pipe.display());
    let child = sandbox.binary(&line).stderr(std::process::Stdio::piped()).spawn().unwrap();
    // It is reading the pipe, so the file before it has been looked up, or is about to be.
    let writer = fs::OpenOptions::new().write(true).open(&pipe).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(500));
    let new = sandbox.run("rotate live").stdout.trim_end().to_owned();
    drop(writer);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(sandbox.reason("", &new), "allowed");
}

#[test]
fn what_is_not_looked_into_is_told() {
    let sandbox = Sandbox::new();
    let tree = folder(&sandbox);
    put(&tree, "a.gz", b"\x1f\x8b\x08rest");
    put(&tree, "b.zip", b"PK\x03\x04rest");
    let output = sandbox.run(&format!("scan {tree}"));
    assert!(output.stderr.contains("2 compressed files were not looked into"), "{output}");
    let output = sandbox.run_args(&words("scan -"), b"\x1f\x8b\x08rest");
    assert!(output.stderr.contains("warning: standard input is compressed; unpack it first: "), "{output}");
    let output = sandbox.run_args(&words("scan - --json"), b"\x1f\x8b\x08rest");
    assert!(output.stderr.starts_with(r#"{"warning":{"code":"compressed","message":""#), "{output}");
    let output = sandbox.run(&format!("scan {tree} {tree}/nosuch --json"));
    assert!(output.stderr.starts_with(r#"{"warning":{"code":"unread","message":""#), "{output}");
    assert_eq!((output.code, output.stdout.as_str()), (1, "[]\n"));
    // Virtual file systems are scanned only if named.
    assert!(
        keyward_cli::platform::is_made_up(Path::new("/proc")) && !keyward_cli::platform::is_made_up(Path::new("/"))
    );
}

#[test]
fn a_hook_reads_what_is_staged() {
    let sandbox = Sandbox::new();
    let diff = format!("diff --git a/x b/x\n+++ b/x\n@@ -0,0 +1 @@\n+{}\n", foreign(3));
    let output = finish_with(&mut sandbox.binary("scan --fail-if-any -"), diff.as_bytes());
    assert_eq!(output.code, 8, "{output}");
    assert!(output.stdout.starts_with("-:4:2: secret of another store"), "{output}");
}
