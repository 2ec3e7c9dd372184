//! The verbs themselves, for all four kinds.

use clap::ValueEnum as _;
use serde_json::{Value, json};

use super::facts::FactArgs;
use super::{ClearField, Create, Delete, Edit};
use crate::commands::views::in_words;
use crate::delivery::Effect;
use crate::error::{Code, Error, Exit};
use crate::session::{Enter, Session, no_such_entry};
use crate::terminal::{Cell, Column, Tone, card};
use crate::text::count;
use keyward_core::rules::directory::{Draft, Entry, Facts, Kind};
use keyward_core::rules::limits::Limits;
use keyward_core::rules::names::Name;
use keyward_core::rules::time::relative;

pub(super) fn create<F: FactArgs>(session: &mut Session, args: Create<F>) -> Result<Exit, Error> {
    let mut facts = Facts::default_of(F::KIND);
    args.facts.apply(&mut facts)?;
    let description = args.description.filter(|text| !text.as_str().is_empty());
    let draft = Draft { name: args.name, description, facts };
    let mut store = session.store_to_make()?;
    let entry = session.write(&mut store, |changes| changes.insert_entry(&draft))?;
    report(session, &entry, Effect::Created, "created")?;
    Ok(Exit::DONE)
}

pub(super) fn list(session: &mut Session, kind: Kind) -> Result<Exit, Error> {
    let entries = match session.store_to_read()? {
        Some(store) => store.view()?.entries(kind)?,
        None => vec![],
    };
    if session.json() {
        session.terminal.print_json(&entries.iter().map(Entry::to_json).collect::<Vec<_>>())?;
    } else if session.quiet() {
        for entry in &entries {
            session.terminal.print(&format!("{}\n", entry.draft.name))?;
        }
    } else if entries.is_empty() {
        let kind = kind.as_str();
        session.note_nothing(&format!("there are no {kind}s yet; make one with: keyward {kind} create NAME"));
    } else {
        let rows: Vec<_> =
            entries.iter().map(|entry| cells(session, entry).into_iter().map(|(_, cell)| cell).collect()).collect();
        let columns: Vec<_> = cells(session, &entries[0]).into_iter().map(|(heading, _)| column(heading)).collect();
        session.terminal.print_table(&columns, &rows)?;
        if session.terminal.kinds().stdout_is_terminal {
            session.terminal.note(&count(entries.len() as u64, kind.as_str()));
        }
    }
    Ok(Exit::DONE)
}

pub(super) fn show(session: &mut Session, kind: Kind, name: &Name) -> Result<Exit, Error> {
    let store = session.store_to_read()?;
    let found = match &store {
        Some(store) => store.view()?.entry(kind, name)?,
        None => None,
    };
    let entry = found.ok_or_else(|| no_such_entry(store.as_ref(), kind, name))?;
    if session.json() {
        session.terminal.print_json(&entry.to_json())?;
    } else if session.quiet() {
        session.terminal.print(&format!("{name}\n"))?;
    } else {
        let card = card(&session.terminal, &cells(session, &entry));
        session.terminal.print(&card)?;
    }
    Ok(Exit::DONE)
}

pub(super) fn edit<F: FactArgs>(session: &mut Session, args: Edit<F>) -> Result<Exit, Error> {
    let change = |before: &Draft| {
        let mut draft = before.clone();
        draft.name = args.new_name.clone().unwrap_or(draft.name);
        draft.description = args.description.clone().or(draft.description).filter(|text| !text.as_str().is_empty());
        args.facts.apply(&mut draft.facts)?;
        args.clear.iter().try_for_each(|field| clear(*field, &mut draft)).map(|()| draft)
    };
    check_clear(&args)?;
    if args.new_name.is_none() && args.description.is_none() && args.clear.is_empty() && args.facts.is_empty() {
        return Err(Error::new(Code::Usage, "no change was named")
            .hint(format!("all that can be changed: keyward help {} edit", F::KIND.as_str())));
    }
    let mut store = session.store_to_change()?;
    let found = store.view()?.entry(F::KIND, &args.name)?;
    if found.is_none() {
        return Err(no_such_entry(Some(&store), F::KIND, &args.name));
    }
    let (before, after) = session.write(&mut store, |changes| {
        let before = changes.required_entry(F::KIND, &args.name)?;
        let after = changes.update_entry(&before, &change(&before.draft)?)?;
        Ok::<_, Error>((before, after))
    })?;
    let changed = before.draft.differences(&after.draft);
    let outcome = if changed.is_empty() { Effect::Unchanged } else { Effect::Updated };
    report(session, &after, outcome, "changed")?;
    for change in changed {
        let (old, new) = (in_words(&change.old), in_words(&change.new));
        session.terminal.note(&format!("  {}: {old} → {new}", change.field));
    }
    Ok(Exit::DONE)
}

