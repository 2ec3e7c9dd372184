//! Tables and cards for people.

use std::borrow::Cow;

use comfy_table::{Attribute, CellAlignment, Color, ColumnConstraint, ContentArrangement, Table, Width};
use console::measure_text_width;

use super::{Terminal, Tone};
use crate::error::Error;
use crate::text::clean;

/// A value in a table, without anything that a terminal obeys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A value with a tone, shown if there are colours.
    pub fn new(text: impl Into<String>, tone: Tone) -> Self {
        let text = text.into();
        let text = if let Cow::Owned(cleaned) = clean(&text) { cleaned } else { text };
        Self { text, tone }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::new(text, Tone::Plain)
    }
}

/// A value that may be absent; the cell is empty then.
impl<T: ToString> From<Option<&T>> for Cell {
    fn from(value: Option<&T>) -> Self {
        value.map(ToString::to_string).unwrap_or_default().into()
    }
}

/// A column of a table.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Its heading.
    pub heading: &'static str,
    /// If the terminal is too narrow, the columns with the lowest weight are dropped first; those with
    /// [`Column::ALWAYS`] never.
    pub weight: u8,
    layout: Layout,
    /// Whether it is shown even if it is empty.
    stays: bool,
}

/// How the values of a column are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// Wrapped if there is no room.
    Wrapped,
    /// On one line.
    Whole,
    /// On one line, with the digits aligned.
    Number,
}

impl Column {
    /// The weight of a column that is never left out.
    pub const ALWAYS: u8 = u8::MAX;

    /// A column that is dropped before all with a higher weight.
    pub const fn new(heading: &'static str, weight: u8) -> Self {
        Self { heading, weight, layout: Layout::Wrapped, stays: false }
    }

    /// The same, but explicitly requested: neither lack of room nor lack of values hides it.
    #[must_use]
    pub const fn asked_for(mut self) -> Self {
        (self.weight, self.stays) = (Self::ALWAYS, true);
        self
    }

    /// The same, with values that are never wrapped.
    #[must_use]
    pub const fn whole(mut self) -> Self {
        self.layout = Layout::Whole;
        self
    }

    /// The same, with values that are numbers.
    #[must_use]
    pub const fn number(mut self) -> Self {
        self.layout = Layout::Number;
        self
    }
}

/// The column widths of a table whose rows are not all kept.
#[derive(Debug, Default)]
pub struct ColumnWidths(Vec<usize>);

impl ColumnWidths {
    /// Takes the values of a row into account.
    pub fn take(&mut self, row: &[Cell]) {
        self.0.resize(row.len(), 0);
        for (widest, cell) in self.0.iter_mut().zip(row) {
            *widest = width_of(&cell.text).max(*widest);
        }
    }
}

/// The layout of a long table, the same for all of its blocks.
#[derive(Debug)]
pub struct Blocks {
    columns: Vec<Column>,
    used: Vec<usize>,
    /// The widths of the used columns, in characters.
    widths: Vec<usize>,
    is_first: bool,
}

/// How many rows are laid out together, and so how many rows of a longer table are kept at once.
pub const BLOCK: usize = 1_000;

/// Blanks on both sides of a value.
const PADDING: usize = 2;
/// The width that a column keeps at least.
const LEAST_SHARE: usize = 18;

impl Terminal {
    /// Prints a table with a heading, no wider than the terminal. Empty columns are left out. If there is no room for
    /// the others, the least important ones are left out too, and a note names them.
    ///
    /// # Errors
    /// As [`Terminal::print`].
    pub fn print_table(&mut self, columns: &[Column], rows: &[Vec<Cell>]) -> Result<(), Error> {
        let mut widest = ColumnWidths::default();
        for row in rows {
            widest.take(row);
        }
        let (used, left_out) = fitting(self.width(), columns, &widest);
        let text = if self.is_plain(rows) {
            aligned(columns, &used, &widths(None, columns, &used, &widest), rows, true)
        } else {
            trimmed(table(self, columns, &used, rows, true))
        };
        self.print(&text)?;
        self.note_hidden_columns(&left_out);
        Ok(())
    }

    /// Begins a table that is too long to lay out at once.
    pub fn begin_table(&mut self, columns: &[Column], widest: &ColumnWidths) -> Blocks {
        let (used, left_out) = fitting(self.width(), columns, widest);
        self.note_hidden_columns(&left_out);
        let widths = widths(self.width(), columns, &used, widest);
        Blocks { columns: columns.to_vec(), used, widths, is_first: true }
    }

