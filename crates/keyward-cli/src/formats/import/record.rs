//! One record: the name of a key, its settings as in a manifest, and its secret in one of three forms.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use crate::formats::settings_draft::{SettingsDraft, one, text};
use crate::formats::tree::{Field, Mistake, Node, Value};
use crate::text::did_you_mean_quoted;
use keyward_core::rules::fingerprint::{from_hex, sha256};
use keyward_core::rules::hashing::{HashError, HashedSecret};
use keyward_core::rules::imported::{ImportedText, Origin, SHORTEST, is_guessable};
use keyward_core::rules::names::{Name, Prefix};
use keyward_core::rules::plain::PlainText as _;
use keyward_core::rules::setting::{Setting, Settings};
use keyward_core::rules::token::{Secret, TokenError};

/// The field with the name of the key.
pub(super) const NAME: &str = "name";

/// A key that is to be imported.
#[derive(Debug)]
pub struct Record {
    /// Its name.
    pub name: Name,
    /// What is said about its settings.
    pub draft: SettingsDraft,
    /// Its secret.
    pub secret: Given,
}

impl Record {
    /// Takes out of a message what may be a secret that stands in the wrong field: of all fields but the name, the store
    /// repeats only names.
    pub fn hide_secrets_in(&self, mut message: String) -> String {
        for (_, name) in self.draft.settings.references() {
            if may_be_secret(name.as_str()) {
                message = message.replace(name.as_str(), "…");
            }
        }
        message
    }
}

/// Whether a text may be a secret, and not a word that people have thought of.
fn may_be_secret(text: &str) -> bool {
    ImportedText::has_form(text) && !is_guessable(text)
}

/// A secret, as another system hands it over.
#[derive(Debug)]
pub enum Given {
    /// Its text.
    Text(ImportedText),
    /// The SHA-256 of its text.
    Sha256([u8; 32]),
    /// An Argon2id of its text.
    Phc(HashedSecret),
}

impl Given {
    /// In which of the three forms it came.
    pub fn origin(&self) -> Origin {
        match self {
            Self::Text(_) => Origin::Secret,
            Self::Sha256(_) => Origin::Sha256,
            Self::Phc(_) => Origin::Phc,
        }
    }

    /// What tells it from every other secret of the same form: of a text and of its SHA-256 the same.
    pub fn fingerprint(&self) -> [u8; 32] {
        match self {
            Self::Text(text) => text.sha256(),
            Self::Sha256(sha256) => *sha256,
            Self::Phc(hash) => sha256(hash.as_phc()),
        }
    }
}

/// Every field that a record can have.
pub(super) fn fields() -> Vec<&'static str> {
    let secrets = Origin::ALL.map(Origin::as_str);
    [NAME].into_iter().chain(secrets).chain(Setting::ALL.iter().map(|setting| setting.name)).collect()
}

/// An unknown field, in words. Its name is repeated only where it is too short to be a secret.
pub(super) fn unknown_field(name: &str) -> String {
    if name.len() < SHORTEST { format!("unknown field `{name}`") } else { "unknown field".to_owned() }
}

/// What is wrong with an unknown field.
fn no_such_field(name: &str) -> String {
    let (known, shown) = (fields(), unknown_field(name));
    match did_you_mean_quoted(&known, name) {
        Some(question) => format!("{shown}; {question}"),
        None => format!("{shown}; known are {}", known.join(", ")),
    }
}

/// What is wrong with the syntax of a record. A field that is set twice is named only where its name is too short to be a
/// secret.
pub(super) fn of_syntax(mistake: Mistake) -> Mistake {
    if let Some(name) = mistake.what.strip_suffix(" is set twice")
        && name.len() >= SHORTEST
    {
        return Mistake::new(mistake.at, "this is set twice");
    }
    mistake
}

/// Makes a record of its fields.
///
/// # Errors
/// All that is wrong with them. No message repeats what may be a secret.
pub(super) fn read(mut fields: Vec<Field>) -> Result<Record, Vec<Mistake>> {
    let (mut mistakes, mut name, mut secret) = (vec![], None, vec![]);
    let mut draft = SettingsDraft::new(Settings::with_prefix(Prefix::default()));
    for field in &mut fields {
        let read = if field.name == NAME {
            required::<Name>(&field.node).map(|read| name = Some(read)).map_err(Into::into)
        } else if let Ok(origin) = field.name.parse::<Origin>() {
            match given(origin, &mut field.node) {
                Ok(given) => {
                    secret.extend(given);
                    Ok(())
                }
                Err(mistake) => Err(vec![mistake]),
            }
        } else {
            draft.read(field).and_then(|is_known| {
                if is_known { Ok(()) } else { Err(vec![Mistake::new(field.at, no_such_field(&field.name))]) }
            })
        };
        if let Err(wrong) = read {
            mistakes.extend(wrong);
        }
    }
    let is_there = |name: &str| fields.iter().any(|field| field.name == name);
    if !is_there(NAME) {
        mistakes.push(Mistake::new(0, "there is no name"));
    }
    let mut secret = secret.into_iter();
    let record = match (name, secret.next(), secret.next()) {
        (Some(name), Some(secret), None) if mistakes.is_empty() => return Ok(Record { name, draft, secret }),
        (_, Some(_), Some(_)) => Some("only one of secret, sha256 and phc can be given"),
        (_, None, _) if mistakes.is_empty() || !Origin::ALL.iter().any(|origin| is_there(origin.as_str())) => {
            Some("there is no secret: give one of secret, sha256 and phc")
        }
        _ => None,
    };
    mistakes.extend(record.map(|what| Mistake::new(0, what)));
    hide(&mut mistakes, &fields);
    Err(mistakes)
}

