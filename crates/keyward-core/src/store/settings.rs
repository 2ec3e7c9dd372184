//! The settings of a store, as opposed to those of a key.

use jiff::Timestamp;

use super::db::Conn;
use super::error::StoreError;
use crate::rules::calendar::Unit;
use crate::rules::hashing::{Cost, HashError};
use crate::rules::imported::LookupKey;
use crate::rules::names::Prefix;
use crate::rules::time::{Duration, rfc3339, whole_seconds};

/// Settings that apply to all keys of a store.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StoreSettings {
    /// What new secrets start with, unless their key says otherwise.
    pub prefix: Prefix,
    /// The cost of hashing a new secret.
    pub hash_cost: Cost,
    /// Whether a credential in the query of a URL is accepted.
    pub query_credentials: bool,
    /// The costs of hashes not renewed since the parameters changed: a failed verification spends all of them, so that
    /// its duration does not reveal which one was checked. A cost goes with its last hash. Saving settings does not
    /// change it.
    pub former_costs: Vec<Cost>,
    /// How long a new key lives if no end is given; `None` for as long as allowed.
    pub default_lifetime: Option<Duration>,
    /// The longest life of a secret, from its minting.
    pub max_lifetime: Option<Duration>,
    /// How long hourly usage is kept; `None` for as long as the store exists.
    pub usage_retention: Option<Duration>,
    /// Whether there are secrets that another system made. Saving settings does not change it.
    pub imports: Imports,
}

/// The imported secrets of a store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Imports {
    /// There are none.
    #[default]
    None,
    /// There are some.
    Some {
        /// The key of their buckets; `None` is damage: they cannot be found.
        key: Option<LookupKey>,
        /// Whether the text of some is not known yet.
        has_unknown: bool,
    },
}

impl Imports {
    /// Whether there are any.
    pub fn are_there(&self) -> bool {
        *self != Self::None
    }
}

/// The name of the setting that holds the key of the buckets.
const LOOKUP_KEY: &str = "lookup_key";

/// A year, and a month more, to look back from its end.
const USAGE_DAYS: u16 = 400;
/// The word for no limit, in the store and on the command line.
const UNLIMITED: &str = "unlimited";

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            prefix: Prefix::default(),
            hash_cost: Cost::default(),
            query_credentials: true,
            former_costs: vec![],
            default_lifetime: None,
            max_lifetime: None,
            usage_retention: Some(Duration::of_days(USAGE_DAYS)),
            imports: Imports::None,
        }
    }
}

impl StoreSettings {
    /// The beginning of the first hour of which usage is kept at `now`; `None` if all of it is.
    pub fn usage_since(&self, now: Timestamp) -> Option<Timestamp> {
        let first = self.usage_retention?.before(now)?;
        Timestamp::from_second(Unit::Hour.around(first.as_second()).0).ok()
    }

    /// How long a new key lives if no end is given: never longer than allowed. `None` for ever.
    pub fn lifetime_of_new(&self) -> Option<Duration> {
        self.default_lifetime.or(self.max_lifetime)
    }

    /// The end of a new key if none is given.
    pub fn end_of_new(&self, minted_at: Timestamp) -> Option<Timestamp> {
        // A time too far away to be represented is as good as never.
        self.cut_end(self.default_lifetime.and_then(|life| life.after(minted_at)), minted_at)
    }

    /// Refuses a default that no new key could have.
    ///
    /// # Errors
    /// [`StoreError::DefaultTooLong`].
    pub fn check_lifetimes(&self, now: Timestamp) -> Result<(), StoreError> {
        let (Some(default), Some(max)) = (self.default_lifetime, self.max_lifetime) else { return Ok(()) };
        let ends = [default, max].map(|life| life.after(now).unwrap_or(Timestamp::MAX));
        if ends[0] <= ends[1] {
            Ok(())
        } else {
            Err(StoreError::DefaultTooLong { default: default.to_string(), max: max.to_string() })
        }
    }

    /// The latest end of a key with a secret minted at `minted_at`; `None` if the store sets no limit.
    pub fn latest_end(&self, minted_at: Timestamp) -> Option<Timestamp> {
        let max = self.max_lifetime?;
        // A time too far away to be represented becomes the last representable one.
        Some(max.after(minted_at).unwrap_or(whole_seconds(Timestamp::MAX)))
    }

    /// Cuts an end that was not given, or was given for another secret, to what the store allows for one minted at
    /// `minted_at`.
    pub fn cut_end(&self, end: Option<Timestamp>, minted_at: Timestamp) -> Option<Timestamp> {
        match (end, self.latest_end(minted_at)) {
            (Some(end), Some(latest)) => Some(end.min(latest)),
            (end, latest) => end.or(latest),
        }
    }

