//! What has been used of limits.

mod many;

use std::fmt;
use std::sync::Arc;

use super::db::Conn;
use super::error::StoreError;
use crate::rules::limits::{Meter, Whose};

/// The limit that a meter belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct MeterId {
    pub(crate) whose: Whose,
    /// The policy, if it is a policy's limit.
    pub(crate) policy: Option<Arc<str>>,
    /// The row of the key, the user or the tenant; for a policy's limit, the row of the key.
    pub(crate) subject: i64,
    /// The length of its period, in seconds.
    pub(crate) length: u64,
}

/// The kind in the table.
impl fmt::Display for MeterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.whose.as_str())?;
        match &self.policy {
            Some(policy) => write!(f, ":{policy}"),
            None => Ok(()),
        }
    }
}

/// The rows of a key, its owner and its tenant, whose limits apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Subjects {
    pub(crate) key: i64,
    pub(crate) user: Option<i64>,
    pub(crate) tenant: Option<i64>,
}

/// What has been used of a limit; nothing if it was never written.
pub(super) fn load(conn: &Conn, id: &MeterId) -> Result<Meter, StoreError> {
    let found = conn.optional(
        "SELECT mark, used FROM meter WHERE kind = ?1 AND subject = ?2 AND length = ?3",
        &[id.to_string().as_str().into(), id.subject.into(), id.length.into()],
        |row| Ok(Meter { mark: row.integer(0)?, used: row.count(1)? }),
    )?;
    Ok(found.unwrap_or_default())
}

/// The same for each of these limits. On a server, no one else changes them until the transaction ends.
pub(super) fn load_to_change(conn: &Conn, ids: &[&MeterId]) -> Result<Vec<Meter>, StoreError> {
    if conn.dialect().is_server() {
        return many::load_to_change(conn, ids);
    }
    ids.iter().map(|id| load(conn, id)).collect()
}

/// Writes it, if the limit's subject still exists.
pub(super) fn save(conn: &Conn, meters: &[(&MeterId, Meter)]) -> Result<(), StoreError> {
    if conn.dialect().is_server() {
        return many::save(conn, meters, SET);
    }
    for (id, meter) in meters {
        conn.execute(
            &format!(
                "INSERT INTO meter (kind, subject, length, mark, used)
                 SELECT ?1, id, ?3, ?4, ?5 FROM {} WHERE id = ?2 {SET}",
                table(id.whose)
            ),
            &[
                id.to_string().as_str().into(),
                id.subject.into(),
                id.length.into(),
                meter.mark.into(),
                meter.used.into(),
            ],
        )?;
    }
    Ok(())
}

/// What happens to an existing row.
const SET: &str = "ON CONFLICT (kind, subject, length) DO UPDATE SET mark = excluded.mark, used = excluded.used";

fn table(whose: Whose) -> &'static str {
    match whose {
        Whose::Key | Whose::Policy => "key",
        Whose::User => "\"user\"",
        Whose::Tenant => "tenant",
    }
}

/// The number of the next row, in SQL: no number is used twice, because counts in memory are identified by it.
pub(super) fn next_row(whose: Whose) -> String {
    format!(
        "(SELECT coalesce(max(number), 0) + 1 FROM (SELECT max(id) AS number FROM {} UNION ALL
                                                    SELECT number FROM last_row WHERE kind = '{}') AS numbers)",
        table(whose),
        whose.as_str()
    )
}

/// Deletes what a deleted key, user or tenant has used.
pub(super) fn forget(conn: &Conn, whose: Whose, subject: i64) -> Result<(), StoreError> {
    let kinds = match whose {
        Whose::Key | Whose::Policy => "(kind = 'key' OR kind LIKE 'policy:%')",
        Whose::User => "kind = 'user'",
        Whose::Tenant => "kind = 'tenant'",
    };
    conn.execute(&format!("DELETE FROM meter WHERE subject = ?1 AND {kinds}"), &[subject.into()])?;
    let whose = if whose == Whose::Policy { Whose::Key } else { whose };
    conn.execute(
        "INSERT INTO last_row (kind, number) VALUES (?1, ?2)
         ON CONFLICT (kind) DO UPDATE SET number = CASE WHEN excluded.number > last_row.number
                                                        THEN excluded.number ELSE last_row.number END",
        &[whose.as_str().into(), subject.into()],
    )
    .map(drop)
}
