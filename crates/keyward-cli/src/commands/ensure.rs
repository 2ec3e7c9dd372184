//! `keyward create --ensure`: makes a key as it should be, however often it is run.
//!
//! A CI step may run again, and it may have been killed in the middle. So nothing is taken for granted: settings are
//! compared with the key's, and a readable place is read, to prove that its secret still verifies. A secret without a
//! key, which a crash leaves behind, is recognised and replaced. No second secret is minted unless asked for.

use super::expiry::{EXPIRY_CUT, tell_cuts, tell_expiry};
use super::mint::{Creation, DeliveryArgs, Rotation, Together, mint_key, one, rotate_keys};
use super::setting_args::SettingArgs;
use super::views::{changes, offer_group};
use crate::delivery::{Changed, Effect, Existing, Patience, Place, Proof, Sink, Told, print_outcomes};
use crate::error::{Code, Error};
use crate::session::Session;
use keyward_core::rules::hashing::Memory;
use keyward_core::rules::key::{Key, SecretInfo, SecretState, State};
use keyward_core::rules::names::Name;
use keyward_core::rules::patch::SettingsPatch;
use keyward_core::rules::plain::PlainText;
use keyward_core::rules::setting::Setting;
use keyward_core::rules::time::Duration;
use keyward_core::rules::token::Id;
use keyward_core::store::{Changes, Presented, Staging, Store, StoreError, Subject};
use keyward_core::verifier::VerifyError;

/// What the place of a secret holds, from the point of view of a key.
enum PlaceState {
    /// A working secret of the key, or something that cannot be determined.
    Good,
    /// A working secret of the key that a rotation left staged.
    Staged(Id),
    /// No working secret of the key, for this reason.
    Bad(String),
}

/// Makes the key, or changes it to what it should be.
///
/// # Errors
/// Errors of the store or the sink, and [`Code::Conflict`] if the place of the secret holds none of this key's; then
/// nothing was changed.
pub fn ensure(
    session: &mut Session,
    name: &Name,
    settings: &SettingArgs,
    delivery: &DeliveryArgs,
    rotate_if_missing: bool,
) -> Result<(), Error> {
    // Another process may make the key in the meantime: then it exists, and is checked.
    match ensure_once(session, name, settings, delivery, rotate_if_missing) {
        Err(error) if error.code() == Code::NameTaken && !error.is_after_delivery() => {
            ensure_once(session, name, settings, delivery, rotate_if_missing)
        }
        result => result,
    }
}

