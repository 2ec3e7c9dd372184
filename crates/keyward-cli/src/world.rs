//! Everything outside the program, in one value.
//!
//! The library asks for the time, for random bytes, for the environment and for the streams only through a [`World`].
//! `main` makes the real one; tests make one with a fixed clock, a seeded generator and recorded streams. Lints forbid
//! any other way.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;

pub use crate::platform::StreamKinds;
use crate::terminal::Interrupts;

/// Looks up an environment variable.
pub type Environment = Box<dyn Fn(&str) -> Option<OsString>>;
/// Returns the time, on any thread.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;
/// Fills a buffer from a generator that is fit for secrets.
pub type Random = Box<dyn FnMut(&mut [u8]) -> anyhow::Result<()>>;

/// What a run of keyward gets from outside.
pub struct World {
    /// The command line, the program's own name first.
    pub args: Vec<OsString>,
    /// Looks up an environment variable.
    pub environment: Environment,
    /// Returns the time.
    pub clock: Clock,
    /// Whether that is the time of this host: then it is compared with the server's time, which is used for changes.
    pub is_host_clock: bool,
    /// Fills a buffer from a generator that is fit for secrets.
    pub random: Random,
    /// Where stores are by default, if the platform has such a place.
    pub data_folder: Option<PathBuf>,
    /// This program's own file, to start it again as the keeper of the clipboard.
    pub program: Option<PathBuf>,
    /// Standard input.
    pub stdin: Box<dyn Read + Send>,
    /// Standard output.
    pub stdout: Box<dyn Write>,
    /// Standard error.
    pub stderr: Box<dyn Write>,
    /// What the streams are connected to.
    pub streams: StreamKinds,
    /// Where signal handlers find what has to be restored before the program ends.
    pub interrupts: Arc<Interrupts>,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").field("streams", &self.streams).finish_non_exhaustive()
    }
}
