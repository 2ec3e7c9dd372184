//! Which keys a list shows, in which order: filters as SQL.

use std::fmt::Write as _;

use jiff::Timestamp;
use rusqlite::types::Value;

use super::directory::table;
use super::rows::{count_keys, select_key};
use crate::rules::directory::Kind;
use crate::rules::key::State;
use crate::rules::names::{LabelFilter, Level, Name, Scope};

/// What keys are listed by. Everything that is set must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// A pattern for the name: `*`, `?` and `[…]`, case-sensitive.
    pub name: Option<String>,
    /// In this group.
    pub group: Option<Name>,
    /// Of this user.
    pub owner: Option<Name>,
    /// With this role.
    pub role: Option<Name>,
    /// Of this tenant.
    pub tenant: Option<Name>,
    /// With all of these scopes.
    pub scopes: Vec<Scope>,
    /// With all of these levels, held directly or through one below.
    pub levels: Vec<Level>,
    /// With all of these labels.
    pub labels: Vec<LabelFilter>,
    /// In this state.
    pub state: Option<State>,
    /// Not expired yet, and expiring by then.
    pub expires_by: Option<Timestamp>,
    /// Made before then, and not used since.
    pub unused_since: Option<Timestamp>,
    /// What they are sorted by.
    pub sort: Sort,
    /// The other way round.
    pub reverse: bool,
    /// At most so many.
    pub limit: Option<u64>,
}

/// What a list is sorted by; equal ones by name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sort {
    /// From A to Z.
    #[default]
    Name,
    /// The oldest first.
    Created,
    /// What expires first, first; what never expires, last.
    Expires,
    /// What was not used for longest, first; what was never used, before all.
    Used,
}

/// A condition with its parameters, put together piece by piece.
#[derive(Default)]
struct Condition {
    sql: String,
    values: Vec<Value>,
}

impl Condition {
    /// Adds a condition; each `?` in it takes the next of `values`.
    fn and(&mut self, sql: &str, values: impl IntoIterator<Item = Value>) {
        self.sql.push_str(if self.sql.is_empty() { " WHERE " } else { " AND " });
        self.sql.push_str(sql);
        self.values.extend(values);
    }
}

fn text(value: &impl ToString) -> Value {
    Value::Text(value.to_string())
}

fn seconds(time: Timestamp) -> Value {
    Value::Integer(time.as_second())
}

/// The statement that lists the keys of `filter` as [`super::rows::key`] reads them.
pub(super) fn statement(filter: &Filter, now: Timestamp) -> (String, Vec<Value>) {
    let condition = condition(filter, now);
    let mut sql = select_key("", &condition.sql);
    let direction = if filter.reverse { "DESC" } else { "ASC" };
    let order = match filter.sort {
        Sort::Name => String::new(),
        Sort::Created => format!("k.created_at {direction}, "),
        Sort::Expires => {
            let nulls = if filter.reverse { "FIRST" } else { "LAST" };
            format!("k.expires_at {direction} NULLS {nulls}, ")
        }
        Sort::Used => format!("u.last_used_at {direction}, "),
    };
    // A String takes whatever is written to it.
    let _ = write!(sql, " ORDER BY {order}k.name {direction}");
    if let Some(limit) = filter.limit {
        // SQLite counts in signed numbers.
        let _ = write!(sql, " LIMIT {}", limit.min(i64::MAX as u64));
    }
    (sql, condition.values)
}

/// The statement that counts the keys of `filter` without its limit, `most` of them at most.
pub(super) fn count(filter: &Filter, now: Timestamp, most: u64) -> (String, Vec<Value>) {
    let condition = condition(filter, now);
    (count_keys(&condition.sql, most), condition.values)
}

fn condition(filter: &Filter, now: Timestamp) -> Condition {
    let mut all = Condition::default();
    if let Some(pattern) = &filter.name {
        // What stands before the first wildcard is a range of the index; names are ASCII, so nothing is above it.
        let start = pattern.split(['*', '?', '[']).next().unwrap_or_default();
        all.and("k.name GLOB ?", [text(pattern)]);
        all.and("k.name >= ? AND k.name < ? || char(127)", [start.to_owned().into(), start.to_owned().into()]);
    }
    for (kind, name) in [
        (Kind::Group, &filter.group),
        (Kind::User, &filter.owner),
        (Kind::Role, &filter.role),
        (Kind::Tenant, &filter.tenant),
    ] {
        let (table, column) = table(kind);
        if let Some(name) = name {
            all.and(&format!("k.{column} = (SELECT id FROM {table} WHERE name = ?)"), [text(name)]);
        }
    }
    for scope in &filter.scopes {
        all.and("k.id IN (SELECT key FROM key_scope WHERE scope = ?)", [text(scope)]);
    }
    for level in &filter.levels {
        // '0' is the character after '/': together they enclose everything below the level.
        all.and(
            "k.id IN (SELECT key FROM key_level WHERE level = ? OR (level >= ? AND level < ?))",
            [text(level), Value::Text(format!("{level}/")), Value::Text(format!("{level}0"))],
        );
    }
    for label in &filter.labels {
        match &label.value {
            Some(value) => all.and(
                "k.id IN (SELECT key FROM key_label WHERE label = ? AND value = ?)",
                [text(&label.key), text(value)],
            ),
            None => all.and("k.id IN (SELECT key FROM key_label WHERE label = ?)", [text(&label.key)]),
        }
    }
    if let Some(state) = filter.state {
        in_state(&mut all, state, now);
    }
    if let Some(end) = filter.expires_by {
        all.and("k.expires_at > ? AND k.expires_at <= ?", [seconds(now), seconds(end)]);
    }
    if let Some(since) = filter.unused_since {
        all.and("k.created_at <= ? AND coalesce(u.last_used_at <= ?, 1)", [seconds(since), seconds(since)]);
    }
    all
}

/// The same rule as [`crate::rules::key::Key::state`]; a test holds the two together.
fn in_state(all: &mut Condition, state: State, now: Timestamp) {
    let not_expired = "(k.expires_at IS NULL OR k.expires_at > ?)";
    let suspended = "(coalesce(o.enabled, 1) = 0 OR coalesce(t.enabled, 1) = 0)";
    match state {
        State::Disabled => all.and("k.enabled = 0", []),
        State::Expired => all.and("k.enabled = 1 AND unlikely(k.expires_at <= ?)", [seconds(now)]),
        State::Suspended => all.and(&format!("k.enabled = 1 AND {not_expired} AND {suspended}"), [seconds(now)]),
        State::Active => all.and(&format!("k.enabled = 1 AND {not_expired} AND NOT {suspended}"), [seconds(now)]),
    }
}
