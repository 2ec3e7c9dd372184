//! A secret appears in the output of the command that minted it, and nowhere else.

use std::fs;

use base64::Engine as _;

use crate::harness::Sandbox;

#[test]
fn no_minted_secret_is_in_the_store_or_in_any_other_output() {
    let sandbox = Sandbox::new();
    // Held open so that the WAL is not checkpointed and removed.
    let reader = rusqlite::Connection::open(sandbox.store()).unwrap();
    reader.query_row("SELECT count(*) FROM key", [], |row| row.get::<_, i64>(0)).unwrap();
    let mut secrets = vec![sandbox.mint("deploy --scope rest")];
    secrets.push(sandbox.run("duplicate deploy copy").stdout.trim_end().to_owned());
    secrets.push(sandbox.run("rotate deploy --grace 1h").stdout.trim_end().to_owned());

    let mut outputs = String::new();
    for line in [
        "list",
        "list --json",
        "show deploy",
        "show deploy --json",
        "edit deploy --add-scope ui",
        "disable copy",
        "enable copy --json",
        "history",
        "history --json",
        "history --check",
        "create deploy",
        "show nosuch",
    ] {
        outputs.push_str(&sandbox.run(line).to_string());
    }
    for secret in &secrets {
        for line in ["verify", "verify --json", "verify --scope nosuch", "verify --ip x", "verify --request"] {
            let output = sandbox.run_with(line, secret);
            outputs.push_str(&(output.stdout + &output.stderr));
        }
        outputs.push_str(&sandbox.run_with("verify --json", format!("wrong:{secret}")).stdout);
        let last = if secret.ends_with('x') { 'y' } else { 'x' };
        let damaged = format!("{}{last}", &secret[..secret.len() - 1]);
        outputs.push_str(&sandbox.run_with("verify --json", damaged).stdout);
    }
    outputs.push_str(&sandbox.run("delete copy --yes").stderr);

    let files = ["keys.db", "keys.db-wal", "keys.db-shm"].map(|name| fs::read(sandbox.path(name)).unwrap());
    assert!(
        files.iter().any(|bytes| contains(bytes, b"argon2id")),
        "the hashes are there, so the search would find secrets"
    );
    for secret in &secrets {
        let random = &secret.split('_').nth(2).unwrap()[..43];
        let forms = [
            random.as_bytes().to_vec(),
            decode(random),
            base64::engine::general_purpose::STANDARD.encode(secret).into_bytes(),
            base64::engine::general_purpose::STANDARD.encode(decode(random)).into_bytes(),
        ];
        for form in forms {
            assert!(!contains(outputs.as_bytes(), &form), "a secret is in an output");
            assert!(!files.iter().any(|bytes| contains(bytes, &form)), "a secret is in the store");
        }
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// The 32 bytes that 43 digits of base62 stand for.
fn decode(digits: &str) -> Vec<u8> {
    let alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut number = vec![0_u8; 32];
    for digit in digits.chars() {
        let mut carry = alphabet.find(digit).unwrap();
        for byte in number.iter_mut().rev() {
            let sum = usize::from(*byte) * 62 + carry;
            *byte = (sum & 0xff) as u8;
            carry = sum >> 8;
        }
    }
    number
}
