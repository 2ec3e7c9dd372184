//! A connection to a store in a PostgreSQL database: from its URL to rows, each wait with a time limit.
//!
//! | file | what is in it |
//! |---|---|
//! | [`place`] | the URL |
//! | [`password`], [`passfile`] | where the password comes from |
//! | [`server`] | who to connect to and how: hosts, names, TLS, sign-in |
//! | [`client`] | transactions, statements, and many rows at once |
//! | [`schema`] | the tables, their versions, and whether they are as they should be |
//! | [`rights`], [`role`] | what each role may do, and what a role lacks |
//! | [`kind`] | whether a server can hold a store |
//! | [`checkup`] | what the doctor checks |
//! | [`session`] | one connection, and the clock that ends its waits |
//! | [`line`], [`wait`] | bytes to and from the socket, without a runtime |
//! | [`tls`] | who the server is, and what binds a sign-in to that |
//! | [`error`] | what an error means for a person |
//!
//! `tokio-postgres` speaks the protocol. It is used without its runtime: a runtime cannot be entered from within
//! another, so a service built on one could not open a store. Its futures are driven here, on the calling thread, with
//! one socket to wait for and one clock.
//!
//! A client never reuses a connection in an unknown state: a timeout, a lost connection or a broken answer closes it.

mod bind;
mod checkup;
mod client;
mod error;
mod kind;
mod line;
mod passfile;
mod password;
mod place;
mod rights;
mod role;
mod schema;
mod server;
mod session;
#[cfg(test)]
pub(super) mod tests;
mod tls;
mod wait;

pub(in crate::store) use checkup::check_up;
pub use checkup::{DeadRows, Durability, SchemaCheckup, ServerCheckup};
pub(in crate::store) use client::{Client, CommitError, CopyIn, Deadlines};
#[doc(hidden)]
pub use passfile::find_password;
pub use password::{HostClock, Surroundings};
pub use place::{ServerUrl, UrlError};
pub use rights::{ServerRole, grants};
pub use role::RoleCheckup;
pub use schema::Migrated;
pub(in crate::store) use schema::{NEWEST as NEWEST_SCHEMA, checked_identity, dangling, found, migrate, strange_parts};
pub use server::Peer;
pub(in crate::store) use server::Server;
pub(in crate::store) use wait::Deadline;
