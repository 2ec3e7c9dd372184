//! Load from wrk, and what it cost the server.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

/// The result of a load.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    /// Answers per second.
    pub rate: f64,
    /// The 99th percentile of latency, in milliseconds.
    pub p99: f64,
    /// CPU time per answer of all watched processes, in microseconds.
    pub cpu: f64,
}

/// A server that is stopped when this is dropped.
pub(crate) struct Server(Child);

impl Server {
    /// Starts it, and waits until it listens.
    pub(crate) fn start(command: &mut Command, is_there: impl Fn() -> bool) -> Result<Self> {
        let server = Self(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
        for _ in 0..500 {
            if is_there() {
                return Ok(server);
            }
            thread::sleep(Duration::from_millis(10));
        }
        bail!("{command:?} does not listen");
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: &str) -> Result<()> {
        let sent = Command::new("kill").args([&format!("-{signal}"), &self.0.id().to_string()]).status()?;
        anyhow::ensure!(sent.success(), "no signal could be sent");
        Ok(())
    }

    /// The PIDs of the server and its children.
    fn pids(&self) -> Vec<u32> {
        let own = self.0.id();
        let children = std::fs::read_to_string(format!("/proc/{own}/task/{own}/children")).unwrap_or_default();
        children.split_whitespace().filter_map(|pid| pid.parse().ok()).chain([own]).collect()
    }

    /// Its current memory use, in MiB.
    pub(crate) fn memory(&self) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kib: f64 = line.trim().trim_end_matches(" kB").trim().parse()?;
        Ok(kib / 1_024.0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

/// CPU time of a process so far, in hundredths of a second (proc_pid_stat(5)).
fn ticks(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name in parentheses may contain spaces; the fields after it do not.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    [11, 12].into_iter().filter_map(|place| fields.get(place)?.parse::<f64>().ok()).sum()
}

/// Loads a URL for this many seconds with a wrk script, and returns what it cost the servers.
pub(crate) fn load(url: &str, script: &Path, seconds: u32, servers: &[&Server]) -> Result<Load> {
    let pids: Vec<u32> = servers.iter().flat_map(|server| server.pids()).collect();
    let before: f64 = pids.iter().map(|pid| ticks(*pid)).sum();
    let output = Command::new("wrk")
        .args(["-t1", "-c32", "--latency", &format!("-d{seconds}s"), "-s"])
        .arg(script)
        .arg(url)
        .output()
        .context("wrk")?;
    let spent = pids.iter().map(|pid| ticks(*pid)).sum::<f64>() - before;
    let text = String::from_utf8(output.stdout)?;
    if text.contains("Non-2xx") || !output.status.success() {
        bail!("not every answer was a yes: {text}");
    }
    let after = |start: &str| text.lines().find_map(|line| line.trim().strip_prefix(start)).map(str::trim);
    let rate: f64 = after("Requests/sec:").context("no rate")?.parse()?;
    let all = answers(&text)? as f64;
    let p99 = milliseconds(after("99%").context("no p99")?).context("no time")?;
    Ok(Load { rate, p99, cpu: spent * 10_000.0 / all })
}

/// The number of answers that wrk reports.
pub(crate) fn answers(text: &str) -> Result<u64> {
    let line = text.lines().find_map(|line| line.trim().split_once(" requests in ")).context("no number")?;
    Ok(line.0.parse()?)
}

/// A time as wrk writes it: `1.23ms`.
fn milliseconds(text: &str) -> Option<f64> {
    let (number, factor) = match text {
        text if text.ends_with("us") => (text.strip_suffix("us")?, 0.001),
        text if text.ends_with("ms") => (text.strip_suffix("ms")?, 1.0),
        text => (text.strip_suffix('s')?, 1_000.0),
    };
    Some(number.parse::<f64>().ok()? * factor)
}
