//! A second server that has all data of the first one, and can replace it.

use super::{Folder, OWNER, Server, program, run, unprivileged};

impl Server {
    /// A server in the same network that replicates this one's writes as they happen, and is read-only.
    pub(crate) fn standby(&self) -> Self {
        let folder = Folder::new();
        let mut copy = unprivileged(program("pg_basebackup"));
        copy.arg("-h").arg(self.folder.path()).args(["-p", &self.port.to_string(), "-U", OWNER]);
        copy.args(["--no-sync", "--checkpoint=fast", "--wal-method=stream", "--write-recovery-conf", "--pgdata"]);
        run(copy.arg(folder.path().join("data")));
        Self::of(folder, self.network.as_deref())
    }

    /// Promotes a standby to a primary, and waits until it is one.
    pub(crate) fn promote(&self) {
        let mut promote = unprivileged(program("pg_ctl"));
        run(promote.args(["promote", "--silent", "-D"]).arg(self.folder.path().join("data")));
    }
}
