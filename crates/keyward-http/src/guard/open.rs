//! Makes a guard for a store, in one call.

use std::path::Path;

use keyward_core::store::Store;
use keyward_core::verifier::{Gate, KEY_BYTES, Options, VerifyError};
use rand::TryRng as _;
use rand::rngs::{SysError, SysRng};

use super::Guard;

/// Why a store cannot be guarded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The store cannot be read, or the system provides no thread.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// Without random bytes, nothing can be cached safely.
    #[error("the system gives no random bytes: {0}")]
    Random(#[source] SysError),
}

impl Guard {
    /// A guard for the keys in the store at `path`, with the system's clock. It hashes on as many threads as there are
    /// processors, in idle processor time. For other settings, make a [`Gate`] and call [`Guard::new`].
    ///
    /// The store must exist: `keyward create` makes one, with a first key. Changes by other processes count at the next
    /// request.
    ///
    /// # Errors
    /// If there is no readable store, or if the system provides no thread or no random bytes.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let store = Store::open(path.as_ref()).map_err(VerifyError::from)?;
        let mut key = [0; KEY_BYTES];
        SysRng.try_fill_bytes(&mut key).map_err(OpenError::Random)?;
        let mut options = Options::default();
        options.is_background = true;
        Ok(Self::new(Gate::new(store, key, options)?))
    }
}
