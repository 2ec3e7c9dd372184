//! Writes the keys of an import in one transaction, and rehearses that with placeholders for the hashes.

use super::input::{Input, changed};
use super::mistakes::Mistakes;
use super::survey::{Survey, other_key};
use crate::error::{Code, Error};
use crate::formats::import::{Given, Record};
use crate::formats::manifest::{end_named, is_over_at_once};
use crate::session::Session;
use crate::words::not_hashed;
use keyward_core::issuer::hash_many;
use keyward_core::rules::authority::Denied;
use keyward_core::rules::hashing::{HashedSecret, Memory, SALT_BYTES};
use keyward_core::rules::imported::{ImportedText, LookupKey};
use keyward_core::rules::token::{ID_BYTES, Id};
use keyward_core::store::{Changes, Imported, Importing, NewKey, NewSecret, Stamp, Store, StoreError};

/// How many texts are hashed in one batch.
const PART: usize = 4_096;

/// Finds the mistakes that only the store knows.
///
/// # Errors
/// If the input or the store cannot be read.
pub(super) fn rehearse(
    session: &mut Session,
    input: &mut Input,
    store: &mut Store,
    survey: &Survey,
    offered: &LookupKey,
    mistakes: &mut Mistakes,
) -> Result<(), Error> {
    if store.is_read_only() {
        return Ok(());
    }
    let stamp = session.stamp();
    store.rehearse(stamp, |changes| {
        let mut import = Records::new(changes, survey, offered)?;
        let mut number = 0_u64;
        input.each(&mut |line| {
            let Ok(record) = line.read else { return Ok(()) };
            if mistakes.is_on(line.number) {
                return Ok(());
            }
            number += 1;
            let ids = [2 * number, 2 * number + 1].map(|number| Id::from_random(number.to_be_bytes()));
            let stand_in = HashedSecret::from_stored(String::new());
            import.take(line.number, &record, ids, Some(stand_in), mistakes)
        })
    })
}

/// The hashes of all texts, in their order.
///
/// # Errors
/// If the input cannot be read, or there is not enough memory for a hash.
pub(super) fn hash(
    session: &mut Session,
    input: &mut Input,
    store: &Store,
    survey: &Survey,
) -> Result<Vec<HashedSecret>, Error> {
    if survey.texts() == 0 {
        return Ok(vec![]);
    }
    let cost = store.view()?.settings()?.hash_cost;
    let mut progress = session.terminal.progress("hashing the secrets", survey.texts());
    let mut done: Vec<HashedSecret> = vec![];
    let mut waiting: Vec<(ImportedText, [u8; SALT_BYTES])> = vec![];
    let mut hash = |waiting: &mut Vec<_>| {
        let before = done.len() as u64;
        let hashed =
            hash_many(waiting, cost, |number| progress.at(before + number)).map_err(|error| not_hashed(&error))?;
        waiting.clear();
        done.extend(hashed);
        Ok::<_, Error>(())
    };
    input.each(&mut |line| {
        if let Ok(Record { secret: Given::Text(text), .. }) = line.read {
            waiting.push((text, session.random()?));
        }
        if waiting.len() == PART { hash(&mut waiting) } else { Ok(()) }
    })?;
    hash(&mut waiting)?;
    Ok(done)
}

/// Writes the keys.
///
/// # Errors
/// If a key has a mistake or the store cannot be written; then no key was written.
pub(super) fn write(
    session: &mut Session,
    input: &mut Input,
    store: &mut Store,
    survey: &Survey,
    offered: &LookupKey,
    hashes: Vec<HashedSecret>,
) -> Result<(), Error> {
    let mut progress = session.terminal.progress("writing the keys", survey.total());
    let (mut mistakes, mut hashes) = (Mistakes::default(), hashes.into_iter());
    let actor = session.stamp().actor.cloned();
    let stamp = Stamp { now: session.now(), actor: actor.as_ref() };
    store.expect_much();
    let written = store.write(stamp, |changes| {
        let mut import = Records::new(changes, survey, offered)?;
        let mut number = 0;
        input.each(&mut |line| {
            let line_number = line.number;
            let Some(record) = mistakes.take(line) else { return Ok(()) };
            let hash = if matches!(record.secret, Given::Text(_)) { hashes.next() } else { None };
            let random = [session.random::<ID_BYTES>()?, session.random()?];
            let ids = random.map(|random| Id::in_order(number, survey.total(), random));
            import.take(line_number, &record, ids, hash, &mut mistakes)?;
            number += 1;
            progress.at(number);
            Ok(())
        })?;
        mistakes.check(input)?;
        Ok(import.keys.end()?)
    });
    session.tell_news(store);
    written
}

