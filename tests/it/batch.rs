//! `verify --batch`: one question per line, one answer per line.

use std::fs::Permissions;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

use keyward_core::rules::credential::parse_line;
use keyward_core::rules::decision::{Request, Transport};
use keyward_core::rules::token::Secret;
use keyward_core::store::Store;
use keyward_core::verifier::{Answer, Verifier};
use serde_json::{Value, json};

use crate::harness::Sandbox;
use crate::store_files::unprivileged;

fn lines(questions: &[Value]) -> String {
    questions.iter().fold(String::new(), |lines, question| lines + &question.to_string() + "\n")
}

fn answers(sandbox: &Sandbox, questions: &[Value]) -> (u8, Vec<Value>) {
    let input = lines(questions);
    let output = sandbox.run_with("verify --batch", input);
    (output.code, output.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

#[test]
fn every_line_is_answered_in_order_and_one_that_is_wrong_ends_nothing() {
    let sandbox = Sandbox::new();
    let secret =
        sandbox.mint("a --scope rest --allow-ip 10.0.0.0/8 --role editor --level A/B --read-only --allow-insecure");
    let full = json!({"credential": secret, "method": "GET", "ip": "10.1.2.3", "scopes": ["rest"], "levels": ["A"],
                      "role": "viewer", "transport": "http", "tenant": "x"});
    let but = |field: &str, value: Value| {
        let mut question = full.clone();
        question[field] = value;
        question
    };
    let questions = [
        (full.clone(), 200, "allowed"),
        (but("ip", json!("192.0.2.1")), 403, "ip_not_allowed"),
        (but("method", json!("POST")), 403, "method_not_allowed"),
        (but("scopes", json!(["rest", "ui"])), 403, "scope_missing"),
        (but("levels", json!(["B"])), 403, "level_missing"),
        (but("role", json!("admin")), 403, "role_too_low"),
        (but("credential", json!(format!("Authorization: Bearer a:{secret}"))), 200, "allowed"),
        (but("credential", json!(format!("b:{secret}"))), 401, "not_genuine"),
        (but("credential", json!("nothing")), 401, "malformed"),
    ];
    let (code, found) = answers(&sandbox, &questions.iter().map(|(question, ..)| question.clone()).collect::<Vec<_>>());
    assert_eq!((code, found.len()), (4, questions.len()));
    for (number, ((_, status, reason), answer)) in questions.iter().zip(&found).enumerate() {
        assert_eq!(
            (&answer["line"], &answer["status"], &answer["reason"]),
            (&json!(number + 1), &json!(status), &json!(reason))
        );
    }
    assert_eq!(sandbox.run("show a --json").json()["use_count"], 2);

    // The same document as for a single verification, with the line number in front.
    let mut single =
        sandbox.run_with("verify --json --no-record --ip 10.1.2.3 --method GET --transport http", &secret).json();
    let (_, batch) =
        answers(&sandbox, &[json!({"credential": secret, "method": "GET", "ip": "10.1.2.3", "transport": "http"})]);
    single["key"]["use_count"] = json!(2);
    single["line"] = json!(1);
    assert_eq!(batch[0], single);

    let input = format!(
        "\n{{\"credential\":\"{secret}\",\"scope\":[\"x\"]}}\nno json {secret}\n[\"{secret}\",null,null,null,[],[],null,null]\n{{\"credential\":\"{secret}\",\"ip\":\"x\"}}\n{full}"
    );
    let output = sandbox.run_with("verify --batch", input);
    let lines: Vec<Value> = output.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(output.code, 1, "{output}");
    assert_eq!(lines.iter().map(|line| line["line"].as_u64().unwrap()).collect::<Vec<_>>(), [2, 3, 4, 5, 6]);
    for line in &lines[..4] {
        // Neither yes nor no.
        assert_eq!((&line["allowed"], &line["error"]["code"]), (&Value::Null, &json!("invalid_value")));
        assert!(!line["error"]["hint"].is_null() && !line.to_string().contains(&secret[16..40]));
    }
    assert_eq!(lines[4]["allowed"], true);
    assert_eq!(sandbox.run_with("verify --batch", "").code, 0);
    assert_eq!(sandbox.run_with("verify --batch -q", format!("{full}\n")).stdout, "");
    assert_eq!(sandbox.run("verify --batch --ip 10.0.0.1 --json").error()["code"], "usage");
    assert_eq!(sandbox.run_with("verify --batch", "x".repeat(200_000)).code, 1);
}

#[test]
fn many_lines_are_answered_in_order_and_counted_exactly() {
    let sandbox = Sandbox::new();
    let secrets: Vec<String> = (0..40).map(|number| sandbox.mint(&format!("k{number}"))).collect();
    let asked: Vec<usize> = (0..3_000).map(|number| (number * number + number / 7) % 40).collect();
    let questions: Vec<Value> = asked.iter().map(|&key| json!({"credential": secrets[key]})).collect();
    let (code, found) = answers(&sandbox, &questions);
    assert_eq!((code, found.len()), (0, 3_000));
    for (number, (key, answer)) in asked.iter().zip(&found).enumerate() {
        assert_eq!((&answer["line"], &answer["key"]["name"]), (&json!(number + 1), &json!(format!("k{key}"))));
    }
    for key in sandbox.run("list --json").json().as_array().unwrap() {
        let uses = asked.iter().filter(|number| key["name"] == format!("k{number}")).count();
        assert_eq!(key["use_count"], uses, "{}", key["name"]);
    }
    let questions: Vec<Value> = questions.into_iter().take(50).collect();
    assert_eq!(sandbox.run_with("verify --batch --no-record", lines(&questions)).code, 0);
    assert_eq!(sandbox.run("show k0 --json").json()["use_count"], asked.iter().filter(|&&key| key == 0).count());
}

pub(crate) struct Conversation {
    child: std::process::Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Conversation {
    pub(crate) fn start(sandbox: &Sandbox) -> Self {
        Self::start_as(sandbox.binary("verify --batch"))
    }

    pub(crate) fn start_as(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (questions, answers) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, questions: Some(questions), answers: BufReader::new(answers) }
    }

    /// The reason of the answer, or the code of an error.
    pub(crate) fn ask(&mut self, secret: &str) -> String {
        let questions = self.questions.as_mut().unwrap();
        writeln!(questions, "{}", json!({"credential": secret})).unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        let answer: Value = serde_json::from_str(&line).unwrap();
        answer["reason"].as_str().or(answer["error"]["code"].as_str()).unwrap().to_owned()
    }
}

impl Conversation {
    /// Sends no more questions and waits for it to exit.
    pub(crate) fn end(mut self) {
        drop(self.questions.take());
        self.child.wait().unwrap();
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn what_another_process_changes_counts_from_the_next_line_on() {
    // A process that can only read the store reads it without locks, and is not notified of changes.
    for may_write in [true, false] {
        let sandbox = Sandbox::new();
        sandbox.run("user create ann");
        let secret = sandbox.mint("a --owner ann");
        for (path, mode) in [(sandbox.path(""), 0o755), (sandbox.store(), 0o644)] {
            std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        }
        let nobody = || unprivileged(&sandbox, "verify --batch");
        let mut conversation = if may_write { Conversation::start(&sandbox) } else { Conversation::start_as(nobody()) };
        // More often than there are threads, so that each has read the store.
        for _ in 0..20 {
            assert_eq!(conversation.ask(&secret), "allowed");
        }
        for (change, reason) in [
            ("disable a", "key_disabled"),
            ("enable a", "allowed"),
            ("user disable ann", "owner_disabled"),
            ("user enable ann", "allowed"),
            ("edit a --tenant nobody", "allowed"),
            ("rotate a", "secret_retired"),
            ("delete a --yes", "not_genuine"),
        ] {
            sandbox.run(change);
            for _ in 0..20 {
                assert_eq!(conversation.ask(&secret), reason, "{change}, may write: {may_write}");
            }
        }
    }
}

/// In a batch, many answers about one key wait to renew its hash.
#[test]
fn one_hash_is_renewed_once() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("a");
    sandbox.run("settings set hash-parameters m=8192,t=3,p=1");
    let mut store = Store::open(&sandbox.store()).unwrap();
    let verifier = Verifier::new(Store::open(&sandbox.store()).unwrap()).unwrap();
    let answers = [(); 2]
        .map(|()| verifier.verify(parse_line(&secret), &Request::over(Transport::Local), sandbox.now()).unwrap());
    assert!(answers.iter().all(Answer::wants_renewal));
    let id = Secret::parse(&secret).unwrap().id().clone();
    let mut renewed = |answer: &Answer, salt: u8| {
        answer.renew(&mut store, [salt; 16], sandbox.now()).unwrap();
        store.view().unwrap().presented(&id).unwrap().unwrap().hash.as_phc().to_owned()
    };
    let first = renewed(&answers[0], 1);
    assert!(first.contains("m=8192,t=3,p=1"));
    assert_eq!(renewed(&answers[1], 2), first);
}

#[test]
fn a_signal_ends_the_run_and_what_was_answered_is_counted() {
    use rustix::process::{Pid, Signal, kill_process};
    for signal in [Signal::TERM, Signal::INT] {
        let sandbox = Sandbox::new();
        let secret = sandbox.mint("a");
        let mut conversation = Conversation::start(&sandbox);
        for _ in 0..5 {
            assert_eq!(conversation.ask(&secret), "allowed");
        }
        kill_process(Pid::from_child(&conversation.child), signal).unwrap();
        assert_eq!(conversation.child.wait().unwrap().code(), Some(130));
        assert_eq!(sandbox.run("show a --json").json()["use_count"], 5, "{signal:?}");
    }
}
