//! Which keys a list shows, in which order: filters as SQL.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::conditions::{Bound, Conditions};
use super::db::Dialect;
use super::directory::table;
use super::rows::{count_keys, has_key, select_key};
use crate::rules::directory::Kind;
use crate::rules::key::State;
use crate::rules::names::{LabelFilter, Level, Name, Scope};
use crate::rules::selection::Selection;

/// Conditions for listed keys. All that are set must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// A text in the name, in the description, or in a label or its value; ASCII letters match in either case.
    pub search: Option<String>,
    /// Patterns for the name: `*`, `?` and `[…]`, case-sensitive.
    pub name: Selection<String>,
    /// In one of these groups.
    pub group: Selection<Name>,
    /// Owned by one of these users.
    pub owner: Selection<Name>,
    /// With one of these roles.
    pub role: Selection<Name>,
    /// Working for one of these tenants.
    pub tenant: Selection<Name>,
    /// With scopes that match each of these.
    pub scopes: Vec<Selection<Scope>>,
    /// With levels that match each of these, held directly or through a lower one.
    pub levels: Vec<Selection<Level>>,
    /// With labels that match each of these.
    pub labels: Vec<Selection<LabelFilter>>,
    /// In one of these states.
    pub state: Selection<State>,
    /// Whether they are enabled, regardless of what else stops them.
    pub enabled: Option<bool>,
    /// Whether they never expire.
    pub never_expires: Option<bool>,
    /// Not expired yet, and expiring by then.
    pub expires_by: Option<Timestamp>,
    /// Made before then, and not used since.
    pub unused_since: Option<Timestamp>,
    /// What they are sorted by.
    pub sort: Sort,
    /// In reverse order.
    pub reverse: bool,
    /// The most keys to return.
    pub limit: Option<u64>,
}

/// What a list is sorted by; ties are sorted by name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sort {
    /// From A to Z.
    #[default]
    Name,
    /// The oldest first.
    Created,
    /// The earliest expiry first; keys that never expire last.
    Expires,
    /// The least recently used first; keys never used before all others.
    Used,
    /// The most used last.
    Uses,
}

fn seconds<'v>(time: Timestamp) -> Bound<'v> {
    Bound::Integer(time.as_second())
}

impl Filter {
    /// What it selects in the directory.
    pub fn directory(&self) -> [(Kind, &Selection<Name>); 4] {
        [(Kind::Group, &self.group), (Kind::User, &self.owner), (Kind::Role, &self.role), (Kind::Tenant, &self.tenant)]
    }

    /// How many values its selections have: engines accept a limited number.
    pub fn size(&self) -> usize {
        fn all<T>(selections: &[Selection<T>]) -> usize {
            selections.iter().map(Selection::len).sum()
        }
        let directory: usize = self.directory().iter().map(|(_, names)| names.len()).sum();
        let lists = all(&self.scopes) + all(&self.levels) + all(&self.labels);
        directory + lists + self.name.len() + self.state.len()
    }

    /// The statement that lists its keys as [`super::rows::key`] reads them.
    pub(in crate::store) fn list(&self, now: Timestamp, dialect: Dialect) -> (String, Conditions<'_>) {
        let conditions = self.conditions(now, dialect);
        let mut sql = select_key("", conditions.sql());
        let direction = if self.reverse { "DESC" } else { "ASC" };
        let order = match self.sort {
            Sort::Uses => format!("coalesce(u.use_count, 0) {direction}, "),
            Sort::Name => String::new(),
            Sort::Created => format!("k.created_at {direction}, "),
            Sort::Expires => {
                let nulls = if self.reverse { "FIRST" } else { "LAST" };
                format!("k.expires_at {direction} NULLS {nulls}, ")
            }
            Sort::Used => {
                let nulls = if self.reverse { "LAST" } else { "FIRST" };
                format!("u.last_used_at {direction} NULLS {nulls}, ")
            }
        };
        // Writing to a String cannot fail.
        let _ = write!(sql, " ORDER BY {order}k.name {direction}");
        if let Some(limit) = self.limit {
            // Engines count in signed integers.
            let _ = write!(sql, " LIMIT {}", limit.min(i64::MAX as u64));
        }
        (sql, conditions)
    }

    /// The statement that counts its keys, ignoring the limit.
    pub(super) fn count(&self, now: Timestamp, dialect: Dialect) -> (String, Conditions<'_>) {
        let conditions = self.conditions(now, dialect);
        (count_keys(conditions.sql()), conditions)
    }

    /// The statement that says whether it matches any key.
    pub(super) fn any(&self, now: Timestamp, dialect: Dialect) -> (String, Conditions<'_>) {
        let conditions = self.conditions(now, dialect);
        (has_key(conditions.sql()), conditions)
    }

