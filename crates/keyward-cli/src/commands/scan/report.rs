//! Reports what was found: as lines, as JSON, or as SARIF 2.1.0 (OASIS standard of 2020).

use serde::Serialize;
use serde_json::json;

use keyward_core::rules::text::redact;

use super::known::Known;
use crate::error::Error;
use crate::session::Session;
use crate::text::clean;

/// The format of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Lines,
    /// Only the names of keys with working secrets.
    Names,
    Json,
    Sarif,
}

/// A secret, its position, and its key.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    /// `None` for a message.
    file: Option<String>,
    line: u64,
    column: u64,
    commit: Option<String>,
    key: Option<String>,
    id: String,
    prefix: String,
    state: Option<&'static str>,
    genuine: Option<bool>,
    #[serde(skip)]
    is_live: bool,
    /// Whether there was a store to look it up in.
    #[serde(skip)]
    is_looked_up: bool,
}

/// The position of a secret.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'p> {
    pub(super) file: Option<&'p str>,
    pub(super) commit: Option<&'p str>,
    pub(super) line: u64,
    pub(super) column: u64,
}

impl Finding {
    pub(super) fn new(place: Place<'_>, (prefix, id): (String, String), known: Option<&Known>) -> Self {
        let (is_looked_up, nothing) = (known.is_some(), Known::default());
        let known = known.unwrap_or(&nothing);
        let Place { file, commit, line, column } = place;
        Self {
            // The name of a file may be a secret too.
            file: file.map(|file| redact(file).into_owned()),
            line,
            column,
            commit: commit.map(str::to_owned),
            key: known.name.as_ref().map(ToString::to_string),
            id,
            prefix,
            state: known.state,
            genuine: known.genuine,
            is_live: known.live.is_some(),
            is_looked_up,
        }
    }

    fn words(&self) -> String {
        let Some(key) = &self.key else {
            return if self.is_looked_up { "secret of another store" } else { "secret" }.to_owned();
        };
        match (self.genuine, self.state.unwrap_or_default()) {
            (Some(true), "active") => format!("working secret of the key {key}"),
            (Some(true), "retired") => format!("former secret of the key {key}"),
            (Some(true), state) => format!("secret of the key {key}, which is {state}"),
            (Some(false), _) => format!("forged: it has the id of a secret of the key {key}, and does not match it"),
            (None, _) => format!("secret of the key {key}, which was deleted"),
        }
    }

    fn line(&self) -> String {
        let commit = self.commit.as_ref().map(|commit| format!("{}:", commit.get(..12).unwrap_or(commit)));
        // Each finding must be one line, whatever the file is named.
        let file = self.file.as_deref().map_or("(message)".into(), clean).replace('\n', "\u{fffd}");
        let place = format!("{}{file}:{}:{}", commit.unwrap_or_default(), self.line, self.column);
        format!("{place}: {} ({}_{}_…)\n", self.words(), self.prefix, self.id)
    }

    fn sarif(&self) -> serde_json::Value {
        // A location must have a URI: for a message, it is the name of its commit.
        let commit = self.commit.as_deref().unwrap_or_default();
        let address = self.file.as_ref().map_or_else(|| format!("commit/{commit}"), |file| uri(file));
        let mut location = json!({"physicalLocation": {
            "artifactLocation": {"uri": address},
            "region": {"startLine": self.line},
        }});
        if !commit.is_empty() {
            location["message"] = json!({"text": format!("in the commit {commit}")});
        }
        json!({
            "ruleId": RULE,
            "level": if self.is_live { "error" } else { "warning" },
            "message": {"text": format!("{} ({}_{}_…)", self.words(), self.prefix, self.id)},
            "locations": [location],
            // What stays the same when lines move.
            "partialFingerprints": {"secretId/v1": self.id},
            "properties": self,
        })
    }
}

const RULE: &str = "leaked-secret";

/// A path as a URI reference (RFC 3986): characters not allowed there are percent-encoded.
fn uri(path: &str) -> String {
    let is_free = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
    let path =
        path.bytes().map(|byte| if is_free(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") });
    let path: String = path.collect();
    if path.starts_with('/') { format!("file://{path}") } else { path }
}

/// Reports findings one by one, because there may be very many.
pub(super) struct Report {
    form: Form,
    told: u64,
}

impl Report {
    pub(super) fn begin(session: &mut Session, form: Form) -> Result<Self, Error> {
        if form == Form::Sarif {
            let rule = json!({"id": RULE, "name": "LeakedSecret", "shortDescription": {"text": "A secret of an API key"},
                "help": {"text": "Disable the key (keyward disable KEY), give its users another one, and remove the secret."}});
            let driver = json!({"name": "keyward", "version": env!("CARGO_PKG_VERSION"), "rules": [rule]});
            session.terminal.print(&format!(
                "{{\"$schema\":\"https://json.schemastore.org/sarif-2.1.0.json\",\"version\":\"2.1.0\",\"runs\":[{{\
                 \"tool\":{{\"driver\":{driver}}},\"results\":["
            ))?;
        }
        Ok(Self { form, told: 0 })
    }

    pub(super) fn tell(&mut self, session: &mut Session, finding: &Finding) -> Result<(), Error> {
        let document = |value: serde_json::Result<String>| -> Result<String, Error> {
            let before = match (self.told, self.form) {
                (0, Form::Json) => "[",
                (0, _) => "",
                _ => ",\n",
            };
            Ok(before.to_owned() + &value.map_err(anyhow::Error::new)?)
        };
        let text = match self.form {
            Form::Lines => finding.line(),
            Form::Names => String::new(),
            Form::Json => document(serde_json::to_string(finding))?,
            Form::Sarif => document(serde_json::to_string(&finding.sarif()))?,
        };
        self.told += 1;
        session.terminal.print(&text)
    }

    pub(super) fn end(self, session: &mut Session) -> Result<(), Error> {
        session.terminal.print(match (self.form, self.told) {
            (Form::Json, 0) => "[]\n",
            (Form::Json, _) => "]\n",
            (Form::Sarif, _) => "]}]}\n",
            (Form::Lines | Form::Names, _) => "",
        })
    }
}
