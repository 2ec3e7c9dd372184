//! Which keys a list shows, in which order: filters as SQL.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::conditions::{Bound, Conditions};
use super::db::Dialect;
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
    /// The greatest number of keys to return.
    pub limit: Option<u64>,
}

/// What a list is sorted by; equal ones by name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
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
    /// What was used most often, last.
    Uses,
}

fn seconds<'v>(time: Timestamp) -> Bound<'v> {
    Bound::Integer(time.as_second())
}

impl Filter {
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
        // A String takes whatever is written to it.
        let _ = write!(sql, " ORDER BY {order}k.name {direction}");
        if let Some(limit) = self.limit {
            // Engines count in signed numbers.
            let _ = write!(sql, " LIMIT {}", limit.min(i64::MAX as u64));
        }
        (sql, conditions)
    }

    /// The statement that counts its keys without its limit, `most` of them at most.
    pub(super) fn count(&self, now: Timestamp, most: u64, dialect: Dialect) -> (String, Conditions<'_>) {
        let conditions = self.conditions(now, dialect);
        (count_keys(conditions.sql(), most), conditions)
    }

    fn conditions(&self, now: Timestamp, dialect: Dialect) -> Conditions<'_> {
        let mut all = Conditions::default();
        if let Some(pattern) = &self.name {
            // What stands before the first wildcard is a range of the index.
            let start = pattern.split(['*', '?', '[']).next().unwrap_or_default();
            all.and(&dialect.fits("k.name"), vec![Bound::Made(dialect.pattern(pattern))]);
            all.and("k.name >= ? AND k.name < ?", vec![Bound::Text(start), Bound::Made(behind(start))]);
        }
        for (kind, name) in [
            (Kind::Group, &self.group),
            (Kind::User, &self.owner),
            (Kind::Role, &self.role),
            (Kind::Tenant, &self.tenant),
        ] {
            let (table, column) = table(kind);
            if let Some(name) = name {
                let condition = format!("k.{column} = (SELECT id FROM {table} WHERE name = ?)");
                all.and(&condition, vec![Bound::Text(name.as_str())]);
            }
        }
        for scope in &self.scopes {
            all.and("k.id IN (SELECT key FROM key_scope WHERE scope = ?)", vec![Bound::Text(scope.as_str())]);
        }
        for level in &self.levels {
            // '0' is the character after '/': together they enclose everything below the level.
            all.and(
                "k.id IN (SELECT key FROM key_level WHERE level = ? OR (level >= ? AND level < ?))",
                vec![Bound::Text(level.as_str()), Bound::Made(format!("{level}/")), Bound::Made(format!("{level}0"))],
            );
        }
        for label in &self.labels {
            let key = Bound::Text(label.key.as_str());
            match &label.value {
                Some(value) => all.and(
                    "k.id IN (SELECT key FROM key_label WHERE label = ? AND value = ?)",
                    vec![key, Bound::Text(value.as_str())],
                ),
                None => all.and("k.id IN (SELECT key FROM key_label WHERE label = ?)", vec![key]),
            }
        }
        if let Some(state) = self.state {
            in_state(&mut all, state, now, dialect);
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

/// The first text behind all that start with `start`: names are ASCII, and U+007F is in none of them.
pub(super) fn behind(start: &str) -> String {
    format!("{start}\u{7f}")
}

/// The same rule as [`crate::rules::key::Key::state`]; a test holds the two together.
fn in_state(all: &mut Conditions<'_>, state: State, now: Timestamp, dialect: Dialect) {
    let not_expired = "(k.expires_at IS NULL OR k.expires_at > ?)";
    let suspended = "(coalesce(o.enabled, 1) = 0 OR coalesce(t.enabled, 1) = 0)";
    let expired = dialect.rarely("k.expires_at <= ?");
    // Most keys are enabled. The plus keeps the planner from looking for them in the index that finds the others.
    let enabled = "+k.enabled = 1";
    match state {
        State::Disabled => all.and("k.enabled = 0", vec![]),
        State::Expired => all.and(&format!("{enabled} AND {expired}"), vec![seconds(now)]),
        State::Suspended => all.and(&format!("{enabled} AND {not_expired} AND {suspended}"), vec![seconds(now)]),
        State::Active => all.and(&format!("{enabled} AND {not_expired} AND NOT {suspended}"), vec![seconds(now)]),
    }
}
