//! Tables and cards for people.

use comfy_table::{ContentArrangement, Table};

use super::Terminal;
use crate::domain::text::clean;

/// A table with a heading, as wide as the terminal at most. Columns in which nothing stands are
/// left out.
pub fn table(terminal: &Terminal, headings: &[&str], rows: &[Vec<String>]) -> String {
    let used: Vec<usize> =
        (0..headings.len()).filter(|&column| rows.iter().any(|row| !row[column].is_empty())).collect();
    let mut table = plain(terminal);
    table.set_header(used.iter().map(|&column| headings[column].to_uppercase()));
    for row in rows {
        table.add_row(used.iter().map(|&column| clean(&row[column])));
    }
    trimmed(&table)
}

/// One thing with its fields, a line each. Fields that are empty are left out.
pub fn card(terminal: &Terminal, fields: &[(&str, String)]) -> String {
    let mut table = plain(terminal);
    for (field, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
        table.add_row([(*field).to_owned(), clean(value)]);
    }
    trimmed(&table)
}

fn plain(terminal: &Terminal) -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
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