fn ensure_once(
    session: &mut Session,
    name: &Name,
    settings: &SettingArgs,
    delivery: &DeliveryArgs,
    rotate_if_missing: bool,
) -> Result<(), Error> {
    let sink = delivery.named(session)?;
    let proof = proof_in(&sink)?;
    if rotate_if_missing && proof.is_none() {
        return Err(Error::new(Code::Usage, "--rotate-if-missing needs a place that can be looked at")
            .hint("add --secret-file PATH, or --env-file PATH with --env-name NAME"));
    }
    let mut store = session.store_to_make()?;
    let Some(key) = store.view()?.find(name.as_str())?.filter(|key| key.name == *name) else {
        let sink = over_a_leftover(sink, proof.as_ref(), |id| Ok(store.view()?.is_leftover(id)?))?;
        check(session, &sink)?;
        let (end, wanted) = (settings.end(), settings.patch(session.now())?.apply(&session.default_settings(&store)?));
        offer_group(session, &mut store, wanted.group.as_ref())?;
        let creation = Creation { name, settings: &wanted, end, source: None, sink: &sink, patience: Patience::Long };
        return mint_key(session, &mut store, creation).map(drop);
    };
    // Another process may have made the key since the place was read. A secret is in its place before its key is in the
    // store, so it is there now.
    let proof = proof_in(&sink)?;
    let patch = settings.patch_for(&key, session.now())?;
    offer_group(session, &mut store, patch.apply(&key.settings).group.as_ref())?;
    let change = |changes: &Changes<'_>| {
        let present = changes.key(&key.id)?.ok_or_else(|| StoreError::KeyGone(key.name.clone()))?;
        changes.update_key(&present, name, &patch.apply(&present.settings))
    };
    let mut warnings: &[&'static str] = &[];
    let (after, outcome) = match state_of_place(&store, &key, proof.as_ref(), session)? {
        PlaceState::Good => {
            if proof.is_some() {
                check_works(session, &mut store, change, &patch)?;
                clear_up(session, &mut store, &key, &sink)?;
            }
            let after = session.write(&mut store, change)?;
            let outcome = if after.settings == key.settings { Effect::Unchanged } else { Effect::Updated };
            (after, outcome)
        }
        PlaceState::Staged(secret) => {
            let finish = |changes: &Changes<'_>| changes.promote_secret(&change(changes)?, &secret);
            let after = session.write(&mut store, finish)?;
            if after.settings.expires_at != patch.apply(&key.settings).expires_at {
                warnings = &[EXPIRY_CUT];
            }
            sink.place().map_or(Ok(()), Place::clear_up)?;
            (after, Effect::Rotated)
        }
        PlaceState::Bad(why) if rotate_if_missing => {
            let sink = over_a_leftover(sink, proof.as_ref(), |_| Ok(true))?;
            check(session, &sink)?;
            session.terminal.note(&why);
            let prefix = patch.apply(&key.settings).prefix;
            let rotation = Rotation { key: &key, prefix: &prefix, sink: &sink };
            let with = Together { grace: Duration::default(), patience: Patience::Long, in_array: false };
            let rotated = rotate_keys(session, &mut store, &[rotation], with, &|changes, _| Ok(change(changes)?))?;
            let Changed { key: after, warnings } = one(rotated)?;
            report_effect(session, &key, &after, Effect::Rotated);
            return tell_cuts(session, &store, &after, Duration::default(), &warnings);
        }
        PlaceState::Bad(why) => {
            return Err(Error::new(Code::Conflict, why)
                .hint("nothing was changed; to put a new secret there, which stops the old one: --rotate-if-missing"));
        }
    };
    report_effect(session, &key, &after, outcome);
    tell_cuts(session, &store, &after, Duration::default(), warnings)?;
    if session.json() { print_outcomes(session, &[Told { key: &after, outcome, warnings }], false) } else { Ok(()) }
}

fn report_effect(session: &mut Session, before: &Key, after: &Key, outcome: Effect) {
    let name = &after.name;
    let changed = changes(name, &before.settings, name, &after.settings);
    let lines = if changed.is_empty() { changed } else { format!("\n{changed}") };
    session.terminal.note(&match outcome {
        Effect::Unchanged => format!("{name} is unchanged"),
        Effect::Rotated => format!("rotated the key {name}; the old secret no longer works{lines}"),
        _ => format!("changed the key {name}{lines}"),
    });
    if before.settings.expires_at != after.settings.expires_at {
        tell_expiry(session, after);
    }
}

/// The sink, allowed to replace the content of its file if that is only a secret that `may_go`.
fn over_a_leftover(
    sink: Sink,
    proof: Option<&Proof>,
    may_go: impl Fn(&Id) -> Result<bool, Error>,
) -> Result<Sink, Error> {
    let Sink::Place(Place::File { path, existing: Existing::Refuse }) = sink else { return Ok(sink) };
    let existing = proof.map_or(Ok(Existing::Refuse), |proof| proof.existing(may_go))?;
    Ok(Sink::Place(Place::File { path, existing }))
}

