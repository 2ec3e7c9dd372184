//! What kind of server it is, and whether it can hold a store.

use super::Client;
use super::place::{Address, Host};
use crate::store::error::StoreError;

/// The oldest version that supports all statements, in the form of `server_version_num`.
const OLDEST: i64 = 140_000;
/// The same, for people.
const SUPPORTED: &str = "use a server of PostgreSQL 14 to 18";

/// What a server says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kind {
    /// As 150004 for 15.4.
    pub(super) version: i64,
    /// What `version()` says.
    pub(super) text: String,
    /// Whether it has the tables that only Aurora DSQL has.
    pub(super) has_tables_of_dsql: bool,
    /// The encoding of the database.
    pub(super) encoding: String,
}

/// The encodings that take any text. `SQL_ASCII` is none at all: it keeps bytes as they come.
const ENCODINGS: [&str; 2] = ["UTF8", "SQL_ASCII"];

impl Kind {
    pub(super) fn of(client: &Client) -> Result<Self, StoreError> {
        let mut kind = Self { version: 0, text: String::new(), has_tables_of_dsql: false, encoding: String::new() };
        client.query_each(
            "SELECT CAST(current_setting('server_version_num') AS bigint), version(),
                    to_regclass('sys.iam_pg_role_mappings') IS NOT NULL AND to_regclass('sys.jobs') IS NOT NULL,
                    current_setting('server_encoding')",
            &[],
            |row| {
                kind = Self {
                    version: row.get(0),
                    text: row.get(1),
                    has_tables_of_dsql: row.get(2),
                    encoding: row.get(3),
                };
                Ok::<_, StoreError>(())
            },
        )?;
        Ok(kind)
    }

    /// Why a store cannot be made there, and what to do; `None` if it can.
    pub(super) fn unfit(&self, hosts: &[Address]) -> Option<(String, &'static str)> {
        if self.is_dsql(hosts) {
            let detail = "it is Aurora DSQL, which lets no transaction make more than one table, and locks no row \
                          without changing it";
            return Some((detail.to_owned(), SUPPORTED));
        }
        if self.is_too_old() {
            return Some((format!("it is PostgreSQL {}, which is too old", told(self.version)), SUPPORTED));
        }
        if !ENCODINGS.contains(&self.encoding.as_str()) {
            let detail = format!("its database has the encoding {}, which cannot store every text", self.encoding);
            return Some((detail, "use a database that was made with ENCODING 'UTF8' TEMPLATE template0"));
        }
        None
    }

    /// Whether it is a PostgreSQL before 14. Other systems report the version whose protocol they speak, which does not
    /// count.
    pub(super) fn is_too_old(&self) -> bool {
        let is_postgres = self.text.starts_with("PostgreSQL ") && !self.text.contains("-YB-");
        is_postgres && self.version < OLDEST
    }

    /// It calls itself just `PostgreSQL 16`. Its hosts have names of its own, unless someone gave them others.
    fn is_dsql(&self, hosts: &[Address]) -> bool {
        let is_named = |address: &Address| match &address.host {
            Host::Name(name) => {
                let name = name.to_ascii_lowercase();
                name.contains(".dsql.") && [".on.aws", ".on.aws."].iter().any(|end| name.ends_with(end))
            }
            Host::Ip(_) | Host::Folder(_) => false,
        };
        self.has_tables_of_dsql || self.text.to_ascii_lowercase().contains("dsql") || hosts.iter().any(is_named)
    }
}

/// A version as people write it.
pub(super) fn told(version: i64) -> String {
    if version < 100_000 {
        return format!("{}.{}", version / 10_000, version / 100 % 100);
    }
    format!("{}.{}", version / 10_000, version % 10_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::ServerUrl;

    #[test]
    fn which_servers_can_hold_a_store() {
        const DEBIAN: &str =
            "PostgreSQL 15.14 (Debian 15.14-0+deb12u1) on x86_64-pc-linux-gnu, compiled by gcc, 64-bit";
        for (version, text, has_tables_of_dsql, host, expected) in [
            (150_014, DEBIAN, false, "db.example.org", ""),
            (140_000, "PostgreSQL 14.0 on x86_64", false, "[::1]", ""),
            (180_001, "PostgreSQL 18.1 on aarch64", false, "%2Frun%2Fpostgresql", ""),
            (130_000, "CockroachDB CCL v24.3.1 (x86_64-pc-linux-gnu)", false, "h", ""),
            (110_002, "PostgreSQL 11.2-YB-2.25.0.0-b0 on x86_64-pc-linux-gnu", false, "h", ""),
            (130_022, "PostgreSQL 13.22 on x86_64", false, "h", "13.22, which is too old"),
            (90_624, "PostgreSQL 9.6.24 on x86_64", false, "h", "9.6, which is too old"),
            // Aurora that is a PostgreSQL, and a host that only has the name.
            (160_006, "PostgreSQL 16.6 on aarch64", false, "x.cluster-y.eu-west-1.rds.amazonaws.com", ""),
            (160_006, "PostgreSQL 16.6 on x86_64", false, "dsql.example.org", ""),
            (160_000, "PostgreSQL 16", true, "h", "Aurora DSQL"),
            (160_000, "PostgreSQL 16", false, "abc.dsql.eu-west-1.on.aws", "Aurora DSQL"),
            (160_000, "PostgreSQL 16", false, "ABC.DSQL.eu-west-1.on.aws", "Aurora DSQL"),
            (160_000, "Aurora DSQL 16", false, "h", "Aurora DSQL"),
        ] {
            let url: ServerUrl = format!("postgres://{host}/d").parse().unwrap();
            let kind = Kind { version, text: text.to_owned(), has_tables_of_dsql, encoding: "UTF8".to_owned() };
            let told = kind.unfit(url.hosts()).map_or(String::new(), |(detail, _)| detail);
            assert!(told.contains(expected) && told.is_empty() == expected.is_empty(), "{kind:?} at {host}: {told}");
        }
    }

    #[test]
    fn a_database_takes_every_text() {
        for (encoding, expected) in [("UTF8", true), ("SQL_ASCII", true), ("LATIN1", false), ("EUC_JP", false)] {
            let (text, encoding) = ("PostgreSQL 15.14 on x86_64".to_owned(), encoding.to_owned());
            let kind = Kind { version: 150_014, text, has_tables_of_dsql: false, encoding };
            assert_eq!(kind.unfit(&[]).is_none(), expected, "{kind:?}");
        }
    }
}
