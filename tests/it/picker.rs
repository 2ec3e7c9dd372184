//! The key picker, in terminals of all sizes.

use jiff::ToSpan as _;

use crate::harness::Sandbox;
use crate::pty::Screen;

/// Keys with short names and a long one, in every state, and many more.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    for line in [
        "user create ann",
        "user create bob",
        "create deploy-prod --owner ann --expires 90d",
        "create deploy-staging --owner bob --disabled",
        "create backup/nightly --owner ann",
        "create soon --expires 1h",
    ] {
        assert_eq!(sandbox.run(line).code, 0, "{line}");
    }
    sandbox.mint(&format!("a-name-that-is-{}-long", "very-".repeat(15)));
    let keys: Vec<String> = (0..40).map(|number| format!("[[key]]\nname = \"service-{number:02}\"\n")).collect();
    std::fs::write(sandbox.path("keys.toml"), keys.concat()).unwrap();
    let [file, secrets] = ["keys.toml", "secrets"].map(|name| sandbox.path(name).display().to_string());
    assert_eq!(sandbox.run(&format!("apply {file} --secrets-dir {secrets} -q")).code, 0);
    sandbox.pass(2.hours());
    sandbox
}

#[test]
fn one_screen_at_any_width() {
    let sandbox = sandbox();
    for columns in [40, 60, 80, 120, 200] {
        let mut screen = Screen::start(&sandbox.store(), "delete", columns);
        screen.wait_for("Delete which keys?").wait_for("Enter: choose");
        let text = screen.text();
        let lines: Vec<&str> = text.lines().collect();
        // The question, the input, the list and the key help: each on its own lines.
        assert!(lines[0].starts_with("Delete which keys?") && lines[1].starts_with("> _  (45)"), "{columns}: {text}");
        assert_eq!(lines.len(), 24, "{columns}: {text}");
        assert!(lines[2..23].iter().all(|line| line.starts_with("  [ ] ") || line.starts_with("❯ [ ] ")), "{text}");
        assert_eq!(lines.iter().filter(|line| line.starts_with('❯')).count(), 1, "{columns}: {text}");
        assert!(lines[23].starts_with("Enter: choose"), "{columns}: {text}");
        assert_eq!(text.contains("of ann"), columns >= 120, "{columns}: {text}");
        // Pressing a key does not scroll the screen.
        for (keys, at) in [("\x1b[B", 3), ("\x1b[B\x1b[B", 5), ("\x1b[A", 4)] {
            screen.press(keys);
            std::thread::sleep(std::time::Duration::from_millis(100));
            let text = screen.text();
            let lines: Vec<&str> = text.lines().collect();
            assert_eq!(lines.iter().position(|line| line.starts_with('❯')), Some(at), "{columns}: {text}");
            assert!(lines[0].starts_with("Delete which keys?"), "{columns}: {text}");
        }
        screen.press("\x1b");
        assert_eq!(screen.end(), 5);
        screen.assert_restored();
        assert_eq!(screen.text().matches("Delete which").count(), 0, "{columns}: {}", screen.text());
    }
}

#[test]
fn words_in_any_order_find_and_what_is_not_found_is_said() {
    let sandbox = sandbox();
    let mut screen = Screen::start(&sandbox.store(), "show", 100);
    screen.wait_for("Show which keys?");
    for (keys, count, first) in [
        ("prod dep", "(1 of 45)", "deploy-prod"),
        ("\x15", "(45)", "a-name-that-is"),
        // The columns next to the name match too.
        ("bob", "(1 of 45)", "deploy-staging"),
        // ann's other key has expired, and neither was ever used.
        ("\x15ANN nev", "(2 of 45)", "backup/nightly"),
        ("\x17\x7f expires", "(1 of 45)", "backup/nightly"),
        ("\x15service 07", "(1 of 45)", "service-07"),
        ("x", "(0 of 45)", "no match"),
    ] {
        screen.press(keys);
        screen.wait_for(count).wait_for(first);
        assert!(screen.text().lines().nth(2).unwrap().contains(first), "{keys:?}: {}", screen.text());
    }
    // Enter does nothing when nothing matches.
    screen.press("\r");
    screen.wait_for("no match");
    screen.press("\x7f");
    screen.wait_for("service-07");
    // The match is highlighted.
    assert!(screen.raw().contains("\u{1b}[1m\u{1b}[4mservice"), "{:?}", screen.raw());
    screen.press("\r");
    assert_eq!(screen.end(), 0);
    assert!(screen.text().contains("Show which keys? service-07"), "{}", screen.text());
    screen.assert_restored();
}

#[test]
fn several_are_marked_and_taken_together() {
    let sandbox = sandbox();
    let mut screen = Screen::start(&sandbox.store(), "disable", 80);
    screen.wait_for("Disable which keys?");
    // Keys that are already disabled are not offered.
    screen.wait_for("(44)");
    // Marks stay during another search; a second Tab on the same key unmarks it.
    screen.press("service-0\t\t");
    screen.wait_for("2 marked");
    screen.press("\x15prod\t");
    screen.wait_for("3 marked");
    screen.press("\x15service-00\t");
    screen.wait_for("2 marked");
    // All matches, then none.
    screen.press("\x15service\x01");
    screen.wait_for("41 marked");
    screen.press("\x01");
    screen.wait_for("1 marked");
    screen.press("\x15service-01\t");
    screen.wait_for("2 marked");
    screen.press("\r");
    assert_eq!(screen.end(), 0, "{}", screen.text());
    assert!(screen.text().contains("Disable which keys? deploy-prod, service-01"), "{}", screen.text());
    assert_eq!(sandbox.run("list -q --state disabled").stdout, "deploy-prod\ndeploy-staging\nservice-01\n");
    let mut screen = Screen::start(&sandbox.store(), "enable", 80);
    screen.wait_for("Enable which keys?").wait_for("(3)");
    screen.press("\t\t\r");
    assert_eq!(screen.end(), 0);
    assert_eq!(sandbox.run("list -q --state disabled").stdout, "service-01\n");
    for line in ["enable", "disable"] {
        let output = sandbox.run(&format!("{line} --json"));
        assert_eq!((output.code, output.error()["code"].as_str()), (2, Some("usage")), "{line}");
    }
}

#[test]
fn it_is_drawn_again_after_a_resize_and_a_stop() {
    let sandbox = sandbox();
    let mut screen = Screen::start(&sandbox.store(), "delete", 120);
    screen.wait_for("Delete which keys?").wait_for("of ann");
    screen.press("deploy");
    screen.wait_for("(2 of 45)");
    screen.resize(40, 10);
    screen.wait_until("narrow picker", |screen| {
        let text = screen.text();
        text.lines().count() == 5 && text.contains("> deploy_") && !text.contains("of ann")
    });
    screen.resize(40, 2);
    screen.wait_for("Delete which");
    screen.resize(80, 24);
    screen.wait_for("(2 of 45)");
    // Ctrl-Z, as from a shell.
    screen.press("\x1a");
    screen.wait_until("restored terminal", |screen| screen.raw().ends_with("l\x1b[?25h"));
    screen.assert_restored();
    screen.signal("CONT");
    screen.wait_for("(2 of 45)");
    screen.press("\x03");
    assert_eq!(screen.end(), 130);
    screen.assert_restored();
    assert_eq!(sandbox.run("list -q --name deploy*").stdout, "deploy-prod\ndeploy-staging\n");
}
