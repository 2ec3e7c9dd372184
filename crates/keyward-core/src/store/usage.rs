//! Reads how often keys were used: by period, and the keys with the most calls.
//!
//! Whatever is asked, this is one pass over the hourly rows: an engine would sort ten million rows to group them by
//! period, and read them again for the keys.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};

use jiff::Timestamp;

use super::db::{Conn, Row};
use super::error::StoreError;
use crate::rules::calendar::{HOUR, Unit};
use crate::rules::names::Name;
use crate::rules::token::Id;
use crate::rules::usage::Calls;

/// A question about the usage of keys.
#[derive(Debug, Clone, Copy)]
pub struct UsageQuery<'q> {
    /// Only this key.
    pub key: Option<&'q Id>,
    /// From the beginning of the period that contains this time.
    pub since: Timestamp,
    /// The length of the periods.
    pub by: Unit,
    /// The most keys to report, those with the most calls first.
    pub top: usize,
}

/// How often keys were used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    /// Each period with calls, by its beginning, the earliest first.
    pub periods: Vec<(Timestamp, Calls)>,
    /// The keys with the most calls, in descending order; ties by name.
    pub keys: Vec<KeyUsage>,
    /// How many keys had any calls.
    pub key_count: u64,
}

impl Usage {
    /// The calls of all periods.
    pub fn total(&self) -> Calls {
        let mut total = Calls::default();
        for (_, calls) in &self.periods {
            total.merge(*calls);
        }
        total
    }
}

/// How often one key was used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyUsage {
    /// Its name.
    pub name: Name,
    /// Its id.
    pub id: Id,
    /// How often.
    pub calls: Calls,
}

const COLUMNS: &str = "SELECT key, hour, allowed, forbidden, limited FROM usage";
/// If fewer than one in this many hours is wanted, the rows are found by index; otherwise reading all of them is
/// faster.
const FEW: i64 = 12;

/// How often keys were used.
pub(super) fn load(conn: &Conn, query: &UsageQuery<'_>) -> Result<Usage, StoreError> {
    let since = query.by.around(query.since.as_second()).0;
    let Some((first, last)) = bounds(conn)? else { return Ok(Usage::default()) };
    let mut sums = Sums { hours: HashMap::new(), top: Top::new(query.top) };
    let all = last.saturating_sub(first).saturating_add(HOUR);
    let are_few = last.saturating_sub(since).saturating_mul(FEW) < all;
    match query.key {
        Some(key) => {
            let sql = format!("{COLUMNS} WHERE key = (SELECT id FROM key WHERE public_id = ?1) AND hour >= ?2");
            sums.run_of_keys(conn, &sql, &[key.into(), since.into()])?;
        }
        None if are_few => sums.any_order(conn, &format!("{COLUMNS} WHERE hour >= ?1"), since)?,
        // The addition keeps the planner from using the index.
        None => sums.run_of_keys(conn, &format!("{COLUMNS} WHERE hour + 0 >= ?1 ORDER BY key"), &[since.into()])?,
    }
    sums.usage(conn, query.by)
}

/// The first and the last hour with any usage.
fn bounds(conn: &Conn) -> Result<Option<(i64, i64)>, StoreError> {
    let bound = |which| {
        conn.optional(&format!("SELECT hour FROM usage ORDER BY hour {which} LIMIT 1"), &[], |row| row.integer(0))
    };
    Ok(bound("ASC")?.zip(bound("DESC")?))
}

/// What has been added up so far.
struct Sums {
    hours: HashMap<i64, Calls>,
    top: Top,
}

