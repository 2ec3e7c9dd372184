//! `keyward usage`

mod bars;
mod document;

use clap::Args;
use jiff::Timestamp;

use super::one_of;
use super::views::{last_used, limits_left};
use crate::error::{Error, Exit};
use crate::session::{Session, find_key, no_such_key};
use crate::terminal::{Cell, Column, card};
use crate::text::count;
use bars::Chart;
use keyward_core::rules::calendar::Unit;
use keyward_core::rules::key::Key;
use keyward_core::rules::limits::Reckoning;
use keyward_core::rules::time::{Duration, Since, rfc3339};
use keyward_core::rules::usage::Calls;
use keyward_core::store::{KeyUsage, Usage as Found, UsageQuery, View};
use keyward_core::verifier::standings;

/// Show how often keys were used, and how often they were refused
///
/// A call is a request with a genuine secret of a key that works: it was allowed (200), forbidden because the key may
/// not do it (403), or a limit refused it (429). Nothing is kept of credentials that are not genuine. Calls are kept by
/// key and hour, for as long as `settings set usage-retention` says.
///
/// Without KEY, the keys with most calls follow the periods; with KEY, its limits come first, with what is left of each
/// and when it is full again. What a running guard has counted is there a second later. All times are in UTC.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  keyward usage
  keyward usage deploy --by hour
  keyward usage --since 2026-01-01 --by month --csv > usage.csv
  keyward usage --json | jq -r '.keys[] | \"\\(.allowed) \\(.name)\"'")]
pub struct Usage {
    /// Only this key: its name, its id, or the public id of one of its secrets
    key: Option<String>,
    /// Start with the period that this time is in: how long ago (7d, 12h), a date, or an RFC 3339 time
    /// [default: 30 days, 24 hours or 12 months]
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true)]
    since: Option<Since>,
    /// How long a period is: hour, day or month
    #[arg(long, value_name = "PERIOD", default_value = "day", value_parser = one_of::<Unit>(Unit::ALL.map(Unit::as_str)))]
    by: Unit,
    /// Show at most N keys
    #[arg(long, value_name = "N", default_value_t = 10, conflicts_with = "key", allow_negative_numbers = true)]
    top: u32,
    /// Print the periods as CSV
    #[arg(long, conflicts_with = "json")]
    csv: bool,
}

/// What is shown.
struct Report {
    by: Unit,
    since: Timestamp,
    /// From the first period with a call to the current one.
    periods: Vec<(Timestamp, Calls)>,
    total: Calls,
    keys: Vec<KeyUsage>,
    key_count: u64,
    /// For a single key, the key and what is left of its limits.
    of_key: Option<(Key, Reckoning)>,
}

impl Usage {
    /// Whether the output is for a program.
    pub fn is_for_programs(&self) -> bool {
        self.csv
    }

    /// Shows the usage.
    ///
    /// # Errors
    /// If there is no such key, or the store cannot be read.
    pub fn run(self, session: &mut Session) -> Result<Exit, Error> {
        let Some(store) = session.store_to_read()? else {
            if let Some(key) = &self.key {
                return Err(no_such_key(None, key));
            }
            let now = session.now();
            let report = self.report(now, self.since(now), Found::default(), None);
            self.print(session, &report)?;
            return Ok(Exit::DONE);
        };
        let view = store.view()?;
        let key = self.key.as_ref().map(|text| find_key(&store, text)).transpose()?;
        let report = self.look(&view, key, session.now())?;
        self.note_what_is_kept(session, &view, &report)?;
        self.print(session, &report)?;
        Ok(Exit::DONE)
    }

    fn look(&self, view: &View<'_>, key: Option<Key>, now: Timestamp) -> Result<Report, Error> {
        let since = self.since(now);
        let query = UsageQuery {
            key: key.as_ref().map(|key| &key.id),
            since,
            by: self.by,
            top: usize::try_from(self.top).unwrap_or(usize::MAX),
        };
        let found = view.usage(&query)?;
        let of_key = match key {
            Some(key) => {
                let left = standings(view, &key, now)?;
                Some((key, left))
            }
            None => None,
        };
        Ok(self.report(now, since, found, of_key))
    }

    /// The beginning of the first period.
    fn since(&self, now: Timestamp) -> Timestamp {
        let back = match self.by {
            Unit::Hour => "23h",
            Unit::Day => "29d",
            Unit::Month => "11mo",
        };
        let since = self.since.or_else(|| back.parse::<Duration>().ok().map(Since::Ago));
        let since = since.map_or(now, |since| since.resolve(now));
        Timestamp::from_second(self.by.around(since.as_second()).0).unwrap_or(since)
    }

    fn report(&self, now: Timestamp, since: Timestamp, found: Found, of_key: Option<(Key, Reckoning)>) -> Report {
        Report {
            by: self.by,
            since,
            total: found.total(),
            periods: filled(found.periods, self.by, now),
            keys: found.keys,
            key_count: found.key_count,
            of_key,
        }
    }

    /// Notes if the requested periods are no longer kept.
    fn note_what_is_kept(&self, session: &mut Session, view: &View<'_>, report: &Report) -> Result<(), Error> {
        let Some(first) = view.settings()?.usage_since(session.now()) else { return Ok(()) };
        if self.since.is_some() && report.since < first {
            session.terminal.note(&format!(
                "usage is kept since {}; to keep it for longer: keyward settings set usage-retention DURATION",
                rfc3339(first)
            ));
        }
        Ok(())
    }

