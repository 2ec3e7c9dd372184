//! Many processes changing keys at once, each over its own connection.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use jiff::Timestamp;
use keyward_core::store::{ChainCheck, Stamp, Store, StoreError, Surroundings};

use super::{Place, postgres};
use crate::report::{Bound, Report};

const CONNECTIONS: usize = 8;
const LASTS: Duration = Duration::from_secs(8);

pub(super) fn measure(report: &mut Report) -> Result<()> {
    let what = "changes without a hash over 8 connections of the library";
    if !report.wants(what) {
        return Ok(());
    }
    let place = Place::new()?;
    for number in 0..CONNECTIONS {
        place.keyward(&["create", &format!("key{number}"), "--json"])?;
    }
    let (made, refused) = (AtomicU64::new(0), AtomicU32::new(0));
    thread::scope(|scope| {
        let run = |number: usize| toggle(&place, number, &made, &refused);
        let threads: Vec<_> = (0..CONNECTIONS).map(|number| scope.spawn(move || run(number))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| anyhow::anyhow!("a thread panicked"))?)
    })?;
    let made = made.into_inner() as f64;
    let intact = matches!(open(&place)?.view()?.check_history(|_| {})?, ChainCheck::Intact { .. });
    let how = format!("one intact chain: {intact}");
    report.row(what, made / LASTS.as_secs_f64(), " a second", Bound::Least(500.0), &how);
    report.row("the same: refused", f64::from(refused.into_inner()), "", Bound::Most(0.0), "");
    Ok(())
}

fn open(place: &Place) -> Result<Store> {
    let password = Some(postgres::PASSWORD.as_bytes().to_vec().into());
    Ok(Store::connect(place.url().parse()?, Surroundings { password, ..Surroundings::default() })?)
}

fn toggle(place: &Place, number: usize, made: &AtomicU64, refused: &AtomicU32) -> Result<()> {
    let mut store = open(place)?;
    let found = store.view()?.find(&format!("key{number}"))?;
    let Some(key) = found else { anyhow::bail!("no key") };
    let start = Instant::now();
    let mut enabled = false;
    while start.elapsed() < LASTS {
        let stamp = Stamp { now: Timestamp::now(), actor: None };
        let changed: Result<_, StoreError> = store.write(stamp, |changes| changes.switch_key(&key, enabled));
        match changed {
            Ok(_) => made.fetch_add(1, Ordering::Relaxed),
            Err(_) => refused.fetch_add(1, Ordering::Relaxed).into(),
        };
        enabled = !enabled;
    }
    Ok(())
}