/// A secret that is in its place but refused is not as it should be, unless that was asked for.
fn check_works(
    session: &Session,
    store: &mut Store,
    change: impl Fn(&Changes<'_>) -> Result<Key, StoreError>,
    patch: &SettingsPatch,
) -> Result<(), Error> {
    let after = store.rehearse(session.stamp(), change)?;
    let name = &after.name;
    let (why, hint) = match after.state(session.now()) {
        State::Active => return Ok(()),
        State::Disabled if patch.changes(Setting::ENABLED) => return Ok(()),
        State::Disabled => ("is disabled", format!("enable it with `keyward enable {name}`, or ask for --disabled")),
        State::Expired => ("has expired", format!("give it a new expiry, with --expires or `keyward edit {name}`")),
        State::Suspended => ("is suspended", format!("its owner or its tenant is disabled: keyward show {name}")),
    };
    let message = format!("the file holds {name}'s secret, but the key {why}; nothing was changed");
    Err(Error::new(Code::Conflict, message).hint(hint))
}

/// Removes what a killed rotation has left, beside the place and in the store. A rotation in progress has reserved the
/// key; if it has not, its secret is younger than this.
fn clear_up(session: &mut Session, store: &mut Store, key: &Key, sink: &Sink) -> Result<(), Error> {
    const AT_WORK: i64 = 60;
    sink.place().map_or(Ok(()), Place::clear_up)?;
    let is_left =
        |secret: &&SecretInfo| secret.staged && session.now().as_second() - secret.created_at.as_second() > AT_WORK;
    let staged: Vec<_> = key.secrets.iter().filter(is_left).collect();
    if staged.is_empty() {
        return Ok(());
    }
    session.write(store, |changes| {
        if changes.is_reserved(&Subject::Key(key.id.clone()))? {
            return Ok(());
        }
        staged.iter().try_for_each(|secret| changes.unstage_secret(key, &secret.id, Staging::Told))
    })?;
    Ok(())
}

fn check(session: &Session, sink: &Sink) -> Result<(), Error> {
    sink.place().map_or(Ok(()), |place| place.check(session))
}

/// What the place of the secret holds now; `None` if it cannot be read.
fn proof_in(sink: &Sink) -> Result<Option<Proof>, Error> {
    Ok(sink.place().map(Place::proof).transpose()?.flatten())
}

/// Whether the place holds a working secret of this key. Computes one Argon2id hash; for a secret that another system
/// made, one for each secret that it may be.
fn state_of_place(store: &Store, key: &Key, proof: Option<&Proof>, session: &Session) -> Result<PlaceState, Error> {
    let secret = match proof {
        None => return Ok(PlaceState::Good),
        Some(Proof::Nothing { .. }) => {
            return Ok(PlaceState::Bad(format!("the file holds no secret of {}", key.name)));
        }
        Some(Proof::SomethingElse(text)) => {
            let found = match text {
                Some(text) => imported(store, key, text)?,
                None => None,
            };
            let Some(found) = found else {
                return Ok(PlaceState::Bad(format!("the file holds something else than a secret of {}", key.name)));
            };
            return Ok(state_of_secret(&found, true, key, session));
        }
        // A reader may or may not accept it: it is not as it should be, but it must not be lost either.
        Some(Proof::Surrounded) => {
            let message =
                "the file holds a secret with blanks or other invisible characters around it; nothing was changed";
            return Err(
                Error::new(Code::Conflict, message).hint("remove them, so that the secret stands on a line of its own")
            );
        }
        Some(Proof::Secret { secret, .. }) => secret,
    };
    let Some(found) = store.view()?.presented(secret.id())? else {
        // It may have been imported from another store.
        return match imported(store, key, secret)? {
            Some(found) => Ok(state_of_secret(&found, true, key, session)),
            None => Ok(PlaceState::Bad("the file holds no secret that keyward knows".to_owned())),
        };
    };
    let is_it = found.key.id == key.id && found.hash.matches(secret).map_err(VerifyError::from)?;
    Ok(state_of_secret(&found, is_it, key, session))
}

/// The imported secret that is in the place.
fn imported(store: &Store, key: &Key, text: &dyn PlainText) -> Result<Option<Presented>, Error> {
    let view = store.view()?;
    Ok(view.imported(text, Some(&key.name), &mut Memory::default()).map_err(VerifyError::from)?)
}

/// Whether a secret that was found is one of this key that works. `is_it` says whether it is what is in the place.
fn state_of_secret(found: &Presented, is_it: bool, key: &Key, session: &Session) -> PlaceState {
    if found.key.id != key.id {
        return PlaceState::Bad(format!("the file holds a secret of {}, not of {}", found.key.name, key.name));
    }
    let is_retired = found.secret.state(session.now()) == SecretState::Retired;
    if is_retired || !is_it {
        return PlaceState::Bad(format!("the file holds no working secret of {}", key.name));
    }
    if found.secret.staged { PlaceState::Staged(found.secret.id.clone()) } else { PlaceState::Good }
}
