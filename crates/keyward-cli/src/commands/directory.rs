//! `keyward group`, `user`, `role`, `tenant`
//!
//! One set of verbs for all four. The settings that only one of them has are its [`FactArgs`]; users and tenants can
//! also be switched off ([`SwitchVerb`]).

mod facts;
mod verbs;

use clap::{Args, Subcommand, ValueEnum};

pub use facts::{FactArgs, GroupArgs, RoleArgs, TenantArgs, UserArgs};

use crate::error::{Error, Exit};
use crate::session::Session;
use keyward_core::rules::directory::Kind;
use keyward_core::rules::names::{Description, Name};

/// Shown below the help of `keyward group`.
pub const GROUP_EXAMPLES: &str = "Examples:
  keyward group create pipelines --description 'keys of CI jobs'
  keyward create nightly --group pipelines
  keyward list --group pipelines";
/// Shown below the help of `keyward user`.
pub const USER_EXAMPLES: &str = "Examples:
  keyward user create ann --role editor
  keyward --as ann create nightly
  keyward user disable ann  # stops all of ann's keys; undo: enable";
/// Shown below the help of `keyward role`.
pub const ROLE_EXAMPLES: &str = "Examples:
  keyward role create auditor --rank 5
  keyward role edit editor --no-manages-keys
  keyward create reports --role auditor";
/// Shown below the help of `keyward tenant`.
pub const TENANT_EXAMPLES: &str = "Examples:
  keyward tenant create acme --description 'Acme Ltd'
  keyward create importer --tenant acme
  keyward tenant disable acme  # stops all keys of acme; undo: enable";

/// Shown in the help of a verb of a kind.
fn example(kind: Kind, verb: &str) -> String {
    let (name, more, change) = match kind {
        Kind::Group => ("pipelines", "--description 'keys of CI jobs'", "--name ci"),
        Kind::User => ("ann", "--role editor", "--role viewer"),
        Kind::Role => ("auditor", "--rank 5", "--no-manages-keys"),
        Kind::Tenant => ("acme", "--description 'Acme Ltd' --limit 10000/1d", "--limit 20000/1d"),
    };
    let line = match verb {
        "create" => format!("create {name} {more}"),
        "edit" => format!("edit {name} {change}"),
        "list" => "list --json".to_owned(),
        "delete" => format!("delete {name} --with-keys"),
        verb => format!("{verb} {name}"),
    };
    format!("Example:\n  keyward {} {line}", kind.as_str())
}

/// The verbs of each of the four.
#[derive(Debug, Subcommand)]
#[expect(missing_docs, reason = "each says what it does in its help")]
pub enum Verb<F: FactArgs> {
    #[command(about = format!("Make a {}", F::KIND.as_str()), after_help = example(F::KIND, "create"))]
    Create(Create<F>),
    #[command(about = format!("List the {}s", F::KIND.as_str()), after_help = example(F::KIND, "list"))]
    List,
    #[command(about = format!("Show one {}", F::KIND.as_str()), after_help = example(F::KIND, "show"))]
    Show(OneName),
    #[command(about = format!("Change a {}; what refers to it follows a new name", F::KIND.as_str()), after_help = example(F::KIND, "edit"))]
    Edit(Edit<F>),
    #[command(about = format!("Delete a {}", F::KIND.as_str()), after_help = example(F::KIND, "delete"))]
    Delete(Delete),
}

/// The verbs of users and tenants.
#[derive(Debug, Subcommand)]
#[expect(missing_docs, reason = "each says what it does in its help")]
pub enum SwitchVerb<F: FactArgs> {
    #[command(flatten)]
    Verb(Verb<F>),
    #[command(about = format!("Enable a disabled {} and its keys", F::KIND.as_str()), after_help = example(F::KIND, "enable"))]
    Enable(SeveralNames),
    #[command(about = format!("Disable a {} and its keys until you enable it", F::KIND.as_str()), after_help = example(F::KIND, "disable"))]
    Disable(SeveralNames),
}

/// Arguments of `create`.
#[derive(Debug, Args)]
#[command(mut_arg("name", |arg| arg.help(format!("Name of the new {}: letters, digits and . _ - @ /", F::KIND.as_str()))))]
pub struct Create<F: FactArgs> {
    /// Its name
    name: Name,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<Description>,
    #[command(flatten)]
    facts: F,
}

/// The name of an entry.
#[derive(Debug, Args)]
pub struct OneName {
    /// Its name
    name: Name,
}

/// The names of several entries.
#[derive(Debug, Args)]
pub struct SeveralNames {
    /// Their names
    #[arg(required = true, value_name = "NAME")]
    names: Vec<Name>,
}

/// Arguments of `edit`.
#[derive(Debug, Args)]
pub struct Edit<F: FactArgs> {
    /// Its name
    name: Name,
    /// Its new name
    #[arg(long = "name", value_name = "NEW", id = "new_name")]
    new_name: Option<Name>,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<Description>,
    #[command(flatten)]
    facts: F,
    /// Clear these fields: description; for users and tenants also limit, for users role and tenant
    #[arg(long, value_name = "FIELD", value_delimiter = ',', value_enum)]
    clear: Vec<ClearField>,
}

/// The settings that can be emptied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs, reason = "named as its flag")]
pub enum ClearField {
    Description,
    Role,
    Tenant,
    Limit,
}

/// Arguments of `delete`.
#[derive(Debug, Args)]
pub struct Delete {
    /// Its name
    name: Name,
    /// Also delete the keys that refer to it; users of a role or tenant need another one first
    #[arg(long)]
    with_keys: bool,
    /// Do not ask for confirmation
    #[arg(short, long)]
    yes: bool,
}

impl<F: FactArgs> SwitchVerb<F> {
    /// Does what was asked.
    ///
    /// # Errors
    /// An error of the store; then nothing was changed.
    pub fn run(self, session: &mut Session) -> Result<Exit, Error> {
        match self {
            Self::Verb(verb) => verb.run(session),
            Self::Enable(several) => verbs::set_enabled(session, F::KIND, &several.names, true),
            Self::Disable(several) => verbs::set_enabled(session, F::KIND, &several.names, false),
        }
    }
}

impl<F: FactArgs> Verb<F> {
    /// Does what was asked.
    ///
    /// # Errors
    /// An error of the store; then nothing was changed.
    pub fn run(self, session: &mut Session) -> Result<Exit, Error> {
        match self {
            Self::Create(args) => verbs::create(session, args),
            Self::List => verbs::list(session, F::KIND),
            Self::Show(args) => verbs::show(session, F::KIND, &args.name),
            Self::Edit(args) => verbs::edit(session, args),
            Self::Delete(args) => verbs::delete(session, F::KIND, &args),
        }
    }
}
