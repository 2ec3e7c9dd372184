//! What is served, from the file, the flags, or both.

use std::path::Path;

use super::Serve;
use crate::error::{Code, Error};
use crate::platform::mode;
use crate::session::Session;
use keyward_core::rules::limits::Limits;
use keyward_http::policy::{Policies, TenantFrom};
use keyward_http::server::{Address, Config, ConfigError, Listen, Reload};
use keyward_http::{Policy, PolicyName};

/// Where proxies ask by default.
const DEFAULT: &str = "127.0.0.1:9180";
/// Its name in the folder that systemd makes for the service.
const SOCKET: &str = "guard.sock";

/// The flags and the environment, separate from the session, because a reload needs them again.
#[derive(Clone)]
struct Said {
    file: Option<std::path::PathBuf>,
    listen: Vec<Listen>,
    /// Where to listen if neither flags nor file say so.
    otherwise: Listen,
    /// The same for operators.
    admin_otherwise: Option<Address>,
    admin: Option<Address>,
    trust: Vec<ipnet::IpNet>,
    secret: Option<std::path::PathBuf>,
    policies: Policies,
}

impl Serve {
    /// What to serve.
    ///
    /// # Errors
    /// If the file or the flags are invalid.
    pub(super) fn configuration(&self, session: &Session) -> Result<Config, Error> {
        if self.config.is_some() && !self.policy.is_empty() {
            return Err(Error::new(Code::Usage, "the flags of a policy cannot be used with --config")
                .hint("write them into the file, in a table [policy.NAME]"));
        }
        self.said(session)?.configuration().map_err(wrong)
    }

    /// Reads the configuration again.
    pub(super) fn reload(&self, session: &Session) -> Reload {
        let said = self.said(session);
        Box::new(move || match &said {
            Ok(said) => said.configuration(),
            Err(error) => Err(ConfigError { message: error.message().to_owned(), hint: None }),
        })
    }

    fn said(&self, session: &Session) -> Result<Said, Error> {
        let mut policies = Policies::default();
        if self.config.is_none() {
            let flags = &self.policy;
            let mut policy = Policy::new(PolicyName::default());
            policy.scopes.clone_from(&flags.scope);
            policy.levels.clone_from(&flags.level);
            policy.role.clone_from(&flags.role);
            policy.tenant = flags.tenant.clone().map(TenantFrom::Named);
            policy.limits = Limits::new(flags.limit.iter().copied())
                .map_err(|error| Error::new(Code::Usage, error.to_string()).hint("give one --limit a period"))?;
            if !flags.accept.is_empty() {
                policy.accept_only(&flags.accept);
            }
            policies.add(policy).map_err(|error| Error::new(Code::Usage, error.to_string()))?;
        }
        let names =
            session.environment("LISTEN_FDNAMES").and_then(|names| names.into_string().ok()).unwrap_or_default();
        let inherited = |wanted: &str| {
            let is_there = names.split(':').any(|name| name == wanted);
            is_there.then(|| Address::Inherited(wanted.to_owned()))
        };
        let otherwise = match inherited("guard") {
            Some(address) => Listen { address, api: false },
            None => default_place(session)?,
        };
        Ok(Said {
            file: self.config.clone(),
            listen: self.listen.clone(),
            otherwise,
            admin: self.admin.clone(),
            admin_otherwise: inherited("admin"),
            trust: self.trust.clone(),
            secret: self.proxy_secret_file.clone(),
            policies,
        })
    }
}

/// In the folder that systemd made for the service, else on this machine.
fn default_place(session: &Session) -> Result<Listen, Error> {
    let folders = session.environment("RUNTIME_DIRECTORY").and_then(|folders| folders.into_string().ok());
    // systemd.exec(5): several are separated by colons.
    let folder = folders.as_deref().and_then(|folders| folders.split(':').next()).filter(|folder| !folder.is_empty());
    let text = folder.map_or_else(|| DEFAULT.to_owned(), |folder| format!("unix:{folder}/{SOCKET}"));
    text.parse().map_err(|error: keyward_core::rules::names::InvalidText| Error::new(Code::Usage, error.to_string()))
}

impl Said {
    fn configuration(&self) -> Result<Config, ConfigError> {
        let mut config = match &self.file {
            Some(path) => Config::parse(&read(path)?).map_err(|error| in_file(path, error))?,
            None => Config::default(),
        };
        if self.file.is_none() {
            config.policies = self.policies.clone();
        }
        // Flags override the file.
        if !self.listen.is_empty() {
            config.listen.clone_from(&self.listen);
        }
        if config.listen.is_empty() {
            config.listen.push(self.otherwise.clone());
        }
        config.admin = self.admin.clone().or(config.admin).or_else(|| self.admin_otherwise.clone());
        if !self.trust.is_empty() {
            config.trust.clone_from(&self.trust);
        }
        if self.secret.is_some() {
            config.proxy_secret_file.clone_from(&self.secret);
        }
        config.check().map_err(|error| self.file.as_deref().map_or(error.clone(), |path| in_file(path, error)))?;
        Ok(config)
    }
}

fn in_file(path: &Path, error: ConfigError) -> ConfigError {
    ConfigError { message: format!("{}: {}", path.display(), error.message), hint: error.hint }
}

/// The text of the file, if only trusted users can have written it.
fn read(path: &Path) -> Result<String, ConfigError> {
    let wrong = |what: String, hint: &str| ConfigError {
        message: format!("{}: {what}", path.display()),
        hint: Some(hint.to_owned()),
    };
    let unreadable = |error: std::io::Error| {
        wrong(format!("it cannot be read: {error}"), "name a file that is there, with --config")
    };
    let found = std::fs::metadata(path).map_err(unreadable)?;
    if !found.is_file() {
        // A pipe could be read only once, and opening it again would block.
        return Err(wrong("it is not a file".to_owned(), "name a file that is there, with --config"));
    }
    let everybody_writes = |found: &std::fs::Metadata| mode(found) & 0o002 != 0;
    if everybody_writes(&found) {
        return Err(wrong("anybody can change it".to_owned(), "close it: chmod o-w FILE"));
    }
    // If it is a link, anyone who can write to either folder can change it.
    let real = std::fs::canonicalize(path).map_err(unreadable)?;
    for path in [path, &real] {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folder = std::fs::metadata(folder).map_err(unreadable)?;
        // In a sticky folder such as /tmp, users cannot replace each other's files.
        if everybody_writes(&folder) && mode(&folder) & 0o1000 == 0 {
            return Err(wrong(
                "anybody can put another file in its place".to_owned(),
                "close its folder: chmod o-w FOLDER",
            ));
        }
    }
    let bytes = std::fs::read(path).map_err(unreadable)?;
    String::from_utf8(bytes).map_err(|_| wrong("it is not text in UTF-8".to_owned(), "save it as TOML, in UTF-8"))
}

/// A configuration that cannot be used.
pub(super) fn wrong(error: ConfigError) -> Error {
    let told = Error::new(Code::Usage, error.message);
    told.hint(error.hint.unwrap_or_else(|| "see what there is: keyward help serve.toml".to_owned()))
}
