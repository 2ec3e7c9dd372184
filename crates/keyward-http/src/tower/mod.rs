//! A tower layer: the guard in front of an axum router, or of any other service.
//!
//! | file | what it is for |
//! |---|---|
//! | `layer` | the policy, and what the service knows about its clients |
//! | `service` | one request: in to the service, or a refusal back |
//! | `key` | what the service is told about the key |
//!
//! An allowed request reaches the service with a [`VerifiedKey`] among its extensions. Every other one gets the same
//! answer as from the server: 401, 403, 429 or 503, with the same headers and body. A hash is computed on one of the
//! guard's threads, and no event loop waits for it.
//!
//! ```
//! use keyward_http::tower::VerifiedKey;
//! use keyward_http::{Guard, Policy};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("keys.db");
//! # keyward_core::store::Store::create(&path, "2026-01-31T12:00:00Z".parse()?)?;
//! async fn hello(key: axum::Extension<VerifiedKey>) -> String {
//!     format!("Hello, {}\n", key.name())
//! }
//!
//! let guard = Guard::open(&path)?;
//! let reading = guard.policy(Policy::new("reading".parse()?).with_scope("read".parse()?)).behind_tls();
//! let router: axum::Router = axum::Router::new().route("/", axum::routing::get(hello)).layer(reading);
//! # Ok(())
//! # }
//! ```
//!
//! What may break: anything outside the layer is not guarded, such as a route added after it. A layer that answers
//! browsers' preflight requests (CORS), which carry no credential, must be outside.

mod key;
mod layer;
mod service;

pub use key::VerifiedKey;
pub use layer::GuardLayer;
pub use service::{Guarded, GuardedFuture};

#[cfg(test)]
mod tests;
