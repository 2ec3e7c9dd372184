//! Usage for people: a row per period, with a bar if there is a terminal.

use jiff::Timestamp;

use super::{Report, numbers};
use crate::error::Error;
use crate::terminal::{Cell, Column, Terminal};
use keyward_core::rules::calendar::Unit;
use keyward_core::rules::time::rfc3339;
use keyward_core::rules::usage::Calls;

/// What bars are drawn with.
#[derive(Debug, Clone, Copy)]
struct Ink {
    allowed: char,
    forbidden: char,
    limited: char,
}

const BLOCKS: Ink = Ink { allowed: '█', forbidden: '▒', limited: '░' };
const ASCII: Ink = Ink { allowed: '#', forbidden: 'x', limited: '-' };

/// The widest bar: in a wide terminal the numbers would otherwise be too far from their period.
const WIDEST: usize = 60;
/// The narrowest useful bar.
const NARROWEST: usize = 8;
/// The blanks between two columns.
const GAP: usize = 2;

/// The periods as a table.
pub(super) struct Chart {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
    legend: Option<String>,
}

impl Chart {
    pub(super) fn new(terminal: &Terminal, report: &Report) -> Self {
        let heading = match report.by {
            Unit::Hour => "hour",
            Unit::Day => "day",
            Unit::Month => "month",
        };
        let mut columns = vec![
            Column::new(heading, Column::ALWAYS).whole(),
            Column::new("allowed", Column::ALWAYS).number(),
            Column::new("forbidden", 2).number(),
            Column::new("limited", 1).number(),
        ];
        let mut rows: Vec<Vec<Cell>> = vec![];
        let sum = [("total".to_owned(), report.total)];
        let labelled = report.periods.iter().map(|(start, calls)| (label(*start, report.by), *calls)).chain(sum);
        let labelled: Vec<_> = labelled.collect();
        for (label, calls) in &labelled {
            let mut row = vec![Cell::from(label.clone())];
            row.extend(numbers(*calls));
            rows.push(row);
        }
        let mut legend = None;
        if let Some(width) = terminal.width() {
            let taken = width_of(&labelled, report.total);
            let room = usize::from(width).saturating_sub(taken).clamp(NARROWEST, WIDEST);
            let ink = if terminal.stdout_has_symbols() { BLOCKS } else { ASCII };
            let most = report.periods.iter().map(|(_, calls)| calls.all()).max().unwrap_or(0);
            for (row, (_, calls)) in rows.iter_mut().zip(&report.periods) {
                row.push(bar(*calls, most, room, ink).into());
            }
            if let Some(total) = rows.last_mut() {
                total.push(String::new().into());
            }
            columns.push(Column::new("", 3).whole());
            legend = ink.legend(report.total);
        }
        Self { columns, rows, legend }
    }

    pub(super) fn print(self, terminal: &mut Terminal) -> Result<(), Error> {
        terminal.print_table(&self.columns, &self.rows)?;
        self.legend.map_or(Ok(()), |legend| terminal.print(&format!("{legend}\n")))
    }
}

impl Ink {
    /// The legend, if there is more than one kind of call.
    fn legend(self, total: Calls) -> Option<String> {
        let refused = [(self.forbidden, "forbidden", total.forbidden), (self.limited, "limited", total.limited)];
        let refused: Vec<_> = refused.into_iter().filter(|(.., number)| *number > 0).collect();
        let all = std::iter::once((self.allowed, "allowed", total.allowed)).chain(refused.clone());
        let words = all.map(|(ink, word, _)| format!("{ink} {word}")).collect::<Vec<_>>().join("   ");
        (!refused.is_empty()).then_some(words)
    }
}

/// The label of a period.
fn label(start: Timestamp, by: Unit) -> String {
    let time = rfc3339(start).to_string();
    // 2026-01-31T12:00:00Z; years with more digits have a sign.
    let cut = time.find('T').unwrap_or(time.len());
    match by {
        Unit::Hour => format!("{} {}", &time[..cut], time.get(cut + 1..cut + 6).unwrap_or_default()),
        Unit::Day => time[..cut].to_owned(),
        Unit::Month => time[..cut.saturating_sub(3)].to_owned(),
    }
}

