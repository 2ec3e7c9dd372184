//! Tells a system's story with the real binary and checks what must hold in each of them: no secret is ever printed
//! again, no refused change changes anything, and every use is counted.

use std::cell::RefCell;
use std::collections::HashMap;

use serde_json::Value;

use super::capture::Call;
use crate::harness::{Output, Sandbox, binary, finish_with};

/// A store and its history.
pub struct Story {
    pub sandbox: Sandbox,
    secrets: RefCell<Vec<String>>,
    /// How often each key was used, by its id.
    uses: RefCell<HashMap<String, u64>>,
}

/// What `verify` said.
pub struct Verdict(Value);

impl Story {
    pub fn begin() -> Self {
        Self { sandbox: Sandbox::new(), secrets: RefCell::default(), uses: RefCell::default() }
    }

    /// Runs a command and accepts any result. Single quotes keep words together.
    pub fn run(&self, line: &str, input: &[u8]) -> Output {
        let output = finish_with(&mut binary(&self.sandbox.store(), &arguments(line)), input);
        let said = format!("{}{}", output.stdout, output.stderr);
        for secret in self.secrets.borrow().iter() {
            assert!(!said.contains(secret) && !said.contains(random_part(secret)), "{line} repeats a secret: {output}");
        }
        output
    }

    /// Runs a command that succeeds.
    pub fn run_well(&self, line: &str) -> Output {
        let output = self.run(line, b"");
        assert_eq!(output.code, 0, "{line}: {output}");
        output
    }

    /// The JSON document from a command that succeeds.
    pub fn json(&self, line: &str) -> Value {
        self.run_well(&format!("{line} --json")).json()
    }

    /// The secret from a command that mints one and prints nothing else.
    pub fn mint(&self, line: &str) -> String {
        let secret = self.run_well(line).stdout;
        self.note_secret(secret.strip_suffix('\n').unwrap_or(&secret))
    }

    /// From now on, no output may contain this secret.
    pub fn note_secret(&self, secret: &str) -> String {
        assert!(!random_part(secret).is_empty());
        self.secrets.borrow_mut().push(secret.to_owned());
        secret.to_owned()
    }

    /// Runs a command that is refused with this code and changes nothing. Returns the message.
    pub fn refused(&self, line: &str, code: &str) -> String {
        let before = self.json("history");
        let output = self.run(&format!("{line} --json"), b"");
        let exit = if code == "confirmation_required" { 5 } else { 1 };
        assert_eq!((output.code, output.stdout.as_str()), (exit, ""), "{line}: {output}");
        let error = output.error();
        assert_eq!(error["code"], code, "{line}: {output}");
        assert_eq!(self.json("history"), before, "{line}");
        error["message"].as_str().unwrap().to_owned()
    }

    /// Everything known about a key, including how often it was used.
    pub fn key(&self, name: &str) -> Value {
        let key = self.json(&format!("show {name}"));
        let uses = self.uses.borrow().get(text(&key["id"])).copied().unwrap_or_default();
        assert_eq!(key["use_count"], uses, "{name}");
        assert_eq!(key["last_used_at"].is_null(), uses == 0, "{name}");
        key
    }

    /// What `verify --request` with these flags says about a captured request.
    pub fn verify(&self, flags: &str, request: &[u8]) -> Verdict {
        let output = self.run(&format!("verify --request {flags} --json"), request);
        let verdict = Verdict(output.json());
        let (allowed, reason, status) = (&verdict.0["allowed"], text(&verdict.0["reason"]), &verdict.0["status"]);
        let expected = match output.code {
            0 => (true, 200),
            3 => (false, 401),
            4 => (false, 403),
            code => panic!("exit code {code}: {output}"),
        };
        assert_eq!((allowed, status), (&expected.0.into(), &expected.1.into()), "{output}");
        assert_eq!(verdict.reasons().split(' ').next(), Some(reason), "{output}");
        // A caller without a genuine credential learns nothing about the key.
        let key = &verdict.0["key"];
        let is_anonymous = matches!(reason, "no_credential" | "ambiguous_credential" | "malformed" | "not_genuine");
        assert_eq!(key.is_null(), is_anonymous, "{output}");
        if output.code == 0 {
            *self.uses.borrow_mut().entry(text(&key["id"]).to_owned()).or_default() += 1;
        }
        verdict
    }

    /// A short form of the same, for a request from curl.
    pub fn told(&self, flags: &str, call: &Call) -> String {
        self.verify(flags, &call.by_curl()).told()
    }

    /// The same for a request that both clients send and that must get the same verdict.
    pub fn told_by_each(&self, flags: &str, call: &Call) -> String {
        let [one, other] = call.by_each().map(|request| self.verify(flags, &request).told());
        assert_eq!(one, other, "curl and requests");
        one
    }

    /// The names of the listed keys.
    pub fn listed(&self, filters: &str) -> String {
        self.run_well(&format!("list -q {filters}")).stdout.lines().collect::<Vec<_>>().join(" ")
    }

    /// Checks the file: every usable secret is stored as a hash, and no secret in any other form.
    pub fn end(self) {
        let connection = rusqlite::Connection::open(self.sandbox.store()).unwrap();
        let mut statement = connection.prepare("SELECT hash FROM secret").unwrap();
        let hashes: Vec<String> = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        assert!(!hashes.is_empty() && hashes.iter().all(|hash| hash.starts_with("$argon2id$v=19$m=")), "{hashes:?}");
        assert_eq!(self.json("history --check")["intact"], true);
        for file in std::fs::read_dir(self.sandbox.path("")).unwrap() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            for secret in self.secrets.borrow().iter() {
                let random = random_part(secret).as_bytes();
                assert!(!bytes.windows(random.len()).any(|window| window == random), "the store holds a secret");
            }
        }
    }
}

impl Verdict {
    /// All failing checks, or `allowed`.
    pub fn reasons(&self) -> String {
        let checks = self.0["checks"].as_array().unwrap().iter();
        let failing: Vec<_> =
            checks.filter(|check| check["outcome"] == "fail").map(|check| text(&check["check"])).collect();
        if failing.is_empty() { "allowed".to_owned() } else { failing.join(" ") }
    }

    /// Presentation, reasons and warnings: `bearer: allowed`, `query_auth_key: allowed (credential_in_query)`.
    pub fn told(&self) -> String {
        let presentation = self.0["presentation"].as_str().unwrap_or("none");
        let warnings: Vec<_> = self.0["warnings"].as_array().unwrap().iter().map(text).collect();
        let warnings = if warnings.is_empty() { String::new() } else { format!(" ({})", warnings.join(" ")) };
        format!("{presentation}: {}{warnings}", self.reasons())
    }

    pub fn effective_role(&self) -> Option<&str> {
        self.0["effective_role"].as_str()
    }
}

/// The text of a JSON string.
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

/// Asserts the values of some fields of an object.
pub fn assert_fields(object: &Value, expected: Value) {
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(object.get(field), Some(value), "{field}");
    }
}

/// Splits a command line at white space; text in single quotes stays in one piece.
fn arguments(line: &str) -> Vec<String> {
    let mut arguments = vec![];
    for (place, part) in line.split('\'').enumerate() {
        if place % 2 == 1 {
            arguments.push(part.to_owned());
        } else {
            arguments.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    arguments
}

/// The random part of a secret: without the prefix, the id and the checksum.
fn random_part(secret: &str) -> &str {
    let random = secret.rsplit('_').next().unwrap_or_default();
    assert_eq!(random.len(), 49, "this is no secret");
    &random[..43]
}
