//! What is left of limits, in headers (draft-ietf-httpapi-ratelimit-headers-10).
//!
//! `RateLimit-Policy` lists the limits, and `RateLimit` what is left of each: the one closest to being used up first.

use std::fmt::Write as _;

use http::header::{HeaderMap, HeaderName, HeaderValue};
#[cfg(feature = "server")]
use keyward_core::rules::limits::Limit;
use keyward_core::rules::limits::{Reckoning, Whose};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// The room that the value for one limit usually takes.
const ROOM: usize = 32;

/// The name of a limit: `1m`; for a user or a tenant `user-1m`, `tenant-1m`.
#[cfg(feature = "server")]
pub(crate) fn limit_name(whose: Whose, limit: &Limit) -> String {
    format!("{}{}", owner_of(whose), limit.period())
}

fn owner_of(whose: Whose) -> &'static str {
    match whose {
        Whose::User => "user-",
        Whose::Tenant => "tenant-",
        Whose::Key | Whose::Policy => "",
    }
}

/// Adds both headers.
pub(super) fn write(reckoning: &Reckoning, headers: &mut HeaderMap) {
    let mut all: Vec<_> = reckoning.standings.iter().collect();
    all.sort_by_key(|(_, limit, standing)| {
        // The share that is left, in thousandths.
        let most = limit.burst().unwrap_or(limit.count()).max(1);
        (std::cmp::Reverse(standing.wait), u128::from(standing.remaining) * 1_000 / u128::from(most))
    });
    let [mut policies, mut limits] = [(); 2].map(|()| String::with_capacity(ROOM * all.len()));
    for (number, (whose, limit, standing)) in all.into_iter().enumerate() {
        let comma = if number == 0 { "" } else { ", " };
        let (owner, period, count) = (owner_of(*whose), limit.period(), limit.count());
        let (seconds, left) = (limit.period().seconds(), standing.remaining);
        let reset = if left == 0 { standing.retry_after() } else { reckoning.full_in(standing) };
        // Writing to a text cannot fail.
        let _ = write!(policies, "{comma}\"{owner}{period}\";q={count};w={seconds}");
        let _ = write!(limits, "{comma}\"{owner}{period}\";r={left};t={reset}");
    }
    for (name, text) in [(POLICY, policies), (LIMIT, limits)] {
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(name, value);
        }
    }
}
