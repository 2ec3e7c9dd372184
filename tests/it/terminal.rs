//! What a person sees, in a real pseudo-terminal.

use crate::harness::{Sandbox, finish, finish_with};
use crate::pty::Screen;

/// The secret that the reveal screen shows.
fn shown_secret(screen: &Screen) -> String {
    screen.wait_for("I have stored it");
    screen.text().lines().find(|line| line.starts_with("kw_")).unwrap().to_owned()
}

#[test]
fn a_stopped_reveal_leaves_the_terminal_and_comes_back() {
    let sandbox = Sandbox::new();
    let mut screen = Screen::start(&sandbox.store(), "create new", 100);
    screen.wait_for("I have stored it");
    screen.signal("TSTP");
    for _ in 0..200 {
        if !screen.raw().ends_with("l\x1b[?25h") {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
    screen.assert_restored();
    assert!(!screen.text().contains("kw_"), "{}", screen.text());
    screen.signal("CONT");
    screen.wait_for("I have stored it");
    assert!(screen.text().contains("kw_"), "{}", screen.text());
    screen.press("\r");
    assert_eq!(screen.end(), 0);
    screen.assert_restored();
    assert_eq!(sandbox.run("list -q").stdout, "new\n");
}

#[test]
fn stored_makes_the_key_and_leaves_no_trace() {
    let sandbox = Sandbox::new();
    let mut screen = Screen::start(&sandbox.store(), "create first-key", 100);
    let secret = shown_secret(&screen);
    assert!(screen.text().contains(&format!("Authorization: Bearer first-key:{secret}")));
    assert_eq!(sandbox.run("list -q").stdout, "", "not before it was acknowledged");
    screen.press("\r");
    assert_eq!(screen.end(), 0);
    screen.assert_restored();
    assert!(screen.raw().contains(&secret), "it was on the screen");
    assert!(!screen.scrollback().contains(&secret[16..40]), "{}", screen.scrollback());
    assert!(screen.text().contains("created the key first-key"), "{}", screen.text());
    assert_eq!(sandbox.reason("", &secret), "allowed");
}

#[test]
fn whatever_is_not_an_acknowledgement_leaves_no_key() {
    let sandbox = Sandbox::new();
    let old = sandbox.mint("old");
    let before = sandbox.run("history --json");
    for (keys, code, says) in [
        ("\x1b[B\x1b[B\r", 5, "discarded; nothing was changed"),
        ("\x1b", 5, "discarded; nothing was changed"),
        ("\x03", 7, "interrupted before the secret was acknowledged"),
    ] {
        for command in ["create new", "duplicate old new", "rotate old"] {
            let mut screen = Screen::start(&sandbox.store(), command, 80);
            let secret = shown_secret(&screen);
            screen.press(keys);
            assert_eq!(screen.end(), code, "{command} {keys:?}: {}", screen.text());
            screen.assert_restored();
            assert!(screen.text().contains(says), "{command} {keys:?}: {}", screen.text());
            assert!(!screen.scrollback().contains(&secret[16..40]));
            assert_eq!(sandbox.reason("", &secret), "not_genuine");
        }
    }
    assert_eq!(sandbox.run("history --json"), before);
    assert_eq!(sandbox.reason("", &old), "allowed");
}

#[test]
fn a_signal_leaves_no_key_and_a_sound_terminal() {
    let sandbox = Sandbox::new();
    for signal in ["INT", "TERM", "HUP", "QUIT"] {
        let mut screen = Screen::start(&sandbox.store(), "create new", 80);
        let secret = shown_secret(&screen);
        screen.signal(signal);
        assert_eq!(screen.end(), 7, "{signal}: {}", screen.text());
        screen.assert_restored();
        assert!(!screen.scrollback().contains(&secret[16..40]));
    }
    assert_eq!(sandbox.run("list -q").stdout, "");
}

#[test]
fn a_list_ends_with_what_is_not_in_it() {
    let sandbox = Sandbox::new();
    sandbox.mint(&format!("{} --description {} --scope rest,ui", "n".repeat(60), "d".repeat(60)));
    sandbox.mint("other --expires 30d");
    for (columns, last) in [(60, "hidden: description, created"), (200, "2 keys")] {
        let mut screen = Screen::start(&sandbox.store(), "list", columns);
        assert_eq!(screen.end(), 0);
        let text = screen.text();
        let (head, end) = text.split_once("other").unwrap();
        assert!(head.contains("EXPIRES") && head.contains("LAST USED"), "{text}");
        assert!(end.contains(last) && end.trim_end().ends_with("2 keys"), "{text}");
    }
}

#[test]
fn a_dumb_terminal_is_told_that_it_keeps_the_secret() {
    let sandbox = Sandbox::new();
    let mut screen = Screen::start_with(&sandbox.store(), "create new", 80, &[("TERM", "dumb")]);
    let secret = shown_secret(&screen);
    assert!(screen.text().contains("clear its scrollback"), "{}", screen.text());
    // No escape sequences, and answers can be typed.
    screen.press("7\r").wait_for("Number, 1 to 3: 7").wait_for("3) Discard");
    assert!(!screen.raw().contains('\x1b'), "{:?}", screen.raw());
    screen.press("1\r");
    assert_eq!(screen.end(), 0);
    assert_eq!(sandbox.reason("", &secret), "allowed");
}

#[test]
fn yes_prints_the_secret_without_a_question() {
    let sandbox = Sandbox::new();
    let mut screen = Screen::start(&sandbox.store(), "create new --yes", 80);
    assert_eq!(screen.end(), 0);
    let secret = screen.text().lines().find(|line| line.starts_with("kw_")).unwrap().to_owned();
    assert_eq!(sandbox.reason("", &secret), "allowed");
}

#[test]
fn the_secret_can_be_selected_in_a_narrow_terminal() {
    let sandbox = Sandbox::new();
    let mut screen = Screen::start(&sandbox.store(), "create new", 60);
    screen.wait_for("I have stored it");
    screen.press("\r");
    assert_eq!(screen.end(), 0);
    let secret = screen.raw().split("store it now.\r\n\r\n").nth(1).unwrap()[..65].to_owned();
    assert_eq!(sandbox.reason("", &secret), "allowed");
}

#[test]
fn what_was_typed_before_the_secret_was_shown_acknowledges_nothing() {
    let sandbox = Sandbox::new();
    let mut screen = Screen::start(&sandbox.store(), "create new", 80);
    screen.type_ahead("\r \r");
    shown_secret(&screen);
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(screen.text().contains("I have stored it"), "{}", screen.text());
    screen.press("\x1b");
    assert_eq!(screen.end(), 5);
    assert_eq!(sandbox.run("list -q").stdout, "");
}

#[test]
fn a_small_terminal_shows_the_secret_or_refuses() {
    let sandbox = Sandbox::new();
    for (columns, rows) in [(80, 10), (80, 7), (40, 14), (20, 12)] {
        let mut screen = Screen::start_small(&sandbox.store(), "create new", columns, rows);
        screen.wait_for("I have stored it");
        let shown = screen.text().replace('\n', "");
        let start = shown.find("kw_").expect("the secret is on the screen");
        let secret = &shown[start..start + 65];
        screen.press("\r");
        assert_eq!(screen.end(), 0, "{columns}x{rows}");
        assert_eq!(sandbox.reason("", secret), "allowed", "{columns}x{rows}");
        sandbox.run("delete new --yes");
    }
    for (columns, rows) in [(80, 4), (10, 10)] {
        let mut screen = Screen::start_small(&sandbox.store(), "create new", columns, rows);
        assert_eq!(screen.end(), 7, "{columns}x{rows}: {}", screen.text());
        screen.assert_restored();
    }
    assert_eq!(sandbox.run("list -q").stdout, "");
}

#[test]
fn the_secret_is_drawn_anew_when_the_size_changes() {
    let sandbox = Sandbox::new();
    let mut screen = Screen::start(&sandbox.store(), "create new", 200);
    let secret = shown_secret(&screen);
    screen.resize(40, 14);
    std::thread::sleep(std::time::Duration::from_millis(600));
    assert!(screen.text().replace('\n', "").contains(&secret), "{}", screen.text());
    screen.resize(40, 5);
    screen.wait_for("make it larger");
    screen.resize(120, 24);
    screen.wait_for(&format!("Authorization: Bearer new:{secret}"));
    // Ctrl-Z does nothing here, nor do keys that the menu does not use.
    screen.press("\x1ax\x1b[C\x1b[B");
    screen.wait_for("❯ Copy it to the clipboard");
    screen.press("\x1b[A");
    screen.wait_for("❯ I have stored it");
    screen.press("\r");
    assert_eq!(screen.end(), 0);
    screen.assert_restored();
    assert!(!screen.scrollback().contains(&secret[16..40]));
    assert_eq!(sandbox.reason("", &secret), "allowed");
}

#[test]
fn while_a_person_looks_at_a_new_secret_nobody_else_rotates_the_key() {
    let sandbox = Sandbox::new();
    finish(&mut sandbox.binary("create deploy"));
    let mut screen = Screen::start(&sandbox.store(), "rotate deploy", 80);
    let mine = shown_secret(&screen);
    let theirs = finish(&mut sandbox.binary("rotate deploy --json"));
    assert_eq!((theirs.code, theirs.stdout.as_str()), (1, ""), "{theirs}");
    assert_eq!(theirs.error()["code"], "conflict");
    screen.press("\r");
    assert_eq!(screen.end(), 0, "{}", screen.text());
    assert_eq!(finish_with(&mut sandbox.binary("verify -q"), mine.as_bytes()).code, 0);
}

#[test]
fn a_signal_at_the_reveal_gives_the_name_and_the_key_free_at_once() {
    for (line, again) in [("create deploy", "create deploy"), ("rotate other", "rotate other")] {
        let sandbox = Sandbox::new();
        let old = finish(&mut sandbox.binary("create other")).stdout;
        for signal in ["TERM", "HUP", "INT"] {
            let mut screen = Screen::start(&sandbox.store(), line, 80);
            let shown = shown_secret(&screen);
            screen.signal(signal);
            assert_eq!(screen.end(), 7, "{signal}: {}", screen.text());
            let verified = finish_with(&mut sandbox.binary("verify -q"), shown.as_bytes());
            assert_eq!(verified.code, 3, "{line}: {signal}: nobody said that it was stored");
        }
        assert_eq!(finish_with(&mut sandbox.binary("verify -q"), old.as_bytes()).code, 0);
        assert_eq!(sandbox.run("show other --json").json()["secrets"].as_array().unwrap().len(), 1);
        let again = finish(&mut sandbox.binary(again));
        assert_eq!(again.code, 0, "{again}");
    }
}

#[test]
fn the_grace_begins_when_the_new_secret_was_acknowledged() {
    let sandbox = Sandbox::new();
    let old = finish(&mut sandbox.binary("create deploy")).stdout;
    let mut screen = Screen::start(&sandbox.store(), "rotate deploy --grace 3s", 80);
    shown_secret(&screen);
    std::thread::sleep(std::time::Duration::from_millis(3500));
    screen.press("\r");
    assert_eq!(screen.end(), 0);
    assert!(screen.text().contains("the old secret works until"), "{}", screen.text());
    assert_eq!(finish_with(&mut sandbox.binary("verify -q"), old.as_bytes()).code, 0);
}

#[test]
fn delete_asks_and_only_yes_deletes() {
    let sandbox = Sandbox::new();
    sandbox.mint("deploy");
    let no = ["n", "\r", "\x1b", "clear; keyward list\r", "yum install x\r", "yn\r", "\x7f\r"];
    for (keys, code) in no.map(|keys| (keys, 5)).into_iter().chain([("\x03", 130), ("YES\r", 0)]) {
        let mut screen = Screen::start(&sandbox.store(), "delete deploy", 80);
        screen.wait_for("Delete the key deploy permanently?");
        assert!(screen.text().contains("never used"), "{}", screen.text());
        screen.press(keys);
        assert_eq!(screen.end(), code, "{keys:?}: {}", screen.text());
        screen.assert_restored();
        assert_eq!(sandbox.run("list -q").stdout.is_empty(), code == 0, "{keys:?}");
    }
    // A single letter is an answer; a deleted one is not.
    for (keys, is_gone) in [("n\x7f\r", false), ("y\x7f\r", false), ("y", true)] {
        sandbox.run("create deploy");
        let mut screen = Screen::start(&sandbox.store(), "delete deploy", 80);
        screen.wait_for("Delete the key deploy permanently?");
        screen.press(keys);
        screen.end();
        assert_eq!(sandbox.run("list -q").stdout.is_empty(), is_gone, "{keys:?}");
    }
}

#[test]
fn a_key_in_use_has_to_be_named_to_be_deleted() {
    let sandbox = Sandbox::new();
    sandbox.run("user create ann");
    let secret = finish(&mut sandbox.binary("create deploy --owner ann")).stdout;
    assert_eq!(finish_with(&mut sandbox.binary("verify -q"), secret.as_bytes()).code, 0);
    for (keys, code) in [("y\r", 5), ("\r", 5), ("\x1b", 5), ("\x03", 130), ("depp\x7floy\r", 0)] {
        let mut screen = Screen::start(&sandbox.store(), "delete deploy", 80);
        screen.wait_for("Type its name to delete it permanently");
        assert!(
            screen.text().contains("deploy: used once") && screen.text().contains("owned by ann"),
            "{}",
            screen.text()
        );
        screen.press(keys);
        assert_eq!(screen.end(), code, "{keys:?}: {}", screen.text());
        screen.assert_restored();
        assert_eq!(sandbox.run("list -q").stdout.is_empty(), code == 0, "{keys:?}");
    }
}

#[test]
fn verify_asks_for_the_credential_and_does_not_show_it() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("deploy");
    let mut screen = Screen::start(&sandbox.store(), "verify --all", 80);
    screen.wait_for("Credential (it is not shown):");
    screen.press(&format!("nonsense\x15Bearer x\x7f{secret}\r"));
    assert_eq!(screen.end(), 0, "{}", screen.text());
    screen.assert_restored();
    assert!(screen.text().contains("✓ the secret is genuine"), "{}", screen.text());
    assert!(!screen.raw().contains(&secret[16..40]));

    let mut screen = Screen::start(&sandbox.store(), "verify", 80);
    screen.wait_for("Credential (it is not shown):");
    screen.press("kw_\x03");
    assert_eq!(screen.end(), 130);
    screen.assert_restored();
}

#[test]
fn the_form_asks_for_everything_and_mints_what_was_said() {
    let sandbox = Sandbox::new();
    sandbox.mint("old --scope rest,ui");
    for line in ["user create ann --role admin", "group create ci", "settings set max-lifetime 60d"] {
        sandbox.run(line);
    }
    let mut screen = Screen::start(&sandbox.store(), "create", 100);
    let (enter, down) = ("\r", "\x1b[B");
    for (question, keys) in [
        ("Name", "old\r".to_owned()),
        ("already a key named old", "a b\r".to_owned()),
        ("cannot hold a space", "fresh\r".to_owned()),
        ("What is it for?", "made by the form\r".to_owned()),
        ("Group", format!("{down}{enter}")),
        ("Owner", format!("{down}{enter}")),
        ("Role", format!("{down}{down}{enter}")),
        ("Scopes", format!("{down}\t")),
        ("[x]", enter.to_owned()),
        ("Other scopes", "x y\r".to_owned()),
        ("a scope cannot hold a space", "extra, more\r".to_owned()),
        ("Security levels", enter.to_owned()),
        ("Networks", "10.1.2.3/8\r".to_owned()),
        ("the network is 10.0.0.0/8", "10.0.0.0/8\r".to_owned()),
        ("Limits", "100/1w\r".to_owned()),
        ("is not a period", "100/1m:20, 5/1m\r".to_owned()),
        ("limits of the same period", "100/1m:20, 5/1d\r".to_owned()),
        ("Expires in", format!("{down}{enter}")),
        ("must expire within 60d", format!("{down}{down}{down}{down}{down}{enter}")),
        ("Expires (", "2020-01-01\r".to_owned()),
        ("that is in the past", format!("{down}{down}{enter}")),
        ("Access", format!("{down}{enter}")),
        ("Connections", enter.to_owned()),
        ("Mint this key?", "y".to_owned()),
    ] {
        screen.wait_for(question);
        screen.press(&keys);
    }
    let secret = shown_secret(&screen);
    screen.press("\r");
    assert_eq!(screen.end(), 0, "{}", screen.text());
    screen.assert_restored();
    let key = sandbox.run("show fresh --json").json();
    assert_eq!(
        (&key["description"], &key["group"], &key["owner"]),
        (&"made by the form".into(), &"ci".into(), &"ann".into())
    );
    assert_eq!(
        (&key["scopes"], &key["allowed_ips"]),
        (&serde_json::json!(["extra", "more", "rest"]), &serde_json::json!(["10.0.0.0/8"]))
    );
    assert_eq!(
        (&key["read_only"], &key["require_secure"], &key["role"]),
        (&true.into(), &true.into(), &"editor".into())
    );
    let limits = r#"[{"count":100,"period":"1m","burst":20},{"count":5,"period":"1d","burst":null}]"#;
    assert_eq!(key["limits"].to_string(), limits);
    assert!(!key["expires_at"].is_null());
    assert_eq!(sandbox.reason("--ip 10.0.0.1 --method GET", &secret), "allowed");
}

#[test]
fn leaving_the_form_leaves_nothing() {
    let sandbox = Sandbox::empty();
    let questions = [
        "Name",
        "What is it for?",
        "Scopes",
        "Security levels",
        "Networks",
        "Limits",
        "Expires in",
        "Access",
        "Connections",
        "Mint this key?",
    ];
    for (keys, code) in [("\x1b", 5), ("\x03", 130)] {
        for stop in 0..questions.len() {
            let mut screen = Screen::start(&sandbox.store(), "create", 100);
            for (place, question) in questions.iter().enumerate().take(stop + 1) {
                screen.wait_for(question);
                screen.press(if place == stop {
                    keys
                } else if place == 0 {
                    "fresh\r"
                } else {
                    "\r"
                });
            }
            assert_eq!(screen.end(), code, "{}: {}", questions[stop], screen.text());
            screen.assert_restored();
            assert!(!sandbox.store().exists(), "{}", questions[stop]);
        }
    }
}

#[test]
fn without_a_key_there_is_a_list_to_choose_from() {
    let sandbox = Sandbox::new();
    for name in ["alpha", "beta", "gamma"] {
        sandbox.mint(name);
    }
    for (line, question, says) in [
        ("show", "Show which keys?", "name              beta"),
        ("edit --scope x", "Edit which key?", "changed the key beta"),
        ("rotate --yes", "Rotate which keys?", "rotated the key beta"),
        ("duplicate --yes", "Duplicate which key?", "created the key copy"),
        ("delete --yes", "Delete which keys?", "deleted the key beta"),
    ] {
        let mut screen = Screen::start(&sandbox.store(), line, 100);
        screen.wait_for(question);
        screen.press("be");
        screen.press("\r");
        if line.starts_with("duplicate") {
            screen.wait_for("Name");
            screen.press("copy\r");
        }
        assert_eq!(screen.end(), 0, "{line}: {}", screen.text());
        assert!(screen.text().contains(says), "{line}: {}", screen.text());
        screen.assert_restored();
        for (keys, code) in [("\x1b", 5), ("\x03", 130)] {
            let mut screen = Screen::start(&sandbox.store(), line, 100);
            screen.wait_for(question);
            screen.press(keys);
            assert_eq!(screen.end(), code, "{line}");
            screen.assert_restored();
        }
        assert_eq!(sandbox.run(&format!("{line} --json")).error()["code"], "usage", "{line}");
    }
    assert_eq!(sandbox.run("list -q").stdout, "alpha\ncopy\ngamma\n");
}

/// An edit whose editor runs a sed script on the text.
pub fn edit_with(sandbox: &Sandbox, editor: &str, columns: u16) -> Screen {
    Screen::start_with(
        &sandbox.store(),
        "edit deploy",
        columns,
        &[("TERM", "xterm-256color"), ("EDITOR", editor), ("PATH", "/usr/bin:/bin")],
    )
}

#[test]
fn the_editor_shows_the_settings_and_a_confirmation_makes_the_change() {
    let sandbox = Sandbox::new();
    sandbox.mint("deploy --scope a --description before");
    let before = sandbox.run("history --json");
    let editor = r#"sed -i -e 's/^description = .*/description = ""/' -e 's/^scopes = .*/scopes = ["a", "b"]/'"#;
    for (keys, code) in [("n", 5), ("\x03", 130), ("y", 0)] {
        assert_eq!(sandbox.run("history --json"), before);
        let mut screen = edit_with(&sandbox, editor, 100);
        screen.wait_for("Make these changes?");
        assert!(screen.text().contains("description: before → none"), "{}", screen.text());
        assert!(screen.text().contains("scopes: a → a, b"), "{}", screen.text());
        screen.press(keys);
        assert_eq!(screen.end(), code, "{}", screen.text());
        screen.assert_restored();
    }
    let key = sandbox.run("show deploy --json").json();
    assert_eq!((&key["description"], &key["scopes"]), (&serde_json::Value::Null, &serde_json::json!(["a", "b"])));
}

#[test]
fn an_unchanged_text_changes_nothing_and_a_failing_editor_neither() {
    let sandbox = Sandbox::new();
    sandbox.mint("deploy");
    let before = sandbox.run("history --json");
    for (editor, code, says) in [
        ("true", 0, "deploy is unchanged"),
        ("touch", 0, "deploy is unchanged"),
        ("sh -c 'echo \"# a comment\" >> \"$0\"'", 0, "deploy is unchanged"),
        ("false", 5, "ended with an error"),
        ("/does/not/exist", 5, "nothing was changed"),
    ] {
        let mut screen = edit_with(&sandbox, editor, 100);
        assert_eq!(screen.end(), code, "{editor}: {}", screen.text());
        assert!(screen.text().contains(says), "{editor}: {}", screen.text());
        screen.assert_restored();
    }
    assert_eq!(sandbox.run("history --json"), before);
}

#[test]
fn mistakes_come_back_into_the_editor_with_their_lines_marked() {
    let sandbox = Sandbox::new();
    sandbox.mint("deploy");
    // The first time it makes two mistakes; the second time it shows the marks and fixes them.
    let editor = sandbox.path("editor.sh");
    let script = r##"
if grep -q '^#!' "$1"; then
    grep '^#!' "$1"
    sed -i -e 's/^scope = .*//' -e 's/^allowed_ips = .*/allowed_ips = ["10.0.0.0\/8"]/' "$1"
else
    sed -i -e 's/^scopes = .*/scope = ["x"]/' -e 's/^allowed_ips = .*/allowed_ips = ["10.1.2.3\/8"]/' "$1"
fi
"##;
    std::fs::write(&editor, script).unwrap();
    let mut screen = edit_with(&sandbox, &format!("sh {}", editor.display()), 120);
    screen.wait_for("Edit it again?");
    assert!(screen.text().contains("unknown field `scope`; did you mean `scopes`?"), "{}", screen.text());
    screen.press("y");
    screen.wait_for("#! allowed_ips: 10.1.2.3/8 has host bits set");
    screen.wait_for("Make these changes?");
    screen.press("y");
    assert_eq!(screen.end(), 0, "{}", screen.text());
    assert_eq!(sandbox.run("show deploy --json").json()["allowed_ips"], serde_json::json!(["10.0.0.0/8"]));
    screen.assert_restored();
}

/// What the store would refuse is reported before the confirmation prompt.
#[test]
fn what_the_store_refuses_is_said_before_the_question() {
    let sandbox = Sandbox::new();
    sandbox.mint("deploy");
    sandbox.mint("taken");
    for (line, says) in
        [(r#"s/^name = .*/name = "taken"/"#, "taken"), (r#"s/^role = .*/role = "nosuch"/"#, "there is no role")]
    {
        let mut screen = edit_with(&sandbox, &format!("sed -i '{line}'"), 100);
        screen.wait_for("Edit it again?");
        assert!(screen.text().contains(says) && !screen.text().contains("Make these"), "{line}: {}", screen.text());
        screen.press("n");
        assert_eq!(screen.end(), 5, "{}", screen.text());
        assert!(screen.text().contains("what you wrote is in"), "{}", screen.text());
        screen.assert_restored();
    }
}

#[test]
fn a_missing_group_is_offered_to_be_made() {
    let sandbox = Sandbox::new();
    sandbox.mint("deploy");
    // Declining reports that the group is missing, and creates nothing.
    for line in [
        "create other --group ci --yes",
        "duplicate deploy other --group ci --yes",
        "create other --ensure --group ci --yes",
        "create deploy --ensure --group ci --yes",
        "edit deploy --group ci",
    ] {
        let mut screen = Screen::start(&sandbox.store(), line, 100);
        screen.wait_for("There is no group ci yet. Make it?");
        screen.press("n");
        assert_eq!(screen.end(), 1, "{line}: {}", screen.text());
        assert!(screen.text().contains("group"), "{}", screen.text());
        assert_eq!(sandbox.run("group list -q").stdout, "");
    }
    let mut screen = Screen::start(&sandbox.store(), "create other --group ci --yes", 100);
    screen.wait_for("Make it?");
    screen.press("\r");
    assert_eq!(screen.end(), 0, "{}", screen.text());
    let editor = r#"sed -i 's/^group = .*/group = "web"/'"#;
    // Interrupting here keeps what was written.
    let mut screen = edit_with(&sandbox, editor, 100);
    screen.wait_for("There is no group web yet. Make it?");
    screen.press("\x03");
    assert_eq!(screen.end(), 130, "{}", screen.text());
    assert!(screen.text().contains("what you wrote is in"), "{}", screen.text());
    let mut screen = edit_with(&sandbox, editor, 100);
    screen.wait_for("There is no group web yet. Make it?");
    screen.press("y");
    screen.wait_for("Make these changes?");
    screen.press("y");
    assert_eq!(screen.end(), 0, "{}", screen.text());
    assert_eq!(sandbox.run("list -q --group ci").stdout, "other\n");
    assert_eq!(sandbox.run("list -q --group web").stdout, "deploy\n");
    // A script gets no prompt.
    assert_eq!(sandbox.run("edit deploy --group nosuch --json").error()["code"], "not_found");
}

#[test]
fn what_somebody_else_changed_in_the_meantime_is_not_overwritten() {
    let sandbox = Sandbox::new();
    sandbox.mint("deploy");
    let mut screen = edit_with(&sandbox, r#"sed -i 's/^description = .*/description = "mine"/'"#, 100);
    screen.wait_for("Make these changes?");
    assert_eq!(sandbox.run("edit deploy --description theirs").code, 0);
    screen.press("y");
    assert_eq!(screen.end(), 1, "{}", screen.text());
    assert!(screen.text().contains("somebody else changed"), "{}", screen.text());
    let text = screen.text().replace('\n', "");
    let kept = text.split("what you wrote is in ").nth(1).unwrap().trim().to_owned();
    assert!(std::fs::read_to_string(&kept).unwrap().contains("description = \"mine\""), "{kept}");
    std::fs::remove_file(kept).unwrap();
    assert_eq!(sandbox.run("show deploy --json").json()["description"], "theirs");
}

/// A user with the role editor acts on a key of rank 20; changes made during the prompt count at the answer.
#[test]
fn what_changed_while_a_person_was_asked_counts() {
    let sandbox = Sandbox::new();
    sandbox.run("user create ed --role editor");
    sandbox.run("group create team");
    let raise = "edit target --role admin";
    for (line, question, meanwhile, answer, says) in [
        ("--as ed rotate target", "I have stored it", raise, "\r", "ranks above"),
        ("--as ed delete target", "permanently?", raise, "y", "ranks above"),
        ("--as ed duplicate target copy", "I have stored it", raise, "\r", "ranks above"),
        ("duplicate target copy", "I have stored it", "edit target --read-only", "\r", "somebody else changed"),
        ("duplicate target copy", "I have stored it", "delete target --yes", "\r", "no longer exists"),
        (
            "group delete team --with-keys",
            "permanently?",
            "create another --group team",
            "y",
            "changed in the meantime",
        ),
    ] {
        sandbox.mint("target --role editor --group team");
        let mut screen = Screen::start(&sandbox.store(), line, 100);
        screen.wait_for(question);
        assert_eq!(sandbox.run(meanwhile).code, 0);
        screen.press(answer);
        assert_eq!(screen.end(), 1, "{line}: {}", screen.text());
        assert!(screen.text().contains(says), "{line}: {}", screen.text());
        assert_eq!(sandbox.run("show copy").code, 1, "{line}");
        assert_eq!(sandbox.run("show target").code == 1, meanwhile.starts_with("delete"), "{line}");
        sandbox.run("delete target --yes");
    }
    assert_eq!(sandbox.run("history --check").code, 0);
}

#[test]
fn what_the_editor_prints_is_not_the_product_and_what_was_written_is_kept() {
    let sandbox = Sandbox::new();
    sandbox.mint("deploy");
    let mut screen = edit_with(&sandbox, r#"sed -i -e '1p' -e 's/^description = .*/description = "mine"/'"#, 100);
    screen.wait_for("Make these changes?");
    screen.press("n");
    assert_eq!(screen.end(), 5);
    let text = screen.text().replace('\n', "");
    let kept = text.split("what you wrote is in ").nth(1).unwrap().trim().to_owned();
    assert!(std::fs::read_to_string(&kept).unwrap().contains("description = \"mine\""), "{kept}");
    std::fs::remove_file(kept).unwrap();
}

#[test]
fn the_form_shows_whose_key_it_will_be() {
    let sandbox = Sandbox::new();
    for line in ["tenant create acme", "user create ed --role editor --tenant acme", "user create vi --role viewer"] {
        sandbox.run(line);
    }
    let mut screen = Screen::start(&sandbox.store(), "--as ed create", 100);
    for (question, keys) in [
        ("Name", "fresh\r"),
        ("What is it for?", "\r"),
        ("Role", "\r"),
        ("Scopes", "\r"),
        ("levels", "\r"),
        ("Networks", "\r"),
        ("Limits", "\r"),
        ("Expires", "\r"),
        ("Access", "\r"),
        ("Connections", "\r"),
    ] {
        screen.wait_for(question);
        screen.press(keys);
    }
    screen.wait_for("Mint this key?");
    assert!(screen.text().contains("owner: ed") && screen.text().contains("tenant: acme"), "{}", screen.text());
    screen.press("n");
    assert_eq!(screen.end(), 5);
    // Users without permission are refused before any question.
    for line in ["--as vi create", "--as nobody create"] {
        let mut screen = Screen::start(&sandbox.store(), line, 100);
        assert_eq!(screen.end(), 1, "{line}: {}", screen.text());
    }
}
