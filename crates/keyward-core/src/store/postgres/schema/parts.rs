//! Compares the parts of the schema with what they should be: a table, column, index or constraint that is missing or
//! was changed, and anything that keyward did not put there, such as a trigger.
//!
//! What they should be is in `parts.txt`, as a server reports it for a new store. The comparison makes nothing, so a
//! role that may change nothing can do it.

use std::collections::BTreeMap;

use super::super::Client;
use super::super::Server;
use super::NEWEST;
use crate::store::error::StoreError;

/// The parts of the newest schema, one per line: the part, a tab, and its definition. A test writes the file.
pub(in crate::store::postgres) const PARTS: &str = include_str!("parts.txt");

/// Each part of the schema `$1`, and its definition. Functions and types count too: someone who puts them there could
/// make keyward use them.
const QUERY: &str = r"
WITH own AS (SELECT oid, nspname FROM pg_namespace WHERE nspname = $1),
     rel AS (SELECT c.* FROM pg_class c JOIN own ON own.oid = c.relnamespace)
SELECT CASE relkind WHEN 'r' THEN 'table' WHEN 'S' THEN 'sequence' WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view'
                    WHEN 'p' THEN 'partitioned table' WHEN 'f' THEN 'foreign table' ELSE 'type' END || ' ' || relname AS part,
       CASE WHEN relpersistence = 'p' THEN '' ELSE 'unlogged' END AS definition
  FROM rel WHERE relkind NOT IN ('i', 'I', 't')
UNION ALL
SELECT 'row-level security of ' || relname, '' FROM rel WHERE relrowsecurity OR relforcerowsecurity
UNION ALL
SELECT 'column ' || relname || '.' || attname,
       concat_ws(' ', format_type(atttypid, atttypmod), CASE WHEN attnotnull THEN 'not null' END,
                 CASE attidentity WHEN 'd' THEN 'identity' WHEN 'a' THEN 'identity always' END,
                 CASE WHEN attgenerated <> '' THEN 'generated' END, 'default ' || pg_get_expr(adbin, adrelid))
  FROM rel JOIN pg_attribute ON attrelid = rel.oid LEFT JOIN pg_attrdef ON adrelid = rel.oid AND adnum = attnum
 WHERE relkind IN ('r', 'p', 'f') AND attnum > 0 AND NOT attisdropped
UNION ALL
SELECT 'index ' || rel.relname, replace(pg_get_indexdef(i.indexrelid), ' ON ' || quote_ident(own.nspname) || '.', ' ON ')
                                || CASE WHEN i.indisvalid THEN '' ELSE ' invalid' END
  FROM rel JOIN own ON true JOIN pg_index i ON i.indexrelid = rel.oid
UNION ALL
SELECT 'constraint ' || rel.relname || '.' || conname, pg_get_constraintdef(k.oid)
  FROM rel JOIN pg_constraint k ON k.conrelid = rel.oid WHERE contype <> 'n'
UNION ALL
SELECT 'trigger ' || rel.relname || '.' || tgname, '' FROM rel JOIN pg_trigger ON tgrelid = rel.oid WHERE NOT tgisinternal
UNION ALL
SELECT DISTINCT 'switch that turns the references of ' || rel.relname || ' off', ''
  FROM rel JOIN pg_trigger ON tgrelid = rel.oid WHERE tgisinternal AND tgenabled <> 'O'
UNION ALL
SELECT 'rule ' || rel.relname || '.' || rulename, '' FROM rel JOIN pg_rewrite ON ev_class = rel.oid WHERE relkind = 'r'
UNION ALL
SELECT 'policy ' || rel.relname || '.' || polname, '' FROM rel JOIN pg_policy ON polrelid = rel.oid
UNION ALL
SELECT 'table ' || inhrelid::regclass::text || ' with further rows of ' || rel.relname, ''
  FROM rel JOIN pg_inherits ON inhparent = rel.oid
UNION ALL
SELECT 'function ' || proname, '' FROM pg_proc JOIN own ON own.oid = pronamespace
UNION ALL
SELECT 'operator ' || oprname, '' FROM pg_operator JOIN own ON own.oid = oprnamespace
UNION ALL
SELECT 'type ' || typname, '' FROM pg_type JOIN own ON own.oid = typnamespace
 WHERE typrelid = 0 AND typelem = 0";

/// The parts of a schema, each with its definition.
type Parts = BTreeMap<String, String>;

