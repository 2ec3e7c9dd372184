use std::io::Cursor;

use super::*;
use keyward_core::rules::imported::Origin;
use keyward_core::rules::patch::fields;
use keyward_core::rules::plain::PlainText as _;

/// Made up.
const TEXT: &str = "made-up-text,of:0001";
const SHA: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0";
const PHC: &str = "$argon2id$v=19$m=1024,t=1,p=1$BwcHBwcHBwcHBwcHBwcHBw$BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc";

/// What is read, in short: line, name, secret and settings that are not the default; or the mistakes.
fn read(format: Format, input: &[u8]) -> Vec<String> {
    let records = match Records::new(format, Cursor::new(input)) {
        Ok(records) => records,
        Err(error) => return vec![error.to_string()],
    };
    let mut told = vec![];
    for line in records {
        told.push(match line {
            Err(error) => error.to_string(),
            Ok(Line { number, read: Err(mistakes) }) => format!("{number} wrong: {}", mistakes.join(" | ")),
            Ok(Line { number, read: Ok(record) }) => {
                let secret = match &record.secret {
                    Given::Text(text) => text.expose().to_owned(),
                    given => given.origin().as_str().to_owned(),
                };
                let default = keyward_core::rules::setting::Settings::with_prefix(record.draft.settings.prefix.clone());
                let own = fields(&record.draft.settings);
                let changed = own.into_iter().zip(fields(&default)).filter(|(one, other)| one != other);
                let changed: Vec<_> = changed.map(|((name, value), _)| format!("{name}={value}")).collect();
                format!("{number} {} {secret} {}", record.name, changed.join(" ")).trim_end().to_owned()
            }
        });
    }
    told
}

fn fill(template: &str) -> String {
    template.replace("{T}", TEXT).replace("{S}", SHA).replace("{P}", PHC)
}

