//! Limits the cost of guessing: wrong credentials are counted by source, and only so many are hashed.
//!
//! An address (for IPv6, the /64 of a subscriber, RFC 6177) may fail thirty times, and then ten times a minute. Unknown
//! addresses share one allowance. A credential that matched before is neither counted nor stopped, because it needs no
//! hash.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hashlink::LruCache;
use keyward_core::rules::rate::Rate;

/// How many addresses are remembered; beyond that, those that failed least recently are forgotten.
const MOST: usize = 65_536;
const NANOS: u64 = 1_000_000_000;
/// Thirty failures, and ten a minute after that.
const BY_ADDRESS: Rate = Rate::new(10, 60 * NANOS, 30);
/// A hundred a second from all unknown addresses together.
const UNKNOWN: Rate = Rate::new(100, NANOS, 100);

/// Counts failures.
pub(super) struct Floods(Mutex<Counted>);

struct Counted {
    by_address: LruCache<IpAddr, u64>,
    unknown: u64,
}

impl Floods {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Counted { by_address: LruCache::new(MOST), unknown: 0 }))
    }

    /// Whether this client may fail once more. Nothing is counted yet.
    ///
    /// # Errors
    /// How long the client has to wait.
    pub(super) fn check(&self, client: Option<IpAddr>, now: Duration) -> Result<(), Duration> {
        self.take(client, now, false)
    }

    /// Counts a failure. A client over the limit, because several of its requests were in flight, does not wait longer
    /// for that.
    pub(super) fn count(&self, client: Option<IpAddr>, now: Duration) {
        let _ = self.take(client, now, true);
    }

    fn take(&self, client: Option<IpAddr>, now: Duration, is_kept: bool) -> Result<(), Duration> {
        // Nanoseconds fit for 584 years.
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = match client.map(network_of) {
            Some(address) => {
                let time = counted.by_address.get(&address).copied().unwrap_or(0);
                BY_ADDRESS.take(time, now).map(|next| {
                    if is_kept {
                        counted.by_address.insert(address, next);
                    }
                })
            }
            None => UNKNOWN.take(counted.unknown, now).map(|next| {
                if is_kept {
                    counted.unknown = next;
                }
            }),
        };
        taken.map_err(Duration::from_nanos)
    }
}

/// The network that counts as one client: the owner of an IPv6 network has all of its addresses.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_fails_thirty_times_and_then_ten_times_a_minute() {
        let (floods, minute) = (Floods::new(), Duration::from_secs(60));
        let from = |text: &str| Some(text.parse().unwrap());
        let failures = |client, at| {
            let fails = || floods.check(client, at).map(|()| floods.count(client, at)).is_ok();
            (0..1_000).take_while(|_| fails()).count()
        };
        let now = Duration::from_secs(1_000);
        assert_eq!(failures(from("203.0.113.9"), now), 30);
        assert_eq!(failures(from("::ffff:203.0.113.9"), now), 0, "the same address");
        assert_eq!(failures(from("203.0.113.10"), now), 30, "another one");
        assert_eq!(floods.check(from("203.0.113.9"), now), Err(Duration::from_secs(6)));
        assert_eq!(failures(from("203.0.113.9"), now + minute), 10);
        assert_eq!(failures(from("2001:db8::1"), now), 30);
        assert_eq!(failures(from("2001:db8::2:1"), now), 0, "the same subscriber");
        assert_eq!(failures(from("2001:db8:0:1::1"), now), 30, "another one");
        assert_eq!(failures(None, now), 100);
        assert_eq!(failures(None, now + Duration::from_secs(1)), 100);
    }

    #[test]
    fn who_fails_while_they_may_not_does_not_wait_longer() {
        let (floods, client) = (Floods::new(), Some("203.0.113.9".parse().unwrap()));
        (0..1_000).for_each(|_| floods.count(client, Duration::ZERO));
        assert_eq!(floods.check(client, Duration::ZERO), Err(Duration::from_secs(6)));
        assert_eq!(floods.check(client, Duration::from_secs(6)), Ok(()));
    }
}
