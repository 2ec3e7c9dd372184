//! Headers that claim to be the guard's.

use http::HeaderMap;
use http::header::CONNECTION;

const OWN: &[u8] = b"x-keyward-";

/// Whether the request carries a header that a service could take for the guard's: `X-Keyward-…`, even with `.` or `_`
/// instead of `-`, because many servers treat all three alike. Or it names one in `Connection`: the next proxy would
/// then remove the guard's own header (RFC 9110 section 7.6.1).
pub fn is_forged(headers: &HeaderMap) -> bool {
    let named = headers.get_all(CONNECTION).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    headers.keys().map(|name| name.as_str().as_bytes()).chain(named.map(<[u8]>::trim_ascii)).any(is_like_ours)
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

    #[test]
    fn no_proxy_is_told_to_take_the_guard_s_word_away() {
        for (lines, is_ours) in [
            (&["keep-alive"][..], false),
            (&["close, X-Keyward-Id"], true),
            (&["close", "upgrade,\tx_keyward.name ,te"], true),
            (&["x-keyward-"], true),
            (&["x-keywards, y-keyward-id, authorization"], false),
            (&[""], false),
            (&[], false),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(CONNECTION, line.parse().unwrap());
            }
            assert_eq!(is_forged(&headers), is_ours, "{lines:?}");
        }
    }
}
