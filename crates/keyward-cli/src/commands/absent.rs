//! What an empty answer says about its filters: those that name something that nothing has.

use keyward_core::rules::directory::Kind;
use keyward_core::store::{ACTIONS, EventFilter, Filter, Names, View};

use crate::error::Error;
use crate::session::Session;
use crate::text::closest;

/// The code of such a note in JSON.
const CODE: &str = "nothing_has";

/// Says which values of the filter no key has.
pub(super) fn note_keys(session: &mut Session, view: &View<'_>, filter: &Filter) -> Result<(), Error> {
    for (only, what, names, value) in values(filter) {
        if view.count_keys(&only, session.now(), 1)? > 0 {
            continue;
        }
        let known = names.map_or_else(|| Ok(vec![]), |names| view.names_starting(names, ""))?;
        let note = format!("no key {what} {value}");
        session.terminal.note_with_code(CODE, &with_hint(note, closest(&known, &value)));
    }
    Ok(())
}

/// Each value of a filter: the filter with nothing else, what a key with it does, what else could have been meant, and
/// the value.
fn values(filter: &Filter) -> Vec<(Filter, &'static str, Option<Names>, String)> {
    let none = Filter::default;
    let mut all = vec![];
    if let Some(pattern) = &filter.name {
        let is_name = !pattern.contains(['*', '?', '[']);
        let what = if is_name { "is called" } else { "has a name like" };
        let only = Filter { name: filter.name.clone(), ..none() };
        all.push((only, what, is_name.then_some(Names::Keys), pattern.clone()));
    }
    let (group, owner, role, tenant) = (&filter.group, &filter.owner, &filter.role, &filter.tenant);
    for (only, what, value) in [
        (Filter { group: group.clone(), ..none() }, "has the group", group),
        (Filter { owner: owner.clone(), ..none() }, "has the owner", owner),
        (Filter { role: role.clone(), ..none() }, "has the role", role),
        (Filter { tenant: tenant.clone(), ..none() }, "has the tenant", tenant),
    ] {
        all.extend(value.as_ref().map(|value| (only, what, None, value.to_string())));
    }
    all.extend(filter.scopes.iter().map(|scope| {
        let only = Filter { scopes: vec![scope.clone()], ..none() };
        (only, "has the scope", Some(Names::Scopes), scope.to_string())
    }));
    all.extend(filter.levels.iter().map(|level| {
        let only = Filter { levels: vec![level.clone()], ..none() };
        (only, "holds the level", Some(Names::Levels), level.to_string())
    }));
    all.extend(filter.labels.iter().map(|label| {
        let value = label.value.as_ref().map_or_else(String::new, |value| format!("={value}"));
        (Filter { labels: vec![label.clone()], ..none() }, "has the label", None, format!("{}{value}", label.key))
    }));
    all
}

/// Says which values of the filter no event has.
pub(super) fn note_events(session: &mut Session, view: &View<'_>, filter: &EventFilter) -> Result<(), Error> {
    let mut notes = vec![];
    if let Some(by) = filter.by.as_ref().filter(|by| by.as_str() != "owner")
        && !view.has_event(&EventFilter { by: Some(by.clone()), ..EventFilter::default() })?
    {
        let note = format!("no event is by {by}");
        notes.push(if view.entry(Kind::User, by)?.is_some() {
            note
        } else {
            let known = view.names_of(Kind::User)?;
            with_hint(format!("{note}, and there is no user {by}"), closest(&known, by.as_str()))
        });
    }
    if let Some(action) = &filter.action
        && !view.has_event(&EventFilter { action: Some(action.clone()), ..EventFilter::default() })?
    {
        // The action itself, what it is about, or what is done.
        let parts = ACTIONS.iter().flat_map(|action| action.split('.'));
        let known: Vec<&str> = ACTIONS.iter().copied().chain(parts).collect();
        notes.push(if known.contains(&action.as_str()) {
            format!("no event has the action {action}")
        } else {
            let note = format!("there is no action {action}");
            match closest(&known, action) {
                Some(meant) => with_hint(note, Some(meant)),
                None => format!("{note}; `keyward help history` says what there is"),
            }
        });
    }
    if filter.since.is_some_and(|since| since > session.now()) {
        notes.push("--since is in the future".to_owned());
    } else if filter.since.zip(filter.until).is_some_and(|(since, until)| until <= since) {
        notes.push("--until is not after --since".to_owned());
    }
    for note in notes {
        session.terminal.note_with_code(CODE, &note);
    }
    Ok(())
}

fn with_hint(note: String, meant: Option<impl std::fmt::Display>) -> String {
    match meant {
        Some(meant) => format!("{note}; did you mean {meant}?"),
        None => note,
    }
}
