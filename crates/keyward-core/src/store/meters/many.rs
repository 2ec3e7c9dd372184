//! Many meters with one statement, for a server: as for uses, all processes lock rows in the same order.

use std::collections::HashMap;

use super::{MeterId, table};
use crate::rules::limits::Meter;
use crate::store::db::{AT_ONCE, Conn, Value, tuples};
use crate::store::error::StoreError;

/// What happens to an existing row when rows are made only to be locked.
const KEEP: &str = "ON CONFLICT (kind, subject, length) DO NOTHING";

/// The key of a meter's row.
type Place = (String, i64, u64);

fn place(id: &MeterId) -> Place {
    (id.to_string(), id.subject, id.length)
}

/// What has been used of each of these limits. No one else changes it until the transaction ends.
pub(super) fn load_to_change(conn: &Conn, ids: &[&MeterId]) -> Result<Vec<Meter>, StoreError> {
    let mut found = hold(conn, ids)?;
    // If two transactions use a limit for the first time, one would not see the other's row.
    let missing: Vec<_> =
        ids.iter().filter(|id| !found.contains_key(&place(id))).map(|id| (*id, Meter::default())).collect();
    if !missing.is_empty() {
        save(conn, &missing, KEEP)?;
        found.extend(hold(conn, &missing.iter().map(|(id, _)| *id).collect::<Vec<_>>())?);
    }
    Ok(ids.iter().map(|id| found.get(&place(id)).copied().unwrap_or_default()).collect())
}

fn hold(conn: &Conn, ids: &[&MeterId]) -> Result<HashMap<Place, Meter>, StoreError> {
    let mut places: Vec<_> = ids.iter().map(|id| place(id)).collect();
    places.sort_unstable();
    let mut found = HashMap::with_capacity(places.len());
    for part in places.chunks(AT_ONCE) {
        let values: Vec<Value<'_>> = part
            .iter()
            .flat_map(|(kind, subject, length)| [kind.as_str().into(), (*subject).into(), (*length).into()])
            .collect();
        let sql = format!(
            "SELECT kind, subject, length, mark, used FROM meter
              WHERE (kind, subject, length) IN (VALUES {}) ORDER BY kind, subject, length{}",
            tuples(part.len(), &["TEXT", "BIGINT", "BIGINT"]),
            conn.dialect().locking()
        );
        conn.each(&sql, &values, |row| {
            let place = (row.text(0)?.to_owned(), row.integer(1)?, row.count(2)?);
            found.insert(place, Meter { mark: row.integer(3)?, used: row.count(4)? });
            Ok::<_, StoreError>(())
        })?;
    }
    Ok(found)
}

/// Writes them, if their subjects still exist.
pub(super) fn save(conn: &Conn, meters: &[(&MeterId, Meter)], known: &str) -> Result<(), StoreError> {
    let mut by_table: HashMap<&str, Vec<(Place, Meter)>> = HashMap::new();
    for (id, meter) in meters {
        by_table.entry(table(id.whose)).or_default().push((place(id), *meter));
    }
    for owner in ["key", "\"user\"", "tenant"] {
        let mut rows = by_table.remove(owner).unwrap_or_default();
        rows.sort_unstable_by(|(one, _), (two, _)| one.cmp(two));
        for part in rows.chunks(AT_ONCE) {
            save_part(conn, owner, part, known)?;
        }
    }
    Ok(())
}

fn save_part(conn: &Conn, owner: &str, rows: &[(Place, Meter)], known: &str) -> Result<(), StoreError> {
    let values: Vec<Value<'_>> = rows
        .iter()
        .flat_map(|((kind, subject, length), Meter { mark, used })| {
            [Value::from(kind.as_str()), (*subject).into(), (*length).into(), (*mark).into(), (*used).into()]
        })
        .collect();
    let sql = format!(
        "WITH taken (kind, subject, length, mark, used) AS (VALUES {})
         INSERT INTO meter (kind, subject, length, mark, used)
         SELECT taken.kind, owner.id, taken.length, taken.mark, taken.used
           FROM taken JOIN {owner} owner ON owner.id = taken.subject
          ORDER BY taken.kind, owner.id, taken.length {known}",
        tuples(rows.len(), &["TEXT", "BIGINT", "BIGINT", "BIGINT", "BIGINT"])
    );
    conn.execute(&sql, &values).map(drop)
}