    fn conditions(&self, now: Timestamp, dialect: Dialect) -> Conditions<'_> {
        let mut all = Conditions::default();
        if let Some(text) = &self.search {
            search(&mut all, text, dialect);
        }
        self.name.conditions(&mut all, |pattern| match pattern {
            Some(pattern) => like(pattern, dialect),
            None => never(),
        });
        for (kind, selection) in self.directory() {
            let (table, column) = table(kind);
            selection.conditions(&mut all, |name| match name {
                Some(name) => {
                    let is_it = format!("k.{column} = (SELECT id FROM {table} WHERE name = ?)");
                    (is_it, vec![Bound::Text(name.as_str())])
                }
                None => (format!("k.{column} IS NULL"), vec![]),
            });
        }
        for scope in &self.scopes {
            scope.conditions(&mut all, |scope| match scope {
                Some(scope) => listed("key_scope", "scope = ?", vec![Bound::Text(scope.as_str())]),
                None => without("key_scope"),
            });
        }
        for level in &self.levels {
            level.conditions(&mut all, |level| match level {
                // '0' is the character after '/': together they bound everything below the level.
                Some(level) => listed(
                    "key_level",
                    "level = ? OR (level >= ? AND level < ?)",
                    vec![
                        Bound::Text(level.as_str()),
                        Bound::Made(format!("{level}/")),
                        Bound::Made(format!("{level}0")),
                    ],
                ),
                None => without("key_level"),
            });
        }
        for label in &self.labels {
            label.conditions(&mut all, |label| match label {
                Some(LabelFilter { key, value: Some(value) }) => listed(
                    "key_label",
                    "label = ? AND value = ?",
                    vec![Bound::Text(key.as_str()), Bound::Text(value.as_str())],
                ),
                Some(LabelFilter { key, value: None }) => {
                    listed("key_label", "label = ?", vec![Bound::Text(key.as_str())])
                }
                None => without("key_label"),
            });
        }
        self.state.conditions(&mut all, |state| match state {
            Some(state) => in_state(*state, now, dialect),
            None => never(),
        });
        if let Some(enabled) = self.enabled {
            all.and("k.enabled = ?", vec![Bound::Integer(enabled.into())]);
        }
        if let Some(never) = self.never_expires {
            all.and(if never { "k.expires_at IS NULL" } else { "k.expires_at IS NOT NULL" }, vec![]);
        }
        if let Some(end) = self.expires_by {
            all.and("k.expires_at > ? AND k.expires_at <= ?", vec![seconds(now), seconds(end)]);
        }
        if let Some(since) = self.unused_since {
            all.and(
                "k.created_at <= ? AND (u.last_used_at IS NULL OR u.last_used_at <= ?)",
                vec![seconds(since), seconds(since)],
            );
        }
        all
    }
}

/// A condition, with the value bound to each `?` in it.
type Condition<'v> = (String, Vec<Bound<'v>>);

impl<T> Selection<T> {
    /// Adds this selection, with the condition for each of its values.
    fn conditions<'v>(&'v self, all: &mut Conditions<'v>, condition: impl Fn(Option<&'v T>) -> Condition<'v>) {
        let (mut any, mut values) = (vec![], vec![]);
        for value in &self.any_of {
            let (sql, bound) = condition(value.as_ref());
            any.push(format!("({sql})"));
            values.extend(bound);
        }
        match &any[..] {
            [] => {}
            [only] => all.and(&only[1..only.len() - 1], values),
            _ => all.and(&format!("({})", any.join(" OR ")), values),
        }
        for value in &self.none_of {
            let (sql, bound) = condition(value.as_ref());
            all.and(&format!("({sql}) IS NOT TRUE"), bound);
        }
    }
}

fn never<'v>() -> Condition<'v> {
    ("1 = 0".to_owned(), vec![])
}

fn like(pattern: &str, dialect: Dialect) -> Condition<'_> {
    // The text before the first wildcard is a range of the index.
    let start = pattern.split(['*', '?', '[']).next().unwrap_or_default();
    let sql = format!("{} AND k.name >= ? AND k.name < ?", dialect.fits("k.name"));
    (sql, vec![Bound::Made(dialect.pattern(pattern)), Bound::Text(start), Bound::Made(behind(start))])
}

/// A condition that a table of lists has a matching row for the key.
fn listed<'v>(table: &str, condition: &str, values: Vec<Bound<'v>>) -> Condition<'v> {
    (format!("k.id IN (SELECT key FROM {table} WHERE {condition})"), values)
}

fn without<'v>(table: &str) -> Condition<'v> {
    (format!("k.id NOT IN (SELECT key FROM {table})"), vec![])
}

fn search(all: &mut Conditions<'_>, text: &str, dialect: Dialect) {
    let holds = |column| dialect.holds(column);
    let sql = format!(
        "({} OR {} OR k.id IN (SELECT key FROM key_label WHERE {} OR {}))",
        holds("k.name"),
        holds("coalesce(k.description, '')"),
        holds("label"),
        holds("value"),
    );
    all.and(&sql, vec![Bound::Made(text.to_ascii_lowercase()); 4]);
}

/// The first text after all those that start with `start`: names are ASCII, and none contains U+007F.
pub(super) fn behind(start: &str) -> String {
    format!("{start}\u{7f}")
}

/// The same rule as [`crate::rules::key::Key::state`]; a test compares the two.
fn in_state<'v>(state: State, now: Timestamp, dialect: Dialect) -> Condition<'v> {
    let expired = dialect.rarely("k.expires_at <= ?");
    let not_expired = "(k.expires_at IS NULL OR k.expires_at > ?)";
    let suspended = "(coalesce(o.enabled, 1) = 0 OR coalesce(t.enabled, 1) = 0)";
    // Most keys are enabled. The plus keeps the planner from using the index that is meant for disabled keys.
    let enabled = "+k.enabled = 1";
    let sql = match state {
        State::Expired => expired,
        State::Disabled => format!("k.enabled = 0 AND {not_expired}"),
        State::Suspended => format!("{enabled} AND {not_expired} AND {suspended}"),
        State::Active => format!("{enabled} AND {not_expired} AND NOT {suspended}"),
    };
    (sql, vec![seconds(now)])
}
