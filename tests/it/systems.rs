//! The systems that keyward replaces. Each test follows the system's API-key pages from the first key to the last, with
//! the requests that its clients really send.

pub mod capture;
mod story;

mod auth_keys;
mod cms;
mod ignition;
mod service_manager;
mod service_provider;
