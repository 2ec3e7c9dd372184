//! Groups, users, roles and tenants: one set of statements for the four.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::rows;
use crate::rules::authority::{ActingRole, Actor, Authority};
use crate::rules::directory::{Draft, Entry, Facts, Kind};
use crate::rules::names::Name;

/// The table of a kind, and the column of `key` that refers to it.
pub(super) fn table(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Group => ("key_group", "key_group"),
        Kind::User => ("user", "owner"),
        Kind::Role => ("role", "role"),
        Kind::Tenant => ("tenant", "tenant"),
    }
}

/// The statement that selects entries of a kind as [`entry`] reads them.
fn select(kind: Kind, rest: &str) -> String {
    let (table, column) = table(kind);
    let facts = match kind {
        Kind::Group => "NULL, NULL, NULL",
        Kind::User => {
            "(SELECT name FROM role WHERE id = e.role), (SELECT name FROM tenant WHERE id = e.tenant), e.enabled"
        }
        Kind::Role => "e.rank, e.manages_keys, NULL",
        Kind::Tenant => "NULL, NULL, e.enabled",
    };
    let users = match kind {
        Kind::Role | Kind::Tenant => format!("(SELECT count(*) FROM user WHERE {table} = e.id)"),
        Kind::Group | Kind::User => "0".to_owned(),
    };
    let references = if kind == Kind::User { "e.role, e.tenant" } else { "NULL, NULL" };
    format!(
        "SELECT e.name, e.description, {facts}, e.created_at, e.updated_at,
                (SELECT count(*) FROM key WHERE {column} = e.id), {users}, {references} FROM {table} e {rest}"
    )
}

fn entry(kind: Kind, row: &Row<'_>) -> rusqlite::Result<Entry> {
    let facts = match kind {
        Kind::Group => Facts::Group,
        Kind::User => {
            Facts::User { role: rows::optional(row, 2)?, tenant: rows::optional(row, 3)?, enabled: row.get(4)? }
        }
        Kind::Role => Facts::Role { rank: row.get(2)?, manages_keys: row.get(3)? },
        Kind::Tenant => Facts::Tenant { enabled: row.get(4)? },
    };
    let damage = match &facts {
        Facts::User { role, tenant, .. } => missing(row, 9, role.is_some(), tenant.is_some())?,
        _ => None,
    };
    Ok(Entry {
        damage,
        draft: Draft { name: rows::parsed(row, 0)?, description: rows::optional(row, 1)?, facts },
        created_at: rows::time(row, 5)?,
        updated_at: rows::time(row, 6)?,
        keys: rows::count(row, 7)?,
        users: rows::count(row, 8)?,
    })
}

/// Which of a user's role and tenant the row refers to, in the columns from `first` on, without their being there.
fn missing(row: &Row<'_>, first: usize, has_role: bool, has_tenant: bool) -> rusqlite::Result<Option<String>> {
    let mut found = vec![];
    for (column, is_there, what) in [(first, has_role, "role"), (first + 1, has_tenant, "tenant")] {
        if !is_there && row.get::<_, Option<i64>>(column)?.is_some() {
            found.push(format!("its {what} is missing"));
        }
    }
    Ok(if found.is_empty() { None } else { Some(found.join(", ")) })
}

/// Switches a user or a tenant on or off, and touches nothing else.
pub(super) fn switch(
    conn: &Connection,
    kind: Kind,
    name: &Name,
    enabled: bool,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let (table, _) = table(kind);
    conn.prepare_cached(&format!("UPDATE {table} SET enabled = ?2, updated_at = ?3 WHERE name = ?1"))?
        .execute((name.as_str(), enabled, now.as_second()))
        .map(drop)
}

/// All entries of a kind, by name; roles by rank.
pub(super) fn list(conn: &Connection, kind: Kind) -> rusqlite::Result<Vec<Entry>> {
    let order = if kind == Kind::Role { "ORDER BY e.rank, e.name" } else { "ORDER BY e.name" };
    conn.prepare_cached(&select(kind, order))?.query_map([], |row| entry(kind, row))?.collect()
}

pub(super) fn find(conn: &Connection, kind: Kind, name: &Name) -> rusqlite::Result<Option<Entry>> {
    conn.prepare_cached(&select(kind, "WHERE e.name = ?1"))?
        .query_row([name.as_str()], |row| entry(kind, row))
        .optional()
}

pub(super) fn insert(conn: &Connection, draft: &Draft, now: Timestamp) -> rusqlite::Result<()> {
    let sql = match draft.facts {
        Facts::Group => "INSERT INTO key_group (name, created_at, updated_at) VALUES (?1, ?2, ?2)",
        Facts::User { .. } => "INSERT INTO user (name, enabled, created_at, updated_at) VALUES (?1, 1, ?2, ?2)",
        Facts::Role { .. } => {
            "INSERT INTO role (name, rank, manages_keys, created_at, updated_at) VALUES (?1, 0, 0, ?2, ?2)"
        }
        Facts::Tenant { .. } => "INSERT INTO tenant (name, enabled, created_at, updated_at) VALUES (?1, 1, ?2, ?2)",
    };
    conn.prepare_cached(sql)?.execute((draft.name.as_str(), now.as_second()))?;
    update(conn, &draft.name, draft, now)
}

