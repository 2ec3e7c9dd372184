//! Which keyward can use which store: what the table `store` says, and what this program knows.

use std::path::Path;

use crate::store::error::StoreError;
use crate::store::sqlite::Purpose;

/// What a store says about its schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct Versions {
    /// Its schema.
    pub(in crate::store) schema: i64,
    /// The oldest schema that a keyward must know to read it.
    pub(in crate::store) oldest_reader: i64,
    /// The oldest schema that a keyward must know to write it.
    pub(in crate::store) oldest_writer: i64,
}

/// What a program knows about schemas.
#[derive(Debug, Clone, Copy)]
pub(in crate::store::postgres) struct Known {
    /// The newest one.
    pub(in crate::store::postgres) newest: i64,
    /// The oldest one that all of its statements work with: hosts may be upgraded before the store.
    pub(in crate::store::postgres) oldest: i64,
}

/// What this program knows. A migration that adds what statements rely on raises `oldest`.
pub(super) const KNOWN: Known = Known { newest: 1, oldest: 1 };

/// The newest schema that this program knows.
pub(in crate::store) const NEWEST: i64 = KNOWN.newest;

impl Known {
    /// Checks that a program with this knowledge may use the store for the purpose.
    ///
    /// # Errors
    /// [`StoreError::Newer`], [`StoreError::NotMigrated`].
    pub(super) fn check(self, place: &Path, found: Versions, purpose: Purpose) -> Result<(), StoreError> {
        let path = || place.to_owned();
        let least = match purpose {
            Purpose::Read => found.oldest_reader,
            // A change also reads.
            Purpose::Change => found.oldest_reader.max(found.oldest_writer),
        };
        if least > self.newest {
            return Err(StoreError::Newer { path: path(), found: found.schema, known: self.newest });
        }
        if found.schema < self.oldest {
            return Err(StoreError::NotMigrated { path: path(), found: found.schema, needed: self.oldest });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::postgres::schema::MIGRATIONS;

    #[test]
    fn the_newest_schema_is_that_of_the_last_migration() {
        assert_eq!(usize::try_from(NEWEST), Ok(MIGRATIONS.len()));
    }

    #[test]
    fn who_may_use_which_store() {
        use Purpose::{Change, Read};
        let known = Known { newest: 4, oldest: 3 };
        for (schema, oldest_reader, oldest_writer, purpose, expected) in [
            (4, 1, 1, Change, "yes"),
            // Before the store is upgraded, and after others have done it.
            (3, 1, 1, Change, "yes"),
            (9, 4, 4, Change, "yes"),
            (9, 4, 4, Read, "yes"),
            (9, 4, 5, Read, "yes"),
            (9, 4, 5, Change, "newer"),
            (9, 5, 5, Read, "newer"),
            // A program cannot write what it cannot read.
            (9, 5, 4, Change, "newer"),
            (2, 1, 1, Read, "not migrated"),
            (2, 1, 1, Change, "not migrated"),
        ] {
            let found = Versions { schema, oldest_reader, oldest_writer };
            let told = match known.check(Path::new("postgres://h/d"), found, purpose) {
                Ok(()) => "yes",
                Err(StoreError::Newer { known: 4, found, .. }) if found == schema => "newer",
                Err(StoreError::NotMigrated { needed: 3, found, .. }) if found == schema => "not migrated",
                Err(error) => panic!("{error:?}"),
            };
            assert_eq!(told, expected, "{found:?} for {purpose:?}");
        }
    }
}
