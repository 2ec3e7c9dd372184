//! What happens to the counts when the guard ends under load, and how soon a revocation takes effect.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::{Scene, answers, free, guard, keyward, load};
use crate::KEYWARD;
use crate::report::{Bound, Report};
use crate::stores::Stores;

/// The key that is presented.
const KEY: &str = "service-0000000";
/// How long the load lasts before the guard is ended.
const LOADED: Duration = Duration::from_millis(2_500);

impl Scene {
    /// Ends the guard with a signal, and compares its counts with wrk's.
    pub(super) fn ended(&self, stores: &Stores, report: &mut Report) -> Result<()> {
        for (signal, what, bound, unit) in [
            ("KILL", "`kill -9` of `serve` under load: counts lost, in time", 1.0, " s"),
            ("TERM", "SIGTERM of `serve` under load: counts lost", 0.0, ""),
        ] {
            if !report.wants(what) {
                continue;
            }
            let store = self.folder.join("ended.db");
            stores.copy(0, &store)?;
            let store = store.display().to_string();
            let before = uses(&store)?;
            let script = self.one_key(&stores.secret(0))?;
            let address = free()?;
            let guard = guard(&store, &address)?;
            let url = format!("http://{address}/forward/default");
            let told = thread::scope(|scope| {
                let wrk = scope.spawn(|| told_by_wrk(&url, &script));
                thread::sleep(LOADED);
                guard.signal(signal)?;
                wrk.join().map_err(|_| anyhow::anyhow!("wrk was lost"))?
            })?;
            drop(guard);
            keyward(&store, &["doctor", "--quiet"])?;
            let counted = uses(&store)? - before;
            let lost = told.saturating_sub(counted) as f64;
            let lost = if signal == "KILL" { lost * LOADED.as_secs_f64() / told.max(1) as f64 } else { lost };
            report.row(what, lost, unit, Bound::Most(bound), &format!("{told} answers, {counted} counted"));
        }
        Ok(())
    }

    /// Disables the key in another process, and asks on a connection that was already open.
    pub(super) fn revoked(&self, stores: &Stores, report: &mut Report) -> Result<()> {
        const TIMES: u32 = 1_000;
        let what = "`disable` in another process: refused at the next request";
        if !report.wants(what) {
            return Ok(());
        }
        let store = self.folder.join("revoked.db");
        stores.copy(0, &store)?;
        let store = store.display().to_string();
        let secret = std::fs::read_to_string(stores.secret(0))?;
        let address = free()?;
        let guard = guard(&store, &address)?;
        anyhow::ensure!(answers(&address), "the guard is gone");
        let mut wire = Wire::to(&address, secret.trim())?;
        let mut refused = 0;
        for _ in 0..TIMES {
            anyhow::ensure!(wire.status()? == 200, "the key is enabled, and was refused");
            keyward(&store, &["disable", KEY, "--quiet"])?;
            refused += u32::from(wire.status()? == 401);
            keyward(&store, &["enable", KEY, "--quiet"])?;
        }
        drop(guard);
        report.row(what, refused.into(), &format!(" of {TIMES}"), Bound::Least(TIMES.into()), "on an open connection");
        Ok(())
    }
}

fn uses(store: &str) -> Result<u64> {
    let output = Command::new(KEYWARD).args(["--store", store, "show", KEY, "--json"]).output()?;
    let key: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    key["use_count"].as_u64().context("no use_count")
}

/// How many answers wrk got before they stopped.
fn told_by_wrk(url: &str, script: &Path) -> Result<u64> {
    let output =
        Command::new("wrk").args(["-t1", "-c32", "-d4s", "-s"]).arg(script).arg(url).output().context("wrk")?;
    load::answers(&String::from_utf8(output.stdout)?)
}

/// A connection that repeats the same question.
struct Wire {
    stream: BufReader<TcpStream>,
    question: String,
}

impl Wire {
    fn to(address: &str, secret: &str) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let question = format!(
            "GET /forward/default HTTP/1.1\r\nHost: x\r\nX-Api-Key: {secret}\r\nX-Forwarded-Method: GET\r\n\
             X-Forwarded-Uri: /\r\nX-Forwarded-Host: x\r\nX-Forwarded-Proto: https\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n"
        );
        Ok(Self { stream: BufReader::new(stream), question })
    }

    fn status(&mut self) -> Result<u16> {
        self.stream.get_mut().write_all(self.question.as_bytes())?;
        let (mut status, mut length) = (None, 0);
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line)?;
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(rest) = line.strip_prefix("http/1.1 ") {
                status = rest.get(..3).and_then(|code| code.parse().ok());
            } else if let Some(rest) = line.strip_prefix("content-length: ") {
                length = rest.parse()?;
            } else if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        status.context("no status")
    }
}
