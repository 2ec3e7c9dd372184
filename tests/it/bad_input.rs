//! Each bad input gets its own error with a next step and the right code, and the store is unchanged.

use crate::harness::{Output, Sandbox, words};

fn check(output: &Output, code: u8, error: &str, says: &str, line: &str) {
    assert_eq!(output.code, code, "{line}\n{output}");
    assert_eq!(output.stdout, "", "{line}");
    let found = output.error();
    assert_eq!(found["code"], error, "{line}\n{output}");
    let text = format!("{} | {}", found["message"].as_str().unwrap(), found["hint"].as_str().unwrap_or_default());
    assert!(text.contains(says), "{line}\n{text}");
    assert!(!text.contains("(os error") && !text.contains("digit found"), "{line}\n{text}");
}

#[test]
fn values_and_flags() {
    let sandbox = Sandbox::new();
    sandbox.mint("deploy --scope rest");
    let before = (sandbox.run("list --json"), sandbox.run("history --json"));
    let long = "x".repeat(101);
    let table: &[(&[&str], u8, &str, &str)] = &[
        (&["create", ""], 2, "usage", "a name cannot be empty"),
        (&["create", &long], 2, "usage", "at most 100 characters"),
        (&["create", "a:b"], 2, "usage", "cannot hold ':'"),
        (&["create", "a b"], 2, "usage", "cannot hold a space"),
        (&["create", "a\u{1b}[2J"], 2, "usage", "control character (U+001B)"),
        (&["create", "deploy"], 1, "name_taken", "choose another name"),
        (&["duplicate", "deploy", "deploy"], 1, "name_taken", "choose another name"),
        (&["show", "deplpy"], 1, "not_found", "did you mean deploy?"),
        (&["edit", "deplpy", "--name", "x"], 1, "not_found", "did you mean deploy?"),
        (&["rotate", "zzz"], 1, "not_found", "keyward list"),
        (&["disable", "zzz"], 1, "not_found", "keyward list"),
        (&["delete", "--yes", "zzz"], 1, "not_found", "keyward list"),
        (&["duplicate", "zzz", "new"], 1, "not_found", "keyward list"),
        (&["create", "x", "--allow-ip", "10.1.2.3/8"], 2, "usage", "the network is 10.0.0.0/8"),
        (&["create", "x", "--allow-ip", "010.0.0.0/8"], 2, "usage", "leading zero"),
        (&["create", "x", "--allow-ip", "10.0.0.0/33"], 2, "usage", "from 0 to 32"),
        (&["create", "x", "--allow-ip", "example.com"], 2, "usage", "not an IP address"),
        (&["create", "x", "--scope", "a b"], 2, "usage", "a scope cannot hold a space"),
        (&["create", "x", "--scope", "a,,b"], 2, "usage", "a scope cannot be empty"),
        (&["create", "x", "--level", "A//B"], 2, "usage", "a level is a path"),
        (&["create", "x", "--level", "A;B"], 2, "usage", "a level cannot hold ';'"),
        (&["create", "x", "--label", "team"], 2, "usage", "KEY=VALUE"),
        (&["create", "x", "--label", "a=1", "--label", "a=2"], 2, "usage", "given twice"),
        (&["create", "x", "--prefix", "Kw"], 2, "usage", "a prefix"),
        (&["create", "x", "--description", "a\nb"], 2, "usage", "control character (U+000A)"),
        (&["create", "x", "--expires", "2020-01-01"], 1, "invalid_value", "in the past"),
        (&["create", "x", "--expires", "0s"], 1, "invalid_value", "in the past"),
        (&["create", "x", "--expires", "-3d"], 2, "usage", "cannot be negative"),
        (&["create", "x", "--expires=-3d"], 2, "usage", "cannot be negative"),
        (&["create", "x", "--expires", "soon"], 2, "usage", "not a time"),
        (&["create", "x", "--expires", "90"], 2, "usage", "Add a unit"),
        (&["create", "x", "--expires", "9999-12-31"], 2, "usage", "use never"),
        (&["create", "x", "--expires", "99999999d"], 2, "usage", "so long"),
        (&["create", "x", "--secret-file", "-"], 7, "not_delivered", "a file of this name is ./-"),
        (&["create", "x", "--read-only", "--read-write"], 2, "usage", "cannot be used with"),
        (&["create", "x", "--require-secure", "--allow-insecure"], 2, "usage", "cannot be used with"),
        (&["edit", "deploy"], 2, "usage", "no change was named"),
        (&["edit", "deploy", "--scope", "a", "--add-scope", "b"], 2, "usage", "cannot be used with"),
        (&["edit", "deploy", "--add-scope", "a", "--remove-scope", "a"], 2, "usage", "name the same value"),
        (&["edit", "deploy", "--scope", "a", "--clear", "scope"], 2, "usage", "contradict"),
        (&["edit", "deploy", "--expires", "1d", "--clear", "expires"], 2, "usage", "contradict"),
        (&["edit", "deploy", "--read-only", "--clear", "read-only"], 2, "usage", "contradict"),
        (&["edit", "deploy", "--clear", "colour"], 2, "usage", "possible values"),
        (&["rotate", "deploy", "--grace", "-1h"], 2, "usage", "cannot be negative"),
        (&["rotate", "deploy", "--grace", "9000y"], 1, "invalid_value", "9999"),
        (&["delete", "deploy"], 5, "confirmation_required", "add --yes"),
        (&["list", "--state", "gone"], 2, "usage", "a state is active"),
        (&["list", "--expires-within", "x"], 2, "usage", "not a duration"),
        (&["history", "--since", "x"], 2, "usage", "how long ago"),
        (&["verify", "--ip", "10.0.0.300"], 2, "usage", "not an IP address"),
        (&["verify", "--ip", "fe80::1%eth0"], 2, "usage", "zone id"),
        (&["verify", "--method", "G ET"], 2, "usage", "not an HTTP method"),
        (&["verify", "--at", "tomorrow"], 2, "usage", "RFC 3339"),
        (&["help", "nosuch"], 2, "usage", "keyward --help"),
        (&["creat", "x"], 2, "usage", "did you mean create?"),
        (&["grp", "list"], 2, "usage", "see the commands: keyward --help"),
        (&["group", "lst"], 2, "usage", "keyward help group"),
        (&["role", "create", "x", "--rank", "-1"], 2, "usage", "not in 0..=1000000"),
        (&["list", "--limit", "x"], 2, "usage", "this is not a whole number"),
        (&["list", "--limit", "99999999999999999999"], 2, "usage", "the number is too large"),
        (&["verify", "--from-file", "/does/not/exist"], 1, "invalid_value", "No such file"),
        (&["list", "--limit", "-1"], 2, "usage", "keyward help list"),
        (&["history", "--limit", "-1"], 2, "usage", "keyward help history"),
        (&["disable", "deploy", "zzz"], 1, "not_found", "no key was changed"),
        (&["create", "x", "--scop", "y"], 2, "usage", "did you mean --scope?"),
        (&["create"], 2, "usage", "<NAME>"),
        (&["verify", "--from-env", "A B"], 2, "usage", "the name of a variable"),
        (&["list", "--expires-within", "9999y"], 1, "invalid_value", "--expires-within"),
        (&["history", "nosuch"], 1, "not_found", "keyward list"),
    ];
    for (args, code, error, says) in table {
        let mut args: Vec<_> = args.iter().map(|&arg| arg.to_owned()).collect();
        args.push("--json".to_owned());
        check(&sandbox.run_args(&args, b""), *code, error, says, &format!("{args:?}"));
    }
    assert_eq!((sandbox.run("list --json"), sandbox.run("history --json")), before);
}

