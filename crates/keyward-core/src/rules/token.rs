//! The format of a secret: built from bytes, parsed from the right, guarded by a checksum.
//!
//! ```text
//! kw_0123456789ab_<43 characters><6 characters>
//! │  │            │               └ CRC-32 (IEEE 802.3) of everything before it, in base62
//! │  │            └ 32 bytes from the operating system's generator, in base62
//! │  └ the public id of this secret: 12 characters of lower-case Crockford base32
//! └ the prefix, which may itself hold underscores: hence the parsing from the right
//! ```
//!
//! Base62 is the alphabet `0-9A-Za-z`, most significant digit first, padded with `0` to a fixed width; so every secret
//! has exactly one spelling. The checksum does not protect against an attacker. It tells a damaged or mistyped
//! credential from a wrong one without reading the store, and lets secret scanners recognise a leaked one.
//!
//! [`Secret`] is the plain text. It is wiped when dropped, has no `Display` and no `Serialize`,
//! and its `Debug` shows only the public id. What is stored is [`super::hashing::HashedSecret`].

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use zeroize::{Zeroize, Zeroizing};

use super::digits::{BASE62, CROCKFORD, ID_DIGITS, is_crockford};
use super::names::{InvalidText, Prefix, is_prefix};
use super::plain::PlainText;

/// Random bytes in a secret: 256 bits.
pub const SECRET_BYTES: usize = 32;
/// Random bytes that an [`Id`] is made from.
pub const ID_BYTES: usize = 8;

const SECRET_LENGTH: usize = 43;
const CHECKSUM_LENGTH: usize = 6;
/// Everything to the right of the prefix, with both underscores.
pub(super) const TAIL_LENGTH: usize = 1 + ID_DIGITS + 1 + SECRET_LENGTH + CHECKSUM_LENGTH;

/// A public id of a key or of one of its secrets: 12 characters of lower-case Crockford base32.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id([u8; ID_DIGITS]);

impl Id {
    /// The id that these random bytes make; 60 of the 64 bits are used.
    pub fn from_random(bytes: [u8; ID_BYTES]) -> Self {
        let bits = u64::from_be_bytes(bytes);
        Self(std::array::from_fn(|i| CROCKFORD[(bits >> (5 * i)) as usize & 31]))
    }

    /// The id number `place` of `count`, made of these random bytes: ids of ascending places are in order, so that a great
    /// many of them are written into an index from one end to the other. Of the 60 bits, as many are random as the number
    /// of ids leaves.
    pub fn in_order(place: u64, count: u64, bytes: [u8; ID_BYTES]) -> Self {
        const ALL: u128 = 1 << 60;
        let (place, count) = (u128::from(place), u128::from(count.max(1)));
        let (start, end) = (place * ALL / count, (place + 1) * ALL / count);
        let number = start + u128::from(u64::from_be_bytes(bytes)) % (end - start).max(1);
        Self(std::array::from_fn(|i| CROCKFORD[(number >> (55 - 5 * i)) as usize & 31]))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        // Crockford base32 digits are ASCII, and an id is always made of them.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl FromStr for Id {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        match text.as_bytes().try_into() {
            Ok(digits) if text.bytes().all(is_crockford) => Ok(Self(digits)),
            _ => Err(InvalidText::new("an id is 12 characters of lower-case Crockford base32")),
        }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// A plain secret: the whole text that a client presents.
pub struct Secret {
    text: Zeroizing<String>,
    id: Id,
}

/// Why a text is not a keyward secret. No message repeats any of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// White space before or after it.
    #[error("there is white space around the secret")]
    Spaces,
    /// Not of the form `prefix_id_secret`.
    #[error("this does not have the form of a secret (prefix_id_secret)")]
    Form,
    /// The form is right, but the checksum is not.
    #[error("the checksum does not match: a character is wrong or missing")]
    Checksum,
}

impl Secret {
    /// Builds the secret from its parts.
    pub fn build(prefix: &Prefix, id: Id, bytes: &[u8; SECRET_BYTES]) -> Self {
        let mut text = Zeroizing::new(String::with_capacity(prefix.as_str().len() + TAIL_LENGTH));
        text.push_str(prefix.as_str());
        text.push('_');
        text.push_str(id.as_str());
        text.push('_');
        encode_secret(bytes, &mut text);
        let checksum = checksum(&text);
        text.extend(checksum.map(char::from));
        Self { text, id }
    }

