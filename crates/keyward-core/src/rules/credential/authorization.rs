//! The value of an `Authorization` header (RFC 9110 section 11.6.2), or several of them joined together.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use zeroize::Zeroizing;

use super::search::{Found, Nothing, Search};
use super::texts::Place;
use super::{Accepted, Presentation};
use crate::rules::http::{BLANKS, list_items};
use crate::rules::token::Secret;

const NO_BASE64: &str = "Basic takes base64 (RFC 7617)";
const NO_COLON: &str = "the Basic credential has no colon between user and password";
const NO_SPACE: &str = "between a scheme and its credential stand spaces only";

/// Where a part of a Basic stands, in words.
pub(crate) const PASSWORD_OF_BASIC: &str = "the password of Authorization: Basic";
pub(crate) const USER_OF_BASIC: &str = "the user of Authorization: Basic";

/// To which scheme the next item belongs if it names none.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    /// None yet, and one is required.
    None,
    /// None yet, and none is required.
    Bare,
    Bearer,
    RestApiKey,
    Basic,
    /// A scheme that is not for keys: its parameters follow.
    Other,
}

/// Adds keyward's own credentials in a value.
pub(super) fn read(search: &mut Search, value: &str, mut scheme: Scheme) {
    list_items(value, &mut |item| {
        let item = item.trim_matches(BLANKS);
        if !item.is_empty() {
            scheme = read_item(search, item, scheme);
        }
    });
}

/// What a value may hold for other systems if it holds none of keyward's own credentials.
pub(super) fn other(value: &str, scheme: Scheme, accepted: Accepted) -> Option<Place> {
    let bearer =
        |text| Place::of(text, without_scheme(text), Presentation::Bearer, Some(Presentation::BearerNamed), accepted);
    let (word, rest) = with_word(value);
    let place = match () {
        () if word.eq_ignore_ascii_case("bearer") => Some(Presentation::Bearer),
        () if word.eq_ignore_ascii_case("basic") => Some(Presentation::Basic),
        () => None,
    };
    // Without a header around it, it may be a text that begins so.
    if let Some(presentation) = place.filter(|_| scheme == Scheme::None && !rest.starts_with([' ', ':'])) {
        return Some(Place::flawed(rest.trim_matches(BLANKS), presentation, accepted, NO_SPACE));
    }
    match value.split_once(' ') {
        Some((word, rest)) if word.eq_ignore_ascii_case("bearer") => Some(bearer(rest.trim_start_matches(' '))),
        Some((word, rest)) if word.eq_ignore_ascii_case("basic") => {
            let (decoded, flaw) = decoded(rest.trim_start_matches(' '));
            let (user, password) = user_and_password(&decoded);
            Some(Place::of_basic(user, password, accepted, flaw))
        }
        _ => match value.split_once('=') {
            Some((word, rest)) if word.eq_ignore_ascii_case("rest_api_key") => {
                Some(Place::of(rest, without_scheme(rest), Presentation::RestApiKey, None, accepted))
            }
            _ if scheme == Scheme::Bare => {
                let items = without_scheme(value);
                Some(Place::of(value, items, Presentation::Bare, Some(Presentation::BareNamed), accepted))
            }
            _ => None,
        },
    }
}

/// The items of a list, each of which may repeat the scheme of the first.
fn without_scheme(list: &str) -> impl Iterator<Item = &str> {
    let is_scheme = |word: &str| word.eq_ignore_ascii_case("bearer");
    let items = list.split(',').map(|item| item.trim_matches(BLANKS)).filter(|item| !item.is_empty());
    items.map(move |item| match (item.split_once(' '), item.split_once('=')) {
        (Some((word, rest)), _) if is_scheme(word) => rest.trim_start_matches(' '),
        (_, Some((word, rest))) if word.eq_ignore_ascii_case("rest_api_key") => rest,
        _ => item,
    })
}

/// The word that a text begins with, and the rest.
fn with_word(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(|b| b.is_ascii_alphanumeric() || b"-._".contains(b)).count())
}

