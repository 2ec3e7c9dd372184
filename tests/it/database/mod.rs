//! A store in a real PostgreSQL, as its administrators see it: roles, doctor findings, and messages.

mod doctor;
mod hidden;
mod messages;
#[path = "../../../crates/keyward-core/tests/server/mod.rs"]
#[allow(dead_code, unused_imports, reason = "other tests need more of it")]
pub(crate) mod postgres;
mod roles;

use std::path::Path;

use postgres::{OWNER, Server, program, run, unprivileged};

use crate::harness::{Output, binary, finish, finish_with, words};

/// A server with a store that `ann` owns, the roles from `keyward store grants`, and a login for each: `boss` manages
/// keys, `guard` verifies, and `stranger` has no rights.
pub struct Database {
    server: Server,
}

impl Database {
    pub fn new() -> Self {
        let database = Self::without_store();
        database.must("ann", "store init");
        database.must("ann", "settings set hash-parameters m=1024,t=1,p=1");
        database.grant();
        database.sql(
            "CREATE ROLE boss LOGIN; GRANT keyward_admin TO boss; CREATE ROLE guard LOGIN; GRANT keyward_verify TO guard;
             CREATE ROLE stranger LOGIN",
        );
        database
    }

    /// A server without a store and its roles.
    pub fn without_store() -> Self {
        Self { server: Server::start() }
    }

    /// Has psql run what `keyward store grants` prints.
    pub fn grant(&self) {
        let sql = self.must("ann", "store grants").stdout;
        let mut psql = unprivileged(program("psql"));
        let file = self.server.folder.file("grants.sql", &sql, 0o644);
        psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-U", OWNER, "-d", "keyward", "-f"]).arg(file);
        psql.arg("-h").arg(self.server.folder.path()).args(["-p", &self.server.port.to_string()]);
        assert_eq!(run(&mut psql), "");
    }

    /// The store as keyward shows it.
    pub fn shown(&self, user: &str) -> String {
        format!("postgres://{user}@{}/keyward", self.server.socket_host())
    }

    /// Runs a line as this role.
    pub fn run(&self, user: &str, line: &str) -> Output {
        finish(&mut binary(Path::new(&self.shown(user)), &words(line)))
    }

    pub fn run_with(&self, user: &str, line: &str, input: &str) -> Output {
        finish_with(&mut binary(Path::new(&self.shown(user)), &words(line)), input.as_bytes())
    }

    /// The same for a line that must succeed.
    pub fn must(&self, user: &str, line: &str) -> Output {
        let output = self.run(user, line);
        assert_eq!(output.code, 0, "{line}: {output}");
        output
    }

    /// Runs statements as a superuser, bypassing keyward.
    pub fn sql(&self, statements: &str) -> String {
        self.server.sql("keyward", &format!("SET search_path = keyward; {statements}"))
    }

    /// Runs statements as a superuser in another database.
    pub fn in_database(&self, name: &str, statements: &str) -> String {
        self.server.sql(name, statements)
    }

    /// A digest of every row of every table.
    pub fn rows(&self) -> String {
        let tables = self.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'keyward' ORDER BY 1");
        let sum = |table: &str| {
            format!(
                "SELECT '{table}', md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) FROM keyward.\"{table}\" t"
            )
        };
        self.sql(&tables.lines().map(sum).collect::<Vec<_>>().join(" UNION ALL "))
    }
}
