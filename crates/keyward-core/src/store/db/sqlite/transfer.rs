//! Writing a whole store into a file.

use super::Engine;
use crate::store::db::each;
use crate::store::error::StoreError;

impl Engine {
    /// Removes the indexes that statements made, and returns those statements. Building an index from all rows at the
    /// end is faster than updating it for each.
    pub(in crate::store::db) fn drop_indexes(&self) -> Result<Vec<String>, StoreError> {
        let mut found = vec![];
        let sql = "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL";
        each(
            |f| self.rows(sql, &[], f),
            |row| {
                found.push((row.text(0)?.replace('"', "\"\""), row.text(1)?.to_owned()));
                Ok::<_, StoreError>(())
            },
        )?;
        for (name, _) in &found {
            self.execute(&format!("DROP INDEX \"{name}\""), &[])?;
        }
        Ok(found.into_iter().map(|(_, statement)| statement).collect())
    }
}