    /// Parses a secret from the right.
    ///
    /// # Errors
    /// [`TokenError`] says what is wrong with the text, without using a store.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let id = check(text)?;
        Ok(Self { text: Zeroizing::new(text.to_owned()), id })
    }

    /// The same, but takes the text over instead of copying it.
    ///
    /// # Errors
    /// As [`Secret::parse`]. The text is wiped.
    pub fn from_text(text: Zeroizing<String>) -> Result<Self, TokenError> {
        let id = check(&text)?;
        Ok(Self { text, id })
    }

    /// Whether `text` has the form of a keyward secret, possibly damaged. White space around it and a wrong checksum
    /// are allowed here; [`Secret::parse`] refuses both.
    pub fn has_form(text: &str) -> bool {
        !matches!(check(text.trim()), Err(TokenError::Form))
    }

    /// The public id inside this secret.
    pub fn id(&self) -> &Id {
        &self.id
    }

    /// What it begins with, before the id.
    pub fn prefix(&self) -> &str {
        &self.text[..self.text.len() - TAIL_LENGTH]
    }

    /// The plain text. The caller is responsible for where it goes.
    pub fn expose(&self) -> &str {
        &self.text
    }
}

impl PlainText for Secret {
    fn expose(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({}, …)", self.id)
    }
}

/// The public id in a secret, after checking its form, its checksum and its number.
fn check(text: &str) -> Result<Id, TokenError> {
    if text.trim() != text {
        return Err(TokenError::Spaces);
    }
    if !text.is_ascii() || text.len() <= TAIL_LENGTH {
        return Err(TokenError::Form);
    }
    let (prefix, tail) = text.split_at(text.len() - TAIL_LENGTH);
    let (id, secret) = tail[1..].split_at(ID_DIGITS);
    let well_formed = is_prefix(prefix)
        && tail.starts_with('_')
        && secret.starts_with('_')
        && secret[1..].bytes().all(|b| b.is_ascii_alphanumeric());
    let id = match id.parse::<Id>() {
        Ok(id) if well_formed => id,
        _ => return Err(TokenError::Form),
    };
    let (body, check) = text.split_at(text.len() - CHECKSUM_LENGTH);
    if checksum(body) != check.as_bytes() {
        return Err(TokenError::Checksum);
    }
    if !fits_32_bytes(&body.as_bytes()[body.len() - SECRET_LENGTH..]) {
        return Err(TokenError::Form);
    }
    Ok(id)
}

fn checksum(body: &str) -> [u8; CHECKSUM_LENGTH] {
    let mut rest = crc32fast::hash(body.as_bytes());
    let mut digits = [b'0'; CHECKSUM_LENGTH];
    for digit in digits.iter_mut().rev() {
        *digit = BASE62[(rest % 62) as usize];
        rest /= 62;
    }
    digits
}

/// Appends 32 bytes as 43 digits. A fixed width matters here: the base62 crates work on `u128`
/// and drop leading zeros.
fn encode_secret(bytes: &[u8; SECRET_BYTES], text: &mut String) {
    let mut number = Zeroizing::new(*bytes);
    let mut digits = Zeroizing::new([b'0'; SECRET_LENGTH]);
    for digit in digits.iter_mut().rev() {
        let mut remainder = 0_u32;
        for byte in number.iter_mut() {
            let value = remainder << 8 | u32::from(*byte);
            *byte = (value / 62) as u8;
            remainder = value % 62;
        }
        *digit = BASE62[remainder as usize];
        remainder.zeroize();
    }
    text.extend(digits.iter().copied().map(char::from));
}

/// The greatest number that 32 bytes make, 2^256 - 1, in base62.
const GREATEST: &[u8; SECRET_LENGTH] = b"yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp1";