impl Sums {
    /// Adds rows in which the rows of one key are adjacent.
    fn run_of_keys(&mut self, conn: &Conn, sql: &str, values: &[super::db::Value<'_>]) -> Result<(), StoreError> {
        let mut run: Option<(i64, Calls)> = None;
        conn.each(sql, values, |row| {
            let (key, calls) = self.take(row)?;
            match &mut run {
                Some((present, sum)) if *present == key => sum.merge(calls),
                _ => {
                    if let Some((key, sum)) = run.replace((key, calls)) {
                        self.top.offer(key, sum);
                    }
                }
            }
            Ok::<_, StoreError>(())
        })?;
        if let Some((key, sum)) = run {
            self.top.offer(key, sum);
        }
        Ok(())
    }

    /// Adds rows in any order.
    fn any_order(&mut self, conn: &Conn, sql: &str, since: i64) -> Result<(), StoreError> {
        let mut keys: HashMap<i64, Calls> = HashMap::new();
        conn.each(sql, &[since.into()], |row| {
            let (key, calls) = self.take(row)?;
            keys.entry(key).or_default().merge(calls);
            Ok::<_, StoreError>(())
        })?;
        for (key, calls) in keys {
            self.top.offer(key, calls);
        }
        Ok(())
    }

    fn take(&mut self, row: &Row<'_>) -> Result<(i64, Calls), StoreError> {
        let calls = Calls { allowed: row.count(2)?, forbidden: row.count(3)?, limited: row.count(4)? };
        self.hours.entry(row.integer(1)?).or_default().merge(calls);
        Ok((row.integer(0)?, calls))
    }

    fn usage(self, conn: &Conn, by: Unit) -> Result<Usage, StoreError> {
        let mut periods: BTreeMap<i64, Calls> = BTreeMap::new();
        for (hour, calls) in self.hours {
            periods.entry(by.around(hour).0).or_default().merge(calls);
        }
        let damage = |what: String| StoreError::Corrupt { path: conn.place().to_owned(), detail: what };
        let time = |(start, calls): (i64, Calls)| {
            let start =
                Timestamp::from_second(start).map_err(|_| damage("an hour of usage is not a time".to_owned()))?;
            Ok::<_, StoreError>((start, calls))
        };
        let key_count = self.top.seen;
        let mut keys = vec![];
        for (row, calls) in self.top.keys() {
            let named = conn.optional("SELECT name, public_id FROM key WHERE id = ?1", &[row.into()], |row| {
                Ok(KeyUsage { name: row.parsed(0)?, id: row.parsed(1)?, calls })
            })?;
            keys.push(named.ok_or_else(|| damage("there is usage of a key that is missing".to_owned()))?);
        }
        keys.sort_by(|one, two| two.calls.all().cmp(&one.calls.all()).then_with(|| one.name.cmp(&two.name)));
        Ok(Usage { periods: periods.into_iter().map(time).collect::<Result<_, _>>()?, keys, key_count })
    }
}

/// The keys with the most calls.
struct Top {
    most: usize,
    seen: u64,
    /// The smallest is on top; of equal ones, the later row.
    kept: BinaryHeap<Reverse<(u64, Reverse<i64>, Calls)>>,
}

impl Top {
    fn new(most: usize) -> Self {
        Self { most, seen: 0, kept: BinaryHeap::new() }
    }

    fn offer(&mut self, key: i64, calls: Calls) {
        self.seen += 1;
        let offered = Reverse((calls.all(), Reverse(key), calls));
        if self.kept.len() < self.most {
            self.kept.push(offered);
        } else if let Some(mut least) = self.kept.peek_mut()
            && offered < *least
        {
            *least = offered;
        }
    }

    fn keys(self) -> impl Iterator<Item = (i64, Calls)> {
        self.kept.into_iter().map(|Reverse((_, Reverse(key), calls))| (key, calls))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_with_most_calls_are_kept() {
        let calls = |allowed| Calls { allowed, ..Calls::default() };
        for (most, wanted) in [(0, vec![]), (1, vec![4]), (3, vec![1, 2, 4]), (9, vec![1, 2, 3, 4, 5])] {
            let mut top = Top::new(most);
            for (key, number) in [(1, 5), (2, 5), (3, 5), (4, 9), (5, 1)] {
                top.offer(key, calls(number));
            }
            assert_eq!(top.seen, 5);
            let mut kept: Vec<_> = top.keys().map(|(key, _)| key).collect();
            kept.sort_unstable();
            assert_eq!(kept, wanted, "{most}");
        }
    }
}
