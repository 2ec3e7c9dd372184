//! `keyward group`, `user`, `role`, `tenant`
//!
//! One set of verbs for the four. What only one of them has are its [`FactArgs`]; users and tenants
//! have a switch on top ([`SwitchVerb`]).

use std::fmt::Debug;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::views::in_words;
use crate::delivery::Outcome;
use crate::domain::directory::{Draft, Entry, Facts, Kind};
use crate::domain::names::{Description, Name};
use crate::domain::text::count;
use crate::domain::time::{relative, rfc3339};
use crate::error::{Code, Error, Exit};
use crate::session::Session;
use crate::terminal::{Cell, Tone, card, table};

/// The flags that only one of the four has.
pub trait FactArgs: Args + Clone + Debug {
    /// Which of the four.
    const KIND: Kind;
    /// The facts of an entry about which nothing was said.
    fn default_facts() -> Facts;
    /// Changes what the flags name.
    fn apply(&self, facts: &mut Facts);
    /// Whether no flag was given.
    fn is_empty(&self) -> bool;
}

/// Manage groups: sets of keys that belong together
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  keyward group create pipelines --description 'keys of CI jobs'
  keyward create nightly --group pipelines
  keyward list --group pipelines")]
pub struct Group {
    #[command(subcommand)]
    verb: Verb<GroupArgs>,
}

/// Manage users: on whose behalf keys act, and who may act with --as
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  keyward user create ann --role editor --tenant acme
  keyward --as ann create nightly
  keyward user disable ann      stops all of ann's keys, until: keyward user enable ann")]
pub struct User {
    #[command(subcommand)]
    verb: SwitchVerb<UserArgs>,
}

/// Manage roles: what users and keys may do at most, by rank
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  keyward role create auditor --rank 5
  keyward role edit editor --no-manages-keys
  keyward create reports --role auditor")]
pub struct Role {
    #[command(subcommand)]
    verb: Verb<RoleArgs>,
}

/// Manage tenants: whose data a key is good for
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  keyward tenant create acme --description 'Acme Ltd'
  keyward create importer --tenant acme
  keyward tenant disable acme      stops all keys of acme, until: keyward tenant enable acme")]
pub struct Tenant {
    #[command(subcommand)]
    verb: SwitchVerb<TenantArgs>,
}

impl Group {
    /// Does what was asked.
    ///
    /// # Errors
    /// What the store says; then nothing was changed.
    pub fn run(self, session: &mut Session) -> Result<Exit, Error> {
        self.verb.run(session)
    }
}

impl User {
    /// Does what was asked.
    ///
    /// # Errors
    /// What the store says; then nothing was changed.
    pub fn run(self, session: &mut Session) -> Result<Exit, Error> {
        self.verb.run(session)
    }
}

impl Role {
    /// Does what was asked.
    ///
    /// # Errors
    /// What the store says; then nothing was changed.
    pub fn run(self, session: &mut Session) -> Result<Exit, Error> {
        self.verb.run(session)
    }
}

impl Tenant {
    /// Does what was asked.
    ///
    /// # Errors
    /// What the store says; then nothing was changed.
    pub fn run(self, session: &mut Session) -> Result<Exit, Error> {
        self.verb.run(session)
    }
}

/// Groups have nothing that the others have not.
#[derive(Debug, Clone, Args)]
pub struct GroupArgs {}

/// What only users have.
#[derive(Debug, Clone, Args)]
pub struct UserArgs {
    /// What the user may do at most; without a role, they manage no keys
    #[arg(long, value_name = "ROLE")]
    role: Option<Name>,
    /// The tenant of the user, and of the keys that they make
    #[arg(long, value_name = "TENANT")]
    tenant: Option<Name>,
}