/// Adds one item. Returns the scheme of what follows, unless that names its own.
fn read_item(search: &mut Search, item: &str, before: Scheme) -> Scheme {
    let (word, rest) = with_word(item);
    let own = match () {
        () if word.eq_ignore_ascii_case("bearer") && !rest.starts_with(':') => Scheme::Bearer,
        () if word.eq_ignore_ascii_case("basic") && !rest.starts_with(':') => Scheme::Basic,
        () if word.eq_ignore_ascii_case("rest_api_key") && rest.starts_with('=') => {
            if rest != "=" {
                add(search, Scheme::RestApiKey, &rest[1..]);
            }
            return Scheme::RestApiKey;
        }
        () if !word.is_empty() && rest.starts_with(' ') && !Secret::has_form(word) => {
            search.nothing(Nothing::NotOurs("the credential is of a scheme that is not for keys"));
            return Scheme::Other;
        }
        () => {
            add(search, before, item);
            return before;
        }
    };
    // Only spaces may separate a scheme from what follows (RFC 9110 section 11.4). With anything else there, some
    // readers would see a keyward credential and others would not.
    match rest.strip_prefix(' ') {
        Some(parameter) => add(search, own, parameter.trim_start_matches(' ')),
        None if rest.is_empty() => {}
        None => {
            let found = Found::named_or_not(Presentation::Bearer, Presentation::BearerNamed, rest.trim_matches(BLANKS));
            let found = if own == Scheme::Basic { Found::new(Presentation::Basic, found.secret) } else { found };
            search.add(&found.with_flaw(NO_SPACE));
        }
    }
    own
}

/// Adds what follows a scheme.
fn add(search: &mut Search, scheme: Scheme, text: &str) {
    const NEEDED: &str = "Authorization takes Bearer SECRET, Basic … or rest_api_key=SECRET";
    match scheme {
        Scheme::Bare => search.add(&Found::named_or_not(Presentation::Bare, Presentation::BareNamed, text)),
        Scheme::Bearer => search.add(&Found::named_or_not(Presentation::Bearer, Presentation::BearerNamed, text)),
        Scheme::RestApiKey => search.add(&Found::new(Presentation::RestApiKey, text)),
        Scheme::Basic => basic(search, text),
        Scheme::Other => {}
        Scheme::None => {
            let found = Found::named_or_not(Presentation::Bearer, Presentation::BearerNamed, text);
            if text.split(' ').chain([found.secret]).any(Secret::has_form) {
                search.add(&found.with_flaw(NEEDED));
            } else {
                search.nothing(Nothing::Malformed(NEEDED));
            }
        }
    }
}

/// RFC 7617: base64 of `user:password`. The secret may be either part, and the other may hold anything, in any
/// character set: neither the colon nor a secret depends on it. If neither part has the form of a secret, it is a
/// password for another system.
fn basic(search: &mut Search, encoded: &str) {
    let (decoded, flaw) = decoded(encoded);
    let (user, password) = user_and_password(&decoded);
    let mut is_ours = Secret::has_form(encoded);
    if is_ours {
        // As it is, not decoded.
        search.add(&Found::new(Presentation::Basic, encoded).with_flaw(NO_BASE64));
    }
    for (part, place) in [(password, PASSWORD_OF_BASIC), (user, USER_OF_BASIC)] {
        if let Some(secret) = std::str::from_utf8(part).ok().filter(|part| Secret::has_form(part)) {
            search.add(&Found { place: Some(place), flaw, ..Found::new(Presentation::Basic, secret) });
            is_ours = true;
        }
    }
    if !is_ours {
        search.nothing(match flaw {
            Some(flaw) => Nothing::Malformed(flaw),
            None => Nothing::NotOurs(
                "the Basic credential is not for keys: neither its user nor its password has the form of a secret",
            ),
        });
    }
}

/// The bytes, and what is wrong with how they were written.
fn decoded(encoded: &str) -> (Zeroizing<Vec<u8>>, Option<&'static str>) {
    let (decoded, flaw) = match STANDARD.decode(encoded) {
        Ok(decoded) => (Zeroizing::new(decoded), None),
        Err(_) => (decoded_anyhow(encoded), Some(NO_BASE64)),
    };
    let flaw = flaw.or(if decoded.contains(&b':') { None } else { Some(NO_COLON) });
    (decoded, flaw)
}

/// What stands in front of the first colon and behind it.
fn user_and_password(decoded: &[u8]) -> (&[u8], &[u8]) {
    let colon = decoded.iter().position(|&byte| byte == b':');
    colon.map_or((decoded, &[]), |at| (&decoded[..at], &decoded[at + 1..]))
}

/// What a less strict reader would decode. No reader may find a secret here that keyward misses.
fn decoded_anyhow(encoded: &str) -> Zeroizing<Vec<u8>> {
    const ANYHOW: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true),
    );
    let mut digits = Zeroizing::new(Vec::with_capacity(encoded.len()));
    digits.extend(encoded.bytes().filter_map(|byte| match byte {
        b'-' => Some(b'+'),
        b'_' => Some(b'/'),
        _ => Some(byte).filter(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(byte)),
    }));
    // A single left-over digit encodes no whole byte.
    if digits.len() % 4 == 1 {
        digits.pop();
    }
    Zeroizing::new(ANYHOW.decode(&*digits).unwrap_or_default())
}