/// Whether 43 digits are a number below 2^256: 62^43 is a little more, and a secret that does not come from 32 bytes is
/// not ours. Base62 digits are in ASCII order, so numbers of equal width compare as texts.
fn fits_32_bytes(digits: &[u8]) -> bool {
    digits <= GREATEST.as_slice()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn secret(prefix: &str, id: u64, bytes: [u8; 32]) -> Secret {
        Secret::build(&prefix.parse().unwrap(), Id::from_random(id.to_be_bytes()), &bytes)
    }

    /// Made-up vectors. Computed independently of this code, with Python's `zlib.crc32` and big integers.
    #[test]
    fn vectors() {
        for (prefix, bytes, text) in [
            ("kw", [0; 32], include_vector(0)),
            ("kw", [0xff; 32], include_vector(1)),
            ("my_app_2", std::array::from_fn(|i| i as u8), include_vector(2)),
        ] {
            assert_eq!(secret(prefix, 0, bytes).expose(), text);
        }
    }

    fn include_vector(index: usize) -> &'static str {
        include_str!("token_vectors.txt").lines().filter(|line| !line.starts_with('#')).nth(index).unwrap()
    }

    #[test]
    fn ids_use_the_crockford_alphabet() {
        assert_eq!(Id::from_random([0; 8]).as_str(), "000000000000");
        assert_eq!(Id::from_random([0xff; 8]).as_str(), "zzzzzzzzzzzz");
        for bad in ["", "0123456789a", "0123456789abc", "0123456789AB", "0123456789ai", "0123456789au"] {
            assert!(bad.parse::<Id>().is_err(), "{bad}");
        }
    }

    #[test]
    fn ids_in_order_are_in_order_and_random_within_their_place() {
        let ids =
            |byte| (0..1_000).map(move |place| Id::in_order(place, 1_000, [byte ^ place as u8; 8])).collect::<Vec<_>>();
        assert!(ids(7).is_sorted() && ids(9).is_sorted());
        assert!(ids(7).iter().zip(ids(9)).all(|(one, other)| *one != other));
        assert!(ids(7)[0].as_str() < "01" && ids(7)[999].as_str() > "zz");
    }

    #[test]
    fn a_number_that_no_32_bytes_make_is_refused_even_with_a_right_checksum() {
        let body = format!("kw_000000000000_{}", "z".repeat(43));
        let text = format!("{body}{}", std::str::from_utf8(&checksum(&body)).unwrap());
        assert_eq!(Secret::parse(&text).unwrap_err(), TokenError::Form);
    }

    #[test]
    fn the_greatest_number_is_a_secret_and_one_more_is_none() {
        let greatest = secret("kw", 0, [0xff; 32]).expose().to_owned();
        let body = &greatest[..greatest.len() - CHECKSUM_LENGTH];
        assert_eq!(&body.as_bytes()[body.len() - SECRET_LENGTH..], GREATEST);
        let last = BASE62.iter().position(|digit| body.as_bytes().last() == Some(digit)).unwrap();
        let more = format!("{}{}", &body[..body.len() - 1], char::from(BASE62[last + 1]));
        let with_checksum = |body: &str| format!("{body}{}", std::str::from_utf8(&checksum(body)).unwrap());
        assert!(with_checksum(body) == greatest && Secret::parse(&greatest).is_ok());
        assert_eq!(Secret::parse(&with_checksum(&more)).unwrap_err(), TokenError::Form);
    }

    #[test]
    fn a_damaged_secret_has_the_form_of_one_and_another_text_has_not() {
        let good = secret("kw", 7, [42; 32]).expose().to_owned();
        for (text, has_form) in [
            (good.clone(), true),
            (format!(" {good}\n"), true),
            (good.replacen("kw_", "kv_", 1), true),
            (good[..good.len() - 1].to_owned(), false),
            (format!("name:{good}"), false),
            (format!("{good} {good}"), false),
            (String::new(), false),
        ] {
            assert_eq!(Secret::has_form(&text), has_form, "{text}");
        }
    }

    #[test]
    fn damage_is_told_apart() {
        let good = secret("kw", 7, [42; 32]).expose().to_owned();
        for (text, error) in [
            (String::new(), TokenError::Form),
            ("hello".to_owned(), TokenError::Form),
            (format!(" {good}"), TokenError::Spaces),
            (format!("{good}\n"), TokenError::Spaces),
            (good[..good.len() - 1].to_owned(), TokenError::Form),
            (good[1..].to_owned(), TokenError::Checksum),
            (good.replacen("kw_", "kv_", 1), TokenError::Checksum),
            (good.replacen("kw_", "KW_", 1), TokenError::Form),
            (good.replacen("kw_", "_kw_", 1), TokenError::Form),
            (good.replacen("kw_", "kw-", 1), TokenError::Form),
            (format!("ü{good}"), TokenError::Form),
        ] {
            assert_eq!(Secret::parse(&text).unwrap_err(), error, "{text}");
        }
    }

    #[test]
    fn debug_shows_the_public_id_alone() {
        let secret = secret("kw", 7, [42; 32]);
        assert_eq!(format!("{secret:?}"), format!("Secret({}, …)", secret.id()));
    }

    proptest! {
        #[test]
        fn what_is_built_is_parsed(prefix in "[a-z][a-z0-9_]{0,15}", id: u64, bytes: [u8; 32]) {
            let built = secret(&prefix, id, bytes);
            let parsed = Secret::parse(built.expose()).unwrap();
            prop_assert_eq!(parsed.expose(), built.expose());
            prop_assert_eq!(parsed.id(), built.id());
            prop_assert_eq!(built.expose().len(), prefix.len() + TAIL_LENGTH);
        }

        #[test]
        fn one_damaged_character_is_always_caught(
            prefix in "[a-z][a-z0-9_]{0,15}", id: u64, bytes: [u8; 32],
            place: prop::sample::Index, other in "[ -~]",
        ) {
            let built = secret(&prefix, id, bytes);
            let place = place.index(built.expose().len());
            prop_assume!(built.expose()[place..=place] != other);
            let mut damaged = built.expose().to_owned();
            damaged.replace_range(place..=place, &other);
            prop_assert!(Secret::parse(&damaged).is_err());
        }

        #[test]
        fn two_neighbours_that_change_places_are_caught(id: u64, bytes: [u8; 32], place in 0_usize..60) {
            let built = secret("kw", id, bytes);
            let mut swapped = built.expose().as_bytes().to_vec();
            prop_assume!(swapped[place] != swapped[place + 1]);
            swapped.swap(place, place + 1);
            prop_assert!(Secret::parse(std::str::from_utf8(&swapped).unwrap()).is_err());
        }

        #[test]
        fn any_text_is_parsed_without_a_panic(text in "\\PC{0,100}") {
            let _ = Secret::parse(&text);
        }
    }
}