/// A setting cannot be cleared if the kind does not have it, or if another flag sets it.
fn check_clear<F: FactArgs>(args: &Edit<F>) -> Result<(), Error> {
    let mut set =
        Draft { name: args.name.clone(), description: args.description.clone(), facts: Facts::default_of(F::KIND) };
    args.facts.apply(&mut set.facts)?;
    let mut cleared = set.clone();
    args.clear.iter().try_for_each(|field| clear(*field, &mut cleared))?;
    if cleared == set {
        Ok(())
    } else {
        Err(Error::new(Code::Usage, "--clear and another flag for the same field contradict each other")
            .hint("keep one of them"))
    }
}

fn clear(field: ClearField, draft: &mut Draft) -> Result<(), Error> {
    match (field, &mut draft.facts) {
        (ClearField::Description, _) => draft.description = None,
        (ClearField::Role, Facts::User { role, .. }) => *role = None,
        (ClearField::Tenant, Facts::User { tenant, .. }) => *tenant = None,
        (ClearField::Limit, Facts::User { limits, .. } | Facts::Tenant { limits, .. }) => *limits = Limits::default(),
        (field, facts) => {
            let kind = facts.kind().as_str();
            let field = field.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
            return Err(Error::new(Code::Usage, format!("a {kind} has no {field} to clear"))
                .hint(format!("what can be changed: keyward help {kind} edit")));
        }
    }
    Ok(())
}

pub(super) fn delete(session: &mut Session, kind: Kind, args: &Delete) -> Result<Exit, Error> {
    if args.with_keys && !args.yes && !session.terminal.can_ask() {
        return Err(Error::new(Code::ConfirmationRequired, "refusing to delete keys without confirmation")
            .hint("add --yes if you mean it"));
    }
    let mut store = session.store_to_change()?;
    let Some(entry) = store.view()?.entry(kind, &args.name)? else {
        return Err(no_such_entry(Some(&store), kind, &args.name));
    };
    // First check whether it can be deleted at all, before asking the person.
    store.rehearse(session.stamp(), |changes| {
        changes.delete_entry(&changes.required_entry(kind, &args.name)?, args.with_keys)
    })?;
    if args.with_keys && !args.yes && entry.keys > 0 {
        let keys = count(entry.keys, "key");
        let question = format!("Delete the {} {} and its {keys} permanently?", kind.as_str(), args.name);
        session.confirm(&question, Enter::MeansNo)?;
    }
    let deleted = session.write(&mut store, |changes| {
        let present = changes.required_entry(kind, &args.name)?;
        if !args.yes && present.keys != entry.keys {
            let (name, kind) = (&args.name, kind.as_str());
            return Err(Error::new(Code::Conflict, format!("the keys of the {kind} {name} changed in the meantime"))
                .hint("nothing was deleted; look at them with `keyward list`, then try again"));
        }
        Ok(changes.delete_entry(&present, args.with_keys)?)
    })?;
    if session.json() {
        session.terminal.print_json(
            &json!({kind.as_str(): entry.to_json(), "outcome": Effect::Deleted, "deleted_keys": deleted}),
        )?;
    } else {
        let keys = if deleted == 0 { String::new() } else { format!(" and {}", count(deleted, "key")) };
        session.terminal.note(&format!("deleted the {} {}{keys}", kind.as_str(), args.name));
    }
    Ok(Exit::DONE)
}

