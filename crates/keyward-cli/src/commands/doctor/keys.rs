//! Checks of the keys, and of the settings that apply to them.

use jiff::Timestamp;

use super::{Diagnosis, Severity};
use crate::error::Error;
use crate::session::Session;
use crate::text::count;
use keyward_core::rules::hashing::Cost;
use keyward_core::rules::key::State;
use keyward_core::rules::selection::Selection;
use keyward_core::rules::time::Duration;
use keyward_core::store::{Filter, Imports, NameCount, StoreError, View};

/// How long before its expiry a key "expires soon", and after how long an unused key is reported.
pub(in crate::commands) const SOON: &str = "14d";
pub(in crate::commands) const LONG: &str = "90d";

/// The length of one of these.
pub(in crate::commands) fn span_of(text: &str) -> Duration {
    text.parse().unwrap_or_default()
}

pub(super) fn hashing(session: &Session, view: &View<'_>) -> Result<Vec<Diagnosis>, Error> {
    let settings = view.settings()?;
    let (cost, least) = (settings.hash_cost, Cost::default());
    let is_weak = cost.memory_kib < least.memory_kib || cost.passes < least.passes;
    let parameters = if is_weak {
        Diagnosis::bad(
            "hash_parameters",
            Severity::Warning,
            format!("new secrets are hashed with {cost}"),
            "who steals the store can try more guesses than with the default",
            format!("keyward settings set hash-parameters {least}"),
        )
    } else {
        Diagnosis::ok("hash_parameters", format!("new secrets are hashed with {cost}"))
    };
    let other = Diagnosis::about(
        "old_hashes",
        view.keys_of_other_cost(cost, session.now())?,
        ["all hashes use these parameters", "has a hash of other parameters", "have hashes of other parameters"],
        "they are renewed at the next successful verification of each",
        "wait until they were used, or rotate those that are not: keyward rotate KEY",
    );
    Ok(vec![parameters, other])
}

/// Secrets that another system made.
pub(super) fn imported(session: &Session, view: &View<'_>) -> Result<Vec<Diagnosis>, Error> {
    const SHOWN: usize = 5;
    let total = view.count_imported()?;
    if total == 0 {
        return Ok(vec![]);
    }
    if matches!(view.settings()?.imports, Imports::Some { key: None, .. }) {
        let meaning = "imported secrets cannot be found, so nobody who presents one gets an answer";
        let found = format!("the key that finds the {} is missing", count(total, "imported secret"));
        let remedy = "leave the store as it is, and put the newest backup in its place".to_owned();
        return Ok(vec![Diagnosis::bad("imported", Severity::Problem, found, meaning, remedy)]);
    }
    let renewed = format!("{} in the store, and all that work are kept as its own", count(total, "imported secret"));
    let texts = [
        renewed.as_str(),
        "has an imported secret that is not renewed yet",
        "have imported secrets that are not renewed yet",
    ];
    let waiting = Diagnosis::about(
        "imported",
        view.keys_to_be_renewed(session.now())?,
        texts,
        "they are kept as they came until the first request that is allowed with each; who has the store can try fast what a SHA-256 is of",
        "wait until they were used, or rotate those that are not: keyward rotate KEY",
    );
    let same = view.keys_with_same_secret(session.now())?;
    if same.is_empty() {
        return Ok(vec![waiting]);
    }
    let mut pairs: Vec<_> = same.iter().map(|(one, other)| format!("{one} and {other}")).collect();
    let more = pairs.len().saturating_sub(SHOWN);
    pairs.truncate(SHOWN);
    let more = if more > 0 { format!(", and {more} more pairs") } else { String::new() };
    let mut names: Vec<_> = same.into_iter().flat_map(|(one, other)| [one.to_string(), other.to_string()]).collect();
    names.sort_unstable();
    names.dedup();
    let bad = Diagnosis::bad(
        "same_secret",
        Severity::Problem,
        format!("the same secret is that of {}{more}", pairs.join(", of ")),
        "it does not say which key is meant, so whoever presents it is refused",
        "rotate one of the two, or delete it: keyward rotate KEY".to_owned(),
    );
    Ok(vec![waiting, Diagnosis { count: names.len() as u64, keys: names, ..bad }])
}