    /// Prints the next rows of it.
    ///
    /// # Errors
    /// As [`Terminal::print`].
    pub fn print_block(&mut self, blocks: &mut Blocks, rows: &[Vec<Cell>]) -> Result<(), Error> {
        let with_heading = std::mem::take(&mut blocks.is_first);
        if self.is_plain(rows) {
            return self.print(&aligned(&blocks.columns, &blocks.used, &blocks.widths, rows, with_heading));
        }
        let mut table = table(self, &blocks.columns, &blocks.used, rows, with_heading);
        for (place, width) in blocks.widths.iter().enumerate() {
            let padding = if place == 0 { PADDING - 1 } else { PADDING };
            if let (Some(column), Ok(width)) = (table.column_mut(place), u16::try_from(width + padding)) {
                column.set_constraint(ColumnConstraint::Absolute(Width::Fixed(width)));
            }
        }
        self.print(&trimmed(table))
    }

    /// Whether each row is one line of plain values.
    fn is_plain(&self, rows: &[Vec<Cell>]) -> bool {
        let is_line = |cell: &Cell| !cell.text.contains('\n');
        self.width().is_none() && !self.stdout_has_color() && rows.iter().all(|row| row.iter().all(is_line))
    }

    fn note_hidden_columns(&mut self, left_out: &[&str]) {
        if !left_out.is_empty() {
            let left_out = left_out.join(", ");
            self.note(&format!("hidden: {left_out} (widen the window or use --json)"));
        }
    }
}

/// The non-empty columns that fit, and the headings of those that do not.
fn fitting(width: Option<u16>, columns: &[Column], widest: &ColumnWidths) -> (Vec<usize>, Vec<&'static str>) {
    let mut used: Vec<usize> =
        (0..columns.len()).filter(|&column| widest.0[column] > 0 || columns[column].stays).collect();
    let mut left_out = vec![];
    if let Some(width) = width {
        // A long value gets no more than its share before others are dropped.
        let share = (usize::from(width) / 4).max(LEAST_SHARE);
        let wide = |column: usize| {
            let value = widest.0[column];
            let value = if columns[column].layout == Layout::Wrapped { value.min(share) } else { value };
            value.max(columns[column].heading.len()) + PADDING
        };
        while used.iter().map(|&column| wide(column)).sum::<usize>() > usize::from(width) {
            let least = used.iter().copied().filter(|&column| columns[column].weight < Column::ALWAYS);
            let Some(least) = least.min_by_key(|&column| columns[column].weight) else { break };
            used.retain(|&column| column != least);
            left_out.push(columns[least].heading);
        }
    }
    (used, left_out)
}

/// The width of each column: as wide as its values if there is room; otherwise the widest columns share the rest
/// equally.
fn widths(width: Option<u16>, columns: &[Column], used: &[usize], widest: &ColumnWidths) -> Vec<usize> {
    let mut widths: Vec<usize> =
        used.iter().map(|&column| widest.0[column].max(columns[column].heading.len())).collect();
    let Some(width) = width else { return widths };
    let is_wrapped = |place: usize| columns[used[place]].layout == Layout::Wrapped;
    let room = usize::from(width).saturating_sub(used.len() * PADDING);
    while widths.iter().sum::<usize>() > room {
        let wrapped = (0..widths.len()).filter(|&place| is_wrapped(place) && widths[place] > 1);
        let Some(widest) = wrapped.max_by_key(|&place| widths[place]) else { break };
        widths[widest] -= 1;
    }
    widths
}

/// The same as [`table`] if nothing needs wrapping or painting: for programs, and for many rows. The library would take
/// as long as SQLite takes to find the keys.
fn aligned(columns: &[Column], used: &[usize], widths: &[usize], rows: &[Vec<Cell>], with_heading: bool) -> String {
    let mut text = String::new();
    let mut add = |values: &mut dyn Iterator<Item = (usize, &str)>| {
        for ((column, value), width) in values.zip(widths) {
            let blanks = width - width_of(value).min(*width);
            let [before, after] = if columns[column].layout == Layout::Number { [blanks, 0] } else { [0, blanks] };
            text.extend(std::iter::repeat_n(' ', before));
            text.push_str(value);
            text.extend(std::iter::repeat_n(' ', after + PADDING));
        }
        text.truncate(text.trim_end_matches(' ').len());
        text.push('\n');
    };
    if with_heading {
        let headings: Vec<_> = used.iter().map(|&column| (column, columns[column].heading.to_uppercase())).collect();
        add(&mut headings.iter().map(|(column, heading)| (*column, heading.as_str())));
    }
    for row in rows {
        add(&mut used.iter().map(|&column| (column, row[column].text.as_str())));
    }
    text
}

