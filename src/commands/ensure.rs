//! `keyward create --ensure`: a key that is as it should be, however often that is said.
//!
//! A step of CI may run again, and it may have been killed in the middle. So nothing is taken for granted:
//! settings are compared with what the key has, and a place that can be read is read, to prove that the
//! secret in it still verifies. A secret without a key, which is what a crash leaves behind, is recognised
//! and replaced. No second secret is minted unless that was asked for.

use zeroize::Zeroizing;

use super::mint::{DeliveryArgs, mint_key, rotate_key};
use super::setting_args::SettingArgs;
use super::views::changes;
use crate::delivery::{Existing, Outcome, Place, Proof, Sink, print_outcome};
use crate::domain::key::Key;
use crate::domain::names::Name;
use crate::domain::patch::SettingsPatch;
use crate::domain::time::Duration;
use crate::domain::token::Id;
use crate::error::{Code, Error};
use crate::session::Session;
use crate::store::{Changes, Store, StoreError};
use crate::verifier::VerifyError;

/// What the place of a secret holds, seen from a key.
enum Held {
    /// That cannot be found out, or it is a secret of the key that works.
    Good,
    /// A secret of the key that works, and that a rotation left staged.
    Staged(Id),
    /// No secret of the key that works, for this reason.
    Bad(String),
}

/// Makes the key, or makes it as it should be.
///
/// # Errors
/// What the store or the sink says, and [`Code::Conflict`] where the place of the secret holds none of this
/// key; then nothing was changed.
pub fn ensure(
    session: &mut Session,
    name: &Name,
    settings: &SettingArgs,
    delivery: &DeliveryArgs,
    rotate_if_missing: bool,
) -> Result<(), Error> {
    let sink = delivery.named(session)?;
    let proof = sink.place().map(Place::proof).transpose()?.flatten();
    if rotate_if_missing && proof.is_none() {
        return Err(Error::new(Code::Usage, "--rotate-if-missing needs a place that can be looked at")
            .hint("add --secret-file PATH, or --env-file PATH with --env-name NAME"));
    }
    let mut store = session.create_store()?;
    let Some(key) = store.find(name.as_str())?.filter(|key| key.name == *name) else {
        let sink = over_a_leftover(sink, proof.as_ref(), |id| Ok(store.presented(id)?.is_none()))?;
        check(session, &sink)?;
        let wanted = settings.patch(session.now())?.apply(&session.default_settings(&store)?);
        return mint_key(session, &mut store, name, &wanted, None, &sink).map(drop);
    };
    let patch = settings.patch_for(&key, session.now())?;
    let change = |changes: &Changes<'_>| {
        let present = changes.key(&key.id)?.ok_or_else(|| StoreError::KeyGone(key.name.clone()))?;
        changes.update_key(&present, name, &patch.apply(&present.settings))
    };
    let (after, outcome) = match held(&store, &key, proof.as_ref(), session)? {
        Held::Good => {
            let after = store.write(session.stamp(), change)?;
            let outcome = if after.settings == key.settings { Outcome::Unchanged } else { Outcome::Updated };
            (after, outcome)
        }
        Held::Staged(secret) => {
            let finish = |changes: &Changes<'_>| changes.promote_secret(&change(changes)?, &secret);
            (store.write(session.stamp(), finish)?, Outcome::Rotated)
        }
        Held::Bad(why) if rotate_if_missing => {
            let sink = over_a_leftover(sink, proof.as_ref(), |_| Ok(true))?;
            check(session, &sink)?;
            session.terminal.note(&why);
            let after =
                rotate_key(session, &mut store, &key, Duration::default(), &sink, |changes| Ok(change(changes)?))?;
            tell(session, &key, &after, Outcome::Rotated, &patch);
            return Ok(());
        }
        Held::Bad(why) => {
            return Err(Error::new(Code::Conflict, why)
                .hint("nothing was changed; to put a new secret there, which stops the old one: --rotate-if-missing"));
        }
    };
    tell(session, &key, &after, outcome, &patch);
    if session.json() { print_outcome(session, &after, outcome) } else { Ok(()) }
}

fn tell(session: &mut Session, before: &Key, after: &Key, outcome: Outcome, patch: &SettingsPatch) {
    let name = &after.name;
    let changed = changes(name, &before.settings, name, &patch.apply(&before.settings));
    let lines = if changed.is_empty() { changed } else { format!("\n{changed}") };
    session.terminal.note(&match outcome {
        Outcome::Unchanged => format!("the key {name} is as it was: nothing differs"),
        Outcome::Rotated => format!("rotated the key {name}; the old secret no longer works{lines}"),
        _ => format!("changed the key {name}{lines}"),
    });
}

/// The sink, which may replace what is in its file where that is nothing but a secret that `may_go`.
fn over_a_leftover(
    sink: Sink,
    proof: Option<&Proof>,
    may_go: impl Fn(&Id) -> Result<bool, Error>,
) -> Result<Sink, Error> {
    let Sink::Place(Place::File { path, existing: Existing::Refuse }) = sink else { return Ok(sink) };
    let existing = match proof {
        Some(Proof::Nothing) => Existing::Only(Zeroizing::default()),
        Some(Proof::Secret { secret, content }) if may_go(secret.id())? => Existing::Only(content.clone()),
        _ => Existing::Refuse,
    };
    Ok(Sink::Place(Place::File { path, existing }))
}

fn check(session: &Session, sink: &Sink) -> Result<(), Error> {
    sink.place().map_or(Ok(()), |place| place.check(session))
}

/// Whether what is in the place is a secret of this key that works. Costs one Argon2id.
fn held(store: &Store, key: &Key, proof: Option<&Proof>, session: &Session) -> Result<Held, Error> {
    let secret = match proof {
        None => return Ok(Held::Good),
        Some(Proof::Nothing) => return Ok(Held::Bad(format!("there is no secret of the key {} there", key.name))),
        Some(Proof::SomethingElse) => {
            return Ok(Held::Bad(format!("what is there is no secret of the key {}", key.name)));
        }
        Some(Proof::Secret { secret, .. }) => secret,
    };
    let Some(found) = store.presented(secret.id())? else {
        return Ok(Held::Bad(format!("what is there is the secret of no key, and of {} neither", key.name)));
    };
    if found.key.id != key.id {
        return Ok(Held::Bad(format!("what is there is a secret of the key {}, not of {}", found.key.name, key.name)));
    }
    let is_retired = found.retired_at.is_some_and(|end| end <= session.now());
    if is_retired || !found.hash.matches(secret).map_err(VerifyError::from)? {
        return Ok(Held::Bad(format!("what is there is no secret of the key {} that works", key.name)));
    }
    let is_staged = key.secrets.iter().any(|known| known.id == *secret.id() && known.is_staged());
    Ok(if is_staged { Held::Staged(secret.id().clone()) } else { Held::Good })
}
