//! `keyward settings`

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use crate::error::{Code, Error, Exit};
use crate::session::Session;
use crate::terminal::card;
use keyward_core::rules::calendar::HOUR;
use keyward_core::rules::hashing::Cost;
use keyward_core::rules::names::{InvalidText, Prefix};
use keyward_core::rules::time::Duration;
use keyward_core::store::StoreSettings;

/// Show or change settings that apply to all keys
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  keyward settings list
  keyward settings set query-credentials refuse
  keyward settings set default-lifetime 90d
  keyward settings set max-lifetime 365d")]
pub struct Settings {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show all settings
    #[command(after_help = "Example:\n  keyward settings list --json")]
    List,
    /// Change one setting
    #[command(
        after_help = "Examples:\n  keyward settings set default-lifetime 90d\n  keyward settings set query-credentials refuse"
    )]
    Set {
        /// The setting
        #[arg(value_enum)]
        name: Setting,
        /// Its new value, as `settings list` shows it
        #[arg(value_name = "VALUE")]
        value: String,
    },
}

/// The word for a time without an end.
const UNLIMITED: &str = "unlimited";
/// The same for an expiry.
const NEVER: &str = "never";

/// The settings by their names.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Setting {
    /// What new secrets start with: a letter, then letters, digits and _, 16 at most
    Prefix,
    /// What hashing costs: m=MEMORY-IN-KIB,t=PASSES,p=LANES. Old hashes keep working, and are
    /// renewed at the next successful verification
    HashParameters,
    /// Whether a credential in the query of a URL is accepted: allow or refuse
    QueryCredentials,
    /// How long a new key lives if --expires is not given: a duration such as 90d, or never. With a max-lifetime, never
    /// means that long
    DefaultLifetime,
    /// How long a secret may live from its minting: a duration such as 365d, or unlimited. No key expires later than
    /// its secret may live, whatever is edited; rotate mints another secret
    MaxLifetime,
    /// How long it is kept how often keys were used in which hour: a duration of an hour at least, 400d at first, or
    /// unlimited
    UsageRetention,
    /// What max-lifetime was called at first
    #[value(hide = true)]
    LongestLife,
}

impl Settings {
    /// Shows or changes them.
    ///
    /// # Errors
    /// For an invalid value, or errors of the store.
    pub fn run(self, session: &mut Session) -> Result<Exit, Error> {
        match self.verb {
            Verb::List => {
                let settings = match session.store_to_read()? {
                    Some(store) => store.view()?.settings()?,
                    None => StoreSettings::default(),
                };
                print(session, &settings)?;
            }
            Verb::Set { name, value } => {
                // An invalid value is refused before a store is made for it.
                change(&mut StoreSettings::default(), name, &value)?;
                let now = session.now();
                let mut store = session.store_to_make()?;
                let settings = session.write(&mut store, |changes| {
                    let mut settings = changes.settings()?;
                    change(&mut settings, name, &value)?;
                    settings.check_lifetimes(now)?;
                    changes.save_settings(&settings)?;
                    Ok::<_, Error>(settings)
                })?;
                if session.json() {
                    print(session, &settings)?;
                } else {
                    let name = name.to_possible_value().map(|name| name.get_name().to_owned()).unwrap_or_default();
                    session.terminal.note(&format!("set {name} to {value}"));
                }
            }
        }
        Ok(Exit::DONE)
    }
}

fn change(settings: &mut StoreSettings, name: Setting, value: &str) -> Result<(), Error> {
    let refused = |why: String, hint: &str| Error::new(Code::InvalidValue, why).hint(hint);
    match name {
        Setting::Prefix => {
            settings.prefix =
                value.parse::<Prefix>().map_err(|why| refused(why.to_string(), "for example: kw, live, my_app"))?;
        }
        Setting::HashParameters => {
            settings.hash_cost = value.parse::<Cost>().map_err(|_| {
                let (floor, ceiling) = (Cost::FLOOR, Cost::CEILING);
                refused(
                    format!("{value:?} is not a cost between {floor} and {ceiling}"),
                    "the default is m=19456,t=2,p=1",
                )
            })?;
        }
        Setting::QueryCredentials => {
            settings.query_credentials = match value {
                "allow" => true,
                "refuse" => false,
                _ => return Err(refused(format!("{value:?} is neither allow nor refuse"), "say allow or refuse")),
            };
        }
        Setting::LongestLife => {
            return Err(Error::new(Code::Usage, "longest-life is called max-lifetime now")
                .hint(format!("keyward settings set max-lifetime {value}")));
        }
        Setting::DefaultLifetime => {
            let hint = "for example: 90d, 1y, never";
            settings.default_lifetime = if value == NEVER { None } else { Some(length(value, hint)?) };
            if settings.default_lifetime.is_some_and(Duration::is_zero) {
                return Err(refused("a key has to live for a second at least".to_owned(), hint));
            }
        }
        Setting::MaxLifetime => {
            let hint = "for example: 365d, 12w, unlimited";
            settings.max_lifetime = duration(value, hint)?;
            if settings.max_lifetime.is_some_and(Duration::is_zero) {
                return Err(refused("a secret has to live for a second at least".to_owned(), hint));
            }
        }
        Setting::UsageRetention => {
            let hint = "for example: 400d, 30d, unlimited";
            settings.usage_retention = duration(value, hint)?;
            if settings.usage_retention.is_some_and(|time| !time.is_at_least(HOUR)) {
                return Err(refused("usage is kept by the hour, so keep an hour at least".to_owned(), hint));
            }
        }
    }
    Ok(())
}

/// A duration, or `None` for no limit.
fn duration(value: &str, hint: &str) -> Result<Option<Duration>, Error> {
    if value == UNLIMITED { Ok(None) } else { length(value, hint).map(Some) }
}

fn length(value: &str, hint: &str) -> Result<Duration, Error> {
    value.parse().map_err(|why: InvalidText| Error::new(Code::InvalidValue, why.to_string()).hint(hint))
}

fn print(session: &mut Session, settings: &StoreSettings) -> Result<(), Error> {
    let [default, life, retention] = [settings.default_lifetime, settings.max_lifetime, settings.usage_retention]
        .map(|time| time.map(|time| time.to_string()));
    if session.json() {
        let Cost { memory_kib, passes, lanes } = settings.hash_cost;
        let document: Value = json!({
            "prefix": settings.prefix,
            "hash_parameters": {"memory_kib": memory_kib, "passes": passes, "lanes": lanes},
            "query_credentials": settings.query_credentials,
            "default_lifetime": default,
            "max_lifetime": life,
            "usage_retention": retention,
        });
        return session.terminal.print_json(&document);
    }
    let fields = [
        ("prefix", settings.prefix.to_string().into()),
        ("hash-parameters", settings.hash_cost.to_string().into()),
        ("query-credentials", if settings.query_credentials { "allow" } else { "refuse" }.to_owned().into()),
        ("default-lifetime", default.unwrap_or_else(|| NEVER.to_owned()).into()),
        ("max-lifetime", life.unwrap_or_else(|| UNLIMITED.to_owned()).into()),
        ("usage-retention", retention.unwrap_or_else(|| UNLIMITED.to_owned()).into()),
    ];
    let text = if session.quiet() {
        fields.iter().flat_map(|(name, _)| [*name, "\n"]).collect()
    } else {
        card(&session.terminal, &fields)
    };
    session.terminal.print(&text)
}
