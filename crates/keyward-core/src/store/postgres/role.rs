//! What the signed-in role may do, and what it lacks.

use super::rights::{self, PRIVILEGES, ServerRole};
use super::{Client, Server};
use crate::store::db::Conn;
use crate::store::error::StoreError;

/// The signed-in role, compared with what it should be.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RoleCheckup {
    /// Its name.
    pub name: String,
    /// Its kind: `keyward_admin` if it may change keys, else `keyward_verify`.
    pub kind: ServerRole,
    /// Whether the server refuses it nothing: a superuser.
    pub is_superuser: bool,
    /// Whether it may alter the tables.
    pub is_owner: bool,
    /// Rights that its kind has but it lacks, as `INSERT on key_use`.
    pub lacks: Vec<String>,
    /// Rights that it has beyond its kind.
    pub exceeds: Vec<String>,
}

/// Checks what the role may do.
pub(super) fn check_up(client: &Client, server: &Server) -> Result<RoleCheckup, StoreError> {
    let mut found = None;
    client.query_each(
        "SELECT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user),
                pg_has_role(relowner, 'USAGE'), has_table_privilege(oid, 'INSERT'),
                has_schema_privilege(relnamespace, 'CREATE')
           FROM pg_class WHERE oid = 'history'::regclass",
        &[],
        |row| {
            found = Some((row.get::<_, bool>(0), row.get::<_, bool>(1), row.get::<_, bool>(2), row.get::<_, bool>(3)));
            Ok::<_, StoreError>(())
        },
    )?;
    let (is_superuser, is_owner, may_add, may_make) = found.unwrap_or_default();
    // Whatever roles it is a member of, only what it may do counts.
    let kind = if may_add { ServerRole::Admin } else { ServerRole::Verify };
    let mut checkup = RoleCheckup {
        name: server.role().to_owned(),
        kind,
        is_superuser,
        is_owner,
        lacks: vec![],
        exceeds: if may_make { vec!["CREATE on the schema".to_owned()] } else { vec![] },
    };
    // Missing tables are reported elsewhere.
    let privileges = PRIVILEGES.map(|privilege| format!("('{privilege}')")).join(", ");
    let held = format!(
        "SELECT c.relname::text, p.name FROM (VALUES {privileges}) AS p (name), pg_class c
          WHERE c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1) AND c.relkind = 'r'
            AND has_table_privilege(c.oid, p.name) = $2 ORDER BY 1, 2"
    );
    let of_kind: Vec<_> = rights::of(kind).collect();
    let is_meant = |table: &str, privilege: &str| {
        of_kind.iter().find(|(known, _)| *known == table).map(|(_, may)| may.contains(&privilege))
    };
    for (has, odd) in [(true, &mut checkup.exceeds), (false, &mut checkup.lacks)] {
        let sql = held.replace("$2", if has { "true" } else { "false" });
        client.query_each(&sql, &[server.url().schema().into()], |row| {
            let (table, privilege) = (row.get::<_, String>(0), row.get::<_, String>(1));
            if is_meant(&table, &privilege) == Some(!has) {
                odd.push(format!("{privilege} on {table}"));
            }
            Ok::<_, StoreError>(())
        })?;
    }
    Ok(checkup)
}

/// Why no store can be seen: there is none, or the role may not see into the schema. The server reports the same for
/// both.
pub(super) fn missing_or_hidden(conn: &Conn, server: &Server) -> Result<StoreError, StoreError> {
    let schema = server.url().schema();
    let sql = format!("{IS_HIDDEN} ?1");
    let is_hidden = conn.optional(&sql, &[schema.into()], |row| row.flag(0))?;
    Ok(missing_unless(is_hidden == Some(true), server))
}

/// The same, for callers that have only a client.
pub(super) fn missing_or_hidden_to(client: &Client, server: &Server) -> Result<StoreError, StoreError> {
    let mut is_hidden = false;
    client.query_each(&format!("{IS_HIDDEN} $1"), &[server.url().schema().into()], |row| {
        is_hidden = row.get::<_, i32>(0) == 1;
        Ok::<_, StoreError>(())
    })?;
    Ok(missing_unless(is_hidden, server))
}

/// Followed by the name of a schema.
const IS_HIDDEN: &str =
    "SELECT CASE WHEN has_schema_privilege(oid, 'USAGE') THEN 0 ELSE 1 END FROM pg_namespace WHERE nspname =";

fn missing_unless(is_hidden: bool, server: &Server) -> StoreError {
    let (path, schema) = (server.place().to_owned(), server.url().schema());
    if !is_hidden {
        return StoreError::Missing(path);
    }
    let detail = format!("permission denied for schema {schema}");
    StoreError::Forbidden { path, role: server.role().to_owned(), detail }
}
