//! API keys for your own services: the rules, the verifier and the store of keyward.

mod platform;
pub mod rules;
pub mod store;
pub mod verifier;