/// Parts of the schema that keyward did not make, or that are missing. Empty for a store whose schema is not this
/// program's.
///
/// # Errors
/// If the server does not report them.
pub(in crate::store) fn strange_parts(client: &Client, server: &Server) -> Result<Vec<String>, StoreError> {
    let mut schema = None;
    client.query_each("SELECT schema FROM store", &[], |row| {
        schema = Some(row.get::<_, i64>(0));
        Ok::<_, StoreError>(())
    })?;
    if schema != Some(NEWEST) {
        return Ok(vec![]);
    }
    Ok(differences(expected(), found(client, server.url().schema())?))
}

/// The parts of the newest schema.
fn expected() -> Parts {
    let part = |line: &str| line.split_once('\t').map(|(part, definition)| (part.to_owned(), definition.to_owned()));
    PARTS.lines().filter_map(part).collect()
}

pub(in crate::store::postgres) fn found(client: &Client, schema: &str) -> Result<Parts, StoreError> {
    let mut parts = Parts::new();
    client.query_each(QUERY, &[schema.into()], |row| {
        // Line breaks in a definition do not matter.
        let words: Vec<_> = row.get::<_, &str>(1).split_ascii_whitespace().collect();
        parts.insert(row.get(0), words.join(" "));
        Ok::<_, StoreError>(())
    })?;
    Ok(parts)
}

fn differences(mut expected: Parts, found: Parts) -> Vec<String> {
    let mut strange = vec![];
    let is_foreign = |part: &str| !expected.contains_key(part);
    let foreign: Vec<_> = found
        .keys()
        .filter_map(|part| part.strip_prefix("table "))
        .filter(|table| is_foreign(&format!("table {table}")))
        .map(str::to_owned)
        .collect();
    // Parts of a foreign table are reported with it.
    let belongs = |part: &str| {
        let owned = ["column ", "constraint "].iter().find_map(|kind| part.strip_prefix(kind));
        owned.is_some_and(|owned| {
            foreign.iter().any(|table| owned.strip_prefix(table.as_str()).is_some_and(|rest| rest.starts_with('.')))
        })
    };
    for (part, definition) in found.into_iter().filter(|(part, _)| !belongs(part)) {
        match expected.remove(&part) {
            None => strange.push(format!("the {part} is not of keyward")),
            Some(own) if own != definition => strange.push(format!("the {part} was changed")),
            Some(_) => {}
        }
    }
    strange.extend(expected.into_keys().map(|part| format!("the {part} is missing")));
    strange
}

/// The first row with a broken reference, if any. The server prevents them, unless told otherwise.
///
/// # Errors
/// If the rows cannot be read.
pub(in crate::store) fn dangling(client: &Client) -> Result<Option<String>, StoreError> {
    for (table, column, target) in references() {
        let sql = format!(
            "SELECT 1 FROM {table} AS one WHERE one.{column} IS NOT NULL
                AND NOT EXISTS (SELECT 1 FROM {target} AS other WHERE other.id = one.{column}) LIMIT 1"
        );
        let mut is_found = false;
        client.query_each(&sql, &[], |_| {
            is_found = true;
            Ok::<_, StoreError>(())
        })?;
        if is_found {
            return Ok(Some(format!("a row of {} refers to nothing", table.trim_matches('"'))));
        }
    }
    Ok(None)
}

/// The references: a table, its column, and the table whose `id` it names.
pub(super) fn references() -> Vec<(String, String, String)> {
    let constraints = expected().into_iter().filter_map(|(part, definition)| {
        let table = part.strip_prefix("constraint ")?.split('.').next()?.to_owned();
        let (column, rest) = definition.strip_prefix("FOREIGN KEY (")?.split_once(") REFERENCES ")?;
        let (target, _) = rest.split_once("(id)")?;
        Some((format!("\"{table}\""), column.to_owned(), target.to_owned()))
    });
    constraints.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(parts: &[(&str, &str)]) -> Parts {
        parts.iter().map(|(part, definition)| ((*part).to_owned(), (*definition).to_owned())).collect()
    }

    #[test]
    fn what_differs_is_told_by_what_it_is() {
        let expected = parts(&[("table a", ""), ("column a.b", "bigint"), ("index c", "x")]);
        let found = parts(&[("table a", ""), ("column a.b", "text"), ("trigger a.t", "")]);
        assert_eq!(
            differences(expected, found),
            ["the column a.b was changed", "the trigger a.t is not of keyward", "the index c is missing"]
        );
    }

    #[test]
    fn each_reference_of_the_schema_is_looked_at() {
        let sql: String = super::super::MIGRATIONS.concat();
        let found = references();
        assert_eq!(found.len(), sql.matches(" REFERENCES ").count(), "{found:?}");
        let has = |table: &str, column: &str, target: &str| {
            found.contains(&(table.to_owned(), column.to_owned(), target.to_owned()))
        };
        assert!(has("\"key\"", "owner", "\"user\"") && has("\"secret\"", "key", "key"), "{found:?}");
    }
}
