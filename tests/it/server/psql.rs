//! Another client of the database, which stays in a transaction.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::postgres::{OWNER, Server, program};

/// A superuser session, which ends when this is dropped.
pub struct Psql {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Psql {
    pub fn at(server: &Server) -> Self {
        let mut psql = Command::new(program("psql"));
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", OWNER, "-d", "keyward"]);
        psql.arg("-h").arg(server.folder.path()).args(["-p", &server.port.to_string()]);
        let mut child = psql.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, input, output }
    }

    /// Runs statements, and waits until they are done.
    pub fn run(&mut self, statements: &str) {
        writeln!(self.input, "{statements};\n\\echo done").unwrap();
        loop {
            let mut line = String::new();
            assert_ne!(self.output.read_line(&mut line).unwrap(), 0, "psql ended: {statements}");
            if line == "done\n" {
                return;
            }
        }
    }
}

impl Drop for Psql {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
