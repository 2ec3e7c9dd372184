//! Headers that claim to be the guard's.

use http::HeaderMap;

const OWN: &[u8] = b"x-keyward-";

/// Whether the request carries a header that a service could take for the guard's word: `X-Keyward-…`, also where `.` and
/// `_` stand in the place of `-`, because many servers make one name of all three.
pub fn is_forged(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| is_like_ours(name.as_str().as_bytes()))
}

fn is_like_ours(name: &[u8]) -> bool {
    name.len() >= OWN.len()
        && name.iter().zip(OWN).all(|(&byte, &own)| match byte.to_ascii_lowercase() {
            b'.' | b'_' => own == b'-',
            byte => byte == own,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_that_a_service_might_fold_is_seen() {
        for (name, is_ours) in [
            ("x-keyward-name", true),
            ("X-KEYWARD-Key", true),
            ("x_keyward_name", true),
            ("X.Keyward.Name", true),
            ("x-keyward_", true),
            ("x-keyward-", true),
            ("x-keyward", false),
            ("x-keywards-name", false),
            ("keyward-proxy-secret", false),
            ("y-keyward-name", false),
        ] {
            assert_eq!(is_like_ours(name.as_bytes()), is_ours, "{name}");
        }
    }
}
