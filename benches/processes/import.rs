//! Keys from another system: how fast they are imported, and what it costs to verify one among a million.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use keyward_core::rules::credential::parse_line;
use keyward_core::rules::decision::{Request, Transport};
use keyward_core::rules::fingerprint::{sha256, to_hex};
use keyward_core::rules::hashing::{Cost, HashedSecret, Memory};
use keyward_core::rules::imported::ImportedText;
use keyward_core::rules::token::{Id, Secret};
use keyward_core::store::Store;
use keyward_core::verifier::Verifier;

use crate::KEYWARD;
use crate::measure::{Run, median, run};
use crate::report::{Bound, Report};
use crate::stores::Stores;
use crate::writes::steady_hash;

/// Texts to hash: a sample of the promised hundred thousand, each of which costs the same.
const TEXTS: usize = 5_000;
const MILLION: usize = 1_000_000;
/// How many of the million are verified, and how many unknown ones.
const ASKED: usize = 200;

/// Measures the import, and the verifications.
pub(crate) fn measure(stores: &Stores, report: &mut Report) -> Result<()> {
    texts(stores, report)?;
    let (time, memory) = ("`import` of 1,000,000 SHA-256", "`import` of 1,000,000 SHA-256: memory");
    let verify = "a verification among 1,000,000 imported keys : one Argon2id";
    let failures = "a text that nobody has, among them : an unknown key of our own";
    if ![time, memory, verify, failures].map(|what| report.wants(what)).contains(&true) {
        return Ok(());
    }
    let (store, run) = million(stores)?;
    report.row(time, run.time.as_secs_f64(), " s", Bound::Most(60.0), "");
    report.row(memory, run.peak_mib, " MiB", Bound::Most(64.0), "");
    verifications(&store, report, (verify, failures))
}

fn text(number: usize) -> String {
    format!("made-up-client-text-{number:09}")
}

fn texts(stores: &Stores, report: &mut Report) -> Result<()> {
    let what = "`import` of 5,000 texts : twice the rate of one core";
    if !report.wants(what) {
        return Ok(());
    }
    let folder = stores.folder.join("import");
    let mut records = String::new();
    for number in 0..TEXTS {
        writeln!(records, "{{\"name\":\"client-{number:07}\",\"secret\":\"{}\"}}", text(number))?;
    }
    let mut rates = vec![];
    let before = steady_hash()?;
    for _ in 0..3 {
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder)?;
        let path = |name: &str| folder.join(name).display().to_string();
        fs::write(path("keys.jsonl"), &records)?;
        let words = [KEYWARD, "--store", &path("keys.db"), "import", &path("keys.jsonl"), "--yes"];
        let time = run(&stores.folder, &words, None).context("import")?.time;
        rates.push(TEXTS as f64 / time.as_secs_f64());
    }
    let hash = (before + steady_hash()?) / 2;
    let (rate, twice) = (median(rates), 2.0 / hash.as_secs_f64());
    report.row(what, rate / twice, "", Bound::Least(0.85), &format!("{rate:.1} : {twice:.1} a second"));
    fs::remove_dir_all(&folder)?;
    Ok(())
}

/// A store with a million imported keys, and what the import took. A few hundred have an Argon2id hash of their own
/// text, all others that of another text.
fn million(stores: &Stores) -> Result<(PathBuf, Run)> {
    let (path, records) = (stores.folder.join("imported.db"), stores.folder.join("imported.jsonl"));
    let _ = fs::remove_file(&path);
    let mut lines = String::new();
    for number in 0..MILLION {
        let hex = to_hex(&sha256(&text(number)));
        writeln!(lines, "{{\"name\":\"client-{number:07}\",\"sha256\":\"{hex}\"}}")?;
    }
    fs::write(&records, lines)?;
    let words = [KEYWARD, "--store", &path.display().to_string(), "import", &records.display().to_string(), "--yes"];
    let run = run(&stores.folder, &words, None).context("import")?;
    fs::remove_file(records)?;
    let conn = rusqlite::Connection::open(&path)?;
    let of = |text: String| Ok::<_, anyhow::Error>(ImportedText::new(text.into())?);
    let other = HashedSecret::new(&of("made-up-text-of-nobody".to_owned())?, [1; 16], Cost::default())?;
    conn.execute("UPDATE secret SET hash = ?1", [other.as_phc()])?;
    let mut memory = Memory::default();
    for number in asked() {
        let hash = HashedSecret::new_in(&of(text(number))?, [2; 16], Cost::default(), &mut memory)?;
        let update = "UPDATE secret SET hash = ?1 WHERE key = (SELECT id FROM key WHERE name = ?2)";
        conn.execute(update, [hash.as_phc(), &format!("client-{number:07}")])?;
    }
    Ok((path, run))
}

/// Keys from all over the store.
fn asked() -> impl Iterator<Item = usize> {
    (0..ASKED).map(|number| number * (MILLION / ASKED))
}

fn verifications(store: &Path, report: &mut Report, (verify, failures): (&str, &str)) -> Result<()> {
    let verifier = Verifier::new(Store::open(store)?)?;
    let request = Request::over(Transport::Https);
    let now = Timestamp::now();
    let ask = |line: &str, is_allowed: bool| -> Result<Duration> {
        let presented = parse_line(line);
        let start = Instant::now();
        let answer = verifier.verify(presented, &request, now)?;
        let took = start.elapsed();
        anyhow::ensure!(answer.decision.is_allowed() == is_allowed, "{line} is not what it should be");
        Ok(took)
    };
    let unknown = |number: usize| {
        let id = Id::from_random((number as u64 + 1).to_be_bytes());
        Secret::build(&keyward_core::rules::names::Prefix::default(), id, &[7; 32]).expose().to_owned()
    };
    let [mut known, mut nobodys, mut own] = [Duration::ZERO; 3];
    let before = steady_hash()?;
    for number in asked() {
        known += ask(&text(number), true)?;
        nobodys += ask(&format!("nobody-has-this-text-{number:09}"), false)?;
        own += ask(&unknown(number), false)?;
    }
    let hash = (before + steady_hash()?) / 2;
    let mean = |time: Duration| time / u32::try_from(ASKED).unwrap_or(1);
    report.ratio(verify, [mean(known), hash], 1.1);
    report.ratio(failures, [mean(nobodys), mean(own)], 1.1);
    Ok(())
}
