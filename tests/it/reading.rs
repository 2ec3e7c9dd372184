//! One rule for every source of a credential: a byte order mark at the start and line ends at the end are not part of
//! it, and nothing else is removed.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;

use crate::harness::{Sandbox, words};
use crate::pty::Screen;

/// `{S}` is the secret | whether every reader accepts it.
const TABLE: [(&str, bool); 19] = [
    ("{S}", true),
    ("{S}\n", true),
    ("{S}\r\n", true),
    ("{S}\n\n", true),
    ("{S}\r\n\r\n\n", true),
    ("{S}\r", true),
    ("\u{feff}{S}", true),
    ("\u{feff}{S}\r\n\r\n", true),
    ("\u{feff}\u{feff}{S}", false),
    ("{S}\u{feff}", false),
    ("{S}\n\u{feff}", false),
    (" {S}", false),
    ("{S} ", false),
    ("{S} \n", false),
    ("\t{S}", false),
    ("{S}\t\n", false),
    ("\n{S}", false),
    ("\u{feff}\n{S}", false),
    ("{S}\u{a0}", false),
];

#[test]
fn every_reader_of_verify_takes_the_same() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("deploy");
    let file = sandbox.path("secret.txt");
    for (template, is_taken) in TABLE {
        let text = template.replace("{S}", &secret);
        let expected = if is_taken { (0, "allowed") } else { (3, "malformed") };
        let line = |question: serde_json::Value| {
            let output = sandbox.run_with("verify --batch", question.to_string());
            (output.code, output.json()["reason"].as_str().unwrap().to_owned())
        };
        fs::write(&file, &text).unwrap();
        let single = |flags: &str, input: &str| {
            let variables = [("API_KEY", text.as_str())];
            let output = sandbox.run_in(
                &words(&format!("verify --json {flags}")),
                input.as_bytes(),
                &variables,
                keyward_cli::world::StreamKinds::default(),
            );
            (output.code, output.json()["reason"].as_str().unwrap().to_owned())
        };
        for (reader, found) in [
            ("stdin", single("", &text)),
            ("file", single(&format!("--from-file {}", file.display()), "")),
            ("variable", single("--from-env API_KEY", "")),
            ("batch", line(json!({"credential": text}))),
        ] {
            assert_eq!((found.0, found.1.as_str()), expected, "{reader}: {template:?}");
        }
    }
}

#[test]
fn what_has_nothing_but_a_mark_and_line_ends_is_no_credential() {
    let sandbox = Sandbox::new();
    for input in ["", "\n", "\u{feff}", "\u{feff}\r\n\n", "\r"] {
        assert_eq!(sandbox.reason("", input), "no_credential", "{input:?}");
    }
    let output = sandbox.run_with("verify", b"\xff\xfek\0w\0");
    assert!(output.code == 3 && output.stdout.contains("UTF-16"), "{output}");
}

#[test]
fn a_header_line_a_head_and_a_line_of_a_batch_may_have_a_mark_too() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("deploy");
    let header = format!("\u{feff}Authorization: Bearer {secret}\r\n\r\n");
    assert_eq!(sandbox.reason("", &header), "allowed");
    let head = format!("\u{feff}GET / HTTP/1.1\r\nx-api-key: {secret}\r\n\r\n");
    assert_eq!(sandbox.reason("--request --transport https", &head), "allowed");
    let question = json!({"credential": secret});
    let output = sandbox.run_with("verify --batch", format!("\u{feff}{question}\r\n\u{feff}\n{question}\r\n"));
    assert_eq!(output.code, 0, "{output}");
    assert_eq!(output.stdout.lines().count(), 2, "{output}");
    // Inside a header, a mark is part of the value.
    for header in [format!("x-api-key: \u{feff}{secret}"), format!("Authorization: Bearer \u{feff}{secret}")] {
        assert_eq!(sandbox.reason("", &header), "malformed", "{header:?}");
    }
}

#[test]
fn a_prompt_takes_what_is_pasted_by_the_same_rule() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("deploy");
    for (typed, says) in [
        (format!("\u{feff}{secret}\r"), "allowed: deploy"),
        (format!(" {secret}\r"), "refused: malformed"),
        (format!("{secret}\t\r"), "refused: malformed"),
    ] {
        let mut screen = Screen::start(&sandbox.store(), "verify", 100);
        screen.wait_for("Credential");
        screen.press(&typed);
        screen.wait_for(says);
    }
}

/// To `--ensure`, a place holds the secret exactly if `verify` would accept its content. Text around the secret never
/// starts a rotation.
#[test]
fn ensure_reads_its_place_by_the_same_rule() {
    for (template, is_taken) in TABLE {
        for place in ["file", "env"] {
            let sandbox = Sandbox::new();
            let secret = sandbox.mint("deploy");
            let text = template.replace("{S}", &secret);
            let path = sandbox.path("place");
            let (flags, content) = match place {
                "file" => (format!("--secret-file {}", path.display()), text),
                _ => {
                    (format!("--env-file {} --env-name API_KEY", path.display()), format!("A=1\nAPI_KEY=\"{text}\"\n"))
                }
            };
            fs::write(&path, &content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            for rotate in ["", "--rotate-if-missing"] {
                let line = format!("create deploy --ensure --json {flags} {rotate}");
                let output = sandbox.run(&line);
                let what = format!("{place} {rotate}: {template:?}\n{output}");
                if is_taken {
                    assert_eq!((output.code, output.json()["outcome"].as_str()), (0, Some("unchanged")), "{what}");
                } else {
                    assert_eq!((output.code, output.error()["code"].as_str()), (1, Some("conflict")), "{what}");
                    assert!(!output.error()["hint"].is_null(), "{what}");
                }
                assert_eq!(fs::read_to_string(&path).unwrap(), content, "{what}");
            }
            assert_eq!(sandbox.reason("", &secret), "allowed", "no rotation: {place} {template:?}");
        }
    }
}

/// A mark before a bare value in the middle of a dotenv file, where a script has put a whole file after the `=`.
#[test]
fn the_value_of_a_variable_may_begin_with_a_mark() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("deploy");
    let path = sandbox.path(".env");
    for content in [format!("\u{feff}API_KEY={secret}\r\n"), format!("A=1\nAPI_KEY=\u{feff}{secret}\n")] {
        fs::write(&path, &content).unwrap();
        let line = format!("create deploy --ensure --json --env-file {} --env-name API_KEY", path.display());
        let output = sandbox.run(&line);
        assert_eq!((output.code, output.json()["outcome"].as_str()), (0, Some("unchanged")), "{content:?} {output}");
    }
}

#[test]
fn a_manifest_may_begin_with_a_mark_and_end_with_line_ends() {
    let sandbox = Sandbox::new();
    for manifest in ["\u{feff}[[group]]\r\nname = \"a\"\r\n\r\n\r\n", "\u{feff}{\"group\": [{\"name\": \"b\"}]}\r\n\n"]
    {
        let output = sandbox.run_with("apply -", manifest);
        assert_eq!(output.code, 0, "{output}");
    }
}
