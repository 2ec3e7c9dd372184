//! The address of the client, from `X-Forwarded-For`.

use std::net::IpAddr;

use http::HeaderMap;
use ipnet::IpNet;
use keyward_core::rules::forwarded::{Origin, address};
use keyward_core::rules::http::BLANKS;
use keyward_core::rules::text::shown;

use super::field::FORWARDED_FOR;

const HEADER: &str = "X-Forwarded-For";
/// How much of an entry a message shows.
const MOST_SHOWN: usize = 60;

/// The last entry that is not in `proxies`: the client may have written anything before it. Several lines are one list
/// (RFC 9110 section 5.3). If that entry cannot be parsed, or all entries are proxies, the address is unknown.
pub fn client_address(headers: &HeaderMap, proxies: &[IpNet]) -> (Option<IpAddr>, Origin) {
    let lines = headers.get_all(&FORWARDED_FOR).iter();
    let mut last = None;
    for line in lines.rev() {
        let Ok(line) = std::str::from_utf8(line.as_bytes()) else {
            return (None, meaningless(line.as_bytes()));
        };
        for entry in line.rsplit(',').map(|entry| entry.trim_matches(BLANKS)) {
            let Some(found) = address(entry) else { return (None, meaningless(entry.as_bytes())) };
            if !proxies.iter().any(|network| network.contains(&found)) {
                return (Some(found), Origin::Taken(HEADER));
            }
            last.get_or_insert(entry);
        }
    }
    (None, last.map_or(Origin::Missing(HEADER), |entry| meaningless(entry.as_bytes())))
}

fn meaningless(entry: &[u8]) -> Origin {
    Origin::Meaningless { header: HEADER, last: shown(entry, MOST_SHOWN) }
}
