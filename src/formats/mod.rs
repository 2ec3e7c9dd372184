//! Files that people write: the manifest, the text of an editor, dotenv files.

pub mod dotenv;
pub mod manifest;
pub mod settings_draft;
pub mod settings_text;
pub mod tree;

#[cfg(test)]
mod sample {
    use jiff::Timestamp;
    use keyward_core::rules::key::{Key, Settings, Standing};
    use keyward_core::rules::names::Prefix;
    use keyward_core::rules::token::Id;

    /// A made-up key with no restriction but the default one.
    pub(super) fn sample() -> Key {
        Key {
            id: Id::from_random([1; 8]),
            name: "sample".parse().unwrap(),
            settings: Settings::with_prefix(Prefix::default()),
            created_at: at(0),
            created_by: None,
            updated_at: at(0),
            last_used_at: None,
            use_count: 0,
            secrets: vec![],
            standing: Standing { owner_enabled: true, tenant_enabled: true, rank: None, owner_role: None },
            revision: 0,
            damage: None,
        }
    }

    pub(super) fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }
}