    fn print(&self, session: &mut Session, report: &Report) -> Result<(), Error> {
        if session.json() {
            return session.terminal.print_json(&document::Document::new(report));
        }
        if self.csv {
            let text = document::csv(report);
            return session.terminal.print(&text);
        }
        if session.quiet() {
            let names: Vec<_> = match &report.of_key {
                Some((key, _)) => vec![&key.name],
                None => report.keys.iter().map(|key| &key.name).collect(),
            };
            return names.into_iter().try_for_each(|name| session.terminal.print(&format!("{name}\n")));
        }
        if let Some((key, left)) = &report.of_key {
            let now = session.now();
            let left = limits_left(left, now);
            let fields = [
                ("name", key.name.to_string().into()),
                ("last used", last_used(key, now).into()),
                ("limits", left.into()),
            ];
            let card = card(&session.terminal, &fields);
            session.terminal.print(&card)?;
            session.terminal.print("\n")?;
        }
        if report.periods.is_empty() {
            session.terminal.note(&format!("no calls since {}", rfc3339(report.since)));
            return Ok(());
        }
        Chart::new(&session.terminal, report).print(&mut session.terminal)?;
        if report.of_key.is_none() {
            print_keys(session, report)?;
        }
        Ok(())
    }
}

/// Above this many periods, those without a call are left out.
const MOST_FILLED: i64 = 10_000;

/// The periods, including those without calls, up to the current one: a pause is information too.
fn filled(periods: Vec<(Timestamp, Calls)>, by: Unit, now: Timestamp) -> Vec<(Timestamp, Calls)> {
    let Some((first, _)) = periods.first() else { return vec![] };
    let (mut start, (last, _)) = (first.as_second(), by.around(now.as_second()));
    let shortest = match by {
        Unit::Hour => 3_600,
        Unit::Day => 86_400,
        Unit::Month => 28 * 86_400,
    };
    if last.saturating_sub(start) / shortest > MOST_FILLED {
        return periods;
    }
    let mut all = vec![];
    let mut found = periods.into_iter().peekable();
    while start <= last {
        let calls = found.next_if(|(time, _)| time.as_second() == start).map(|(_, calls)| calls);
        if let Ok(time) = Timestamp::from_second(start) {
            all.push((time, calls.unwrap_or_default()));
        }
        start = by.around(start).1;
    }
    // A clock that went back may have left some in the future.
    all.extend(found);
    all
}

const KEY_COLUMNS: [Column; 4] = [
    Column::new("key", Column::ALWAYS),
    Column::new("allowed", Column::ALWAYS).number(),
    Column::new("forbidden", 2).number(),
    Column::new("limited", 1).number(),
];

fn print_keys(session: &mut Session, report: &Report) -> Result<(), Error> {
    let row = |key: &KeyUsage| {
        let mut row = vec![Cell::from(key.name.to_string())];
        row.extend(numbers(key.calls));
        row
    };
    let rows: Vec<_> = report.keys.iter().map(row).collect();
    if rows.is_empty() {
        return Ok(());
    }
    session.terminal.print("\n")?;
    session.terminal.print_table(&KEY_COLUMNS, &rows)?;
    let (shown, all) = (rows.len() as u64, report.key_count);
    if shown < all {
        session.terminal.note(&format!("the {shown} with most calls of {}", count(all, "key")));
    }
    Ok(())
}

/// The numbers in a table. If nothing was refused, there are no columns for refusals.
fn numbers(calls: Calls) -> [Cell; 3] {
    let unless_none = |number: u64| if number == 0 { String::new() } else { number.to_string() };
    [calls.allowed.to_string(), unless_none(calls.forbidden), unless_none(calls.limited)].map(Cell::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn what_lies_between_two_calls_is_told_too() {
        let calls = |allowed| Calls { allowed, ..Calls::default() };
        let of =
            |times: &[(&str, u64)]| times.iter().map(|(time, number)| (at(time), calls(*number))).collect::<Vec<_>>();
        let now = at("2026-03-03T10:30:00Z");
        for (by, found, wanted) in [
            (Unit::Day, of(&[]), of(&[])),
            (
                Unit::Day,
                of(&[("2026-02-28T00:00:00Z", 5), ("2026-03-02T00:00:00Z", 1)]),
                of(&[
                    ("2026-02-28T00:00:00Z", 5),
                    ("2026-03-01T00:00:00Z", 0),
                    ("2026-03-02T00:00:00Z", 1),
                    ("2026-03-03T00:00:00Z", 0),
                ]),
            ),
            (
                Unit::Month,
                of(&[("2026-01-01T00:00:00Z", 5)]),
                of(&[("2026-01-01T00:00:00Z", 5), ("2026-02-01T00:00:00Z", 0), ("2026-03-01T00:00:00Z", 0)]),
            ),
            // In the future, with too many in between.
            (
                Unit::Hour,
                of(&[("2026-03-03T10:00:00Z", 1), ("9999-01-01T00:00:00Z", 2)]),
                of(&[("2026-03-03T10:00:00Z", 1), ("9999-01-01T00:00:00Z", 2)]),
            ),
            (Unit::Hour, of(&[("1970-01-01T00:00:00Z", 1)]), of(&[("1970-01-01T00:00:00Z", 1)])),
        ] {
            assert_eq!(filled(found, by, now), wanted, "{by}");
        }
    }
}
