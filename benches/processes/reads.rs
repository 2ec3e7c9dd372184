//! Commands that read: one key, some keys, all keys, and the completion of a name.

use std::time::Duration;

use anyhow::Result;

use crate::measure::{Line, Times, line, medians, run};
use crate::report::{Bound, Report};
use crate::stores::{SIZES, Stores};
use crate::{KEYWARD, data};

/// For commands of a few milliseconds.
const SHORT: Times = Times { rounds: 20, runs: 10 };
/// For commands of seconds.
const LONG: Times = Times { rounds: 3, runs: 1 };

/// What a list reads about a key, as SQL.
const KEY: &str = "
    SELECT k.public_id, k.name, k.description, g.name, o.name, r.name, t.name, k.read_only, k.require_secure, k.enabled,
           k.expires_at, k.prefix, k.created_at, k.created_by, k.updated_at, u.last_used_at, coalesce(u.use_count, 0),
           coalesce(o.enabled, 1), coalesce(t.enabled, 1), r.rank, p.name, p.rank,
           k.key_group, k.owner, k.role, k.tenant, o.role, k.scope_count, k.level_count, k.address_count, k.label_count,
           (SELECT group_concat(scope) FROM key_scope WHERE key = k.id),
           (SELECT group_concat(level) FROM key_level WHERE key = k.id),
           (SELECT group_concat(network) FROM key_address WHERE key = k.id),
           (SELECT group_concat(label || '=' || value) FROM key_label WHERE key = k.id),
           (SELECT group_concat(public_id || ' ' || created_at || ' ' || coalesce(expires_at, '') || ' ' || staged)
              FROM secret WHERE key = k.id)
      FROM key k LEFT JOIN key_group g ON g.id = k.key_group LEFT JOIN user o ON o.id = k.owner
           LEFT JOIN role r ON r.id = k.role LEFT JOIN tenant t ON t.id = k.tenant LEFT JOIN role p ON p.id = o.role
           LEFT JOIN key_use u ON u.key = k.id";

/// A command that lists or shows, and the rest of the statement that finds the same rows.
struct Read {
    words: Vec<&'static str>,
    rest: String,
}

