//! A million keys: copied to a server and back, and listed there.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::{Place, postgres, timed};
use crate::KEYWARD;
use crate::report::{Bound, Report};
use crate::stores::Stores;

/// The index of the largest store.
const LARGE: usize = 2;

pub(super) fn measure(stores: &Stores, report: &mut Report, folder: &Path) -> Result<()> {
    let what = "`store copy` of 1,000,000 keys to a server : `sqlite3 .dump` and `psql`";
    let back = "the same, back into a file : the same";
    let list = "`list --json` of 1,000,000 keys on a server : `psql`";
    let wants_copies = report.wants(what) || report.wants(back);
    if !wants_copies && !report.wants(list) {
        return Ok(());
    }
    let place = Place::new()?;
    let url = place.url();
    let copied = timed(folder, &[KEYWARD, "--store", &stores.store(LARGE), "store", "copy", "--to", &url, "--quiet"])?;
    report.row("`store copy` to a server: memory", copied.peak_mib, " MiB", Bound::Most(64.0), "");

    place.server.sql("keyward", "ANALYZE");
    let listed = timed(folder, &[KEYWARD, "--store", &url, "list", "--json"])?;
    let told = psql(&place)?;
    report.ratio(list, [listed.time, told], 1.2);
    report.row("the same: memory", listed.peak_mib, " MiB", Bound::Most(64.0), "");
    if !wants_copies {
        return Ok(());
    }

    let file = folder.join("back.db");
    let _ = std::fs::remove_file(&file);
    let target = file.display().to_string();
    let back_again = timed(folder, &[KEYWARD, "--store", &url, "store", "copy", "--to", &target, "--quiet"])?;
    std::fs::remove_file(&file).context("the copy")?;
    drop(place);
    let dumped = dump(stores)?;
    report.ratio(what, [copied.time, dumped], 3.0);
    report.ratio(back, [back_again.time, dumped], 3.0);
    Ok(())
}

/// The time to write the rows of the store as statements, and to run them on a server.
fn dump(stores: &Stores) -> Result<Duration> {
    let place = Place::new()?;
    let path = place.server.folder.path();
    // Bytes are written differently, and the tables already exist.
    let pipe = format!(
        "sqlite3 '{}' .dump | grep '^INSERT INTO' | grep -v 'INSERT INTO history_head' \
         | sed \"s/X'\\([0-9A-Fa-f]*\\)'/'\\\\\\\\x\\1'/g\" \
         | (echo 'SET search_path = keyward; SET session_replication_role = replica; TRUNCATE role CASCADE; BEGIN;'; cat; \
            echo 'COMMIT;') \
         | {} -X -q -v ON_ERROR_STOP=1 -U {} -h '{}' -p {} keyward",
        stores.store(LARGE),
        postgres::program("psql").display(),
        postgres::OWNER,
        path.display(),
        place.server.port
    );
    let start = Instant::now();
    let output = Command::new("sh").args(["-c", &pipe]).stdin(Stdio::null()).output()?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let took = start.elapsed();
    anyhow::ensure!(place.server.sql("keyward", "SELECT count(*) FROM keyward.key") == "1000000", "not all rows came");
    Ok(took)
}

/// The time that psql takes to write the same keys as JSON.
fn psql(place: &Place) -> Result<Duration> {
    let sql = "SELECT json_build_object('id', k.public_id, 'name', k.name, 'description', k.description, \
                 'group', g.name, 'owner', u.name, 'role', r.name, 'tenant', t.name, 'read_only', k.read_only, \
                 'require_secure', k.require_secure, 'enabled', k.enabled, 'expires_at', k.expires_at, \
                 'prefix', k.prefix, 'limits', k.limits, 'created_at', k.created_at, 'created_by', k.created_by, \
                 'updated_at', k.updated_at, 'last_used_at', e.last_used_at, 'use_count', e.use_count, \
                 'scopes', (SELECT json_agg(scope) FROM keyward.key_scope s WHERE s.key = k.id), \
                 'levels', (SELECT json_agg(level) FROM keyward.key_level l WHERE l.key = k.id), \
                 'allowed_ips', (SELECT json_agg(network) FROM keyward.key_address a WHERE a.key = k.id), \
                 'labels', (SELECT json_object_agg(label, value) FROM keyward.key_label b WHERE b.key = k.id), \
                 'secrets', (SELECT json_agg(json_build_array(x.public_id, x.created_at, x.expires_at)) \
                               FROM keyward.secret x WHERE x.key = k.id)) \
               FROM keyward.key k LEFT JOIN keyward.key_group g ON g.id = k.key_group \
                    LEFT JOIN keyward.\"user\" u ON u.id = k.owner LEFT JOIN keyward.role r ON r.id = k.role \
                    LEFT JOIN keyward.tenant t ON t.id = k.tenant LEFT JOIN keyward.key_use e ON e.key = k.id \
              ORDER BY k.name";
    let mut psql = Command::new(postgres::program("psql"));
    psql.args(["-X", "-q", "-A", "-t", "-U", postgres::OWNER, "-d", "keyward", "-c", sql, "-h"]);
    psql.arg(place.server.folder.path()).args(["-p", &place.server.port.to_string()]);
    let start = Instant::now();
    anyhow::ensure!(psql.stdin(Stdio::null()).stdout(Stdio::null()).status()?.success(), "psql failed");
    Ok(start.elapsed())
}
