//! The tables: measurements next to their targets.

use std::fmt::Write as _;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

/// The target for a measurement.
#[derive(Clone, Copy)]
pub(crate) enum Bound {
    /// At most this much.
    Most(f64),
    /// At least this much.
    Least(f64),
}

impl Bound {
    fn holds(self, measured: f64) -> bool {
        match self {
            Self::Most(most) => measured <= most,
            Self::Least(least) => measured >= least,
        }
    }
}

/// The tables so far.
#[derive(Default)]
pub(crate) struct Report {
    wanted: Vec<String>,
    rows: Vec<String>,
    growth: Vec<String>,
    missed: usize,
}

impl Report {
    /// Empty tables for rows whose names contain one of these words, or for all rows if there are no words.
    pub(crate) fn new(wanted: Vec<String>) -> Self {
        Self { wanted, ..Self::default() }
    }

    /// Whether this row should be measured.
    pub(crate) fn wants(&self, what: &str) -> bool {
        let wanted = self.wanted.is_empty() || self.wanted.iter().any(|word| what.contains(word));
        if wanted {
            eprintln!("measuring: {what}");
        }
        wanted
    }

    /// Adds a row: a number with its unit, its target, and how it was measured.
    pub(crate) fn row(&mut self, what: &str, measured: f64, unit: &str, bound: Bound, how: &str) {
        let sign = match bound {
            Bound::Most(_) => "≤",
            Bound::Least(_) => "≥",
        };
        let (Bound::Most(number) | Bound::Least(number)) = bound;
        let met = bound.holds(measured);
        self.missed += usize::from(!met);
        let met = if met { "yes" } else { "**no**" };
        let row = format!("| {what} | {} | {sign} {}{unit} | {met} | {how} |", shown(measured, unit), plain(number));
        eprintln!("{row}");
        self.rows.push(row);
    }

    /// Adds a row with two times and their ratio.
    pub(crate) fn ratio(&mut self, what: &str, [own, peer]: [Duration; 2], most: f64) {
        let how = format!("{} : {}", milliseconds(own), milliseconds(peer));
        self.row(what, own.as_secs_f64() / peer.as_secs_f64(), "", Bound::Most(most), &how);
    }

    /// Adds a row of times at increasing sizes.
    pub(crate) fn grows(&mut self, what: &str, times: &[Duration]) {
        let times: Vec<String> = times.iter().map(|time| milliseconds(*time)).collect();
        let row = format!("| {what} | {} |", times.join(" | "));
        eprintln!("{row}");
        self.growth.push(row);
    }

    /// Prints the report as Markdown.
    pub(crate) fn print(&self) -> Result<()> {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let cpu = read("/proc/cpuinfo");
        let model = cpu.lines().find_map(|line| line.strip_prefix("model name\t: ")).unwrap_or("unknown");
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let rustc = String::from_utf8(Command::new("rustc").arg("--version").output()?.stdout)?;
        let mut text = format!(
            "# What was measured\n\nThe output of `benches/run`, which tells how.\n\n- {}\n- {model}, {cores} cores, Linux {}\n- {}\n",
            jiff::Timestamp::now().strftime("%Y-%m-%d"),
            read("/proc/sys/kernel/osrelease").trim(),
            rustc.trim(),
        );
        if !self.rows.is_empty() {
            text.push_str("\n| what | measured | bound | met | how |\n| --- | --- | --- | --- | --- |\n");
            self.rows.iter().try_for_each(|row| writeln!(text, "{row}"))?;
        }
        if !self.growth.is_empty() {
            text.push_str("\nMedian times by the number of keys in the store:\n\n");
            text.push_str("| what | 10 | 10,000 | 1,000,000 |\n| --- | --- | --- | --- |\n");
            self.growth.iter().try_for_each(|row| writeln!(text, "{row}"))?;
        }
        if self.missed > 0 {
            writeln!(text, "\n{} of the bounds not met.", self.missed)?;
        }
        println!("{text}");
        Ok(())
    }
}

fn shown(number: f64, unit: &str) -> String {
    if number >= 1_000.0 { format!("{}{unit}", plain(number.round())) } else { format!("{number:.2}{unit}") }
}

/// A number with thousands separators.
fn plain(number: f64) -> String {
    let text = number.to_string();
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let groups: Vec<&str> = whole.as_bytes().rchunks(3).rev().filter_map(|group| str::from_utf8(group).ok()).collect();
    format!("{}{rest}", groups.join(","))
}

fn milliseconds(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1_000.0)
}
