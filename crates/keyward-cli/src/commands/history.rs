//! `keyward history`

use std::collections::BTreeSet;

use clap::Args;
use serde::Serialize;
use serde_json::Value;

use super::absent::note_events;
use super::views::in_words;
use crate::error::{Code, Error, Exit};
use crate::session::{Session, no_such_key};
use crate::terminal::{Cell, Column, Tone};
use crate::text::{clean, count};
use keyward_core::rules::names::Name;
use keyward_core::rules::time::{Rfc3339, Since, rfc3339};
use keyward_core::rules::token::Id;
use keyward_core::store::{ChainCheck, Event, EventFilter, PastKey, Store, View};

/// Show who did what, when
///
/// Every change is recorded in the transaction that makes it, and the rows are chained by hash. A row that
/// was changed, removed, inserted or moved breaks the chain. Replacement of the whole history by someone
/// who can write the file is not detected.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  keyward history deploy
  keyward history --since 7d --json
  keyward history --by ann --action rotate
  keyward history --check")]
pub struct History {
    /// Only this key, also after it was deleted: its name, a former one, its id, or the public id of any of its secrets
    ///
    /// A name that several keys had, one after the other, shows all of them, each with its id.
    key: Option<String>,
    /// Start at this time: how long ago (7d, 12h), a date, or an RFC 3339 time
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true)]
    since: Option<Since>,
    /// End at this time, written in the same way
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true)]
    until: Option<Since>,
    /// Only what this user did; `owner` for the owner of the store
    #[arg(long, value_name = "WHO")]
    by: Option<Name>,
    /// Only this action: key.create; `key` for everything about keys, `create` for everything created
    ///
    /// It is about a key, group, user, role, tenant or the settings, and is one of create, import, edit, enable, disable, rotate,
    /// stage, unstage and delete. One that nothing has is named on standard error.
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,
    /// Show only the newest N
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    limit: Option<u64>,
    /// Prove that no row was changed or removed
    #[arg(long, conflicts_with_all = ["key", "since", "until", "by", "action", "limit"])]
    check: bool,
}

/// No column is left out: a history with gaps is worth nothing. Details wrap instead.
const COLUMNS: [Column; 5] = [
    Column::new("when", Column::ALWAYS).whole(),
    Column::new("who", Column::ALWAYS).whole(),
    Column::new("what", Column::ALWAYS).whole(),
    Column::new("name", Column::ALWAYS),
    Column::new("details", Column::ALWAYS),
];

/// The id of the key, if several keys had the same name.
const KEY: Column = Column::new("key", Column::ALWAYS).whole();

/// How many keys of one name a note lists.
const SHOWN: usize = 20;

#[derive(Serialize)]
struct EventJson<'e> {
    seq: i64,
    at: Rfc3339,
    actor: Option<&'e Name>,
    action: &'e str,
    subject_kind: &'e str,
    subject_id: Option<&'e Id>,
    subject_name: &'e str,
    detail: &'e Value,
}

impl History {
    /// Shows the events, the oldest first.
    ///
    /// # Errors
    /// If there is no such key, or the chain is broken.
    pub fn run(self, session: &mut Session) -> Result<Exit, Error> {
        let Some(store) = session.store_to_read()? else {
            if let Some(key) = &self.key {
                return Err(no_such_key(None, key));
            }
            match (session.json(), self.check) {
                (true, true) => session.terminal.print_json(&intact(0))?,
                (true, false) => session.terminal.print("[]\n")?,
                (false, _) => session.terminal.note("no events yet"),
            }
            return Ok(Exit::DONE);
        };
        if self.check { check(session, &store) } else { self.show(session, &store) }
    }

    fn show(&self, session: &mut Session, store: &Store) -> Result<Exit, Error> {
        let view = store.view()?;
        let keys = match &self.key {
            None => vec![],
            Some(text) => view.keys_ever_named(text)?,
        };
        if let Some(text) = self.key.as_ref().filter(|_| keys.is_empty()) {
            return Err(no_such_key(Some(store), text));
        }
        let now = session.now();
        let filter = EventFilter {
            named: self.key.clone(),
            since: self.since.map(|since| since.resolve(now)),
            until: self.until.map(|until| until.resolve(now)),
            by: self.by.clone(),
            action: self.action.clone(),
            limit: self.limit,
            ..EventFilter::default()
        };
        if session.json() {
            if print_array(session, &view, &filter)? == 0 {
                note_events(session, &view, &filter)?;
            }
            return Ok(Exit::DONE);
        }
        let mut events = vec![];
        view.each_event(&filter, |event| {
            events.push(event);
            Ok::<_, Error>(())
        })?;
        if events.is_empty() {
            note_events(session, &view, &filter)?;
            session.note_nothing("no matching events");
        } else if session.quiet() {
            let mut told = BTreeSet::new();
            let names = events.iter().map(|event| event.subject_name.as_str()).filter(|name| told.insert(*name));
            let names: Vec<_> = names.map(|name| format!("{}\n", clean(name))).collect();
            names.iter().try_for_each(|name| session.terminal.print(name))?;
        } else {
            print(session, &events, keys.len() > 1)?;
        }
        if let Some(text) = &self.key {
            which_is_which(session, text, &keys)?;
        }
        Ok(Exit::DONE)
    }
}

