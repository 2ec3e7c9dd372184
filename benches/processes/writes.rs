//! Commands that compute Argon2id hashes: one verification, one new key, a manifest of a thousand.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use keyward_core::rules::hashing::{Cost, HashedSecret, Memory};
use keyward_core::rules::token::Secret;

use crate::KEYWARD;
use crate::data::SALT;
use crate::measure::{Times, line, median, medians, run};
use crate::report::{Bound, Report};
use crate::stores::Stores;

/// New keys in the manifest.
const APPLIED: usize = 1_000;

/// The median time of one Argon2id hash in reused memory, in this process and on one core.
pub(crate) fn steady_hash() -> Result<Duration> {
    let secret = Secret::build(&"kw".parse()?, keyward_core::rules::token::Id::from_random([0; 8]), &[0; 32]);
    let mut memory = Memory::default();
    let mut times = vec![];
    for _ in 0..60 {
        let start = Instant::now();
        HashedSecret::new_in(&secret, [0; 16], Cost::default(), &mut memory)?;
        times.push(start.elapsed().as_secs_f64());
    }
    Ok(Duration::from_secs_f64(median(times)))
}

/// Measures commands that hash.
pub(crate) fn measure(stores: &Stores, report: &mut Report) -> Result<()> {
    let times = Times { rounds: 6, runs: 10 };
    let (store, secret) = (stores.store(0), stores.secret(0));
    let verify = line([KEYWARD, "--store", &store, "verify"]).reading(&secret);
    let what = "`verify` : Debian's argon2";
    if report.wants(what) {
        check_peer(&secret, &store)?;
        let peer = line(argon2("-r")).reading(&secret);
        report.ratio(what, medians(&stores.folder, times, [&verify, &peer])?, 0.5);
    }
    let what = "`verify` : one Argon2id in a process that runs";
    if report.wants(what) {
        let before = steady_hash()?;
        let [own] = medians(&stores.folder, times, [&verify])?;
        let after = steady_hash()?;
        report.ratio(what, [own, (before + after) / 2], 1.35);
    }
    let what = "`create --json` : `verify`";
    if report.wants(what) {
        let delete = line([KEYWARD, "--store", &store, "--quiet", "delete", "fresh", "--yes"]);
        let create = line([KEYWARD, "--store", &store, "create", "fresh", "--json"]).after(&delete);
        let verify = line([KEYWARD, "--store", &store, "verify", "--from-file", &secret.display().to_string()]);
        report.ratio(what, medians(&stores.folder, times, [&create, &verify])?, 1.15);
    }
    apply(stores, report)
}

/// The peer, printing only the hash: in this form it computes one hash, in the others two.
fn argon2(output: &str) -> [&str; 12] {
    ["argon2", SALT, "-id", "-t", "2", "-k", "19456", "-p", "1", "-l", "32", output]
}

/// Checks that the comparison is fair: the peer computes exactly the hash in the store.
fn check_peer(secret: &Path, store: &str) -> Result<()> {
    let made = Command::new("argon2").args(&argon2("-e")[1..]).stdin(std::fs::File::open(secret)?).output()?;
    let query = "SELECT hash FROM secret ORDER BY id LIMIT 1";
    let stored = Command::new("sqlite3").args([store, query]).output()?;
    if made.stdout.is_empty() || made.stdout != stored.stdout {
        bail!("argon2 makes another hash: {}", String::from_utf8_lossy(&made.stdout));
    }
    Ok(())
}

fn apply(stores: &Stores, report: &mut Report) -> Result<()> {
    let what = "`apply` of 1,000 new keys : twice the rate of one core";
    if !report.wants(what) {
        return Ok(());
    }
    let folder = stores.folder.join("apply");
    let mut manifest = String::new();
    for number in 0..APPLIED {
        writeln!(manifest, "[[key]]\nname = \"new-{number}\"\nscopes = [\"rest\"]\n")?;
    }
    let mut rates = vec![];
    let before = steady_hash()?;
    for _ in 0..3 {
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder)?;
        let path = |name: &str| folder.join(name).display().to_string();
        std::fs::write(path("keys.toml"), &manifest)?;
        let words =
            [KEYWARD, "--store", &path("keys.db"), "apply", &path("keys.toml"), "--secrets-dir", &path("secrets")];
        let time = run(&stores.folder, &words, None).context("apply")?.time;
        rates.push(APPLIED as f64 / time.as_secs_f64());
    }
    let hash = (before + steady_hash()?) / 2;
    let (rate, twice) = (median(rates), 2.0 / hash.as_secs_f64());
    report.row(what, rate / twice, "", Bound::Least(0.85), &format!("{rate:.1} : {twice:.1} a second"));
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}
