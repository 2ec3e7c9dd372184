//! Groups, users, roles and tenants: one set of statements for all four.

use jiff::Timestamp;

use super::db::{Conn, Row};
use super::error::StoreError;
use super::meters;
use crate::rules::authority::{ActingRole, Actor, Authority};
use crate::rules::directory::{Draft, Entry, Facts, Kind};
use crate::rules::limits::Whose;
use crate::rules::names::Name;

/// The roles that every store begins with: name, rank, and whether users in it may manage keys.
pub(super) const FIRST_ROLES: [(&str, i64, bool); 3] =
    [("viewer", 10, false), ("editor", 20, true), ("admin", 30, true)];

/// The table of a kind, and the column of `key` that refers to it.
pub(super) fn table(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Group => ("key_group", "key_group"),
        Kind::User => ("\"user\"", "owner"),
        Kind::Role => ("role", "role"),
        Kind::Tenant => ("tenant", "tenant"),
    }
}

/// The statement that selects entries of a kind as [`entry`] reads them.
fn select(kind: Kind, rest: &str) -> String {
    let (table, column) = table(kind);
    let facts = match kind {
        Kind::Group => "NULL, NULL, NULL, NULL",
        Kind::User => {
            "(SELECT name FROM role WHERE id = e.role), (SELECT name FROM tenant WHERE id = e.tenant), e.enabled, e.limits"
        }
        Kind::Role => "e.rank, e.manages_keys, NULL, NULL",
        Kind::Tenant => "NULL, NULL, e.enabled, e.limits",
    };
    let users = match kind {
        Kind::Role | Kind::Tenant => format!("(SELECT count(*) FROM \"user\" WHERE {table} = e.id)"),
        Kind::Group | Kind::User => "0".to_owned(),
    };
    let references = if kind == Kind::User { "e.role, e.tenant" } else { "NULL, NULL" };
    format!(
        "SELECT e.name, e.description, {facts}, e.created_at, e.updated_at,
                (SELECT count(*) FROM key WHERE {column} = e.id), {users}, {references} FROM {table} e {rest}"
    )
}

fn entry(kind: Kind, row: &Row<'_>) -> Result<Entry, StoreError> {
    let mut damage = None;
    let facts = match kind {
        Kind::Group => Facts::Group,
        Kind::User => {
            let (role, tenant) = (row.optional_parsed(2)?, row.optional_parsed(3)?);
            damage = missing(row, 10, role.is_some(), tenant.is_some())?;
            Facts::User { role, tenant, enabled: row.flag(4)?, limits: row.parsed(5)? }
        }
        Kind::Role => Facts::Role { rank: row.integer(2)?, manages_keys: row.flag(3)? },
        Kind::Tenant => Facts::Tenant { enabled: row.flag(4)?, limits: row.parsed(5)? },
    };
    Ok(Entry {
        draft: Draft { name: row.parsed(0)?, description: row.optional_parsed(1)?, facts },
        created_at: row.time(6)?,
        updated_at: row.time(7)?,
        keys: row.count(8)?,
        users: row.count(9)?,
        damage,
    })
}

/// Which of a user's role and tenant are referenced in the columns from `first` on but missing.
fn missing(row: &Row<'_>, first: usize, has_role: bool, has_tenant: bool) -> Result<Option<String>, StoreError> {
    let mut found = vec![];
    for (column, is_there, what) in [(first, has_role, "role"), (first + 1, has_tenant, "tenant")] {
        if !is_there && row.optional_integer(column)?.is_some() {
            found.push(format!("its {what} is missing"));
        }
    }
    Ok(if found.is_empty() { None } else { Some(found.join(", ")) })
}

/// All entries of a kind, by name; roles by rank.
pub(super) fn list(conn: &Conn, kind: Kind) -> Result<Vec<Entry>, StoreError> {
    let order = if kind == Kind::Role { "ORDER BY e.rank, e.name" } else { "ORDER BY e.name" };
    conn.all(&select(kind, order), &[], |row| entry(kind, row))
}

pub(super) fn find(conn: &Conn, kind: Kind, name: &Name) -> Result<Option<Entry>, StoreError> {
    conn.optional(&select(kind, "WHERE e.name = ?1"), &[name.into()], |row| entry(kind, row))
}

pub(super) fn insert(conn: &Conn, draft: &Draft, now: Timestamp) -> Result<(), StoreError> {
    let sql = match draft.facts {
        Facts::Group => "INSERT INTO key_group (name, created_at, updated_at) VALUES (?1, ?2, ?2)".to_owned(),
        Facts::User { .. } => format!(
            "INSERT INTO \"user\" (id, name, enabled, created_at, updated_at) VALUES ({}, ?1, 1, ?2, ?2)",
            meters::next_row(Whose::User)
        ),
        Facts::Role { .. } => {
            "INSERT INTO role (name, rank, manages_keys, created_at, updated_at) VALUES (?1, 0, 0, ?2, ?2)".to_owned()
        }
        Facts::Tenant { .. } => format!(
            "INSERT INTO tenant (id, name, enabled, created_at, updated_at) VALUES ({}, ?1, 1, ?2, ?2)",
            meters::next_row(Whose::Tenant)
        ),
    };
    conn.change_one(&sql, &[(&draft.name).into(), now.into()])?;
    update(conn, &draft.name, draft, now)
}

