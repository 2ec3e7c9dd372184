//! Tables and cards for people.

use comfy_table::{Attribute, Color, ContentArrangement, Table};
use console::measure_text_width;

use super::{Terminal, Tone};
use crate::domain::text::clean;

/// A value in a table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A value that stands out, or that does not, where there are colours.
    pub fn new(text: impl Into<String>, tone: Tone) -> Self {
        Self { text: text.into(), tone }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::new(text, Tone::Plain)
    }
}

/// A value that may be absent; nothing stands there then.
impl<T: ToString> From<Option<&T>> for Cell {
    fn from(value: Option<&T>) -> Self {
        value.map(ToString::to_string).unwrap_or_default().into()
    }
}

/// A column of a table.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// What stands above it.
    pub heading: &'static str,
    /// Where the terminal is too narrow, the columns with the lowest weight go first; those with
    /// [`Column::ALWAYS`] never.
    pub weight: u8,
}

impl Column {
    /// The weight of a column that is always there.
    pub const ALWAYS: u8 = u8::MAX;

    /// A column that goes before all with a higher weight.
    pub const fn new(heading: &'static str, weight: u8) -> Self {
        Self { heading, weight }
    }
}

/// Blanks on both sides of a value.
const PADDING: usize = 2;

/// A table with a heading, as wide as the terminal at most. Columns in which nothing stands are left
/// out, and so are the least of the others where there is no room for all.
pub fn table(terminal: &Terminal, columns: &[Column], rows: &[Vec<Cell>]) -> String {
    let mut used: Vec<usize> =
        (0..columns.len()).filter(|&column| rows.iter().any(|row| !row[column].text.is_empty())).collect();
    if let Some(width) = terminal.width() {
        let wide = |column: usize| {
            let values = rows.iter().map(|row| measure_text_width(&row[column].text));
            values.max().unwrap_or(0).max(columns[column].heading.len()) + PADDING
        };
        while used.iter().map(|&column| wide(column)).sum::<usize>() > usize::from(width) {
            let least = used.iter().copied().filter(|&column| columns[column].weight < Column::ALWAYS);
            let Some(least) = least.min_by_key(|&column| columns[column].weight) else { break };
            used.retain(|&column| column != least);
        }
    }
    let mut table = plain(terminal);
    table.set_header(used.iter().map(|&column| columns[column].heading.to_uppercase()));
    for row in rows {
        table.add_row(used.iter().map(|&column| painted(&row[column])));
    }
    trimmed(&table)
}

/// One thing with its fields, a line each. Fields that are empty are left out.
pub fn card(terminal: &Terminal, fields: &[(&str, Cell)]) -> String {
    let mut table = plain(terminal);
    for (field, value) in fields.iter().filter(|(_, value)| !value.text.is_empty()) {
        table.add_row([comfy_table::Cell::new(field).add_attribute(Attribute::Dim), painted(value)]);
    }
    trimmed(&table)
}

fn painted(cell: &Cell) -> comfy_table::Cell {
    let painted = comfy_table::Cell::new(clean(&cell.text));
    match cell.tone {
        Tone::Plain => painted,
        Tone::Good => painted.fg(Color::Green),
        Tone::Bad => painted.fg(Color::Red),
        Tone::Warning => painted.fg(Color::Yellow),
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
fn trimmed(table: &Table) -> String {
    let mut text = String::new();
    for line in table.lines() {
        text.push_str(line.strip_prefix(' ').unwrap_or(&line).trim_end());
        text.push('\n');
    }
    text
}
