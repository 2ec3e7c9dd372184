//! The rights of the two roles that use a store, table by table, and the SQL that grants them.
//!
//! `keyward_admin` manages keys and cannot rewrite the history. `keyward_verify` is for hosts that only check keys: it
//! can change only counts, cannot lock the store, and cannot read the history. The owner of the tables may do
//! everything, and is needed only to make and upgrade the store.

use super::place::ServerUrl;

/// A role that `keyward store grants` makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerRole {
    /// Manages keys.
    Admin,
    /// Only verifies them.
    Verify,
}

impl ServerRole {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::Admin, Self::Verify];

    /// Its name in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Admin => "keyward_admin",
            Self::Verify => "keyward_verify",
        }
    }
}

/// The privileges that can be granted on a table.
pub(super) const PRIVILEGES: [&str; 7] = ["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"];

const NOTHING: &[&str] = &[];
const READ: &[&str] = &["SELECT"];
const WRITE: &[&str] = &["SELECT", "INSERT", "UPDATE", "DELETE"];
const READ_AND_ADD: &[&str] = &["SELECT", "INSERT"];
const ALL_BUT_DELETE: &[&str] = &["SELECT", "INSERT", "UPDATE"];

/// What each role may do with some tables.
struct Rights {
    tables: &'static [&'static str],
    admin: &'static [&'static str],
    verify: &'static [&'static str],
}

/// Every table of the schema is in one of these.
const RIGHTS: [Rights; 6] = [
    Rights {
        tables: &[
            "setting",
            "role",
            "tenant",
            "key_group",
            "user",
            "key",
            "key_scope",
            "key_level",
            "key_address",
            "key_label",
            "secret",
            "last_row",
        ],
        admin: WRITE,
        verify: READ,
    },
    Rights { tables: &["key_use", "use_batch"], admin: WRITE, verify: ALL_BUT_DELETE },
    Rights { tables: &["usage", "meter"], admin: WRITE, verify: WRITE },
    // Rows are added, and never changed.
    Rights { tables: &["history"], admin: READ_AND_ADD, verify: NOTHING },
    // Without UPDATE, a role cannot lock the row that is the store's lock.
    Rights { tables: &["history_head", "store"], admin: ALL_BUT_DELETE, verify: READ },
    Rights { tables: &["announced_secret", "reservation"], admin: WRITE, verify: NOTHING },
];

/// What a role may do, table by table.
pub(super) fn of(role: ServerRole) -> impl Iterator<Item = (&'static str, &'static [&'static str])> {
    RIGHTS.iter().flat_map(move |rights| {
        let may = match role {
            ServerRole::Admin => rights.admin,
            ServerRole::Verify => rights.verify,
        };
        rights.tables.iter().map(move |table| (*table, may))
    })
}

/// The header of the statements. `@SCHEMA@` is the quoted schema.
const HEAD: &str = r"-- Two roles for the keyward store in the schema @SCHEMA@: keyward_admin manages keys, keyward_verify only verifies them.
-- Run this as a superuser, or as the owner of the tables where that role may make roles (CREATEROLE) or both roles exist
-- already. It can be run again, and has to be after `keyward store migrate` made new tables. Nobody signs in as these roles;
-- give them to the roles of your hosts and of people:
--
--   CREATE ROLE guard LOGIN PASSWORD '...';
--   GRANT keyward_verify TO guard;

BEGIN;
";

/// Roles belong to the whole server, and there is no `CREATE ROLE IF NOT EXISTS`. A block in PL/pgSQL works with every
/// client that sends it whole, while `\gexec` works only with psql. If the roles already exist, the right to make roles
/// is not needed.
const MAKE: &str = r"DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = '@ROLE@') THEN
        CREATE ROLE @ROLE@ NOLOGIN;
    END IF;
END
$$;
";

/// The SQL that makes the two roles, grants their rights on the store at this URL, and revokes all other rights there.
/// The owner of the tables runs it, as often as needed.
pub fn grants(url: &ServerUrl) -> String {
    let schema = format!("\"{}\"", url.schema());
    let mut sql = HEAD.replace("@SCHEMA@", &schema);
    for role in ServerRole::ALL {
        let name = role.name();
        sql.push_str(&format!("\n{}\n", MAKE.replace("@ROLE@", name)));
        // In one transaction: no one sees the role without its rights.
        sql.push_str(&format!("REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM {name};\n"));
        sql.push_str(&format!("REVOKE ALL ON ALL SEQUENCES IN SCHEMA {schema} FROM {name};\n"));
        sql.push_str(&format!("REVOKE ALL ON SCHEMA {schema} FROM {name};\n"));
        sql.push_str(&format!("GRANT USAGE ON SCHEMA {schema} TO {name};\n"));
        for (table, may) in of(role).filter(|(_, may)| !may.is_empty()) {
            sql.push_str(&format!("GRANT {} ON {schema}.\"{table}\" TO {name};\n", may.join(", ")));
        }
    }
    sql.push_str("\nCOMMIT;\n");
    sql
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::store::postgres::schema::MIGRATIONS;

    /// The tables made by the migrations.
    fn tables() -> Vec<String> {
        let lines = MIGRATIONS.iter().flat_map(|migration| migration.lines());
        let made = lines.filter_map(|line| line.strip_prefix("CREATE TABLE "));
        made.map(|rest| rest.trim_end_matches(" (").trim_matches('"').to_owned()).collect()
    }

    #[test]
    fn every_table_has_its_rights_and_only_one_line() {
        let made = tables();
        assert!(made.len() > 15, "{made:?}");
        for role in ServerRole::ALL {
            let granted: Vec<_> = of(role).map(|(table, _)| table.to_owned()).collect();
            let once: BTreeSet<_> = granted.iter().cloned().collect();
            assert_eq!(granted.len(), once.len(), "a table stands twice: {granted:?}");
            assert_eq!(once, made.iter().cloned().collect(), "left: tables with rights; right: tables of the schema");
        }
    }

    #[test]
    fn who_verifies_changes_nothing_but_counts() {
        let counts = ["key_use", "use_batch", "usage", "meter"];
        for (table, may) in of(ServerRole::Verify).filter(|(table, _)| !counts.contains(table)) {
            assert!(may.is_empty() || may == READ, "{table}: {may:?}");
        }
        let history = of(ServerRole::Admin).find(|(table, _)| *table == "history");
        assert_eq!(history, Some(("history", ["SELECT", "INSERT"].as_slice())));
        assert!(
            RIGHTS
                .iter()
                .flat_map(|rights| rights.admin.iter().chain(rights.verify))
                .all(|right| PRIVILEGES.contains(right))
        );
    }

    #[test]
    fn the_statements_name_the_schema_of_the_url() {
        let sql = grants(&"postgres://ann@h/d?schema=keys_2".parse().unwrap());
        assert!(!sql.contains('@') && !sql.contains("\"keyward\""), "{sql}");
        for line in [
            "REVOKE ALL ON ALL TABLES IN SCHEMA \"keys_2\" FROM keyward_verify;",
            "GRANT USAGE ON SCHEMA \"keys_2\" TO keyward_admin;",
            "GRANT SELECT, INSERT ON \"keys_2\".\"history\" TO keyward_admin;",
            "GRANT SELECT ON \"keys_2\".\"history_head\" TO keyward_verify;",
        ] {
            assert!(sql.lines().any(|found| found == line), "{line}: {sql}");
        }
        assert!(!sql.contains("\"history\" TO keyward_verify"), "{sql}");
    }
}