/// How many terminal columns a text without line feeds takes.
fn width_of(text: &str) -> usize {
    let is_plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if is_plain { text.len() } else { measure_text_width(text) }
}

fn table(terminal: &Terminal, columns: &[Column], used: &[usize], rows: &[Vec<Cell>], with_heading: bool) -> Table {
    let mut table = plain(terminal);
    let heading = |column: &usize| columns[*column].heading.to_uppercase();
    if with_heading {
        let cells = used.iter().map(|column| comfy_table::Cell::new(heading(column)).add_attribute(Attribute::Bold));
        table.set_header(cells);
    }
    for row in rows {
        table.add_row(used.iter().map(|&column| painted(&row[column])));
    }
    for (place, &column) in used.iter().enumerate() {
        let Some(shown) = table.column_mut(place) else { continue };
        if columns[column].layout != Layout::Wrapped {
            shown.set_constraint(ColumnConstraint::ContentWidth);
        }
        if columns[column].layout == Layout::Number {
            shown.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// One thing with its fields, one per line. Empty fields are left out.
pub fn card(terminal: &Terminal, fields: &[(&str, Cell)]) -> String {
    let mut table = plain(terminal);
    for (field, value) in fields.iter().filter(|(_, value)| !value.text.is_empty()) {
        table.add_row([comfy_table::Cell::new(field).add_attribute(Attribute::Dim), painted(value)]);
    }
    trimmed(table)
}

/// Colours from the terminal's own palette that are readable on light and dark backgrounds.
fn painted(cell: &Cell) -> comfy_table::Cell {
    let painted = comfy_table::Cell::new(&cell.text);
    match cell.tone {
        Tone::Plain => painted,
        Tone::Good => painted.fg(Color::DarkGreen),
        Tone::Bad => painted.fg(Color::DarkRed),
        Tone::Warning => painted.fg(Color::DarkMagenta),
        Tone::Faint => painted.add_attribute(Attribute::Dim),
    }
}

fn plain(terminal: &Terminal) -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    if terminal.stdout_has_color() {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    if let Some(width) = terminal.width() {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    }
    table
}

/// The lines without the padding at either end.
fn trimmed(mut table: Table) -> String {
    if let Some(first) = table.column_mut(0) {
        first.set_padding((0, 1));
    }
    let mut text = String::new();
    for line in table.lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::platform::StreamKinds;
    use crate::terminal::Options;

    const COLUMNS: [Column; 4] = [
        Column::new("name", Column::ALWAYS),
        Column::new("state", 3).whole(),
        Column::new("keys", 2).number(),
        Column::new("note", 1),
    ];

    /// Streams that are not a terminal.
    fn nowhere() -> Terminal {
        let sink = || Box::new(std::io::sink());
        Terminal::new(Box::new(std::io::empty()), sink(), sink(), StreamKinds::default(), Options::default())
    }

    proptest! {
        #[test]
        fn what_is_put_together_here_looks_like_the_tables_of_the_library(
            values in prop::collection::vec(["[!-~]{0,12}", "[a-z]{0,9}", "[0-9]{0,5}", "[a-zé世]([a-zé世 ]{0,19}[a-zé世])?|"], 1..20),
        ) {
            let rows: Vec<Vec<Cell>> = values.into_iter().map(|values| values.map(Cell::from).to_vec()).collect();
            let mut widest = ColumnWidths::default();
            for row in &rows {
                widest.take(row);
            }
            let (used, _) = fitting(None, &COLUMNS, &widest);
            prop_assume!(!used.is_empty());
            let own = aligned(&COLUMNS, &used, &widths(None, &COLUMNS, &used, &widest), &rows, true);
            prop_assert_eq!(own, trimmed(table(&nowhere(), &COLUMNS, &used, &rows, true)));
        }
    }
}