fn reads() -> Result<Vec<Read>> {
    let now = jiff::Timestamp::now().as_second();
    let soon = now + 7 * 24 * 60 * 60;
    let read = |words: &[&'static str], rest: &str| Read { words: words.to_vec(), rest: rest.to_owned() };
    Ok(vec![
        read(&["show", "service-0000000"], &format!("WHERE k.name = '{}'", data::name(0)?)),
        // A partial list also reports the total number.
        read(&["list", "--limit", "20"], "ORDER BY k.name LIMIT 20; SELECT count(*) FROM key"),
        read(&["list", "--name", "x*"], "WHERE k.name GLOB 'x*' ORDER BY k.name"),
        read(&["list", "--scope", "s"], "WHERE k.id IN (SELECT key FROM key_scope WHERE scope = 's') ORDER BY k.name"),
        read(
            &["list", "--expires-within", "7d"],
            &format!("WHERE k.expires_at > {now} AND k.expires_at <= {soon} ORDER BY k.name"),
        ),
    ])
}

/// Measures commands that read.
pub(crate) fn measure(stores: &Stores, report: &mut Report) -> Result<()> {
    let folder = &stores.folder;
    let own = |place: usize, words: &[&str]| {
        let store = stores.store(place);
        line([KEYWARD, "--store", &store].into_iter().chain(words.iter().copied()))
    };
    let verify = |place: usize| own(place, &["verify", "--from-file", &stores.secret(place).display().to_string()]);
    for Read { words, rest } in reads()? {
        let what = format!("`{}` of 1,000,000 keys : sqlite3", words.join(" "));
        if report.wants(&what) {
            let peer = line(["sqlite3", &stores.store(2), &format!("{KEY} {rest}")]);
            report.ratio(&what, medians(folder, SHORT, [&own(2, &words), &peer])?, 1.0);
        }
    }
    for (name, of) in
        [("verify", &verify as &dyn Fn(usize) -> Line), ("show", &|place| own(place, &["show", "service-0000000"]))]
    {
        let what = format!("`{name}` of 1,000,000 keys : of 10 keys");
        if report.wants(&what) {
            let times = Times { rounds: 24, runs: 10 };
            report.ratio(&what, medians(folder, times, [&of(2), &of(0)])?, 1.05);
        }
    }
    all_as_json(stores, report)?;
    start(stores, report)?;
    completion(stores, report)?;
    growth(stores, report, &verify, &own)
}

fn all_as_json(stores: &Stores, report: &mut Report) -> Result<()> {
    let what = "`list --json` of 1,000,000 keys : sqlite3";
    if !report.wants(what) {
        return Ok(());
    }
    let store = stores.store(2);
    let words = [KEYWARD, "--store", &store, "list", "--json"];
    let peer = line(["sqlite3", "-json", &store, &format!("{KEY} ORDER BY k.name")]);
    report.ratio(what, medians(&stores.folder, LONG, [&line(words), &peer])?, 1.0);
    let peak = run(&stores.folder, &words, None)?.peak_mib;
    report.row("its peak memory", peak, " MiB", Bound::Most(32.0), "GNU time");
    Ok(())
}

fn start(stores: &Stores, report: &mut Report) -> Result<()> {
    let what = "`--version` : /bin/true";
    if report.wants(what) {
        let times = Times { rounds: 10, runs: 50 };
        report.ratio(what, medians(&stores.folder, times, [&line([KEYWARD, "--version"]), &line(["/bin/true"])])?, 2.0);
    }
    if report.wants("the binary") {
        let mib = std::fs::metadata(KEYWARD)?.len() as f64 / 1024.0 / 1024.0;
        report.row("the binary", mib, " MiB", Bound::Most(8.0), "with everything, stripped");
    }
    Ok(())
}

/// What a shell runs to complete a partly typed name.
fn complete(stores: &Stores, place: usize) -> Line {
    let store = stores.store(place);
    line([
        "env",
        "KEYWARD_COMPLETE=bash",
        "_CLAP_COMPLETE_INDEX=4",
        "_CLAP_COMPLETE_COMP_TYPE=9",
        "_CLAP_COMPLETE_SPACE=true",
        KEYWARD,
        "--",
        "keyward",
        "--store",
        &store,
        "show",
        "service-00000",
    ])
}

fn completion(stores: &Stores, report: &mut Report) -> Result<()> {
    let what = "completion of a name among 1,000,000 keys";
    if report.wants(what) {
        let [own, empty] = medians(&stores.folder, SHORT, [&complete(stores, 2), &line(["env", "/bin/true"])])?;
        let how = format!("{:.2} ms with the start of env, which takes {:.2} ms alone", ms(own), ms(empty));
        report.row(what, ms(own), " ms", Bound::Most(5.0), &how);
    }
    Ok(())
}

fn growth(
    stores: &Stores,
    report: &mut Report,
    verify: &dyn Fn(usize) -> Line,
    own: &dyn Fn(usize, &[&str]) -> Line,
) -> Result<()> {
    let mut grows = |what: &str, of: &dyn Fn(usize) -> Line| -> Result<()> {
        if report.wants(&format!("growth: {what}")) {
            let times = medians(&stores.folder, Times { rounds: 5, runs: 8 }, [&of(0), &of(1), &of(2)])?;
            report.grows(what, &times);
        }
        Ok(())
    };
    grows("`verify`", verify)?;
    for Read { words, .. } in reads()? {
        grows(&format!("`{}`", words.join(" ")), &|place| own(place, &words))?;
    }
    grows("completion of a name", &|place| complete(stores, place))?;
    if report.wants("growth: `list --json` of all keys") {
        let all = |place| medians(&stores.folder, LONG, [&own(place, &["list", "--json"])]);
        let times = (0..SIZES.len()).map(|place| Ok(all(place)?[0])).collect::<Result<Vec<_>>>()?;
        report.grows("`list --json` of all keys", &times);
    }
    Ok(())
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}