/// What only roles have.
#[derive(Debug, Clone, Args)]
pub struct RoleArgs {
    /// The place among the roles: the higher, the more it may do [default for a new one: 0]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..=1_000_000))]
    rank: Option<i64>,
    /// Let who acts in this role manage keys of its rank and below
    #[arg(long, conflicts_with = "no_manages_keys")]
    manages_keys: bool,
    /// Do not let who acts in this role manage keys (the default for a new one)
    #[arg(long)]
    no_manages_keys: bool,
}

/// Tenants have nothing but their switch.
#[derive(Debug, Clone, Args)]
pub struct TenantArgs {}

impl FactArgs for GroupArgs {
    const KIND: Kind = Kind::Group;

    fn default_facts() -> Facts {
        Facts::Group
    }

    fn apply(&self, _: &mut Facts) {}

    fn is_empty(&self) -> bool {
        true
    }
}

impl FactArgs for UserArgs {
    const KIND: Kind = Kind::User;

    fn default_facts() -> Facts {
        Facts::User { role: None, tenant: None, enabled: true }
    }

    fn apply(&self, facts: &mut Facts) {
        if let Facts::User { role, tenant, .. } = facts {
            *role = self.role.clone().or(role.take());
            *tenant = self.tenant.clone().or(tenant.take());
        }
    }

    fn is_empty(&self) -> bool {
        self.role.is_none() && self.tenant.is_none()
    }
}

impl FactArgs for RoleArgs {
    const KIND: Kind = Kind::Role;

    fn default_facts() -> Facts {
        Facts::Role { rank: 0, manages_keys: false }
    }

    fn apply(&self, facts: &mut Facts) {
        if let Facts::Role { rank, manages_keys } = facts {
            *rank = self.rank.unwrap_or(*rank);
            *manages_keys = self.manages_keys || *manages_keys && !self.no_manages_keys;
        }
    }

    fn is_empty(&self) -> bool {
        self.rank.is_none() && !self.manages_keys && !self.no_manages_keys
    }
}

impl FactArgs for TenantArgs {
    const KIND: Kind = Kind::Tenant;

    fn default_facts() -> Facts {
        Facts::Tenant { enabled: true }
    }

    fn apply(&self, _: &mut Facts) {}

    fn is_empty(&self) -> bool {
        true
    }
}

/// What can be done with each of the four.
#[derive(Debug, Subcommand)]
enum Verb<F: FactArgs> {
    #[command(about = format!("Make a {}", F::KIND.as_str()))]
    Create(Create<F>),
    #[command(about = format!("List the {}s", F::KIND.as_str()))]
    List,
    #[command(about = format!("Show one {}", F::KIND.as_str()))]
    Show(Named),
    #[command(about = format!("Change a {}; whatever refers to it follows a new name", F::KIND.as_str()))]
    Edit(Edit<F>),
    #[command(about = format!("Delete a {}", F::KIND.as_str()))]
    Delete(Delete),
}

/// What can be done with users and tenants.
#[derive(Debug, Subcommand)]
enum SwitchVerb<F: FactArgs> {
    #[command(flatten)]
    Verb(Verb<F>),
    #[command(about = format!("Let the keys of a disabled {} be used again", F::KIND.as_str()))]
    Enable(SeveralNamed),
    #[command(about = format!("Stop all keys of a {} for a while", F::KIND.as_str()))]
    Disable(SeveralNamed),
}

#[derive(Debug, Args)]
struct Create<F: FactArgs> {
    /// The name of the new one: letters, digits and . _ - @ /
    name: Name,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<Description>,
    #[command(flatten)]
    facts: F,
}

#[derive(Debug, Args)]
struct Named {
    /// Its name
    name: Name,
}

#[derive(Debug, Args)]
struct SeveralNamed {
    /// Their names
    #[arg(required = true, value_name = "NAME")]
    names: Vec<Name>,
}

