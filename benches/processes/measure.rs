//! Measuring whole processes: their time with hyperfine, their memory with GNU time.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// A command line in shell syntax.
#[derive(Clone)]
pub(crate) struct Line {
    line: String,
    before: String,
}

/// A command line from `words`, quoted where necessary.
pub(crate) fn line<'w>(words: impl IntoIterator<Item = &'w str>) -> Line {
    let mut line = String::new();
    for word in words {
        let _ = write!(line, "'{}' ", word.replace('\'', r"'\''"));
    }
    Line { line, before: "true".to_owned() }
}

impl Line {
    /// The same with a file as its standard input.
    pub(crate) fn reading(self, file: &Path) -> Self {
        Self { line: format!("{}< '{}'", self.line, file.display()), ..self }
    }

    /// The same with another command line before each run, which is not measured and may fail.
    pub(crate) fn after(self, other: &Self) -> Self {
        Self { before: format!("sh -c \"{} || true\"", other.line), ..self }
    }
}

/// How often commands are run.
#[derive(Clone, Copy)]
pub(crate) struct Times {
    /// Rounds: in each, the commands take turns, so that a slowdown of the machine affects all of them.
    pub rounds: u32,
    /// Runs of each command in each round.
    pub runs: u32,
}

/// The median time of each of these commands. Their output is discarded.
pub(crate) fn medians<const N: usize>(folder: &Path, times: Times, lines: [&Line; N]) -> Result<[Duration; N]> {
    let report = folder.join("hyperfine.json");
    let mut all = [const { vec![] }; N];
    for round in 0..times.rounds {
        // Each comes first equally often, because the first one finds the machine in another state.
        let mut order: [usize; N] = std::array::from_fn(|place| place);
        order.rotate_left(round as usize % N);
        let mut hyperfine = Command::new("hyperfine");
        hyperfine.args(["--style", "none", "--runs", &times.runs.to_string(), "--export-json"]).arg(&report);
        // A command that takes seconds gets no warm-up run.
        hyperfine.args(["--warmup", if times.runs > 1 { "1" } else { "0" }]);
        // A shell is started only if needed; hyperfine subtracts its own time.
        let needs_shell = lines.iter().any(|line| line.line.contains('<'));
        hyperfine.args(if needs_shell { ["--shell", "sh"] } else { ["--shell", "none"] });
        if lines.iter().any(|line| line.before != "true") {
            for place in order {
                hyperfine.args(["--prepare", &lines[place].before]);
            }
        }
        let output = hyperfine.args(order.map(|place| lines[place].line.as_str())).output().context("hyperfine")?;
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr));
        }
        let report: Value = serde_json::from_slice(&std::fs::read(&report)?)?;
        for (result, place) in order.into_iter().enumerate() {
            let times = report["results"][result]["times"].as_array().context("no times in hyperfine's report")?;
            all[place].extend(times.iter().filter_map(Value::as_f64));
        }
    }
    Ok(all.map(|times| Duration::from_secs_f64(median(times))))
}

/// The median.
pub(crate) fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
}

/// One run of a command.
pub(crate) struct Run {
    /// How long it took.
    pub time: Duration,
    /// Its peak memory use, in MiB.
    pub peak_mib: f64,
}

/// Runs a command once, with a file as its standard input, and discards its output.
pub(crate) fn run(folder: &Path, words: &[&str], stdin: Option<&Path>) -> Result<Run> {
    let peak: PathBuf = folder.join("peak");
    let mut command = Command::new("/usr/bin/time");
    command.args(["--quiet", "-f", "%M", "-o"]).arg(&peak).args(words);
    command.stdin(match stdin {
        Some(path) => std::fs::File::open(path)?.into(),
        None => Stdio::null(),
    });
    command.stdout(Stdio::null());
    let start = Instant::now();
    let output = command.stderr(Stdio::piped()).spawn()?.wait_with_output()?;
    let time = start.elapsed();
    if !output.status.success() {
        bail!("{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let kib: f64 = std::fs::read_to_string(peak)?.trim().parse()?;
    Ok(Run { time, peak_mib: kib / 1024.0 })
}