    /// Refuses an end beyond what the store allows for a secret minted at `minted_at`. Keys made before the limit was
    /// set keep their ends.
    ///
    /// # Errors
    /// [`StoreError::LivesTooLong`].
    pub fn check_end(&self, end: Option<Timestamp>, minted_at: Timestamp) -> Result<(), StoreError> {
        let (Some(max), Some(latest)) = (self.max_lifetime, self.latest_end(minted_at)) else { return Ok(()) };
        let instead = match end {
            None => "never expire",
            Some(end) if end > latest => "live longer",
            Some(_) => return Ok(()),
        };
        Err(StoreError::LivesTooLong { max: max.to_string(), latest: rfc3339(latest), instead, name: None })
    }

    /// Names and values, as stored and recorded in the history; `None` for no limit.
    pub(super) fn fields(&self) -> [(&'static str, Option<String>); 7] {
        let former: Vec<String> = self.former_costs.iter().map(ToString::to_string).collect();
        [
            ("former_costs", Some(former.join(";")).filter(|costs| !costs.is_empty())),
            ("prefix", Some(self.prefix.to_string())),
            ("hash_cost", Some(self.hash_cost.to_string())),
            ("query_credentials", Some(self.query_credentials.to_string())),
            ("default_lifetime", self.default_lifetime.map(|life| life.to_string())),
            ("max_lifetime", self.max_lifetime.map(|life| life.to_string())),
            (
                "usage_retention",
                Some(self.usage_retention.map_or_else(|| UNLIMITED.to_owned(), |time| time.to_string())),
            ),
        ]
    }
}

pub(super) fn load(conn: &Conn) -> Result<StoreSettings, StoreError> {
    let mut settings = StoreSettings::default();
    // A value that does not parse is damage, not a reason to fall back to a default.
    let (mut key, mut least) = (None, None);
    let all = "SELECT value, name FROM setting
               UNION ALL SELECT CAST(min(bucket) AS TEXT), '' FROM secret WHERE bucket >= -1";
    conn.each(all, &[], |row| {
        match row.text(1)? {
            "" => least = row.optional_parsed::<i64>(0)?,
            LOOKUP_KEY => key = Some(row.parsed(0)?),
            "prefix" => settings.prefix = row.parsed(0)?,
            "hash_cost" => settings.hash_cost = row.parsed(0)?,
            "former_costs" => settings.former_costs = row.parsed::<Costs>(0)?.0,
            "query_credentials" => settings.query_credentials = row.parsed(0)?,
            "default_lifetime" => settings.default_lifetime = Some(row.parsed(0)?),
            "max_lifetime" => settings.max_lifetime = Some(row.parsed(0)?),
            "usage_retention" if row.text(0)? == UNLIMITED => settings.usage_retention = None,
            "usage_retention" => settings.usage_retention = Some(row.parsed(0)?),
            _ => {}
        }
        Ok::<_, StoreError>(())
    })?;
    if let Some(least) = least {
        settings.imports = Imports::Some { key, has_unknown: least < 0 };
    }
    Ok(settings)
}

/// The key of this store's buckets. A store without one takes `new`.
pub(super) fn lookup_key(conn: &Conn, new: &LookupKey) -> Result<LookupKey, StoreError> {
    let hex = new.to_hex();
    let insert = "INSERT INTO setting (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO NOTHING";
    conn.execute(insert, &[LOOKUP_KEY.into(), hex.as_str().into()])?;
    conn.alone("SELECT value FROM setting WHERE name = ?1", &[LOOKUP_KEY.into()], |row| row.parsed(0))
}

/// Costs separated by semicolons.
struct Costs(Vec<Cost>);

impl std::str::FromStr for Costs {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Self, HashError> {
        text.split(';').map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

pub(super) fn save(conn: &Conn, settings: &StoreSettings) -> Result<(), StoreError> {
    settings.fields().into_iter().try_for_each(|(name, value)| set(conn, name, value.as_deref()))
}

/// Sets the value of a row, or deletes the row.
pub(super) fn set(conn: &Conn, name: &str, value: Option<&str>) -> Result<(), StoreError> {
    if let Some(value) = value {
        let sql = "INSERT INTO setting (name, value) VALUES (?1, ?2)
                   ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        return conn.change_one(sql, &[name.into(), value.into()]);
    }
    conn.execute("DELETE FROM setting WHERE name = ?1", &[name.into()])?;
    match conn.optional("SELECT 1 FROM setting WHERE name = ?1", &[name.into()], |_| Ok(()))? {
        None => Ok(()),
        Some(()) => Err(conn.ineffective("a setting is still there")),
    }
}
