//! Files that people write: the manifest, the text for an editor, dotenv files, and the names in a runner's files.

pub mod dotenv;
pub mod import;
pub mod limits;
pub mod manifest;
pub mod runner;
pub mod settings_draft;
pub mod settings_text;
pub mod tree;

#[cfg(test)]
mod sample {
    use jiff::Timestamp;
    use keyward_core::rules::key::{Key, Settings};
    use keyward_core::rules::names::Prefix;
    use keyward_core::rules::token::Id;

    /// A made-up key with no restriction but the default one.
    pub(super) fn sample() -> Key {
        let settings = Settings::with_prefix(Prefix::default());
        Key::new(Id::from_random([1; 8]), "sample".parse().unwrap(), settings, at(0))
    }

    pub(super) fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }
}
