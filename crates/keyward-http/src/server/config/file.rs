//! The file: `serve.toml`.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::path::PathBuf;
use std::str::FromStr;

use ipnet::IpNet;
use keyward_core::rules::limits::{Limit, Limits};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use toml::Spanned;

use super::{Config, ConfigError, Listen, Logged};
use crate::policy::{Policies, Policy, PolicyName, Route, Routes, TenantFrom};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_field_names, reason = "as they are called in the file")]
struct File {
    #[serde(default)]
    listen: Vec<Spanned<ListenEntry>>,
    admin: Option<Spanned<String>>,
    #[serde(default)]
    trust: Vec<Spanned<String>>,
    #[serde(default)]
    proxies: Vec<Spanned<String>>,
    proxy_secret_file: Option<PathBuf>,
    log: Option<Spanned<String>>,
    #[serde(default)]
    metrics_per_key: bool,
    #[serde(default)]
    policy: BTreeMap<Spanned<String>, PolicyTable>,
    #[serde(default)]
    route: Vec<Spanned<RouteTable>>,
}

enum ListenEntry {
    Text(String),
    Table(ListenTable),
}

impl<'de> Deserialize<'de> for ListenEntry {
    /// For an untagged enum, serde would not say which field is unknown.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = ListenEntry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address, or a table { address = \"…\", api = true }")
            }

            fn visit_str<E>(self, text: &str) -> Result<ListenEntry, E> {
                Ok(ListenEntry::Text(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ListenEntry, A::Error> {
                ListenTable::deserialize(MapAccessDeserializer::new(map)).map(ListenEntry::Table)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListenTable {
    address: String,
    #[serde(default)]
    api: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyTable {
    #[serde(default)]
    scopes: Vec<Spanned<String>>,
    #[serde(default)]
    levels: Vec<Spanned<String>>,
    role: Option<Spanned<String>>,
    tenant: Option<Spanned<String>>,
    tenant_from: Option<Spanned<String>>,
    #[serde(default)]
    methods: Vec<Spanned<String>>,
    accept: Option<Spanned<Vec<Spanned<String>>>>,
    transport: Option<Spanned<String>>,
    #[serde(default)]
    limits: Vec<Spanned<String>>,
    explain: Option<bool>,
    headers: Option<Vec<Spanned<String>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RouteTable {
    host: Option<String>,
    path: Option<String>,
    #[serde(default)]
    methods: Vec<Spanned<String>>,
    policy: Spanned<String>,
}

pub(super) fn parse(text: &str) -> Result<Config, ConfigError> {
    let file: File = toml::from_str(text).map_err(|error| told(text, &error))?;
    let reader = Reader { text };
    let mut config = Config {
        proxy_secret_file: file.proxy_secret_file,
        metrics_per_key: file.metrics_per_key,
        trust: reader.networks("trust", &file.trust)?,
        proxies: reader.networks("proxies", &file.proxies)?,
        admin: reader.one("admin", file.admin.as_ref())?,
        ..Config::default()
    };
    for entry in &file.listen {
        let listen = match entry.get_ref() {
            ListenEntry::Text(text) => text.parse(),
            ListenEntry::Table(table) => table.address.parse().map(|address| Listen { address, api: table.api }),
        };
        config.listen.push(listen.map_err(|error| reader.at("listen", entry.span(), &error))?);
    }
    if let Some(log) = &file.log {
        config.log = match log.get_ref().as_str() {
            "refused" => Logged::Refused,
            "all" => Logged::All,
            "none" => Logged::Nothing,
            _ => return Err(reader.at("log", log.span(), &"write refused, all or none")),
        };
    }
    for (name, table) in &file.policy {
        let parsed: PolicyName = reader.parse("policy", name)?;
        let policy = reader.policy(parsed, table)?;
        config.policies.add(policy).map_err(|error| reader.at("policy", name.span(), &error))?;
    }
    config.routes = reader.routes(&file.route, &config.policies)?;
    Ok(config)
}

/// Reads values, and reports the line of an invalid one.
struct Reader<'t> {
    text: &'t str,
}

impl Reader<'_> {
    fn at(&self, field: &str, place: std::ops::Range<usize>, error: &dyn Display) -> ConfigError {
        ConfigError::new(format!("line {}: {field}: {error}", line_of(self.text, place.start)))
    }

    fn parse<T: FromStr<Err: Display>>(&self, field: &str, value: &Spanned<String>) -> Result<T, ConfigError> {
        value.get_ref().parse().map_err(|error| self.at(field, value.span(), &error))
    }

    fn one<T: FromStr<Err: Display>>(
        &self,
        field: &str,
        value: Option<&Spanned<String>>,
    ) -> Result<Option<T>, ConfigError> {
        value.map(|value| self.parse(field, value)).transpose()
    }

    fn all<T: FromStr<Err: Display>>(&self, field: &str, values: &[Spanned<String>]) -> Result<Vec<T>, ConfigError> {
        values.iter().map(|value| self.parse(field, value)).collect()
    }

    fn networks(&self, field: &str, values: &[Spanned<String>]) -> Result<Vec<IpNet>, ConfigError> {
        let read = |value: &Spanned<String>| {
            let text = value.get_ref();
            let wrong = format!("{text:?} is not a network: write one as 10.0.0.0/8, and one address as 192.0.2.1/32");
            text.parse().map_err(|_| self.at(field, value.span(), &wrong))
        };
        values.iter().map(read).collect()
    }

    fn policy(&self, name: PolicyName, table: &PolicyTable) -> Result<Policy, ConfigError> {
        let mut policy = Policy::new(name);
        policy.scopes = self.all("scopes", &table.scopes)?;
        policy.levels = self.all("levels", &table.levels)?;
        policy.role = self.one("role", table.role.as_ref())?;
        policy.methods = self.all("methods", &table.methods)?;
        policy.tenant = match (&table.tenant, &table.tenant_from) {
            (Some(tenant), None) => Some(TenantFrom::Named(self.parse("tenant", tenant)?)),
            (None, Some(from)) => Some(self.parse("tenant_from", from)?),
            (None, None) => None,
            (Some(_), Some(from)) => {
                return Err(self.at("tenant_from", from.span(), &"there is a tenant already; write one of the two"));
            }
        };
        if let Some(accept) = &table.accept {
            let place = accept.span();
            let accept: Vec<_> = self.all("accept", accept.get_ref())?;
            if accept.is_empty() {
                return Err(self.at(
                    "accept",
                    place,
                    &"no credential would be looked at: name a place, or leave it out",
                ));
            }
            policy.accept_only(&accept);
        }
        policy.requires_secure = match table.transport.as_ref() {
            None => false,
            Some(transport) if transport.get_ref() == "https" => true,
            Some(transport) => {
                return Err(self.at("transport", transport.span(), &"write https, or leave it out to allow both"));
            }
        };
        let limits: Vec<Limit> = self.all("limits", &table.limits)?;
        let place = table.limits.first().map_or(0..0, Spanned::span);
        policy.limits = Limits::new(limits).map_err(|error| self.at("limits", place, &error))?;
        policy.explains = table.explain.unwrap_or(true);
        if let Some(headers) = &table.headers {
            policy.headers = self.all("headers", headers)?;
        }
        Ok(policy)
    }

    fn routes(&self, tables: &[Spanned<RouteTable>], policies: &Policies) -> Result<Routes, ConfigError> {
        let mut routes = vec![];
        for table in tables {
            let (place, table) = (table.span(), table.get_ref());
            let name = table.policy.get_ref();
            let Some(policy) = policies.find(name) else {
                return Err(self.at("policy", table.policy.span(), &format!("there is no policy {name:?}")));
            };
            let methods = self.all("methods", &table.methods)?;
            let route = Route::new(table.host.as_deref(), table.path.as_deref(), methods, policy.clone());
            routes.push(route.map_err(|error| self.at("route", place, &error))?);
        }
        Ok(Routes::new(routes))
    }
}

/// The parser's message in one line, and what was perhaps meant.
fn told(text: &str, error: &toml::de::Error) -> ConfigError {
    let message = error.message().lines().next().unwrap_or_default().to_owned();
    let line = error.span().map(|place| format!("line {}: ", line_of(text, place.start))).unwrap_or_default();
    let mut told = ConfigError::new(format!("{line}{message}"));
    // serde's message: unknown field `x`, expected one of `a`, `b`
    if let Some(rest) = message.strip_prefix("unknown field `") {
        let mut words = rest.split('`').step_by(2);
        let unknown = words.next().unwrap_or_default();
        told.message = format!("{line}there is no field {unknown}");
        let known = words.map(|known| (strsim::jaro_winkler(unknown, known), known));
        if let Some((_, best)) =
            known.filter(|(likeness, _)| *likeness > 0.75).max_by(|one, other| one.0.total_cmp(&other.0))
        {
            told = told.hint(format!("did you mean {best}?"));
        }
    }
    told
}

fn line_of(text: &str, place: usize) -> usize {
    text.bytes().take(place).filter(|byte| *byte == b'\n').count() + 1
}
