//! Checks of the rows, in a file or on a server: whether everything is sound, and as keyward wrote it.

use super::{Diagnosis, Severity};
use crate::error::Error;
use crate::session::Session;
use crate::text::{count, shell_path};
use keyward_core::store::{ChainCheck, Filter, NameCount, Store, StoreError, View};

pub(super) fn integrity(session: &Session, store: &Store, view: &View<'_>) -> Result<Diagnosis, Error> {
    let meaning = "what the store says about some keys cannot be trusted, so nothing else was looked at";
    let remedy = || {
        let remedy = if store.is_on_server() {
            "leave the tables as they are, and restore the newest backup of the database"
        } else {
            "leave it as it is, and put the newest backup in its place"
        };
        remedy.to_owned()
    };
    let bad = |found: String| Diagnosis::bad("integrity", Severity::Problem, found, meaning, remedy());
    let working = session.terminal.working("looking through the store");
    let found = view.damage();
    // In a file with damaged pages, not even the keys can be read.
    let (keys, what) = match damaged_keys(session, view) {
        Err(StoreError::Corrupt { detail, .. }) if matches!(found, Ok(None)) => return Ok(bad(detail)),
        keys => keys.unwrap_or_default(),
    };
    drop(working);
    Ok(match found {
        Ok(_) if keys.count > 0 => Diagnosis {
            count: keys.count,
            keys: keys.names,
            ..bad(format!("{} damaged: {}", count(keys.count, "key"), what.join("; ")))
        },
        Ok(None) => Diagnosis::ok("integrity", "integrity check passed"),
        Ok(Some(damage)) | Err(StoreError::Corrupt { detail: damage, .. }) => bad(damage),
        Err(error) => return Err(error.into()),
    })
}

/// keyward does not obey what it did not make, but whoever put it there could do other things.
pub(super) fn schema(store: &Store, view: &View<'_>) -> Result<Diagnosis, Error> {
    const SHOWN: usize = 5;
    let mut found = view.strange_parts()?;
    if found.is_empty() {
        let place = if store.is_on_server() { "schema" } else { "file" };
        let finding = format!("the {place} has the tables and indexes of keyward, and nothing else");
        return Ok(Diagnosis::ok("schema", finding));
    }
    let more = found.len().saturating_sub(SHOWN);
    found.truncate(SHOWN);
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    // A server obeys everything in its schema, whoever put it there.
    let (meaning, remedy) = if store.is_on_server() {
        (
            "somebody changed the schema without keyward; a trigger, a rule or a policy could change what keyward does",
            "find out who could alter the tables, and make the schema as `keyward store init` makes a new one"
                .to_owned(),
        )
    } else {
        (
            "somebody changed the file without keyward; triggers and views are not obeyed, and the rest is not relied on",
            format!("find out who could write {}, and restore a backup from before", shell_path(store.path())),
        )
    };
    Ok(Diagnosis::bad("schema", Severity::Problem, format!("{}{more}", found.join(", ")), meaning, remedy))
}

/// The keys with missing data, and what is missing.
fn damaged_keys(session: &Session, view: &View<'_>) -> Result<(NameCount, Vec<String>), StoreError> {
    const KINDS: usize = 5;
    let (mut keys, mut what) = (NameCount::default(), vec![]);
    view.each_key(&Filter::default(), session.now(), |key| {
        if let Some(damage) = key.damage {
            keys.add(key.name.as_str());
            if what.len() < KINDS && !what.contains(&damage) {
                what.push(damage);
            }
        }
        Ok::<_, StoreError>(())
    })?;
    Ok((keys, what))
}

pub(super) fn history(session: &Session, view: &View<'_>) -> Result<Diagnosis, Error> {
    if !view.tells_history()? {
        return Ok(Diagnosis::ok("history", "the history was not checked: this role may not read it"));
    }
    let mut progress = session.terminal.progress("checking the history", view.count_events()?);
    let found = view.check_history(|done| progress.at(done))?;
    drop(progress);
    Ok(match found {
        ChainCheck::Intact { rows } => {
            Diagnosis::ok("history", format!("the history is intact: {}", count(rows, "row")))
        }
        ChainCheck::Broken { seq, what } => Diagnosis::bad(
            "history",
            Severity::Problem,
            format!("the history is not as it was written: at row {seq}, {what}"),
            "somebody changed the store without keyward",
            "compare it with a backup, and find out who could write the store".to_owned(),
        ),
    })
}