/// A value that has to be there.
fn required<T: std::str::FromStr<Err: std::fmt::Display>>(node: &Node) -> Result<T, Mistake> {
    one(node)?.ok_or_else(|| Mistake::new(node.at, "a name cannot be empty"))
}

/// The secret in a field; nothing, where the field is empty.
fn given(origin: Origin, node: &mut Node) -> Result<Option<Given>, Mistake> {
    if node.value == Value::Nothing {
        return Ok(None);
    }
    let at = node.at;
    text(node)?;
    let Value::Text(text) = std::mem::replace(&mut node.value, Value::Nothing) else { return Ok(None) };
    let text = Zeroizing::new(text);
    if text.is_empty() {
        return Ok(None);
    }
    let mistake = |what: String| Mistake::new(at, format!("{}: {what}", origin.as_str()));
    let given = match origin {
        Origin::Secret => {
            let text = ImportedText::new(text).map_err(|error| mistake(error.to_string()))?;
            if Secret::parse(text.expose()).err() == Some(TokenError::Checksum) {
                return Err(mistake(
                    "this is a secret of keyward with a character that is wrong or missing".to_owned(),
                ));
            }
            Given::Text(text)
        }
        Origin::Sha256 => Given::Sha256(
            digest(&text).ok_or_else(|| mistake("a SHA-256 is 64 hex digits, or its 32 bytes in base64".to_owned()))?,
        ),
        Origin::Phc => Given::Phc(HashedSecret::from_phc(&text).map_err(|error| mistake(of_phc(&text, &error)))?),
    };
    Ok(Some(given))
}

/// 32 bytes in hex or in base64, of either alphabet, padded or not.
fn digest(text: &str) -> Option<[u8; 32]> {
    const CONFIG: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    const ALPHABETS: [GeneralPurpose; 2] =
        [GeneralPurpose::new(&alphabet::STANDARD, CONFIG), GeneralPurpose::new(&alphabet::URL_SAFE, CONFIG)];
    from_hex(text).or_else(|| {
        let decoded = ALPHABETS.iter().find_map(|alphabet| alphabet.decode(text).ok());
        decoded.and_then(|bytes| bytes.try_into().ok())
    })
}

fn of_phc(text: &str, error: &HashError) -> String {
    match error {
        HashError::NotArgon2id if text.starts_with("$2") => {
            "this is bcrypt, and only Argon2id is taken; give the text, or its SHA-256".to_owned()
        }
        HashError::NotArgon2id => {
            "this is not an Argon2id PHC string with a hash of 32 bytes, such as $argon2id$v=19$m=19456,t=2,p=1$SALT$HASH"
                .to_owned()
        }
        error => error.to_string(),
    }
}

/// Takes out of the messages what may be a secret that stands in the wrong field.
fn hide(mistakes: &mut [Mistake], fields: &[Field]) {
    let mut hide = |text: &str| {
        for mistake in mistakes.iter_mut().filter(|mistake| mistake.what.contains(text)) {
            mistake.what = mistake.what.replace(text, "…");
        }
    };
    // A value may hold one among other things.
    let is_between = |c: char| c.is_whitespace() || "\"'{}[],:;\\".contains(c);
    for field in fields {
        each_text(&field.node, &mut |text| {
            std::iter::once(text).chain(text.split(is_between)).filter(|text| may_be_secret(text)).for_each(&mut hide);
        });
    }
}

fn each_text(node: &Node, f: &mut dyn FnMut(&str)) {
    match &node.value {
        Value::Text(text) => f(text),
        Value::List(items) => items.iter().for_each(|item| each_text(item, f)),
        Value::Table(fields) => fields.iter().for_each(|field| {
            f(&field.name);
            each_text(&field.node, f);
        }),
        Value::Nothing | Value::Number(_) | Value::Switch(_) | Value::Other => {}
    }
}