#[derive(Debug, Args)]
struct Edit<F: FactArgs> {
    /// Its name
    name: Name,
    /// Another name for it
    #[arg(long = "name", value_name = "NEW", id = "new_name")]
    new_name: Option<Name>,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<Description>,
    #[command(flatten)]
    facts: F,
    /// Empty these: description; for users also role and tenant
    #[arg(long, value_name = "FIELD", value_delimiter = ',', value_enum)]
    clear: Vec<Field>,
}

/// What can be emptied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Field {
    Description,
    Role,
    Tenant,
}

#[derive(Debug, Args)]
struct Delete {
    /// Its name
    name: Name,
    /// Delete the keys that refer to it too
    #[arg(long)]
    with_keys: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

impl<F: FactArgs> SwitchVerb<F> {
    fn run(self, session: &mut Session) -> Result<Exit, Error> {
        match self {
            Self::Verb(verb) => verb.run(session),
            Self::Enable(several) => set_enabled(session, F::KIND, &several.names, true),
            Self::Disable(several) => set_enabled(session, F::KIND, &several.names, false),
        }
    }
}

impl<F: FactArgs> Verb<F> {
    fn run(self, session: &mut Session) -> Result<Exit, Error> {
        match self {
            Self::Create(args) => create(session, args),
            Self::List => list(session, F::KIND),
            Self::Show(args) => show(session, F::KIND, &args.name),
            Self::Edit(args) => edit(session, args),
            Self::Delete(args) => delete(session, F::KIND, &args),
        }
    }
}

fn create<F: FactArgs>(session: &mut Session, args: Create<F>) -> Result<Exit, Error> {
    let mut facts = F::default_facts();
    args.facts.apply(&mut facts);
    let description = args.description.filter(|text| !text.as_str().is_empty());
    let draft = Draft { name: args.name, description, facts };
    let mut store = session.create_store()?;
    let entry = store.write(session.stamp(), |tx| tx.insert_entry(&draft))?;
    tell(session, &entry, Outcome::Created, "created")?;
    Ok(Exit::DONE)
}

fn list(session: &mut Session, kind: Kind) -> Result<Exit, Error> {
    let entries = match session.read_store()? {
        Some(store) => store.entries(kind)?,
        None => vec![],
    };
    if session.json() {
        session.print_json(&entries.iter().map(Entry::to_json).collect::<Vec<_>>())?;
    } else if session.quiet() {
        for entry in &entries {
            session.terminal.print(&format!("{}\n", entry.draft.name))?;
        }
    } else if entries.is_empty() {
        let kind = kind.as_str();
        session.terminal.note(&format!("there are no {kind}s yet; make one with: keyward {kind} create NAME"));
    } else {
        let rows: Vec<_> =
            entries.iter().map(|entry| cells(session, entry).into_iter().map(|(_, cell)| cell).collect()).collect();
        let headings: Vec<_> = cells(session, &entries[0]).into_iter().map(|(heading, _)| heading).collect();
        let table = table(&session.terminal, &headings, &rows);
        session.terminal.print(&table)?;
    }
    Ok(Exit::DONE)
}

fn show(session: &mut Session, kind: Kind, name: &Name) -> Result<Exit, Error> {
    let store = session.read_store()?;
    let found = match &store {
        Some(store) => store.entry(kind, name)?,
        None => None,
    };
    let entry = found.ok_or_else(|| session.no_such_entry(store.as_ref(), kind, name))?;
    if session.json() {
        session.print_json(&entry.to_json())?;
    } else if session.quiet() {
        session.terminal.print(&format!("{name}\n"))?;
    } else {
        let card = card(&session.terminal, &cells(session, &entry));
        session.terminal.print(&card)?;
    }
    Ok(Exit::DONE)
}

fn edit<F: FactArgs>(session: &mut Session, args: Edit<F>) -> Result<Exit, Error> {
    let change = |before: &Draft| {
        let mut draft = before.clone();
        draft.name = args.new_name.clone().unwrap_or(draft.name);
        draft.description = args.description.clone().or(draft.description).filter(|text| !text.as_str().is_empty());
        args.facts.apply(&mut draft.facts);
        args.clear.iter().try_for_each(|field| clear(*field, &mut draft)).map(|()| draft)
    };
    check_clear(&args)?;
    if args.new_name.is_none() && args.description.is_none() && args.clear.is_empty() && args.facts.is_empty() {
        return Err(Error::new(Code::Usage, "no change was named")
            .hint(format!("all that can be changed: keyward help {} edit", F::KIND.as_str())));
    }
    let mut store = session.change_store()?;
    let found = store.entry(F::KIND, &args.name)?;
    if found.is_none() {
        return Err(session.no_such_entry(Some(&store), F::KIND, &args.name));
    }
    let (before, after) = store.write(session.stamp(), |tx| {
        let before = tx.entry(F::KIND, &args.name)?;
        let after = tx.update_entry(&before, &change(&before.draft)?)?;
        Ok::<_, Error>((before, after))
    })?;
    let changed = before.draft.differences(&after.draft);
    let outcome = if changed.is_empty() { Outcome::Unchanged } else { Outcome::Updated };
    tell(session, &after, outcome, "changed")?;
    for change in changed {
        let (old, new) = (in_words(&change.old), in_words(&change.new));
        session.terminal.note(&format!("  {}: {old} → {new}", change.field));
    }
    Ok(Exit::DONE)
}

/// What the kind does not have cannot be emptied, and what another flag sets neither.
fn check_clear<F: FactArgs>(args: &Edit<F>) -> Result<(), Error> {
    let mut set = Draft { name: args.name.clone(), description: args.description.clone(), facts: F::default_facts() };
    args.facts.apply(&mut set.facts);
    let mut cleared = set.clone();
    args.clear.iter().try_for_each(|field| clear(*field, &mut cleared))?;
    if cleared == set {
        Ok(())
    } else {
        Err(Error::new(Code::Usage, "--clear and another flag for the same field contradict each other")
            .hint("keep one of them"))
    }
}

fn clear(field: Field, draft: &mut Draft) -> Result<(), Error> {
    match (field, &mut draft.facts) {
        (Field::Description, _) => draft.description = None,
        (Field::Role, Facts::User { role, .. }) => *role = None,
        (Field::Tenant, Facts::User { tenant, .. }) => *tenant = None,
        (field, facts) => {
            let kind = facts.kind().as_str();
            let field = field.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
            return Err(Error::new(Code::Usage, format!("a {kind} has no {field} to clear"))
                .hint(format!("what can be changed: keyward help {kind} edit")));
        }
    }
    Ok(())
}

fn delete(session: &mut Session, kind: Kind, args: &Delete) -> Result<Exit, Error> {
    if args.with_keys && !args.yes && !session.terminal.can_ask() {
        return Err(Error::new(
            Code::ConfirmationRequired,
            "deleting keys cannot be undone, and nobody can confirm it",
        )
        .hint("add --yes if you mean it"));
    }
    let mut store = session.change_store()?;
    let Some(entry) = store.entry(kind, &args.name)? else {
        return Err(session.no_such_entry(Some(&store), kind, &args.name));
    };
    if args.with_keys && !args.yes && entry.keys > 0 {
        let keys = count(entry.keys, "key");
        let question = format!("Delete the {} {} and its {keys} for good?", kind.as_str(), args.name);
        session.confirm(&question)?;
    }
    let deleted = store.write(session.stamp(), |tx| {
        let entry = tx.entry(kind, &args.name)?;
        tx.delete_entry(&entry, args.with_keys)
    })?;
    if session.json() {
        session.print_json(
            &json!({kind.as_str(): entry.to_json(), "outcome": Outcome::Deleted, "deleted_keys": deleted}),
        )?;
    } else {
        let keys = if deleted == 0 { String::new() } else { format!(" and {}", count(deleted, "key")) };
        session.terminal.note(&format!("deleted the {} {}{keys}", kind.as_str(), args.name));
    }
    Ok(Exit::DONE)
}

fn set_enabled(session: &mut Session, kind: Kind, names: &[Name], enabled: bool) -> Result<Exit, Error> {
    let mut store = session.change_store()?;
    for name in names {
        if store.entry(kind, name)?.is_none() {
            return Err(session.no_such_entry(Some(&store), kind, name));
        }
    }
    let outcomes = store.write(session.stamp(), |tx| {
        let switch = |name: &Name| {
            let before = tx.entry(kind, name)?;
            let mut draft = before.draft.clone();
            draft.facts.set_enabled(enabled);
            let after = tx.update_entry(&before, &draft)?;
            let outcome = if before.draft == draft { Outcome::Unchanged } else { Outcome::Updated };
            Ok::<_, Error>((after, outcome))
        };
        names.iter().map(switch).collect::<Result<Vec<_>, _>>()
    })?;
    if session.json() {
        let documents: Vec<_> = outcomes.iter().map(|(entry, outcome)| document(entry, *outcome)).collect();
        session.print_json(&documents)?;
        return Ok(Exit::DONE);
    }
    let verb = if enabled { "enabled" } else { "disabled" };
    for (entry, outcome) in outcomes {
        let name = &entry.draft.name;
        session.terminal.note(&match outcome {
            Outcome::Unchanged => format!("the {} {name} is {verb} already", kind.as_str()),
            _ if enabled => format!("{verb} the {} {name}", kind.as_str()),
            _ => format!("{verb} the {} {name}, which suspends {}", kind.as_str(), count(entry.keys, "key")),
        });
    }
    Ok(Exit::DONE)
}

fn document(entry: &Entry, outcome: Outcome) -> Value {
    json!({entry.draft.facts.kind().as_str(): entry.to_json(), "outcome": outcome})
}

fn tell(session: &mut Session, entry: &Entry, outcome: Outcome, verb: &str) -> Result<(), Error> {
    if session.json() {
        return session.print_json(&document(entry, outcome));
    }
    let (kind, name) = (entry.draft.facts.kind().as_str(), &entry.draft.name);
    session.terminal.note(&match outcome {
        Outcome::Unchanged => format!("the {kind} {name} is as it was: nothing differs"),
        _ => format!("{verb} the {kind} {name}"),
    });
    Ok(())
}

/// An entry for people: what it is called, and what it says, field by field.
fn cells(session: &Session, entry: &Entry) -> Vec<(&'static str, Cell)> {
    let text = |value: &dyn ToString| Cell::from(value.to_string());
    let name = |value: &Option<Name>| Cell::from(value.as_ref().map(ToString::to_string).unwrap_or_default());
    let state = |enabled: bool| {
        if enabled { Cell::new("enabled", Tone::Good) } else { Cell::new("disabled", Tone::Warning) }
    };
    let mut cells = vec![("name", text(&entry.draft.name))];
    match &entry.draft.facts {
        Facts::Group => {}
        Facts::User { role, tenant, enabled } => {
            cells.extend([("state", state(*enabled)), ("role", name(role)), ("tenant", name(tenant))]);
        }
        Facts::Role { rank, manages_keys } => {
            let manages_keys = if *manages_keys { "yes" } else { "no" };
            cells.extend([("rank", text(rank)), ("manages keys", text(&manages_keys)), ("users", text(&entry.users))]);
        }
        Facts::Tenant { enabled } => cells.extend([("state", state(*enabled)), ("users", text(&entry.users))]),
    }
    let created = format!("{} ({})", rfc3339(entry.created_at), relative(entry.created_at, session.now()));
    let description = entry.draft.description.as_ref().map(ToString::to_string).unwrap_or_default();
    cells.extend([("keys", text(&entry.keys)), ("created", created.into()), ("description", description.into())]);
    cells
}