/// The events one by one: there may be very many. Returns how many there were.
fn print_array(session: &mut Session, view: &View<'_>, filter: &EventFilter) -> Result<u64, Error> {
    let (mut before, mut number) = ("[", 0);
    view.each_event(filter, |event| {
        let line = serde_json::to_string(&json(&event)).map_err(anyhow::Error::new)?;
        session.terminal.print(std::mem::replace(&mut before, ",\n"))?;
        number += 1;
        session.terminal.print(&line)
    })?;
    session.terminal.print(if before == "[" { "[]\n" } else { "]\n" })?;
    Ok(number)
}

/// Lists the keys that a text may mean, if it is not the name of a single key.
fn which_is_which(session: &mut Session, text: &str, keys: &[PastKey]) -> Result<(), Error> {
    let note = match keys {
        [] => return Ok(()),
        [key] if !key.by_secret => return Ok(()),
        [key] => {
            let gone = if key.is_gone { ", which is gone" } else { "" };
            format!("{text} is the public id of a secret of {} ({}){gone}", key.name, key.id)
        }
        keys => {
            let about = |key: &PastKey| match key {
                PastKey { id, is_gone: true, .. } => format!("{id} (gone)"),
                PastKey { id, name, .. } => format!("{id} (now {name})"),
            };
            let all: Vec<_> = keys.iter().take(SHOWN).map(about).collect();
            let more = if keys.len() > SHOWN { ", …" } else { "" };
            format!("{} had the name {text}: {}{more}", count(keys.len() as u64, "key"), all.join(", "))
        }
    };
    // The note must come first on a screen.
    session.terminal.flush()?;
    session.terminal.note(&note);
    Ok(())
}

/// One row for each event; details that do not fit are below it. With `ids`, each row shows the id of its key.
fn print(session: &mut Session, events: &[Event], ids: bool) -> Result<(), Error> {
    /// The width that a table with details needs.
    const ROOM: u16 = 100;
    if session.terminal.width().is_none_or(|width| width >= ROOM) {
        let mut columns = COLUMNS.to_vec();
        let mut rows: Vec<_> = events.iter().map(row).collect();
        if ids {
            let place = columns.len() - 1;
            columns.insert(place, KEY);
            for (row, event) in rows.iter_mut().zip(events) {
                row.insert(place, event.subject_id.as_ref().map_or_else(String::new, Id::to_string).into());
            }
        }
        return session.terminal.print_table(&columns, &rows);
    }
    for event in events {
        let who = event.actor.as_ref().map_or("owner", Name::as_str);
        let id = event.subject_id.as_ref().filter(|_| ids).map_or_else(String::new, |id| format!(" ({id})"));
        let head = format!("{}  {}  {}{id}  by {who}", rfc3339(event.at), event.action, event.subject_name);
        let details = match details(&event.detail) {
            details if details.is_empty() => details,
            details => format!("    {details}\n"),
        };
        let text = session.terminal.wrapped(&clean(&format!("{head}\n{details}")), true);
        session.terminal.print(&text)?;
    }
    Ok(())
}

fn check(session: &mut Session, store: &Store) -> Result<Exit, Error> {
    let view = store.view()?;
    let mut progress = session.terminal.progress("checking the history", view.count_events()?);
    let found = view.check_history(|done| progress.at(done))?;
    drop(progress);
    match found {
        ChainCheck::Intact { rows } => {
            if session.json() {
                session.terminal.print_json(&intact(rows))?;
            } else if !session.quiet() {
                session.terminal.print(&format!("the history is intact: {}\n", count(rows, "row")))?;
                session.terminal.flush()?;
                let place = if store.is_on_server() { "tables" } else { "file" };
                session.terminal.note(&format!(
                    "not detected: replacement of the whole history by someone who can write the {place}"
                ));
            }
            Ok(Exit::DONE)
        }
        ChainCheck::Broken { seq, what } => {
            Err(Error::new(Code::StoreCorrupt, format!("the history is not as it was written: at row {seq}, {what}"))
                .hint("compare it with a backup, and find out who could write the store"))
        }
    }
}

fn intact(rows: u64) -> Value {
    serde_json::json!({"intact": true, "rows": rows})
}

fn json(event: &Event) -> EventJson<'_> {
    EventJson {
        seq: event.seq,
        at: rfc3339(event.at),
        actor: event.actor.as_ref(),
        action: &event.action,
        subject_kind: &event.subject_kind,
        subject_id: event.subject_id.as_ref(),
        subject_name: &event.subject_name,
        detail: &event.detail,
    }
}

fn row(event: &Event) -> Vec<Cell> {
    vec![
        rfc3339(event.at).to_string().into(),
        // Without an acting user, it was the owner of the store.
        event.actor.as_ref().map_or_else(|| Cell::new("owner", Tone::Faint), |actor| Some(actor).into()),
        event.action.clone().into(),
        event.subject_name.clone().into(),
        details(&event.detail).into(),
    ]
}

/// The details on one line: changed settings as `field: old → new`, everything else as `field: value`.
fn details(detail: &Value) -> String {
    let Value::Object(fields) = detail else { return String::new() };
    let settings = fields
        .get("settings")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(field, change)| format!("{field}: {} → {}", in_words(&change["old"]), in_words(&change["new"])));
    let others = fields
        .iter()
        .filter(|(field, value)| *field != "settings" && !value.is_null())
        .map(|(field, value)| format!("{field}: {}", in_words(value)));
    settings.chain(others).collect::<Vec<_>>().join("; ")
}
