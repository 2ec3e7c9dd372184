//! Secrets that another system made and that keep working: their form, and how they are found.
//!
//! The text of an imported secret has no id and no checksum. So it is found by 24 bits of a keyed hash ([`Bucket`]), and
//! then checked by Argon2id like any other secret. The 24 bits do not reveal the text to someone who has the store; a
//! complete fast hash would let them test guesses at full speed.
//!
//! What may break: a text that a person thought of. Someone who has the store also has the key of the buckets, and can
//! discard all but one in 16 million guesses before the first Argon2id. So only generated texts should be imported;
//! [`is_guessable`] finds most others.

use std::fmt;
use std::str::FromStr;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::fingerprint::{from_hex, push_hex, sha256};
use super::names::InvalidText;
use super::plain::PlainText;

/// The least number of characters in an imported secret.
pub const SHORTEST: usize = 16;
/// The greatest number.
pub const LONGEST: usize = 512;
/// The least number of different characters.
pub const LEAST_DIFFERENT: usize = 8;

/// The plain text of a secret that another system made. It is wiped when dropped, and its `Debug` output hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct ImportedText(Zeroizing<String>);

impl ImportedText {
    /// Takes the text if it has the right form: 16 to 512 visible ASCII characters, at least 8 of them different.
    ///
    /// # Errors
    /// The message says what is wrong, and repeats none of the text.
    pub fn new(text: Zeroizing<String>) -> Result<Self, InvalidText> {
        check(&text).map(|()| Self(text))
    }

    /// Whether a text has that form.
    pub fn has_form(text: &str) -> bool {
        check(text).is_ok()
    }

    /// The SHA-256 (FIPS 180-4) of the text.
    pub fn sha256(&self) -> [u8; 32] {
        sha256(&self.0)
    }
}

impl PlainText for ImportedText {
    fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ImportedText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ImportedText(…)")
    }
}

fn check(text: &str) -> Result<(), InvalidText> {
    if !(SHORTEST..=LONGEST).contains(&text.len()) {
        return Err(InvalidText::new(format!("an imported secret has {SHORTEST} to {LONGEST} characters")));
    }
    let mut seen = 0_u128;
    for byte in text.bytes() {
        if !byte.is_ascii_graphic() {
            return Err(InvalidText::new("an imported secret has visible ASCII characters only, and no spaces"));
        }
        seen |= 1 << byte;
    }
    if (seen.count_ones() as usize) < LEAST_DIFFERENT {
        return Err(InvalidText::new(format!(
            "an imported secret has at least {LEAST_DIFFERENT} different characters"
        )));
    }
    Ok(())
}

/// In which form another system handed a secret over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Its text.
    Secret,
    /// The SHA-256 of its text.
    Sha256,
    /// An Argon2id of its text, as a PHC string.
    Phc,
}

impl Origin {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Secret, Self::Sha256, Self::Phc];

    /// Its name: as the field of a record, and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::Sha256 => "sha256",
            Self::Phc => "phc",
        }
    }
}

impl FromStr for Origin {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        let found = Self::ALL.into_iter().find(|origin| origin.as_str() == text);
        found.ok_or_else(|| InvalidText::new("an imported secret came as secret, sha256 or phc"))
    }
}

/// How the secret of another system came into the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Import {
    /// The form in which it came.
    pub origin: Origin,
    /// Whether the store now keeps it like its own secrets: as an Argon2id hash, found by its bucket. A secret that came
    /// as a text is kept so from the start; the others are from the first allowed request on.
    pub is_renewed: bool,
}

/// Bytes of the key that makes buckets.
pub const LOOKUP_KEY_BYTES: usize = 32;

/// The key of a store that makes buckets of texts.
#[derive(Clone, PartialEq, Eq)]
pub struct LookupKey(Zeroizing<[u8; LOOKUP_KEY_BYTES]>);

impl LookupKey {
    /// A key of random bytes.
    pub fn new(bytes: [u8; LOOKUP_KEY_BYTES]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bucket of the text with this SHA-256: the first 24 bits of its HMAC-SHA-256 (RFC 2104).
    pub fn bucket(&self, sha256: &[u8; 32]) -> Bucket {
        // A key shorter than a block is padded with zeros (RFC 2104 section 2).
        let mut block = Zeroizing::new([0; 64]);
        block[..LOOKUP_KEY_BYTES].copy_from_slice(&*self.0);
        let mut mac = Hmac::<Sha256>::new(&(*block).into());
        mac.update(sha256);
        let [first, second, third, ..]: [u8; 32] = mac.finalize().into_bytes().into();
        Bucket(u32::from_be_bytes([0, first, second, third]))
    }

    /// The key in hex, for the store.
    pub fn to_hex(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(2 * LOOKUP_KEY_BYTES));
        for byte in self.0.iter() {
            push_hex(&mut text, *byte);
        }
        text
    }
}

impl FromStr for LookupKey {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        from_hex(text).map(Self::new).ok_or_else(|| InvalidText::new("a lookup key is 64 hex digits"))
    }
}

impl fmt::Debug for LookupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LookupKey(…)")
    }
}

/// The 24 bits by which a text is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Bucket(u32);

impl Bucket {
    /// The number, below 2^24.
    pub fn number(self) -> i64 {
        i64::from(self.0)
    }
}

/// A text with fewer bits than this counts as guessable.
const FEW_BITS: f64 = 64.0;

