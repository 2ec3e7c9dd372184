//! `-q` means the same everywhere: no notes, only names in lists, only problems in checks. The secret is not a note.

use crate::harness::Sandbox;

#[test]
fn quiet_means_the_same_in_every_command() {
    let sandbox = Sandbox::new();
    let (backup, pages, manifest) = (sandbox.path("b.db"), sandbox.path("pages"), sandbox.path("m.toml"));
    std::fs::write(&manifest, "[[group]]\nname = \"g\"\n[[group]]\nname = \"h\"\n").unwrap();
    let apply = format!("apply {}", manifest.display());
    let records = sandbox.path("k.jsonl");
    std::fs::write(&records, "{\"name\": \"k\", \"secret\": \"made-up-0a1b2c3d4e5f\"}\n").unwrap();
    for (line, stdout) in [
        ("create a --expires 30d --scope x", "kw_"),
        ("create b --expires 30d", "kw_"),
        ("duplicate a c", "kw_"),
        ("rotate a --grace 1h", "kw_"),
        ("rotate a b", "a\tkw_"),
        ("list", "a\nb\nc\n"),
        ("list --state expired", ""),
        ("show b a", "b\na\n"),
        ("edit a --scope y", ""),
        ("edit a --scope y", ""),
        ("disable a b", ""),
        ("enable a b", ""),
        ("create d --ensure --expires 30d", "kw_"),
        ("create d --ensure --expires 30d", ""),
        ("group create g", ""),
        ("group list", "g\n"),
        ("group show g", "g\n"),
        ("group edit g --description d", ""),
        ("user create ann --role admin", ""),
        ("user disable ann", ""),
        ("role list", "viewer\neditor\nadmin\n"),
        ("tenant list", ""),
        ("status", ""),
        ("history --by nobody", ""),
        ("history --action create", "a\nb\nc\nd\ng\nann\n"),
        ("history --check", ""),
        ("usage", ""),
        ("usage a", "a\n"),
        (
            "settings list",
            "prefix\nhash-parameters\nquery-credentials\ndefault-lifetime\nmax-lifetime\nusage-retention\n",
        ),
        ("settings set usage-retention 100d", ""),
        (&format!("{apply} --dry-run"), ""),
        (&apply, ""),
        (&apply, ""),
        (&format!("import {}", records.display()), ""),
        (&format!("backup {}", backup.display()), ""),
        (&format!("restore {} --yes", backup.display()), ""),
        (&format!("man --dir {}", pages.display()), ""),
        ("delete c d --yes", ""),
        #[cfg(feature = "serve")]
        ("serve --check", ""),
    ] {
        let output = sandbox.run(&format!("{line} -q"));
        assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{line}: {output}");
        let is_secret = stdout.ends_with("kw_") && output.stdout.starts_with(stdout);
        assert!(is_secret || output.stdout == stdout, "{line}: {output}");
        // Errors are still reported.
    }
    let secret = sandbox.mint("used --disabled");
    for (line, code) in [("show nosuch", 1), ("history --action nosuch", 0), ("list --scope nosuch", 0)] {
        let output = sandbox.run(&format!("{line} -q"));
        assert_eq!((output.code, output.stderr.is_empty()), (code, code == 0), "{line}: {output}");
    }
    let answer = sandbox.run_with("verify -q", &secret);
    assert_eq!((answer.code, answer.stdout.as_str(), answer.stderr.as_str()), (3, "", ""));
    assert_eq!(sandbox.run("user enable ann").code, 0);
    sandbox.mint("old --expires 1h");
    sandbox.pass(jiff::ToSpan::hours(2));
    let care = sandbox.run("doctor -q").stdout;
    assert!(care.contains("old") && !care.contains("integrity"), "{care}");
}
