//! Guards HTTP services with keyward's API keys.
//!
//! There are two ways to use it. A proxy asks the server (`server`) before each request, or a service written in Rust
//! puts a layer (`tower`) in front of its router. Both decide and answer in the same way.
//!
//! | room | what is in it |
//! |---|---|
//! | [`facts`] | what a proxy says about a request, one file a dialect |
//! | [`policy`] | what is asked of a key, and which policy a request is for |
//! | [`guard`] | the question: policy, facts and credential in, ruling out; and the limits on guessing |
//! | [`answer`] | from a ruling to a status, headers and a body |
//! | `observe` | counters, their text for Prometheus, and the log |
//! | `server` | listeners, connections, endpoints, reload and stop (feature `server`) |
//! | `tower` | the layer (feature `tower`) |
//!
//! The order is `{server, tower} → observe → guard → answer → policy → facts`. All but the servers are values in, values
//! out.
//!
//! One rule governs it: only an exact 200 ever means yes, and nothing that a client can write decides which policy
//! applies.

#![forbid(unsafe_code)]

pub mod answer;
pub mod clock;
pub mod facts;
pub mod guard;
#[cfg(feature = "server")]
mod observe;
pub mod policy;
mod refusal;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "tower")]
pub mod tower;

pub use guard::Guard;
pub use policy::{Policies, Policy, PolicyName};
pub use refusal::Refusal;
