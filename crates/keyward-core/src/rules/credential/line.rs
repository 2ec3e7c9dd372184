//! One line: a bare secret, a header, a header's value, or a URL.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::{Credential, CredentialError, Presentation, malformed, only_one};
use crate::rules::token::Secret;

/// The optional white space around the value of a field (RFC 9110 section 5.6.3).
pub(super) const BLANKS: [char; 2] = [' ', '\t'];

const NOTHING: &str = "no credential was presented";

/// Reads a credential from one line, in whatever form it was copied from a client.
///
/// # Errors
/// [`CredentialError`] for nothing, for two different credentials, and for what cannot be one.
pub fn parse_line(line: &str) -> Result<Credential, CredentialError> {
    if line.trim().is_empty() {
        return Err(CredentialError::Missing(NOTHING.to_owned()));
    }
    if line.contains(['\n', '\r']) {
        return Err(CredentialError::ManyLines);
    }
    if let Some((field, value)) = line.split_once(':')
        && is_credential_field(field)
    {
        // White space around a field's value does not belong to it (RFC 9110 section 5.5).
        return from_field(field, value.trim_matches(BLANKS))?.ok_or_else(|| {
            CredentialError::Missing(format!("the header {field} is empty, or of a scheme that is not for keys"))
        });
    }
    if line.trim() != line {
        return Err(malformed("there is white space around the credential"));
    }
    // The name of a key may start with a slash, but holds neither a question mark nor a colon.
    let is_url = line.contains("://") || line.starts_with('/') && line.contains('?');
    if is_url && !line.contains(' ') {
        return only_one(from_url(line))?.ok_or_else(|| {
            CredentialError::Missing("the URL has neither _auth_key nor _api_auth in its query".to_owned())
        });
    }
    if let Some(credential) = from_authorization(line)? {
        return Ok(credential);
    }
    Ok(match line.rsplit_once(':') {
        Some((name, secret)) => Credential::new(Presentation::BareNamed, Some(name), secret),
        None => Credential::new(Presentation::Bare, None, line),
    })
}

/// Whether a header of this name carries credentials.
pub(super) fn is_credential_field(field: &str) -> bool {
    field.eq_ignore_ascii_case("authorization") || presentation_of(field).is_some()
}

/// The credential in a header, `None` where the header is empty or of a scheme that is not ours.
pub(super) fn from_field(field: &str, value: &str) -> Result<Option<Credential>, CredentialError> {
    if value.is_empty() {
        return Ok(None);
    }
    match presentation_of(field) {
        Some(Presentation::XIgnitionApiToken) => match value.rsplit_once(':') {
            Some((name, secret)) => Ok(Some(Credential::new(Presentation::XIgnitionApiToken, Some(name), secret))),
            None => Err(malformed("X-Ignition-API-Token takes NAME:SECRET")),
        },
        Some(presentation) => Ok(Some(Credential::new(presentation, None, value))),
        None => match from_authorization(value)? {
            Some(credential) => Ok(Some(credential)),
            None if value.contains(' ') => Ok(None),
            None => Err(malformed("Authorization takes Bearer SECRET, Basic … or rest_api_key=SECRET")),
        },
    }
}

fn presentation_of(field: &str) -> Option<Presentation> {
    [
        ("x-ignition-api-token", Presentation::XIgnitionApiToken),
        ("x-auth-key", Presentation::XAuthKey),
        ("x-api-auth", Presentation::XApiAuth),
        ("x-api-key", Presentation::XApiKey),
        ("apikey", Presentation::ApiKey),
    ]
    .into_iter()
    .find_map(|(name, presentation)| field.eq_ignore_ascii_case(name).then_some(presentation))
}

/// The value of an `Authorization` header, `None` where the scheme is none of ours.
fn from_authorization(value: &str) -> Result<Option<Credential>, CredentialError> {
    let length = value.bytes().take_while(|b| b.is_ascii_alphanumeric() || b"-._".contains(b)).count();
    let (scheme, rest) = value.split_at(length);
    // Spaces alone stand between a scheme and what follows (RFC 9110 section 11.4). With anything else
    // there, one reader would see a credential of ours and another one would not.
    let parameter = || match rest.trim_start_matches(' ') {
        parameter if rest.starts_with(' ') && !parameter.is_empty() => Ok(parameter),
        _ => Err(malformed(format!("after {scheme} come a space and the credential"))),
    };
    if scheme.eq_ignore_ascii_case("bearer") && !rest.starts_with(':') {
        let parameter = parameter()?;
        return Ok(Some(match parameter.rsplit_once(':') {
            Some((name, secret)) => Credential::new(Presentation::BearerNamed, Some(name), secret),
            None => Credential::new(Presentation::Bearer, None, parameter),
        }));
    }
    if scheme.eq_ignore_ascii_case("basic") && !rest.starts_with(':') {
        return basic(parameter()?).map(Some);
    }
    if scheme.eq_ignore_ascii_case("rest_api_key")
        && let Some(secret) = rest.strip_prefix('=')
    {
        return Ok(Some(Credential::new(Presentation::RestApiKey, None, secret)));
    }
    Ok(None)
}

/// RFC 7617: base64 of `user:password`. The secret may be either of the two, and the other part
/// may hold anything; two secrets that differ are ambiguous.
fn basic(encoded: &str) -> Result<Credential, CredentialError> {
    let decoded =
        STANDARD.decode(encoded).map(Zeroizing::new).map_err(|_| malformed("Basic takes base64 (RFC 7617)"))?;
    let text = std::str::from_utf8(&decoded).map_err(|_| malformed("the Basic credential is not UTF-8"))?;
    let (user, password) =
        text.split_once(':').ok_or_else(|| malformed("the Basic credential has no colon between user and password"))?;
    let secrets = [password, user].into_iter().filter(|part| Secret::is_well_formed(part));
    let found = secrets.map(|secret| Credential::new(Presentation::Basic, None, secret)).collect();
    // Without a secret it is still a credential: damaged, or of another kind, and not to be mixed with one of ours.
    let other = if password.is_empty() { user } else { password };
    Ok(only_one(found)?.unwrap_or_else(|| Credential::new(Presentation::Basic, None, other)))
}

/// All credentials in the query of a URL or of a request target.
pub(super) fn from_url(url: &str) -> Vec<Credential> {
    // What follows # is only for the browser, question marks included (RFC 3986 section 3.5).
    let url = url.split('#').next().unwrap_or_default();
    let Some((_, query)) = url.split_once('?') else { return vec![] };
    form_urlencoded::parse(query.as_bytes())
        .filter_map(|(field, value)| {
            let value = Zeroizing::new(value.into_owned());
            let presentation = match &*field {
                "_auth_key" => Presentation::QueryAuthKey,
                "_api_auth" => Presentation::QueryApiAuth,
                _ => return None,
            };
            (!value.is_empty()).then(|| Credential::new(presentation, None, &value))
        })
        .collect()
}
