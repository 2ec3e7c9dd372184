//! Notes for an empty answer: which filters name something that nothing has.

use keyward_core::rules::directory::Kind;
use keyward_core::rules::selection::Selection;
use keyward_core::store::{ACTIONS, EventFilter, Filter, Names, View};

use crate::error::Error;
use crate::session::Session;
use crate::text::did_you_mean;

/// The code of such a note in JSON.
const CODE: &str = "nothing_has";

/// Notes which values of the filter no key has, given how many keys it matched.
pub(super) fn note_keys(session: &mut Session, view: &View<'_>, filter: &Filter, found: u64) -> Result<(), Error> {
    for Value { only, what, names, text } in values(filter, found > 0) {
        if view.has_key(&only, session.now())? {
            continue;
        }
        let known = names.map_or_else(|| Ok(vec![]), |names| view.names_starting(names, ""))?;
        let note = format!("no key {what} {text}");
        let of_a_part = || format!("for a part of a name: --name '{text}*', or --search {text}");
        let meant = did_you_mean(&known, &text).or_else(|| (what == IS_CALLED).then(of_a_part));
        session.terminal.note_with_code(CODE, &with_hint(note, meant));
    }
    Ok(())
}

const IS_CALLED: &str = "is called";

/// A value of a filter: the filter with only this value, what a matching key would do, what else may have been meant,
/// and the value itself.
struct Value {
    only: Filter,
    what: &'static str,
    names: Option<Names>,
    text: String,
}

/// The values of a selection. If keys were found, a required value exists.
fn of<T>(selection: &Selection<T>, were_found: bool) -> impl Iterator<Item = &T> {
    let is_there = were_found && selection.len() == selection.any_of.len() && selection.len() == 1;
    selection.values().filter(move |_| !is_there)
}

fn values(filter: &Filter, were_found: bool) -> Vec<Value> {
    let none = Filter::default;
    let mut all = vec![];
    all.extend(of(&filter.name, were_found).map(|pattern| {
        let is_name = !pattern.contains(['*', '?', '[']);
        let what = if is_name { IS_CALLED } else { "has a name like" };
        let only = Filter { name: pattern.clone().into(), ..none() };
        Value { only, what, names: is_name.then_some(Names::Keys), text: pattern.clone() }
    }));
    for (kind, selection) in filter.directory() {
        all.extend(of(selection, were_found).map(|name| {
            let mut only = none();
            let (place, what) = match kind {
                Kind::Group => (&mut only.group, "has the group"),
                Kind::User => (&mut only.owner, "has the owner"),
                Kind::Role => (&mut only.role, "has the role"),
                Kind::Tenant => (&mut only.tenant, "has the tenant"),
            };
            *place = name.clone().into();
            Value { only, what, names: None, text: name.to_string() }
        }));
    }
    for scope in filter.scopes.iter().flat_map(|scopes| of(scopes, were_found)) {
        let only = Filter { scopes: vec![scope.clone().into()], ..none() };
        all.push(Value { only, what: "has the scope", names: Some(Names::Scopes), text: scope.to_string() });
    }
    for level in filter.levels.iter().flat_map(|levels| of(levels, were_found)) {
        let only = Filter { levels: vec![level.clone().into()], ..none() };
        all.push(Value { only, what: "holds the level", names: Some(Names::Levels), text: level.to_string() });
    }
    for label in filter.labels.iter().flat_map(|labels| of(labels, were_found)) {
        let value = label.value.as_ref().map_or_else(String::new, |value| format!("={value}"));
        let only = Filter { labels: vec![label.clone().into()], ..none() };
        all.push(Value { only, what: "has the label", names: None, text: format!("{}{value}", label.key) });
    }
    all
}

/// Notes which values of the filter no event has.
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
            with_hint(format!("{note}, and there is no user {by}"), did_you_mean(&known, by.as_str()))
        });
    }
    if let Some(action) = &filter.action
        && !view.has_event(&EventFilter { action: Some(action.clone()), ..EventFilter::default() })?
    {
        // The action itself, its subject, or its verb.
        let parts = ACTIONS.iter().flat_map(|action| action.split('.'));
        let known: Vec<&str> = ACTIONS.iter().copied().chain(parts).collect();
        notes.push(if known.contains(&action.as_str()) {
            format!("no event has the action {action}")
        } else {
            let note = format!("there is no action {action}");
            match did_you_mean(&known, action) {
                Some(question) => with_hint(note, Some(question)),
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

fn with_hint(note: String, question: Option<String>) -> String {
    match question {
        Some(question) => format!("{note}; {question}"),
        None => note,
    }
}
