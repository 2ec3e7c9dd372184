//! Limits and usage: what a limit costs, and how fast ten million rows of usage are read.

use std::path::PathBuf;

use anyhow::Result;

use crate::KEYWARD;
use crate::measure::{Times, line, medians};
use crate::report::Report;
use crate::stores::Stores;

/// Ten hours in each of the 400 days before the store was made, different ones for each key: ten million rows.
const HOURS: &str = "
    WITH RECURSIVE day (number) AS (SELECT 0 UNION ALL SELECT number + 1 FROM day WHERE number < 9)
    INSERT INTO usage (key, hour, allowed, forbidden, limited)
    SELECT k.id, 1767225600 - ((k.id * 7919 + number * 104729) % 960 + number * 960) * 3600,
           1 + (k.id * 31 + number) % 1000, (k.id + number) % 3, k.id % 7 = 0
      FROM key k, day ORDER BY k.id, 2";

/// What `usage` shows, as SQL: the periods, and the keys with the most calls.
const QUERY: &str = "
    SELECT hour - hour % 86400, sum(allowed), sum(forbidden), sum(limited) FROM usage WHERE hour >= 1672531200
     GROUP BY 1 ORDER BY 1;
    SELECT k.name, u.* FROM (SELECT key, sum(allowed), sum(forbidden), sum(limited) FROM usage WHERE hour >= 1672531200
     GROUP BY key ORDER BY sum(allowed + forbidden + limited) DESC LIMIT 10) u JOIN key k ON k.id = u.key";

/// Measures both.
pub(crate) fn measure(stores: &Stores, report: &mut Report) -> Result<()> {
    let what = "`usage` of 10 million hours of 1,000,000 keys : sqlite3";
    if report.wants(what) {
        let store = filled(stores)?.display().to_string();
        let own = line([KEYWARD, "--store", &store, "usage", "--since", "2023-01-01"]);
        let peer = line(["sqlite3", &store, QUERY]);
        report.ratio(what, medians(&stores.folder, Times { rounds: 3, runs: 1 }, [&own, &peer])?, 1.0);
    }
    let what = "`verify` of a key with a limit : of one without";
    if report.wants(what) {
        let (plain, limited) = (stores.store(0), stores.limited(&stores.folder.join("limited.db"))?);
        let secret = stores.secret(0).display().to_string();
        let verify = |store: &str| line([KEYWARD, "--store", store, "verify", "--from-file", &secret]);
        let times = Times { rounds: 24, runs: 10 };
        report.ratio(what, medians(&stores.folder, times, [&verify(&limited), &verify(&plain)])?, 1.05);
    }
    Ok(())
}

/// The store of a million keys, with the usage of a year.
fn filled(stores: &Stores) -> Result<PathBuf> {
    let path = stores.folder.join("usage.db");
    if !path.exists() {
        eprintln!("making ten million rows of usage");
        stores.copy(2, &path)?;
        let conn = rusqlite::Connection::open(&path)?;
        conn.execute_batch(HOURS)?;
    }
    Ok(path)
}