pub(super) fn update(conn: &Conn, name: &Name, draft: &Draft, now: Timestamp) -> Result<(), StoreError> {
    let (table, _) = table(draft.facts.kind());
    conn.change_one(
        &format!("UPDATE {table} SET name = ?2, description = ?3, updated_at = ?4 WHERE name = ?1"),
        &[name.into(), (&draft.name).into(), draft.description.as_ref().map(AsRef::<str>::as_ref).into(), now.into()],
    )?;
    if draft.facts.kind() == Kind::User && *name != draft.name {
        // A key's creator is shown under their current name; the history keeps the former one.
        let rename = "UPDATE key SET created_by = ?2 WHERE created_by = ?1";
        conn.execute(rename, &[name.into(), (&draft.name).into()])?;
    }
    let name = &draft.name;
    match &draft.facts {
        Facts::Group => Ok(()),
        Facts::User { role, tenant, enabled, limits } => conn.change_one(
            "UPDATE \"user\" SET role = (SELECT id FROM role WHERE name = ?2),
                                tenant = (SELECT id FROM tenant WHERE name = ?3), enabled = ?4, limits = ?5
              WHERE name = ?1",
            &[
                name.into(),
                role.as_ref().into(),
                tenant.as_ref().into(),
                (*enabled).into(),
                limits.to_string().as_str().into(),
            ],
        ),
        Facts::Role { rank, manages_keys } => conn.change_one(
            "UPDATE role SET rank = ?2, manages_keys = ?3 WHERE name = ?1",
            &[name.into(), (*rank).into(), (*manages_keys).into()],
        ),
        Facts::Tenant { enabled, limits } => conn.change_one(
            "UPDATE tenant SET enabled = ?2, limits = ?3 WHERE name = ?1",
            &[name.into(), (*enabled).into(), limits.to_string().as_str().into()],
        ),
    }
}

/// Enables or disables a user or a tenant, and changes nothing else.
pub(super) fn switch(conn: &Conn, kind: Kind, name: &Name, enabled: bool, now: Timestamp) -> Result<(), StoreError> {
    let (table, _) = table(kind);
    let sql = format!("UPDATE {table} SET enabled = ?2, updated_at = ?3 WHERE name = ?1");
    conn.change_one(&sql, &[name.into(), enabled.into(), now.into()])
}

pub(super) fn delete(conn: &Conn, kind: Kind, name: &Name) -> Result<(), StoreError> {
    let (table, _) = table(kind);
    let whose = match kind {
        Kind::User => Some(Whose::User),
        Kind::Tenant => Some(Whose::Tenant),
        Kind::Group | Kind::Role => None,
    };
    if let Some(whose) = whose {
        let row =
            conn.optional(&format!("SELECT id FROM {table} WHERE name = ?1"), &[name.into()], |row| row.integer(0))?;
        row.map_or(Ok(()), |row| meters::forget(conn, whose, row))?;
    }
    conn.change_one(&format!("DELETE FROM {table} WHERE name = ?1"), &[name.into()])
}

pub(super) fn exists(conn: &Conn, kind: Kind, name: &Name) -> Result<bool, StoreError> {
    let (table, _) = table(kind);
    let sql = format!("SELECT 1 FROM {table} WHERE name = ?1");
    Ok(conn.optional(&sql, &[name.into()], |_| Ok(()))?.is_some())
}

/// Names of a kind, for suggestions.
pub(super) fn names(conn: &Conn, kind: Kind) -> Result<Vec<String>, StoreError> {
    let (table, _) = table(kind);
    conn.all(&format!("SELECT name FROM {table} ORDER BY name LIMIT 10000"), &[], |row| Ok(row.text(0)?.to_owned()))
}

pub(super) fn rank_of(conn: &Conn, role: &Name) -> Result<Option<i64>, StoreError> {
    conn.optional("SELECT rank FROM role WHERE name = ?1", &[role.into()], |row| row.integer(0))
}

/// What the directory says about the acting user.
pub(super) fn authority(conn: &Conn, actor: Option<&Name>) -> Result<Authority, StoreError> {
    let Some(name) = actor else { return Ok(Authority::Unlimited) };
    let found = conn.optional(
        "SELECT o.enabled, r.name, r.rank, r.manages_keys, t.name, (SELECT coalesce(max(rank), 0) FROM role),
                o.role, o.tenant
           FROM \"user\" o LEFT JOIN role r ON r.id = o.role LEFT JOIN tenant t ON t.id = o.tenant WHERE o.name = ?1",
        &[name.into()],
        |row| {
            let role = match row.optional_parsed(1)? {
                Some(name) => Some(ActingRole { name, rank: row.integer(2)?, manages_keys: row.flag(3)? }),
                None => None,
            };
            let tenant = row.optional_parsed(4)?;
            // A user who lost their tenant could make keys bound to none.
            if let Some(damage) = missing(row, 6, role.is_some(), tenant.is_some())? {
                return Err(row.broken(format!("the user {name}: {damage}")));
            }
            Ok(Actor { name: name.clone(), enabled: row.flag(0)?, role, tenant, highest_rank: row.integer(5)? })
        },
    )?;
    Ok(found.map_or_else(|| Authority::Unknown(name.clone()), Authority::User))
}
