//! `--json` prints exactly the documented fields, with the documented types.

use std::collections::BTreeSet;

use keyward_cli::error::{Code, Error};
use keyward_cli::manual::json::{Shape, Type, shapes};
use serde_json::Value;

use crate::harness::Sandbox;

/// The objects seen, to find any that are documented but never printed.
#[derive(Default)]
struct Seen {
    shapes: BTreeSet<&'static str>,
    /// Nullable fields that were seen with a value.
    filled: BTreeSet<(&'static str, &'static str)>,
}

impl Seen {
    fn check(&mut self, name: &str, value: &Value) {
        let shape: Shape = shapes().into_iter().find(|shape| shape.name == name).unwrap();
        self.shapes.insert(shape.name);
        let object = value.as_object().unwrap_or_else(|| panic!("no {name}: {value}"));
        let fields: Vec<_> = object.keys().map(String::as_str).collect();
        let documented: Vec<_> = shape.fields.iter().map(|(field, ..)| *field).collect();
        assert_eq!(fields, documented, "{name}");
        for &(field, kind, _) in shape.fields.iter() {
            let value = &object[field];
            if !value.is_null() {
                self.filled.insert((shape.name, field));
            }
            assert!(self.is_of(kind, value), "{name}.{field} is no {}: {value}", kind.in_words());
        }
    }

    fn is_of(&mut self, kind: Type, value: &Value) -> bool {
        let is_time = |value: &Value| {
            value
                .as_str()
                .is_some_and(|text| text.len() == 20 && text.ends_with('Z') && text.parse::<jiff::Timestamp>().is_ok())
        };
        let is_text = |value: &Value| value.is_string() && !is_time(value);
        match kind {
            Type::Text => is_text(value),
            Type::MaybeText => value.is_null() || is_text(value),
            Type::Time => is_time(value),
            Type::MaybeTime => value.is_null() || is_time(value),
            Type::Number => value.is_u64(),
            Type::MaybeNumber => value.is_null() || value.is_u64(),
            Type::Switch => value.is_boolean(),
            Type::MaybeSwitch => value.is_null() || value.is_boolean(),
            Type::Texts => value.as_array().is_some_and(|items| items.iter().all(is_text)),
            Type::Labels => value.as_object().is_some_and(|fields| fields.values().all(is_text)),
            Type::Counts => value.as_object().is_some_and(|fields| fields.values().all(Value::is_u64)),
            Type::Object(name) => {
                self.check(name, value);
                true
            }
            Type::MaybeObject(name) => {
                if !value.is_null() {
                    self.check(name, value);
                }
                true
            }
            Type::Objects(name) => {
                value.as_array().unwrap().iter().for_each(|item| self.check(name, item));
                true
            }
            Type::Any => true,
        }
    }

    fn check_all(&mut self, name: &str, list: &Value) {
        let items = list.as_array().unwrap_or_else(|| panic!("no list of {name}: {list}"));
        assert!(!items.is_empty(), "{name}");
        for item in items {
            self.check(name, item);
        }
    }
}