pub(super) fn update(conn: &Connection, name: &Name, draft: &Draft, now: Timestamp) -> rusqlite::Result<()> {
    let (table, _) = table(draft.facts.kind());
    conn.prepare_cached(&format!("UPDATE {table} SET name = ?2, description = ?3, updated_at = ?4 WHERE name = ?1"))?
        .execute((
        name.as_str(),
        draft.name.as_str(),
        draft.description.as_ref().map(AsRef::<str>::as_ref),
        now.as_second(),
    ))?;
    if draft.facts.kind() == Kind::User && *name != draft.name {
        // Who made a key goes by the name that they have now; the history keeps the one that they had.
        conn.prepare_cached("UPDATE key SET created_by = ?2 WHERE created_by = ?1")?
            .execute((name.as_str(), draft.name.as_str()))?;
    }
    let name = draft.name.as_str();
    match &draft.facts {
        Facts::Group => Ok(0),
        Facts::User { role, tenant, enabled } => conn
            .prepare_cached(
                "UPDATE user SET role = (SELECT id FROM role WHERE name = ?2),
                                 tenant = (SELECT id FROM tenant WHERE name = ?3), enabled = ?4 WHERE name = ?1",
            )?
            .execute((name, role.as_ref().map(Name::as_str), tenant.as_ref().map(Name::as_str), enabled)),
        Facts::Role { rank, manages_keys } => conn
            .prepare_cached("UPDATE role SET rank = ?2, manages_keys = ?3 WHERE name = ?1")?
            .execute(params![name, rank, manages_keys]),
        Facts::Tenant { enabled } => {
            conn.prepare_cached("UPDATE tenant SET enabled = ?2 WHERE name = ?1")?.execute(params![name, enabled])
        }
    }
    .map(drop)
}

pub(super) fn delete(conn: &Connection, kind: Kind, name: &Name) -> rusqlite::Result<()> {
    let (table, _) = table(kind);
    conn.prepare_cached(&format!("DELETE FROM {table} WHERE name = ?1"))?.execute([name.as_str()]).map(drop)
}

pub(super) fn exists(conn: &Connection, kind: Kind, name: &Name) -> rusqlite::Result<bool> {
    let (table, _) = table(kind);
    conn.prepare_cached(&format!("SELECT EXISTS (SELECT 1 FROM {table} WHERE name = ?1)"))?
        .query_row([name.as_str()], |row| row.get(0))
}

/// Names of a kind, for suggestions.
pub(super) fn names(conn: &Connection, kind: Kind) -> rusqlite::Result<Vec<String>> {
    let (table, _) = table(kind);
    conn.prepare_cached(&format!("SELECT name FROM {table} ORDER BY name LIMIT 10000"))?
        .query_map([], |row| row.get(0))?
        .collect()
}

pub(super) fn rank_of(conn: &Connection, role: &Name) -> rusqlite::Result<Option<i64>> {
    conn.prepare_cached("SELECT rank FROM role WHERE name = ?1")?
        .query_row([role.as_str()], |row| row.get(0))
        .optional()
}

/// What the directory says about who acts.
pub(super) fn authority(conn: &Connection, actor: Option<&Name>) -> rusqlite::Result<Authority> {
    let Some(name) = actor else { return Ok(Authority::Unlimited) };
    let found = conn
        .prepare_cached(
            "SELECT u.enabled, r.name, r.rank, r.manages_keys, t.name, (SELECT coalesce(max(rank), 0) FROM role),
                    u.role, u.tenant
               FROM user u LEFT JOIN role r ON r.id = u.role LEFT JOIN tenant t ON t.id = u.tenant WHERE u.name = ?1",
        )?
        .query_row([name.as_str()], |row| {
            let role = match rows::optional(row, 1)? {
                Some(name) => Some(ActingRole { name, rank: row.get(2)?, manages_keys: row.get(3)? }),
                None => None,
            };
            let tenant = rows::optional(row, 4)?;
            // Whoever lost their tenant would make keys that are bound to none.
            if let Some(damage) = missing(row, 6, role.is_some(), tenant.is_some())? {
                return Err(rows::broken(6, format!("the user {name}: {damage}")));
            }
            Ok(Actor { name: name.clone(), enabled: row.get(0)?, role, tenant, highest_rank: row.get(5)? })
        })
        .optional()?;
    Ok(found.map_or_else(|| Authority::Unknown(name.clone()), Authority::User))
}