#[test]
fn json_lines() {
    for (input, expected) in [
        (r#"{"name":"a","secret":"{T}"}"#, vec!["1 a {T}"]),
        (
            "\u{feff}{\"name\":\"a\",\"sha256\":\"{S}\"}\r\n\n \n{\"name\":\"b\",\"phc\":\"{P}\"}",
            vec!["1 a sha256", "4 b phc"],
        ),
        (
            r#"{"name":"a","secret":"{T}","scopes":["x","y"],"labels":{"team":"web"},"read_only":true,"limits":["10/1m"]}"#,
            vec![
                r#"1 a {T} scopes=["x","y"] limits=[{"count":10,"period":"1m","burst":10}] labels={"team":"web"} read_only=true"#,
            ],
        ),
        (r#"{"name":"a","secret":null,"sha256":"","phc":"{P}"}"#, vec!["1 a phc"]),
        ("\n", vec![]),
        ("", vec![]),
        ("[]", vec!["1 wrong: column 1: write one object a line, such as {\"name\": \"…\", \"secret\": \"…\"}"]),
        (r#"{"name":"a"}"#, vec!["1 wrong: column 1: there is no secret: give one of secret, sha256 and phc"]),
        (r#"{"secret":"{T}"}"#, vec!["1 wrong: column 1: there is no name"]),
        (
            r#"{"name":"a","secret":"{T}","sha256":"{S}"}"#,
            vec!["1 wrong: column 1: only one of secret, sha256 and phc can be given"],
        ),
        (r#"{"name":"a","name":"b","secret":"{T}"}"#, vec!["1 wrong: column 13: name is set twice"]),
        (
            r#"{"name":"a","secret":"{T}","scope":["x"]}"#,
            vec!["1 wrong: column 45: unknown field `scope`; did you mean `scopes`?"],
        ),
        (
            r#"{"name":"a b","secret":"short"}"#,
            vec![
                "1 wrong: column 9: a name cannot hold a space: use letters, digits and . _ - @ / | column 24: secret: an imported secret has 16 to 512 characters",
            ],
        ),
        (r#"{"name":"a","secret":7}"#, vec!["1 wrong: column 22: write this in quotation marks"]),
        (
            r#"{"name":"a","sha256":"{T}"}"#,
            vec!["1 wrong: column 22: sha256: a SHA-256 is 64 hex digits, or its 32 bytes in base64"],
        ),
        (
            r#"{"name":"a","phc":"$2b$12$abcdefghijklmnopqrstuv"}"#,
            vec!["1 wrong: column 19: phc: this is bcrypt, and only Argon2id is taken; give the text, or its SHA-256"],
        ),
        ("{\"name\":\"a\"", vec!["1 wrong: column 1: unterminated object"]),
        (
            "{\"name\":\"a\0\",\"secret\":\"{T}\"}",
            vec![
                "1 wrong: column 9: a name cannot hold a control character (U+0000): use letters, digits and . _ - @ /",
            ],
        ),
    ] {
        let expected: Vec<_> = expected.into_iter().map(fill).collect();
        assert_eq!(read(Format::Jsonl, fill(input).as_bytes()), expected, "{input}");
    }
    let deep = format!("{{\"name\":{}}}", "[".repeat(100_000));
    assert_eq!(read(Format::Jsonl, deep.as_bytes()).len(), 1);
    assert_eq!(read(Format::Jsonl, b"{\"name\":\"\xff\"}"), ["1 wrong: this is not text in UTF-8"]);
    assert_eq!(read(Format::Jsonl, &vec![b' '; MOST_BYTES + 1]).len(), 1);
}

#[test]
fn a_hash_is_taken_in_each_of_its_spellings() {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
    let bytes: Vec<u8> = (0..32).map(|place| 0xff - place * 3).collect();
    let hex = keyward_core::rules::fingerprint::to_hex(&bytes);
    let base64 = [
        STANDARD.encode(&bytes),
        STANDARD_NO_PAD.encode(&bytes),
        URL_SAFE.encode(&bytes),
        URL_SAFE_NO_PAD.encode(&bytes),
    ];
    for text in base64.into_iter().chain([hex.to_uppercase(), hex]) {
        let line = format!(r#"{{"name":"a","sha256":"{text}"}}"#);
        let mut records = Records::new(Format::Jsonl, Cursor::new(line.as_bytes())).unwrap_or_else(|_| panic!());
        let record = records.next().unwrap().unwrap().read.unwrap();
        assert!(matches!(record.secret, Given::Sha256(found) if found[..] == bytes[..]), "{text}");
        assert_eq!(record.secret.origin(), Origin::Sha256);
    }
}

#[test]
fn csv() {
    for (input, expected) in [
        ("name,secret\na,\"{T}\"\n", vec!["2 a {T}"]),
        ("\u{feff}name,sha256\r\na,{S}\r\n\r\nb,{S}", vec!["2 a sha256", "4 b sha256"]),
        (
            "name,phc,scopes,labels,read_only,enabled,description\na,\"{P}\",\"x, y\",\"team=web,tier=1\",true,FALSE,\"one \"\"quoted\"\"\"\n",
            vec![
                "2 a phc description=\"one \\\"quoted\\\"\" scopes=[\"x\",\"y\"] labels={\"team\":\"web\",\"tier\":\"1\"} read_only=true enabled=false",
            ],
        ),
        ("name,secret,sha256\na,,{S}\n", vec!["2 a sha256"]),
        ("", vec!["line 1: there is nothing in it"]),
        ("name,secret\n", vec![]),
        ("a,{S}\n", vec!["line 1: the first line has to name the columns, such as name,secret,scopes"]),
        ("name,{S}\n", vec!["line 1: column 2: unknown field"]),
        (
            "name;secret\na;{T}\n",
            vec!["line 1: the columns are separated by semicolons: save it with commas between them"],
        ),
        ("secret\tname\n{T}\ta\n", vec!["line 1: the columns are separated by tabs: save it with commas between them"]),
        (
            "Secret,Name\n{T},a\n",
            vec!["line 1: write the names of the columns in lower case, such as name,secret,scopes"],
        ),
        (
            "sep=,\nname,secret\na,\"{T}\"\n",
            vec!["line 1: this line is for a spreadsheet only: remove it, so that the first line names the columns"],
        ),
        (
            "name,secret,,\na,\"{T}\",,\n",
            vec!["line 1: column 3: it has no name: remove it; column 4: it has no name: remove it"],
        ),
        ("name,secret,labels\na,\"{T}\",\"a=1,a=2\"\n", vec!["2 wrong: labels: a label is set twice"]),
        ("name,secrets\n", vec!["line 1: column 2: unknown field `secrets`; did you mean `secret`?"]),
        ("name,secret,name\n", vec!["line 1: column 3: the field is named twice"]),
        (
            "name,secret\na,{T}\nb\n",
            vec![
                "2 wrong: it has 3 cells, and there are 2 columns: is a comma not in quotation marks?",
                "3 wrong: it has 1 cells, and there are 2 columns: is a comma not in quotation marks?",
            ],
        ),
        ("name,secret\na,\"{T}\nb,x\n", vec!["2 wrong: a quotation mark is not closed"]),
        ("name,secret,read_only\na,\"{T}\",yes\n", vec!["2 wrong: read_only: write true or false"]),
        ("name,secret,labels\na,\"{T}\",web\n", vec!["2 wrong: labels: write labels as team=web,tier=1"]),
        (
            "name,secret,scopes\n=1+1,1.23457E+15,\"a b\"\n",
            vec![
                "2 wrong: name: a name cannot hold '=': use letters, digits and . _ - @ / | secret: an imported secret has 16 to 512 characters | scopes: a scope cannot hold a space: use printable ASCII without spaces, commas, quotation marks and backslashes",
            ],
        ),
    ] {
        let expected: Vec<_> = expected.into_iter().map(fill).collect();
        assert_eq!(read(Format::Csv, fill(input).as_bytes()), expected, "{input}");
    }
    let utf_16: Vec<u8> = "\u{feff}name,secret\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(read(Format::Csv, &utf_16), ["line 1: this is UTF-16 text: save it as UTF-8"]);
    assert_eq!(read(Format::Csv, b"name,secret\na,\xff\xfe\n"), ["2 wrong: secret: this is not text in UTF-8"]);
    for endless in [
        format!("name,secret\n\"{}", "x\n".repeat(MOST_BYTES)),
        "x".repeat(3 * MOST_BYTES),
        format!("name\n{}", ",".repeat(3 * MOST_BYTES)),
    ] {
        let told = read(Format::Csv, endless.as_bytes());
        assert!(told.len() == 1 && told[0].contains("longer than 256 KiB"), "{told:?}");
    }
}

#[test]
fn no_message_repeats_a_secret() {
    let secret = "9f8c1b7e42d04c6fb1a7";
    for field in record::fields() {
        let lines = [
            format!(r#"{{"name":"a","secret":"x","{field}":"{secret}"}}"#),
            format!(r#"{{"{field}":["{secret}"]}}"#),
            format!(r#"{{"{field}":{{"{secret}":"{secret}"}}}}"#),
            format!(r#"{{"{field}":"{secret} x"}}"#),
            format!(r#"{{"{field}":["is {secret}","10/{secret}"]}}"#),
            format!(r#"{{"name":"a","secret":"{secret}","{field}":7}}"#),
            format!(r#"{{"{secret}":"{field}"}}"#),
            format!(r#"{{"{secret}":"{field}","{secret}":"{field}"}}"#),
            format!(r#"{{"{field}":{{"{secret}":"x","{secret}":"x"}}}}"#),
            format!(r#"{{"name":"a","secret":"{secret}" "{field}""#),
        ];
        for line in &lines {
            let told = read(Format::Jsonl, line.as_bytes());
            assert!(told.iter().all(|told| told.starts_with("1 a ") || !told.contains(secret)), "{line}: {told:?}");
        }
        for table in
            [format!("name,{field}\na b,{secret}\n"), format!("{field},{secret}\n"), format!("{field}\n{secret},x\n")]
        {
            let told = read(Format::Csv, table.as_bytes());
            assert!(told.iter().all(|told| !told.contains(secret)), "{table}: {told:?}");
        }
    }
}

#[test]
fn the_format_of_a_file_is_seen_at_its_start() {
    for (start, expected) in [
        (&b"{\"name\""[..], Some(Format::Jsonl)),
        (b"\xef\xbb\xbf\n {", Some(Format::Jsonl)),
        (b"name,secret", Some(Format::Csv)),
        (b"[{", None),
        (b"", Some(Format::Csv)),
    ] {
        assert_eq!(Format::of(start), expected, "{start:?}");
    }
}
