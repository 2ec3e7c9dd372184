//! Words with a special meaning in filters and `--by`: refused as new names, scopes and levels, while stores that
//! already contain them continue to work.

use crate::harness::Sandbox;

const WORDS: [&str; 4] = ["-", "none", "never", "owner"];

fn refused(sandbox: &Sandbox, line: &str, input: &str) {
    let before = sandbox.run("export --json").stdout;
    let output = sandbox.run_with(&format!("{line} --json"), input);
    assert_eq!((output.code, output.error()["code"].as_str()), (1, Some("invalid_value")), "{line}: {output}");
    assert_eq!(output.stdout, "", "{line}: {output}");
    let error = output.error();
    assert!(error["hint"].as_str().unwrap().contains("another"), "{line}: {error}");
    assert_eq!(sandbox.run("export --json").stdout, before, "{line}");
}

#[test]
fn they_are_refused_wherever_they_would_be_new() {
    let sandbox = Sandbox::new();
    sandbox.mint("a --scope rest --level A");
    sandbox.run("group create g");
    for word in WORDS {
        for line in [
            "create -- WORD",
            "duplicate a -- WORD",
            "edit a --name=WORD",
            "group create -- WORD",
            "user create -- WORD",
            "role create --rank 1 -- WORD",
            "tenant create -- WORD",
            "group edit g --name=WORD",
            "create new --scope=WORD",
            "create new --level=WORD",
            "create new --ensure --scope=x,WORD",
            "edit a --scope=WORD",
            "edit a --add-scope=WORD",
            "edit a --add-level=WORD",
            "duplicate a new --scope=WORD",
        ] {
            // Arguments after `--` must come last.
            let line = line.replace("WORD", word);
            let line = line.split_once(" -- ").map_or(line.clone(), |(verb, name)| format!("{verb} --json -- {name}"));
            if line.contains("--json") {
                let before = sandbox.run("export --json").stdout;
                let output = sandbox.run(&line);
                assert_eq!(
                    (output.code, output.error()["code"].as_str()),
                    (1, Some("invalid_value")),
                    "{line}: {output}"
                );
                assert_eq!(sandbox.run("export --json").stdout, before, "{line}");
            } else {
                refused(&sandbox, &line, "");
            }
        }
        for text in [
            format!("[[key]]\nname = '{word}'\ndeliver = {{ secret_to = 'false' }}\n"),
            format!("[[group]]\nname = '{word}'\n"),
            format!("[[key]]\nname = 'a'\nscopes = ['{word}']\n"),
            format!("[[key]]\nname = 'a'\nlevels = ['{word}']\n"),
        ] {
            for flags in ["", "--dry-run"] {
                refused(&sandbox, &format!("apply - {flags}"), &text);
            }
        }
    }
    for scope in ["!rest", "!"] {
        refused(&sandbox, &format!("create new --scope={scope}"), "");
        refused(&sandbox, &format!("edit a --add-scope={scope}"), "");
    }
    // Similar words are accepted.
    for name in ["None", "nonesuch", "owners", "--", "never-ever"] {
        assert_eq!(
            sandbox.run(&format!("create -q --scope=x! --scope={name} --level={name}/none -- {name}")).code,
            0,
            "{name}"
        );
    }
    // Descriptions and labels may contain anything.
    assert_eq!(sandbox.run("create z -q --description none --label owner=none").code, 0);
}

#[test]
fn stores_that_have_them_go_on_working_and_the_doctor_names_them() {
    let sandbox = Sandbox::new();
    let finding = || {
        let findings = sandbox.run("doctor --json").json();
        findings.as_array().unwrap().iter().find(|found| found["check"] == "reserved_names").unwrap().clone()
    };
    let secret = sandbox.mint("old --scope ask --level B");
    assert_eq!(finding()["level"], "ok");
    sandbox.run("user create ann");
    sandbox.run("edit old --owner ann");
    let conn = rusqlite::Connection::open(sandbox.store()).unwrap();
    conn.execute_batch(
        "UPDATE key SET name = 'none' WHERE name = 'old'; UPDATE \"user\" SET name = 'owner' WHERE name = 'ann';
         UPDATE key_scope SET scope = '!ask'; UPDATE key_level SET level = 'never';",
    )
    .unwrap();
    drop(conn);
    let found = finding();
    assert_eq!(found["level"], "warning");
    let text = found.to_string();
    for word in ["key none", "user owner", "scope !ask", "level never"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert_eq!(sandbox.reason("", &secret), "allowed");
    assert_eq!(sandbox.reason("--scope=!ask --level=never", &format!("none:{secret}")), "allowed");
    for line in [
        "show none",
        "list --json",
        "edit none --description x",
        "edit none --add-scope more",
        "user edit owner --role viewer",
        "user disable owner",
        "user enable owner",
        "rotate none",
        "disable none",
        "enable none",
        "duplicate none copy",
        "edit copy --add-scope=more,!ask",
        "--as owner list",
        "history none",
        "export",
    ] {
        assert_eq!(sandbox.run(line).code, 0, "{line}: {}", sandbox.run(line));
    }
    // Applying the same manifest changes nothing, and later reverts a change.
    let manifest = sandbox.run("export").stdout;
    let output = sandbox.run_with("apply - --json", &manifest);
    assert_eq!((output.code, output.json()["outcome"].as_str()), (0, Some("unchanged")), "{output}");
    sandbox.run("edit none --description y");
    assert_eq!(sandbox.run_with("apply - --json", &manifest).json()["outcome"], "applied");
    // Renaming clears the finding.
    sandbox.run("edit none --name better --remove-scope=!ask --remove-level=never");
    sandbox.run("edit copy --remove-scope=!ask --remove-level=never");
    sandbox.run("user edit owner --name ann");
    assert_eq!(finding()["level"], "ok");
}
