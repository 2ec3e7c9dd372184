//! Decodes the encodings in which a secret may be written.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

/// The length of the shortest secret in base64.
const LEAST: usize = 86;

const ENGINE: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Percent-decodes a text once. Returns it with the original position of each byte, or `None` if there is nothing to
/// decode.
pub(super) fn unpercent(text: &[u8]) -> Option<(Zeroizing<Vec<u8>>, Vec<usize>)> {
    let digit = |place: usize| text.get(place).and_then(|byte| char::from(*byte).to_digit(16));
    let mut decoded = (Zeroizing::new(Vec::with_capacity(text.len())), Vec::with_capacity(text.len()));
    let mut place = 0;
    while let Some(byte) = text.get(place) {
        decoded.1.push(place);
        let (byte, length) = match (byte, digit(place + 1), digit(place + 2)) {
            (b'%', Some(high), Some(low)) => ((high << 4 | low) as u8, 3),
            _ => (*byte, 1),
        };
        decoded.0.push(byte);
        place += length;
    }
    (!decoded.0.is_empty() && decoded.0.len() < text.len()).then_some(decoded)
}

/// Whether a byte is a base64 digit, of either alphabet.
pub(super) fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_')
}

/// The four possible base64 decodings of a text, because its alignment is unknown. Each comes with the position at
/// which it begins.
pub(super) fn base64(text: &[u8]) -> impl Iterator<Item = (usize, Zeroizing<Vec<u8>>)> {
    let length = text.iter().take_while(|byte| is_base64(**byte)).count();
    let of_standard = |byte: &u8| match byte {
        b'-' => b'+',
        b'_' => b'/',
        other => *other,
    };
    let text: Vec<u8> = if length < LEAST { vec![] } else { text[..length].iter().map(of_standard).collect() };
    (0..4).filter_map(move |shift| {
        let part = text.get(shift..).filter(|part| part.len() >= LEAST)?;
        // A single left-over character is less than a byte.
        let part = if part.len() % 4 == 1 { &part[..part.len() - 1] } else { part };
        Some((shift, Zeroizing::new(ENGINE.decode(part).ok()?)))
    })
}
