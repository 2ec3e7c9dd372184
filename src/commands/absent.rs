//! What an empty answer says about its filters: those that name something that nothing has.

use keyward_core::rules::directory::Kind;
use keyward_core::store::{ACTIONS, EventFilter, Filter, Names, View};

use crate::error::Error;
use crate::session::Session;
use crate::text::closest;

/// The code of such a note in JSON.
const CODE: &str = "nothing_has";

/// One value of a filter.
struct Asked<'f> {
    /// The filter with nothing else.
    only: Filter,
    /// What a key with it does.
    what: String,
    /// What it is, and which others could have been meant.
    names: Option<(Names, &'f str)>,
}

/// Says which values of the filter no key has.
pub(super) fn note_keys(session: &mut Session, view: &View<'_>, filter: &Filter) -> Result<(), Error> {
    let nobody = Filter::default;
    let mut asked = vec![];
    if let Some(pattern) = &filter.name {
        let is_name = !pattern.contains(['*', '?', '[']);
        let what = if is_name { "is called" } else { "has a name like" };
        let names = is_name.then_some((Names::Keys, pattern.as_str()));
        let only = Filter { name: filter.name.clone(), ..nobody() };
        asked.push(Asked { only, what: format!("{what} {pattern}"), names });
    }
    for (kind, name) in
        [("group", &filter.group), ("owner", &filter.owner), ("role", &filter.role), ("tenant", &filter.tenant)]
    {
        let Some(name) = name else { continue };
        let mut only = nobody();
        match kind {
            "group" => only.group = Some(name.clone()),
            "owner" => only.owner = Some(name.clone()),
            "role" => only.role = Some(name.clone()),
            _ => only.tenant = Some(name.clone()),
        }
        asked.push(Asked { only, what: format!("has the {kind} {name}"), names: None });
    }
    for scope in &filter.scopes {
        let only = Filter { scopes: vec![scope.clone()], ..nobody() };
        let names = Some((Names::Scopes, scope.as_str()));
        asked.push(Asked { only, what: format!("has the scope {scope}"), names });
    }
    for level in &filter.levels {
        let only = Filter { levels: vec![level.clone()], ..nobody() };
        let names = Some((Names::Levels, level.as_str()));
        asked.push(Asked { only, what: format!("holds the level {level}"), names });
    }
    for label in &filter.labels {
        let value = label.value.as_ref().map_or_else(String::new, |value| format!("={value}"));
        let only = Filter { labels: vec![label.clone()], ..nobody() };
        asked.push(Asked { only, what: format!("has the label {}{value}", label.key), names: None });
    }
    for Asked { only, what, names } in asked {
        if view.count_keys(&only, session.now(), 1)? > 0 {
            continue;
        }
        let known = names.map_or_else(|| Ok(vec![]), |(names, _)| view.names_starting(names, ""))?;
        let meant = names.and_then(|(_, text)| closest(&known, text));
        session.terminal.note_with_code(CODE, &with_hint(format!("no key {what}"), meant));
    }
    Ok(())
}

/// Says which values of the filter no event has.
pub(super) fn note_events(session: &mut Session, view: &View<'_>, filter: &EventFilter) -> Result<(), Error> {
    let is_told = |filter: EventFilter| {
        let mut is_told = false;
        view.each_event(&EventFilter { limit: Some(1), ..filter }, |_| {
            is_told = true;
            Ok::<_, Error>(())
        })?;
        Ok::<_, Error>(is_told)
    };
    let mut notes = vec![];
    if let Some(by) = filter.by.as_ref().filter(|by| by.as_str() != "owner")
        && !is_told(EventFilter { by: Some(by.clone()), ..EventFilter::default() })?
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
        && !is_told(EventFilter { action: Some(action.clone()), ..EventFilter::default() })?
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