pub(super) fn set_enabled(session: &mut Session, kind: Kind, names: &[Name], enabled: bool) -> Result<Exit, Error> {
    let mut store = session.store_to_change()?;
    for name in names {
        if store.view()?.entry(kind, name)?.is_none() {
            return Err(no_such_entry(Some(&store), kind, name));
        }
    }
    let outcomes = session.write(&mut store, |changes| {
        let switch = |name: &Name| {
            let before = changes.required_entry(kind, name)?;
            let mut draft = before.draft.clone();
            draft.facts.set_enabled(enabled);
            let after = changes.update_entry(&before, &draft)?;
            let outcome = if before.draft == draft { Effect::Unchanged } else { Effect::Updated };
            Ok::<_, Error>((after, outcome))
        };
        names.iter().map(switch).collect::<Result<Vec<_>, _>>()
    })?;
    if session.json() {
        let documents: Vec<_> = outcomes.iter().map(|(entry, outcome)| document(entry, *outcome)).collect();
        session.terminal.print_json(&documents)?;
        return Ok(Exit::DONE);
    }
    let verb = if enabled { "enabled" } else { "disabled" };
    for (entry, outcome) in outcomes {
        let name = &entry.draft.name;
        session.terminal.note(&match outcome {
            Effect::Unchanged => format!("the {} {name} is {verb} already", kind.as_str()),
            _ if enabled => format!("{verb} the {} {name}", kind.as_str()),
            _ => format!("{verb} the {} {name}, which suspends {}", kind.as_str(), count(entry.keys, "key")),
        });
    }
    Ok(Exit::DONE)
}

fn document(entry: &Entry, outcome: Effect) -> Value {
    json!({entry.draft.facts.kind().as_str(): entry.to_json(), "outcome": outcome})
}

fn report(session: &mut Session, entry: &Entry, outcome: Effect, verb: &str) -> Result<(), Error> {
    if session.json() {
        return session.terminal.print_json(&document(entry, outcome));
    }
    let (kind, name) = (entry.draft.facts.kind().as_str(), &entry.draft.name);
    session.terminal.note(&match outcome {
        Effect::Unchanged => format!("the {kind} {name} is unchanged"),
        _ => format!("{verb} the {kind} {name}"),
    });
    Ok(())
}

/// In a narrow terminal, descriptions and dates are dropped first.
fn column(heading: &'static str) -> Column {
    let weight = match heading {
        "description" => 0,
        "created" => 1,
        _ => Column::ALWAYS,
    };
    let column = Column::new(heading, weight);
    if ["rank", "users", "keys"].contains(&heading) { column.number() } else { column }
}

/// An entry for people, field by field.
fn cells(session: &Session, entry: &Entry) -> Vec<(&'static str, Cell)> {
    let text = |value: &dyn ToString| Cell::from(value.to_string());
    let state = |enabled: bool| {
        if enabled { Cell::new("enabled", Tone::Good) } else { Cell::new("disabled", Tone::Warning) }
    };
    let mut cells = vec![("name", text(&entry.draft.name))];
    match &entry.draft.facts {
        Facts::Group => {}
        Facts::User { role, tenant, enabled, limits } => {
            cells.extend([
                ("state", state(*enabled)),
                ("role", role.as_ref().into()),
                ("tenant", tenant.as_ref().into()),
                ("limits", text(limits)),
            ]);
        }
        Facts::Role { rank, manages_keys } => {
            let manages_keys = if *manages_keys { "yes" } else { "no" };
            cells.extend([("rank", text(rank)), ("manages keys", text(&manages_keys)), ("users", text(&entry.users))]);
        }
        Facts::Tenant { enabled, limits } => {
            cells.extend([("state", state(*enabled)), ("users", text(&entry.users)), ("limits", text(limits))]);
        }
    }
    cells.extend([
        ("keys", text(&entry.keys)),
        ("created", relative(entry.created_at, session.now()).into()),
        ("description", entry.draft.description.as_ref().into()),
    ]);
    cells
}