/// Records that become keys.
struct Records<'c, 'a> {
    changes: &'a Changes<'c>,
    keys: Importing<'a, 'c>,
    /// Whether the store may have secrets that the survey did not see.
    has_changed: bool,
    memory: Memory,
}

impl<'c, 'a> Records<'c, 'a> {
    fn new(changes: &'a Changes<'c>, survey: &Survey, offered: &LookupKey) -> Result<Self, Error> {
        let has_changed = changes.head()? != survey.head;
        Ok(Self { changes, keys: changes.import(offered)?, has_changed, memory: Memory::default() })
    }

    /// Makes the key of a record. `hash` is the hash of its text, if it came as a text.
    fn take(
        &mut self,
        line: u64,
        record: &Record,
        [id, secret_id]: [Id; 2],
        hash: Option<HashedSecret>,
        mistakes: &mut Mistakes,
    ) -> Result<(), Error> {
        let now = self.changes.now();
        let Record { name, draft, secret } = record;
        if self.has_changed
            && let Some(other) = other_key(self.changes, secret, Some(self.keys.key()), &mut self.memory)?
        {
            mistakes.add(line, Code::NameTaken, format!("the key {other} has this secret already"));
            return Ok(());
        }
        let when = draft.expires.map(|(_, when)| when);
        let end = match end_named(when, self.keys.settings(), now) {
            Ok(end) if is_over_at_once(when, end, now) => Err("expires_at: this time is in the past".to_owned()),
            end => end.map_err(|error| format!("expires_at: {error}")),
        };
        let end = match end {
            Ok(end) => end,
            Err(what) => {
                mistakes.add(line, Code::InvalidValue, what);
                return Ok(());
            }
        };
        let mut settings = draft.settings.clone();
        settings.expires_at = end;
        if !draft.has_prefix {
            settings.prefix.clone_from(&self.keys.settings().prefix);
        }
        let bucket = |sha256: &[u8; 32]| Some(self.keys.key().bucket(sha256));
        let (hash, bucket) = match (secret, hash) {
            (Given::Text(text), Some(hash)) => (hash, bucket(&text.sha256())),
            // There are more texts than were hashed.
            (Given::Text(_), None) => return Err(changed("the input")),
            (Given::Sha256(sha256), _) => (HashedSecret::from_sha256(sha256), bucket(sha256)),
            (Given::Phc(hash), _) => (hash.clone(), None),
        };
        let secret = NewSecret { id: secret_id, hash };
        let new = NewKey { id: &id, name, settings: &settings, secret: &secret };
        let imported = Imported { origin: record.secret.origin(), bucket };
        match self.keys.add(&new, imported) {
            Ok(()) => Ok(()),
            Err(error) if is_about_the_record(&error) => {
                let error = Error::from(error);
                let hints: Vec<_> = error.hints().iter().map(|hint| format!("; {hint}")).collect();
                let what = format!("{}{}", error.message(), hints.concat());
                mistakes.add(line, error.code(), record.hide_secrets_in(what));
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether the error concerns only this record.
fn is_about_the_record(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::NameTaken { .. }
            | StoreError::Reserved { .. }
            | StoreError::ReservedWord { .. }
            | StoreError::NoSuch { .. }
            | StoreError::LivesTooLong { .. }
            | StoreError::Denied(Denied::Ceiling { .. })
    )
}