/// How much of a line the columns beside the bar need.
fn width_of(labelled: &[(String, Calls)], total: Calls) -> usize {
    let label = labelled.iter().map(|(label, _)| label.len()).max().unwrap_or(0);
    let number = |number: u64, heading: &str| {
        if number == 0 { 0 } else { number.to_string().len().max(heading.len()) + GAP }
    };
    let allowed = total.allowed.to_string().len().max("allowed".len()) + GAP;
    label + GAP + allowed + number(total.forbidden, "forbidden") + number(total.limited, "limited") + GAP
}

/// A bar in proportion to `most`. Each kind of call that occurs is visible, however few there are.
fn bar(calls: Calls, most: u64, room: usize, ink: Ink) -> String {
    let part = |number: u64| {
        let (number, most, room) = (u128::from(number), u128::from(most.max(1)), room as u128);
        usize::try_from((number * room + most / 2) / most).unwrap_or(0)
    };
    let kinds = [(calls.allowed, ink.allowed), (calls.forbidden, ink.forbidden), (calls.limited, ink.limited)];
    let least = kinds.iter().filter(|(number, _)| *number > 0).count();
    let mut left = part(calls.all()).clamp(least, room.max(least));
    let mut text = String::new();
    // Refused calls first: allowed ones are nearly always the most, and take the rest.
    let refused = [1, 2].map(|kind| {
        let (number, _) = kinds[kind];
        let others = kinds[..kind].iter().filter(|(number, _)| *number > 0).count();
        let width = if number == 0 { 0 } else { part(number).max(1).min(left.saturating_sub(others).max(1)) };
        left = left.saturating_sub(width);
        width
    });
    let allowed = if calls.allowed == 0 { 0 } else { left.max(1) };
    for (width, (_, ink)) in [allowed, refused[0], refused[1]].into_iter().zip(kinds) {
        text.extend(std::iter::repeat_n(ink, width));
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_bar_shows_whatever_there_is_of() {
        let calls = |allowed, forbidden, limited| Calls { allowed, forbidden, limited };
        for (calls, most, drawn) in [
            (calls(0, 0, 0), 100, ""),
            (calls(100, 0, 0), 100, "##########"),
            (calls(50, 0, 0), 100, "#####"),
            (calls(1, 0, 0), 1_000_000, "#"),
            (calls(50, 50, 0), 100, "#####xxxxx"),
            (calls(98, 1, 1), 100, "########x-"),
            (calls(0, 0, 100), 100, "----------"),
            (calls(1, 1, 1), 1_000, "#x-"),
            (calls(u64::MAX, 0, 0), u64::MAX, "##########"),
        ] {
            assert_eq!(bar(calls, most, 10, ASCII), drawn, "{calls:?} of {most}");
        }
    }

    #[test]
    fn periods_are_called_as_people_write_them() {
        let start = "2026-01-31T12:00:00Z".parse().unwrap();
        for (by, wanted) in [(Unit::Hour, "2026-01-31 12:00"), (Unit::Day, "2026-01-31"), (Unit::Month, "2026-01")] {
            assert_eq!(label(start, by), wanted);
        }
    }

    proptest! {
        #[test]
        fn a_bar_has_room(
            (allowed, forbidden, limited) in (0..=u64::MAX / 4, 0..=u64::MAX / 4, 0..=u64::MAX / 4),
            room in NARROWEST..=WIDEST,
            more in 0..=u64::MAX / 4,
        ) {
            let calls = Calls { allowed, forbidden, limited };
            let drawn = bar(calls, calls.all() + more, room, ASCII);
            prop_assert!(drawn.chars().count() <= room);
            for (number, ink) in [(allowed, '#'), (forbidden, 'x'), (limited, '-')] {
                prop_assert_eq!(number > 0, drawn.contains(ink));
            }
        }
    }
}