#[test]
fn every_output_has_exactly_the_documented_fields() {
    let sandbox = Sandbox::new();
    let mut seen = Seen::default();
    let json = |line: &str| {
        let output = sandbox.run(&format!("{line} --json"));
        assert_eq!(output.code, 0, "{line}: {output}");
        output.json()
    };
    for (kind, flags) in [
        ("role", "--rank 25 --manages-keys"),
        ("tenant", "--limit 9/1mo"),
        ("group", ""),
        ("user", "--role admin --tenant x --limit 100/1m:20"),
    ] {
        for line in [format!("create x --description d {flags}"), "edit x --description e".to_owned()] {
            let document = json(&format!("{kind} {line}"));
            seen.check(kind, &document[kind]);
            assert_eq!(document.as_object().unwrap().len(), 2, "{document}");
        }
        seen.check(kind, &json(&format!("{kind} show x")));
        seen.check_all(kind, &json(&format!("{kind} list")));
    }
    let settings = "--description d --group x --owner x --role x --tenant x --scope a --level A/B --allow-ip 10.0.0.0/8 --limit 100/1m:20,1000/1d \
                    --label a=b --expires 90d";
    let created = json(&format!("--as x create full {settings}"));
    seen.check("delivery", &created);
    let secret = created["secret"].as_str().unwrap();
    seen.check("delivery", &json("create plain"));
    seen.check("delivery", &json("duplicate plain copy"));
    seen.check("delivery", &json("create plain --ensure"));
    seen.check("delivery", &json("rotate plain --grace 1h"));
    seen.check("outcome", &json("edit plain --description d"));
    for verb in ["disable", "enable"] {
        seen.check_all("outcome", &json(&format!("{verb} plain")));
    }
    seen.check_all("outcome", &json("delete copy --yes"));
    for (flags, credential) in [
        ("--ip 10.0.0.1 --tenant x", secret),
        ("--ip 10.0.0.1 --tenant x --role admin --scope b", secret),
        ("", "nothing"),
    ] {
        seen.check("answer", &sandbox.run_with(&format!("verify --json {flags}"), credential).json());
    }
    let allowed = sandbox.run_with("verify --json --ip 10.0.0.1 --tenant x", secret).json();
    assert_eq!(allowed["limits"].as_array().map(Vec::len), Some(4), "{allowed}");
    seen.check("answer", &allowed);
    seen.check("usage", &json("usage full"));
    seen.check("key", &json("show full"));
    seen.check_all("event", &json("history"));
    seen.check("history check", &json("history --check"));
    seen.check("settings", &json("settings set default-lifetime 90d"));
    seen.check("settings", &json("settings set max-lifetime 365d"));
    json("create brief --expires 3d");
    seen.check("status", &json("status --as x"));
    sandbox.run("delete brief --yes");
    seen.check("settings", &json("settings list"));
    std::fs::write(
        sandbox.path("m.toml"),
        "[[group]]\nname = \"x\"\n[[key]]\nname = \"plain\"\nexpires_at = \"30d\"\n",
    )
    .unwrap();
    seen.check("application", &json(&format!("apply {}", sandbox.path("m.toml").display())));
    let record = r#"{"name": "taken-over", "secret": "made-up-0a1b2c3d4e5f"}"#;
    seen.check("import", &sandbox.run_with("import - --json", record).json());
    seen.check_all("key", &json("list"));
    seen.check_all("finding", &json("doctor"));
    std::fs::create_dir(sandbox.path("tree")).unwrap();
    std::fs::write(sandbox.path("tree/leak"), secret).unwrap();
    seen.check_all("leak", &json(&format!("scan {}", sandbox.path("tree").display())));
    // Only in a git history, which needs git.
    seen.filled.insert(("leak", "commit"));
    seen.check("backup", &json(&format!("backup {}", sandbox.path("backup.db").display())));
    #[cfg(feature = "postgres")]
    seen.check("transfer", &json(&format!("store copy --to {}", sandbox.path("copy.db").display())));
    #[cfg(feature = "serve")]
    {
        let config = "admin = \"127.0.0.1:9181\"\nlisten = [\"127.0.0.1:9180,api\"]\n[policy.rest]\n[[route]]\npolicy = \"rest\"\n";
        std::fs::write(sandbox.path("serve.toml"), config).unwrap();
        let line = format!("serve --check --config {}", sandbox.path("serve.toml").display());
        seen.check("guard", &json(&line));
    }
    sandbox.run("disable plain");
    sandbox.run("create late");
    let restored = json(&format!("restore --yes {}", sandbox.path("backup.db").display()));
    seen.check("restore", &restored);
    seen.check_all("revocation", &restored["made_again"]);
    seen.check_all("left_out", &restored["left_out"]);
    seen.filled.insert(("restore", "revived"));
    let line = sandbox.run_with("verify --batch", "no question").json();
    seen.check("line", &line);
    seen.filled.insert(("line", "allowed"));
    let error = sandbox.run("show nothing --json").error();
    seen.check("error", &error);
    // Only a broken connection causes one.
    let unknown = Error::new(Code::UnknownOutcome, "no answer").hint("ask").of_unknown_outcome(&"01234567");
    let unknown: Value = serde_json::from_str(&unknown.render_json()).unwrap();
    seen.check("error of an unknown outcome", &unknown["error"]);

    for shape in shapes() {
        assert!(seen.shapes.contains(shape.name), "{} is documented and was not seen", shape.name);
        for &(field, ..) in shape.fields.iter() {
            assert!(seen.filled.contains(&(shape.name, field)), "{}.{field} was never filled", shape.name);
        }
    }
}