#[test]
fn a_person_reads_a_message_and_a_hint() {
    let sandbox = Sandbox::new();
    let output = sandbox.run("create x --allow-ip 10.1.2.3/8");
    assert_eq!(
        output.stderr,
        "error: invalid value '10.1.2.3/8' for '--allow-ip <CIDR>': 10.1.2.3/8 has host bits set: the network is 10.0.0.0/8, \
         the single address 10.1.2.3\nhint: usage: keyward help create\n"
    );
    let output = sandbox.run("creat");
    assert!(output.stderr.starts_with("error: unrecognized subcommand 'creat'\nhint: "), "{output}");
}

#[test]
fn credentials() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("deploy");
    let mut wrong = secret.clone();
    let last = if wrong.pop() == Some('0') { '1' } else { '0' };
    wrong.push(last);
    let huge = "k".repeat(1024 * 1024);
    let table: [(&str, Vec<u8>, &str, &str); 12] = [
        ("", wrong.clone().into(), "malformed", "checksum"),
        ("", secret[..secret.len() - 1].into(), "malformed", "form of a secret"),
        ("", secret[..20].into(), "malformed", "form of a secret"),
        ("", format!(" {secret}").into(), "malformed", "white space"),
        ("", format!("{secret} \n").into(), "malformed", "white space"),
        ("", huge.clone().into(), "malformed", "more than 64 KiB"),
        ("--request", huge.into(), "malformed", "more than 64 KiB"),
        ("", b"\xff\xfe\x00".into(), "malformed", "not UTF-8"),
        ("", vec![], "no_credential", "no credential was presented"),
        ("", b"\n".into(), "no_credential", "no credential was presented"),
        ("--request", secret.clone().into(), "malformed", "not the head of an HTTP request"),
        ("--request", b"GET / HTTP/1.1\r\nHost: h\r\n\r\n".into(), "no_credential", "carries no credential"),
    ];
    for (flags, input, reason, says) in table {
        let shown = String::from_utf8_lossy(&input[..input.len().min(80)]).into_owned();
        assert_eq!(sandbox.reason(flags, &String::from_utf8_lossy(&input)).split(' ').next(), Some(reason), "{shown}");
        let output = sandbox.run_with(&format!("verify {flags}"), &input);
        assert_eq!(output.code, 3, "{shown}\n{output}");
        assert!(output.stdout.contains(says), "{shown}\n{output}");
        assert_eq!(output.stdout.lines().count(), 3, "a reason, what is wrong, and what to do: {output}");
        assert!(!output.stdout.contains(&secret[16..40]) && !output.stderr.contains(&secret[16..40]));
    }
    assert_eq!(sandbox.run("show --json deploy").json()["use_count"], 0);
}

