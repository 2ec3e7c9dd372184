//! SHA-256, and how bytes are written in hex.

use sha2::{Digest as _, Sha256};

/// The SHA-256 (FIPS 180-4) of a text.
pub fn sha256(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

/// Parses 64 hex digits of either case into 32 bytes.
pub fn from_hex(text: &str) -> Option<[u8; 32]> {
    let digits: &[u8; 64] = text.as_bytes().try_into().ok()?;
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

/// Bytes as lower-case hex digits.
pub fn to_hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        push_hex(&mut text, *byte);
    }
    text
}

/// Appends a byte as two hex digits.
pub(super) fn push_hex(text: &mut String, byte: u8) {
    text.extend([byte >> 4, byte & 15].iter().filter_map(|digit| char::from_digit(u32::from(*digit), 16)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_is_read_in_either_case() {
        let bytes: [u8; 32] = std::array::from_fn(|place| 7 * place as u8);
        let text = to_hex(&bytes);
        assert_eq!(from_hex(&text), Some(bytes));
        assert_eq!(from_hex(&text.to_uppercase()), Some(bytes));
        for bad in ["", &text[1..], &format!("{text}0"), &text.replacen('0', "g", 1)] {
            assert_eq!(from_hex(bad), None, "{bad}");
        }
    }
}
