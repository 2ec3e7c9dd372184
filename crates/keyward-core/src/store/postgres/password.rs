//! The password for a server: where it comes from, and its wiping.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use zeroize::Zeroizing;

use super::passfile;
use super::place::{Address, ServerUrl};
use crate::store::error::StoreError;

/// A password. It is wiped when dropped, and never shown.
#[derive(Clone)]
pub(in crate::store) struct Password(Zeroizing<Vec<u8>>);

impl Password {
    pub(super) fn new(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }

    /// The password itself. The caller is responsible for where it goes.
    pub(super) fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// What the environment of a process says about passwords and the time. The core does not read it itself: the caller
/// does.
#[derive(Clone, Default)]
pub struct Surroundings {
    /// The value of `PGPASSWORD`.
    pub password: Option<Zeroizing<Vec<u8>>>,
    /// The value of `PGPASSFILE`.
    pub passfile: Option<PathBuf>,
    /// The home folder, with `.pgpass` in it.
    pub home: Option<PathBuf>,
    /// The clock of this host. With it, a change has the time of the server, and is refused if the two are more than a
    /// minute apart. Without it, a change has the time in its stamp.
    pub clock: Option<HostClock>,
}

/// Returns the time of this host, on any thread.
pub type HostClock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

impl fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { password, passfile, home, clock: _ } = self;
        let password = password.as_ref().map(|_| "…");
        f.debug_struct("Surroundings")
            .field("password", &password)
            .field("passfile", passfile)
            .field("home", home)
            .finish_non_exhaustive()
    }
}

impl Surroundings {
    /// The password for this user at this place: from the URL, else from `PGPASSWORD`, else from the passfile. It is
    /// looked up for each connection, so that a running process finds a new password.
    ///
    /// # Errors
    /// [`StoreError::OpenSecret`] if others may read the passfile; [`StoreError::Server`] if a named one cannot be
    /// read.
    pub(super) fn password_for(
        &self,
        url: &ServerUrl,
        address: &Address,
        user: &str,
    ) -> Result<Option<Password>, StoreError> {
        if let Some(password) = url.password() {
            return Ok(Some(password.clone()));
        }
        if let Some(password) = self.password.as_ref().filter(|password| !password.is_empty()) {
            return Ok(Some(Password::new(password.clone())));
        }
        let wanted = passfile::Wanted { address, database: url.database(), user };
        if let Some(path) = url.passfile() {
            return passfile::find(path, Some("passfile"), &wanted, url);
        }
        if let Some(path) = self.passfile.as_deref().filter(|path| !path.as_os_str().is_empty()) {
            return passfile::find(path, Some("PGPASSFILE"), &wanted, url);
        }
        let Some(home) = &self.home else { return Ok(None) };
        passfile::find(&home.join(".pgpass"), None, &wanted, url)
    }
}