pub(super) fn keys(session: &Session, view: &View<'_>) -> Result<Vec<Diagnosis>, Error> {
    let now = session.now();
    let named = |filter: &Filter| {
        let mut names = NameCount::default();
        view.each_key(filter, now, |key| {
            names.add(key.name.as_str());
            Ok::<_, StoreError>(())
        })?;
        Ok::<_, StoreError>(names)
    };
    let state = |state| Filter { state: Selection::from(state), ..Filter::default() };
    let soon = Filter { expires_by: Some(span_of(SOON).after(now).unwrap_or(Timestamp::MAX)), ..Filter::default() };
    let unused =
        Filter { unused_since: Some(span_of(LONG).before(now).unwrap_or(Timestamp::MIN)), ..Filter::default() };
    // Do not advise what the store would refuse.
    let (never, soon_ends) = match view.settings()?.max_lifetime {
        None => (
            "keyward edit KEY --expires 90d; for new keys: keyward settings set default-lifetime 90d".to_owned(),
            "to keep one: keyward edit KEY --expires 90d".to_owned(),
        ),
        Some(max) => (
            format!("keyward rotate KEY: the new secret expires within {max}, as max-lifetime says"),
            format!(
                "to keep one: keyward rotate KEY, then keyward edit KEY --expires WHEN, within {max} of the rotation"
            ),
        ),
    };
    Ok(vec![
        Diagnosis::about(
            "never_expires",
            view.keys_without_end()?,
            ["every key expires", "never expires", "never expire"],
            "a leaked secret stays valid until someone notices",
            &never,
        ),
        Diagnosis::about(
            "expires_soon",
            named(&soon)?,
            ["no key expires within 14 days", "expires within 14 days", "expire within 14 days"],
            "their clients will be refused then",
            &soon_ends,
        ),
        Diagnosis::about(
            "expired",
            named(&state(State::Expired))?,
            ["no key has expired", "has expired", "have expired"],
            "they no longer work; delete them to tidy up",
            "keyward list --state expired -q | xargs -r keyward delete --yes --",
        ),
        Diagnosis::about(
            "unused",
            named(&unused)?,
            ["no key was unused for 90 days", "was unused for 90 days", "were unused for 90 days"],
            "probably unused; every live key is a risk",
            "keyward list --unused-for 90d -q | xargs -r keyward disable --",
        ),
        Diagnosis::about(
            "suspended",
            named(&state(State::Suspended))?,
            ["no key is suspended", "is suspended", "are suspended"],
            "its owner or its tenant is disabled",
            "keyward user enable NAME, keyward tenant enable NAME, or keyward delete KEY",
        ),
        Diagnosis::about(
            "staged_secret",
            view.keys_with_staged_secrets()?,
            [
                "no key is in the middle of a rotation",
                "is in the middle of a rotation",
                "are in the middle of a rotation",
            ],
            "a rotation was killed; both secrets work",
            "rotate it again: keyward rotate KEY, or run create --ensure again",
        ),
    ])
}

pub(super) fn reserved_names(view: &View<'_>) -> Result<Diagnosis, Error> {
    let check = "reserved_names";
    let found = view.reserved_names()?;
    if found.count == 0 {
        return Ok(Diagnosis::ok(check, "no name is a word that filters read as something else"));
    }
    let finding = format!("{} that filters read as something else", count(found.count, "name"));
    let meaning = "they go on working, but no filter finds them, and nothing new can be called so";
    let remedy = "rename them: keyward edit KEY --name NEW, keyward user edit NAME --name NEW, or edit KEY --add-scope NEW \
                  --remove-scope OLD";
    Ok(Diagnosis {
        count: found.count,
        keys: found.names,
        ..Diagnosis::bad(check, Severity::Warning, finding, meaning, remedy.to_owned())
    })
}
