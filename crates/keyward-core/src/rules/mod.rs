//! The rules of API keys, and nothing else.
//!
//! Everything in this room is pure: values in, values out. There is no clock, randomness, environment, database or
//! screen here, so every rule can be tested as a table or a property beside the code that states it. What a rule needs
//! from outside (the time, random bytes) is an argument.

pub mod address;
pub mod authority;
pub mod calendar;
pub mod credential;
pub mod decision;
pub mod difference;
mod digits;
pub mod directory;
pub mod fingerprint;
pub mod forwarded;
pub mod hashing;
pub mod http;
pub mod imported;
pub mod key;
pub mod leaks;
pub mod limits;
pub mod names;
pub mod patch;
pub mod plain;
pub mod rate;
pub mod restriction;
pub mod selection;
pub mod setting;
pub mod text;
pub mod time;
pub mod token;
pub mod usage;