#[test]
fn a_secret_on_the_command_line_is_not_repeated() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("deploy");
    let basic = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, format!("u:{secret}"));
    for line in [
        format!("show {secret}_x"),
        format!("show {}-{}", &secret[..30], &secret[31..]),
        format!("verify --from-env {basic}"),
        format!("verify Basic {basic}"),
        format!("create {secret}"),
        format!("create x --description {secret}"),
        format!("create x --label k={secret}"),
        format!("create x --scope {secret}"),
    ] {
        let output = sandbox.run_args(&words(&line), b"");
        assert_ne!(output.code, 0, "{line}");
        for part in [&secret[31..], &basic[20..]] {
            assert!(!output.stderr.contains(part) && !output.stdout.contains(part), "{}", output.stderr);
        }
    }
    assert_eq!(sandbox.run("list -q").stdout, "deploy\n");
    for line in [
        format!("verify {secret}"),
        format!("show {secret}"),
        format!("verify --ip {secret}"),
        format!("create {secret}:x"),
    ] {
        for json in ["", " --json"] {
            let output = sandbox.run_args(&words(&format!("{line}{json}")), b"");
            assert_ne!(output.code, 0);
            assert!(!output.stderr.contains(&secret), "{}", output.stderr);
        }
    }
    let output = sandbox.run(&format!("verify {secret}"));
    assert!(output.stderr.contains("standard input"), "{output}");
}
