//! A terminal as SVG: a window with its own background, so that it looks the same on light and dark pages.

use std::fmt::Write as _;

use vt100::{Cell, Color};

/// The size of a cell in pixels: the letters of common monospaced fonts have this shape at 14 pixels.
const CELL: (f32, f32) = (8.4, 20.0);
/// From the edge of the window to the text.
const EDGE: f32 = 18.0;
/// The height of the bar with the title.
const BAR: f32 = 34.0;

/// The sixteen colours, as on a dark terminal.
const COLOURS: [&str; 16] = [
    "#484f58", "#ff7b72", "#56d364", "#e3b341", "#79c0ff", "#d2a8ff", "#56d4dd", "#b1bac4", //
    "#8b949e", "#ffa198", "#7ee787", "#f2cc60", "#a5d6ff", "#e2c5ff", "#8ddb8c", "#f0f6fc",
];
const TEXT: &str = "#e6edf3";
/// The terminal fonts of most platforms.
const FONTS: &str = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', 'Liberation Mono', monospace";

/// The text around the screen.
pub struct Picture<'a> {
    /// In the title bar.
    pub title: &'a str,
    /// For readers who cannot see the picture.
    pub alt: &'a str,
}

impl Picture<'_> {
    /// Draws the screen without its trailing empty lines.
    pub fn draw(&self, screen: &vt100::Screen) -> String {
        let (_, columns) = screen.size();
        let rows = screen.contents().trim_end().lines().count();
        let width = f32::from(columns) * CELL.0 + 2.0 * EDGE;
        let height = BAR + f32::from(u16::try_from(rows).unwrap()) * CELL.1 + 2.0 * EDGE - 6.0;
        let (title, alt) = (escaped(self.title), escaped(self.alt));
        let (right, bottom) = (width - 1.0, height - 1.0);
        let mut svg = format!(
            r##"<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0}" height="{height:.0}" viewBox="0 0 {width:.0} {height:.0}" role="img" aria-labelledby="title desc">
<title id="title">{title}</title>
<desc id="desc">{alt}</desc>
<style>
text {{ font: 14px {FONTS}; white-space: pre; }}
.b {{ font-weight: 700; }}
</style>
<rect x="0.5" y="0.5" width="{right:.0}" height="{bottom:.0}" rx="10" fill="#0d1117" stroke="#484f58"/>
<path d="M1 {BAR} H{right:.0}" stroke="#30363d"/>
"##
        );
        for (place, colour) in ["#ff5f57", "#febc2e", "#28c840"].iter().enumerate() {
            let _ = writeln!(svg, "<circle cx=\"{}\" cy=\"17\" r=\"5.5\" fill=\"{colour}\"/>", 22 + place * 19);
        }
        let middle = width / 2.0;
        let _ =
            writeln!(svg, "<text x=\"{middle:.0}\" y=\"22\" text-anchor=\"middle\" fill=\"#8b949e\">{title}</text>");
        for row in 0..u16::try_from(rows).unwrap() {
            draw_row(screen, row, columns, &mut svg);
        }
        svg.push_str("</svg>\n");
        svg
    }
}

/// The colour and the weight of a cell.
fn look(cell: &Cell) -> (&'static str, bool) {
    let colour = match cell.fgcolor() {
        _ if cell.dim() => COLOURS[8],
        Color::Idx(index @ 0..16) => COLOURS[usize::from(index)],
        _ => TEXT,
    };
    (colour, cell.bold())
}

/// Draws runs of cells that look the same, each as wide as its cells in any font.
fn draw_row(screen: &vt100::Screen, row: u16, columns: u16, svg: &mut String) {
    let mut runs: Vec<(u16, (&str, bool), String)> = vec![];
    for column in 0..columns {
        let cell = screen.cell(row, column).unwrap();
        let letter = if cell.has_contents() { cell.contents() } else { " " };
        match runs.last_mut() {
            // A blank joins the run before it.
            Some((_, seen, text)) if *seen == look(cell) || letter == " " => text.push_str(letter),
            _ => runs.push((column, look(cell), letter.to_owned())),
        }
    }
    let y = BAR + EDGE + f32::from(row) * CELL.1 + 9.0;
    for (column, (colour, is_bold), text) in runs {
        let (text, blanks) = (text.trim(), text.chars().take_while(|letter| *letter == ' ').count());
        if text.is_empty() {
            continue;
        }
        let x = EDGE + (f32::from(column) + f32::from(u16::try_from(blanks).unwrap())) * CELL.0;
        let length = f32::from(u16::try_from(text.chars().count()).unwrap()) * CELL.0;
        let weight = if is_bold { " class=\"b\"" } else { "" };
        let text = escaped(text);
        let _ = writeln!(
            svg,
            "<text x=\"{x:.1}\" y=\"{y:.0}\" textLength=\"{length:.1}\" fill=\"{colour}\"{weight}>{text}</text>"
        );
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
