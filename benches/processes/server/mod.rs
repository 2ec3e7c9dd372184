//! A store on a real PostgreSQL on this machine, compared with the same store in a file and with PostgreSQL's own
//! tools. The server waits for the disk, and requires SCRAM passwords.

mod changes;
mod copying;
#[path = "../../../crates/keyward-core/tests/server/mod.rs"]
#[allow(dead_code, unused_imports, clippy::unwrap_used, clippy::panic, reason = "the harness of the tests")]
mod postgres;

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::KEYWARD;
use crate::measure::{Times, line, medians, run};
use crate::report::{Bound, Report};
use crate::serve::load::{Server as Guard, load};
use crate::serve::{Scene, answers, free};
use crate::stores::Stores;

/// Measures the difference that a server makes.
pub(crate) fn measure(stores: &Stores, report: &mut Report) -> Result<()> {
    let folder = stores.folder.join("server");
    std::fs::create_dir_all(&folder)?;
    verify_once(stores, report)?;
    guarded(stores, report, &folder)?;
    changes::measure(report)?;
    copying::measure(stores, report, &folder)
}

/// A server with the database `keyward`, to which `ann` signs in with a password.
pub(crate) struct Place {
    server: postgres::Server,
}

impl Place {
    fn new() -> Result<Self> {
        let server = postgres::Server::start();
        server.let_in("local all ann scram-sha-256");
        server.set("fsync = on\nmax_wal_size = '4GB'");
        let place = Self { server };
        place.keyward(&["store", "init"])?;
        Ok(place)
    }

    fn url(&self) -> String {
        format!("postgres://ann@{}/keyward", self.server.socket_host())
    }

    /// A command that gets the password, but not on the command line.
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(KEYWARD);
        command.env("PGPASSWORD", postgres::PASSWORD).args(["--store", &self.url()]).args(words);
        command
    }

    fn keyward(&self, words: &[&str]) -> Result<()> {
        let output = self.command(words).output()?;
        anyhow::ensure!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// Copies the store in this file to it.
    fn fill(&self, store: &str) -> Result<()> {
        let output = Command::new(KEYWARD)
            .env("PGPASSWORD", postgres::PASSWORD)
            .args(["--store", store, "store", "copy", "--to", &self.url(), "--quiet"])
            .output()?;
        anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// The number of transactions so far, including each statement outside a transaction.
    fn transactions(&self) -> Result<f64> {
        let sql = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = 'keyward'";
        Ok(self.server.sql(postgres::OWNER, sql).parse()?)
    }
}

fn verify_once(stores: &Stores, report: &mut Report) -> Result<()> {
    let what = "`verify` on a server, over its socket : on a file";
    if !report.wants(what) {
        return Ok(());
    }
    let place = Place::new()?;
    place.fill(&stores.store(0))?;
    // Both start the same way, so that starting costs the same.
    let password = format!("PGPASSWORD={}", postgres::PASSWORD);
    let verify = |store: &str| {
        line(["env", &password, KEYWARD, "--store", store, "verify", "--quiet", "--ip", "10.0.0.1"])
            .reading(&stores.secret(0))
    };
    let (on_server, on_file) = (verify(&place.url()), verify(&stores.store(0)));
    let times = Times { rounds: 6, runs: 15 };
    report.ratio(what, medians(&stores.folder, times, [&on_server, &on_file])?, 1.6);
    Ok(())
}

fn guarded(stores: &Stores, report: &mut Report, folder: &Path) -> Result<()> {
    let what = "`serve` on a server: decisions of one warm key";
    if !report.wants(what) {
        return Ok(());
    }
    let place = Place::new()?;
    place.fill(&stores.store(0))?;
    let scene = Scene { folder: folder.to_owned() };
    let script = scene.one_key(&stores.secret(0))?;
    let address = free()?;
    let guard = Guard::start(&mut place.command(&["serve", "--listen", &address]), || answers(&address))?;
    let url = format!("http://{address}/forward/default");
    load(&url, &script, 1, &[&guard])?;
    let (mut rates, before) = (vec![], place.transactions()?);
    for _ in 0..3 {
        rates.push(load(&url, &script, 4, &[&guard])?.rate);
    }
    // The server's transaction count lags by a second.
    std::thread::sleep(std::time::Duration::from_secs(2));
    let reads = place.transactions()? - before;
    let decisions: f64 = rates.iter().map(|rate| rate * 4.0).sum();
    let rate = crate::measure::median(rates);
    report.row(what, rate, " a second", Bound::Least(15_000.0), "wrk with 32 connections beside it and the server");
    let how = "transactions of the database, those of counting among them";
    report.row("the same: reads of the head a decision", reads / decisions, "", Bound::Most(1.0), how);
    Ok(())
}

/// One run of keyward, with the password in its environment.
fn timed(folder: &Path, words: &[&str]) -> Result<crate::measure::Run> {
    let password = format!("PGPASSWORD={}", postgres::PASSWORD);
    run(folder, &[&["env", &password], words].concat(), None).with_context(|| format!("{words:?}"))
}
