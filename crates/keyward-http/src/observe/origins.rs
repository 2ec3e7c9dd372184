//! Notices if nearly all requests come from one address. That may be a proxy in front of the one that asks, and then
//! every client counts as that proxy, for the networks of keys and for failures.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

/// How many requests are examined together.
const ENOUGH: u64 = 10_000;
/// How many more must come from one address than from all others: nineteen of twenty.
const NEARLY_ALL: u64 = ENOUGH / 10 * 9;
/// The most addresses that are reported.
const MOST_TOLD: usize = 16;

/// Examines the addresses of clients.
#[derive(Default)]
pub(crate) struct Origins(Mutex<Seen>);

/// The majority vote of Boyer and Moore: one address, and how often it came more than the others.
#[derive(Default)]
struct Seen {
    all: u64,
    address: Option<IpAddr>,
    lead: u64,
    told: HashSet<IpAddr>,
}

impl Origins {
    /// Counts an address. Returns it, once, if nearly all requests came from it.
    pub(crate) fn look_at(&self, address: IpAddr) -> Option<IpAddr> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.all += 1;
        match seen.address {
            Some(own) if own == address => seen.lead += 1,
            Some(_) if seen.lead > 0 => seen.lead -= 1,
            _ => (seen.address, seen.lead) = (Some(address), 1),
        }
        if seen.all < ENOUGH {
            return None;
        }
        let found = seen.address.filter(|_| seen.lead >= NEARLY_ALL);
        (seen.all, seen.address, seen.lead) = (0, None, 0);
        let is_news = found.is_some_and(|found| seen.told.len() < MOST_TOLD && seen.told.insert(found));
        found.filter(|_| is_news)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nearly_all_come_from_is_told_once() {
        let (origins, proxy) = (Origins::default(), IpAddr::from([10, 0, 0, 1]));
        let told = |share: u64| {
            let others = |number: u64| IpAddr::from([203, 0, 113, (number % 200) as u8]);
            (0..ENOUGH)
                .filter_map(|number| origins.look_at(if number % 100 < share { proxy } else { others(number) }))
                .collect::<Vec<_>>()
        };
        assert!(told(90).is_empty());
        assert_eq!(told(97), [proxy]);
        assert!(told(100).is_empty(), "it was told already");
    }
}
