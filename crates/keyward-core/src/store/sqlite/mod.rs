//! What only a store in a file has: how it is made, opened, upgraded, copied and checked. SQLite's own interface is
//! used only here and behind [`super::db`].

pub(super) mod backup;
pub(super) mod beside;
mod binding;
mod connection;
mod create;
mod error;
mod integrity;
pub(super) mod new_file;
mod open;
mod place;
mod schema;
mod unfinished;
mod watch;

pub(super) use binding::{ANOTHER_FILE, bind};
pub(crate) use connection::BUSY_TIMEOUT;
pub(super) use connection::leave_log;
#[cfg(feature = "postgres")]
pub(super) use create::fresh;
pub(super) use create::{create, in_memory, nothing};
pub(super) use error::error_of;
pub(super) use integrity::{damage, strange_parts};
pub(super) use open::{OpenFile, Purpose, open};
pub(super) use unfinished::Unfinished;
pub(super) use watch::{Sight, Watch};

#[cfg(test)]
pub(super) mod plan_tests;
#[cfg(test)]
mod tests;