/// Whether a person, not a generator, may have made this text. This is an estimate, not a proof: letters of words count
/// as little as they do in a language, and runs like `1234` and repetitions count for almost nothing.
///
/// ```
/// use keyward_core::rules::imported::is_guessable;
///
/// assert!(is_guessable("correct-horse-battery-staple"));
/// assert!(!is_guessable("9f8c1b7e42d04c6fb1a7"));
/// ```
pub fn is_guessable(text: &str) -> bool {
    bits(text) < FEW_BITS
}

fn bits(text: &str) -> f64 {
    let bytes = text.as_bytes();
    let has = |class: fn(&u8) -> bool| bytes.iter().any(class);
    let is_hex = bytes.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'-');
    let alphabet = if is_hex {
        16.0
    } else {
        let class = |class: fn(&u8) -> bool, size: f64| if has(class) { size } else { 0.0 };
        class(u8::is_ascii_lowercase, 26.0)
            + class(u8::is_ascii_uppercase, 26.0)
            + class(u8::is_ascii_digit, 10.0)
            + class(u8::is_ascii_punctuation, 8.0)
    };
    let (mut bits, mut start) = (0.0, 0);
    while start < bytes.len() {
        let letters = bytes[start..].iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
        if !is_hex && is_word(&bytes[start..start + letters]) {
            // About the information in a letter of English.
            bits += 1.5 * f64::from(u16::try_from(letters).unwrap_or(u16::MAX));
            start += letters;
            continue;
        }
        let step = |place: usize| Some(i16::from(*bytes.get(place)?) - i16::from(*bytes.get(place.checked_sub(1)?)?));
        let is_run = step(start).is_some_and(|step| (-1..=1).contains(&step))
            && start.checked_sub(1).and_then(step) == step(start);
        let pair = bytes.get(start.wrapping_sub(1)..=start);
        let is_seen = pair.is_some_and(|pair| bytes[..start].windows(2).any(|earlier| earlier == pair));
        bits += if is_run || is_seen { 0.5 } else { f64::log2(alphabet) };
        start += 1;
    }
    bits
}

/// Whether letters look like a word: long enough, in one case except for the first letter, and with as many vowels as
/// words usually have.
fn is_word(letters: &[u8]) -> bool {
    let vowels = letters.iter().filter(|letter| b"aeiouyAEIOUY".contains(letter)).count();
    let rest = letters.get(1..).unwrap_or_default();
    let is_one_case = rest.iter().all(u8::is_ascii_lowercase) || letters.iter().all(u8::is_ascii_uppercase);
    letters.len() >= 4 && is_one_case && (20..=65).contains(&(vowels * 100 / letters.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_of_a_text() {
        for (text, says) in [
            ("0123456789abcdef", None),
            ("abcdefgh:,:,:,:,", None),
            (&"01234567".repeat(64), None),
            (&"01234567".repeat(64).replacen('0', "01", 1), Some("16 to 512")),
            ("0123456789abcde", Some("16 to 512")),
            ("", Some("16 to 512")),
            ("0123456789 abcdef", Some("visible")),
            ("0123456789abcdeü", Some("visible")),
            ("0123456789abcde\u{7f}", Some("visible")),
            ("0123456789abcde\n", Some("visible")),
            ("0123456001234560", Some("8 different")),
            ("aaaaaaaaaaaaaaaa", Some("8 different")),
        ] {
            let error = ImportedText::new(Zeroizing::new(text.to_owned())).err().map(|error| error.to_string());
            assert_eq!(error.is_some(), says.is_some(), "{text}: {error:?}");
            assert!(error.is_none_or(|error| error.contains(says.unwrap())), "{text}");
        }
    }

    /// Computed independently of this code, with `openssl dgst -sha256 -mac HMAC`. The text is made up.
    #[test]
    fn a_bucket_is_the_start_of_an_hmac() {
        let text = ImportedText::new(Zeroizing::new("made-up-text-for-a-test-0001".to_owned())).unwrap();
        let key = LookupKey::new(std::array::from_fn(|place| place as u8));
        assert_eq!(format!("{:06x}", key.bucket(&text.sha256()).number()), EXPECTED);
        assert_eq!(key.to_hex().parse::<LookupKey>().unwrap(), key);
    }

    const EXPECTED: &str = include_str!("imported_vector.txt").trim_ascii();

    #[test]
    fn what_people_think_of_is_told_from_what_generators_make() {
        for text in [
            "passwordpassword1",
            "Summer2026!Summer2026",
            "correct-horse-battery-staple",
            "1234567890123456",
            "abcdefghijklmnopqrstuvwxyz",
            "mycompany-production-key",
            "qwertyuiopasdfgh",
            "admin:administrator",
        ] {
            assert!(is_guessable(text), "{text}: {}", bits(text));
        }
        for text in [
            "9f8c1b7e42d04c6fb1a7",
            "3f2504e0-4f89-41d3-9a0c-0305e82c3301",
            "Zm9vYmFyYmF6cXV4MTIzNDU2Nzg5MA",
            "tGzv3JOkF0XG5Qx2TlKWIA",
            "xkqjzvwpbnmtrfgh",
            "3mBPjTVlGRmzwZ9a",
        ] {
            assert!(!is_guessable(text), "{text}: {}", bits(text));
        }
    }
}
