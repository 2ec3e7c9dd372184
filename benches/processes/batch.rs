//! `verify --batch`: different credentials, one credential repeated, and a key that is disabled during the run.

use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::KEYWARD;
use crate::measure::{median, run};
use crate::report::{Bound, Report};
use crate::stores::Stores;
use crate::writes::steady_hash;

/// How often the single credential is repeated.
const REPEATED: usize = 1_000_000;
/// The same for the comparison with jq, which only reads the field.
const BESIDE_JQ: usize = 200_000;

/// Measures the batch.
pub(crate) fn measure(stores: &Stores, report: &mut Report) -> Result<()> {
    different(stores, report)?;
    beside_jq(stores, report)?;
    repeated(stores, report)?;
    disabled(stores, report)
}

fn question(secret: &str) -> String {
    format!("{{\"credential\":\"{secret}\"}}\n")
}

fn different(stores: &Stores, report: &mut Report) -> Result<()> {
    let what = "`verify --batch`, 2,000 different credentials : twice the rate of one core";
    if !report.wants(what) {
        return Ok(());
    }
    let secrets = std::fs::read_to_string(stores.secrets(1))?;
    let questions = stores.folder.join("different");
    std::fs::write(&questions, secrets.lines().map(question).collect::<String>())?;
    let (mut rates, mut peak) = (vec![], 0.0);
    let before = steady_hash()?;
    for _ in 0..3 {
        let words = [KEYWARD, "--store", &stores.store(1), "verify", "--batch"];
        let run = run(&stores.folder, &words, Some(&questions))?;
        rates.push(secrets.lines().count() as f64 / run.time.as_secs_f64());
        peak = run.peak_mib.max(peak);
    }
    let hash = (before + steady_hash()?) / 2;
    let (rate, twice) = (median(rates), 2.0 / hash.as_secs_f64());
    report.row(what, rate / twice, "", Bound::Least(0.9), &format!("{rate:.1} : {twice:.1} a second"));
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
    report.row("its peak memory", peak, " MiB", Bound::Most(cores * 19.0 + 24.0), "GNU time");
    Ok(())
}

fn repeated(stores: &Stores, report: &mut Report) -> Result<()> {
    let what = "`verify --batch`, one credential 1,000,000 times";
    if !report.wants(what) {
        return Ok(());
    }
    let question = question(&std::fs::read_to_string(stores.secret(0))?);
    let questions = stores.folder.join("repeated");
    std::fs::write(&questions, question.repeat(REPEATED))?;
    let mut rates = vec![];
    for _ in 0..3 {
        let words = [KEYWARD, "--store", &stores.store(0), "verify", "--batch"];
        let run = run(&stores.folder, &words, Some(&questions))?;
        rates.push(REPEATED as f64 / run.time.as_secs_f64());
    }
    std::fs::remove_file(&questions)?;
    report.row(what, median(rates), " a second", Bound::Least(100_000.0), "reading a file, writing to nothing");
    Ok(())
}

fn beside_jq(stores: &Stores, report: &mut Report) -> Result<()> {
    let what = "`verify --batch` of 200,000 lines, one credential : `jq -c .credential`";
    if !report.wants(what) {
        return Ok(());
    }
    let question = question(&std::fs::read_to_string(stores.secret(0))?);
    let questions = stores.folder.join("beside-jq");
    std::fs::write(&questions, question.repeat(BESIDE_JQ))?;
    let (store, jq) = (stores.store(0), ["jq", "-c", ".credential"]);
    let keyward = [KEYWARD, "--store", &store, "verify", "--batch"];
    let (mut ours, mut theirs) = (vec![], vec![]);
    // Alternately, so that other load on the machine affects both.
    for _ in 0..5 {
        ours.push(run(&stores.folder, &keyward, Some(&questions))?.time.as_secs_f64() * 1_000.0);
        theirs.push(run(&stores.folder, &jq, Some(&questions))?.time.as_secs_f64() * 1_000.0);
    }
    std::fs::remove_file(&questions)?;
    let (ours, theirs) = (median(ours), median(theirs));
    report.row(what, ours / theirs, "", Bound::Most(1.2), &format!("{ours:.0} ms : {theirs:.0} ms"));
    Ok(())
}

/// The time from the end of a `disable` in another process to the last allowed line.
fn disabled(stores: &Stores, report: &mut Report) -> Result<()> {
    let what = "`disable` during it: until the last line that is still allowed";
    if !report.wants(what) {
        return Ok(());
    }
    let store = stores.store(0);
    let question = question(&std::fs::read_to_string(stores.secret(0))?);
    let mut delays = vec![];
    for _ in 0..5 {
        keyward(&store, &["enable", "service-0000000"])?;
        delays.push(one_delay(&store, &question)?.as_secs_f64() * 1_000.0);
    }
    keyward(&store, &["enable", "service-0000000"])?;
    report.row(what, delays.into_iter().fold(0.0, f64::max), " ms", Bound::Most(100.0), "the longest of five");
    Ok(())
}

fn one_delay(store: &str, question: &str) -> Result<Duration> {
    let mut child = Command::new(KEYWARD)
        .args(["--store", store, "verify", "--batch"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let (stdin, stdout) = (child.stdin.take().context("no stdin")?, child.stdout.take().context("no stdout")?);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut stdin = BufWriter::new(stdin);
            while !over.load(Ordering::Relaxed) {
                // The reader ends when the input does.
                if stdin.write_all(question.as_bytes()).is_err() {
                    break;
                }
            }
        });
        let reader = scope.spawn(|| -> Result<Instant> {
            let (mut last, mut refused) = (Instant::now(), 0);
            for answer in BufReader::new(stdout).lines() {
                if answer?.contains("\"allowed\":true") {
                    last = Instant::now();
                } else {
                    refused += 1;
                    over.store(refused > 100_000, Ordering::Relaxed);
                }
            }
            Ok(last)
        });
        std::thread::sleep(Duration::from_millis(500));
        keyward(store, &["disable", "service-0000000"])?;
        let disabled = Instant::now();
        let last = reader.join().map_err(|_| anyhow::anyhow!("the reader panicked"))??;
        child.wait()?;
        Ok(last.saturating_duration_since(disabled))
    })
}

fn keyward(store: &str, words: &[&str]) -> Result<()> {
    let done = Command::new(KEYWARD).args(["--store", store, "--quiet"]).args(words).status()?;
    if done.success() { Ok(()) } else { bail!("{words:?} failed") }
}
