//! The digits that public ids and secrets are written with. Both the code that makes secrets and the code that looks
//! for leaked ones use them.

/// The digits of a public id: lower-case Crockford base32, without i, l, o and u.
pub(super) const CROCKFORD: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// The digits of everything else in a secret, lowest first.
pub(super) const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// The number of digits in a public id.
pub(super) const ID_DIGITS: usize = 12;

/// Whether this is a digit of a public id. A search of the digits would take longer than the rest of what is done with an
/// id, and each request has one.
pub(super) fn is_crockford(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'h' | b'j' | b'k' | b'm' | b'n' | b'p'..=b't' | b'v'..=b'z')
}

/// What follows a public id enclosed in underscores, if `bytes` begin with one.
pub(super) fn behind_id(bytes: &[u8]) -> Option<&[u8]> {
    let (id, rest) = bytes.strip_prefix(b"_")?.split_at_checked(ID_DIGITS)?;
    if id.iter().copied().all(is_crockford) { rest.strip_prefix(b"_") } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digits_of_an_id_are_known() {
        for byte in 0..=u8::MAX {
            assert_eq!(is_crockford(byte), CROCKFORD.contains(&byte), "{byte}");
        }
    }
}
