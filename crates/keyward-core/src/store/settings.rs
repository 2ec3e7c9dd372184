//! The settings of a store, as opposed to those of a key.

use jiff::Timestamp;

use super::db::Conn;
use super::error::StoreError;
use crate::rules::hashing::{Cost, HashError};
use crate::rules::names::Prefix;
use crate::rules::time::Duration;

/// What a store decides for all of its keys.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StoreSettings {
    /// What new secrets start with, unless their key says otherwise.
    pub prefix: Prefix,
    /// What hashing a new secret costs.
    pub hash_cost: Cost,
    /// Whether a credential in the query of a URL is accepted.
    pub query_credentials: bool,
    /// What hashes of this store cost that have not been renewed since its parameters were changed: a verification
    /// that fails spends all of them, so that its time does not tell which one was checked. A cost ends with its last
    /// hash. Who saves settings does not change it.
    pub former_costs: Vec<Cost>,
    /// How long a key may live at most, from the moment at which its expiry is set.
    pub longest_life: Option<Duration>,
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            prefix: Prefix::default(),
            hash_cost: Cost::default(),
            query_credentials: true,
            former_costs: vec![],
            longest_life: None,
        }
    }
}

impl StoreSettings {
    /// A new expiry may not be further away than the store allows. Keys that were made before the
    /// store said so keep theirs.
    ///
    /// # Errors
    /// [`StoreError::LivesTooLong`].
    pub fn check_life(&self, expires_at: Option<Timestamp>, now: Timestamp) -> Result<(), StoreError> {
        let Some(longest) = self.longest_life else { return Ok(()) };
        let instead = match (expires_at, longest.after(now)) {
            (None, _) => "never expire",
            (Some(end), Some(latest)) if end > latest => "live longer",
            _ => return Ok(()),
        };
        Err(StoreError::LivesTooLong { longest: longest.to_string(), instead })
    }

    /// Names and values, as they are stored and told in the history; `None` for what is not limited.
    pub(super) fn fields(&self) -> [(&'static str, Option<String>); 5] {
        let former: Vec<String> = self.former_costs.iter().map(ToString::to_string).collect();
        [
            ("former_costs", Some(former.join(";")).filter(|costs| !costs.is_empty())),
            ("prefix", Some(self.prefix.to_string())),
            ("hash_cost", Some(self.hash_cost.to_string())),
            ("query_credentials", Some(self.query_credentials.to_string())),
            ("longest_life", self.longest_life.map(|life| life.to_string())),
        ]
    }
}

pub(super) fn load(conn: &Conn) -> Result<StoreSettings, StoreError> {
    let mut settings = StoreSettings::default();
    // A value that does not parse is damage, not a reason to fall back to a default.
    conn.each("SELECT value, name FROM setting", &[], |row| {
        match row.text(1)? {
            "prefix" => settings.prefix = row.parsed(0)?,
            "hash_cost" => settings.hash_cost = row.parsed(0)?,
            "former_costs" => settings.former_costs = row.parsed::<Costs>(0)?.0,
            "query_credentials" => settings.query_credentials = row.parsed(0)?,
            "longest_life" => settings.longest_life = Some(row.parsed(0)?),
            _ => {}
        }
        Ok::<_, StoreError>(())
    })?;
    Ok(settings)
}

/// Costs with a semicolon in between.
struct Costs(Vec<Cost>);

impl std::str::FromStr for Costs {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Self, HashError> {
        text.split(';').map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

pub(super) fn save(conn: &Conn, settings: &StoreSettings) -> Result<(), StoreError> {
    for (name, value) in settings.fields() {
        match value {
            Some(value) => conn.execute(
                "INSERT INTO setting (name, value) VALUES (?1, ?2)
                 ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                &[name.into(), value.as_str().into()],
            )?,
            None => conn.execute("DELETE FROM setting WHERE name = ?1", &[name.into()])?,
        };
    }
    Ok(())
}
