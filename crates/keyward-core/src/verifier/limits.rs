//! Enforces limits: keeps what was used of each, in memory for many requests, or in the transaction of one.
//!
//! A gate keeps what was used in memory, and its recorder writes it down with the uses. Each write merges what others
//! have written: for a rate the later of both times counts, for a quota the sum of both uses. What may break: a store
//! that cannot be written. After the second failed write, limits are no longer checked, and a request that cannot be
//! checked is refused.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use super::reader::Reader;
use super::{Answer, VerifyError};
use crate::rules::decision::Request;
use crate::rules::key::Key;
use crate::rules::limits::{Account, Limit, Limits, Meter, Moment, Reckoning, Whose};
use crate::store::{Changes, MeterId, Presented, StoreError, Subjects, View};

/// How many failed writes stop the checking of limits.
const FAILURES: u32 = 2;
/// How many meters are kept although they were not used since they were written.
const MOST_IDLE: usize = 16_384;

/// The limits that an allowed request counts against, each with the id of its meter.
pub(super) fn of(presented: &Presented, request: &Request) -> Vec<(MeterId, Limit)> {
    let (key, subjects) = (&presented.key, presented.subjects);
    let mut all = vec![];
    if key.settings.limits.is_empty() {
        let policy = |(id, limit)| (MeterId { policy: request.policy.clone(), ..id }, limit);
        all.extend(meters(Whose::Policy, Some(subjects.key), &request.limits).map(policy));
    }
    all.extend(without_policy(key, subjects));
    all
}

/// The limits in the store: those of the key, its owner and its tenant.
fn without_policy(key: &Key, subjects: Subjects) -> impl Iterator<Item = (MeterId, Limit)> {
    let Subjects { key: row, user, tenant } = subjects;
    meters(Whose::Key, Some(row), &key.settings.limits)
        .chain(meters(Whose::User, user, &key.standing.owner_limits))
        .chain(meters(Whose::Tenant, tenant, &key.standing.tenant_limits))
}

fn meters(whose: Whose, subject: Option<i64>, limits: &Limits) -> impl Iterator<Item = (MeterId, Limit)> {
    subject.into_iter().flat_map(move |subject| {
        limits
            .iter()
            .map(move |limit| (MeterId { whose, policy: None, subject, length: limit.period().seconds() }, *limit))
    })
}

/// What is left of each limit of a key, its owner and its tenant, as far as the store knows: a guard writes its counts
/// once a second. The limits of policies are kept elsewhere.
///
/// # Errors
/// If the store cannot be read, or the key is gone.
pub fn standings(view: &View<'_>, key: &Key, now: Timestamp) -> Result<Reckoning, StoreError> {
    let subjects = view.subjects(&key.id)?.ok_or_else(|| StoreError::KeyGone(key.name.clone()))?;
    look(view, &without_policy(key, subjects).collect::<Vec<_>>(), Moment::of(now))
}

/// The key of an answer, if everything else allows the request and it counts against a limit.
pub(super) fn limited<'a>(answer: &'a Answer, request: &Request) -> Option<&'a Presented> {
    let presented = answer.presented().filter(|_| answer.decision.is_allowed())?;
    let (settings, standing) = (&presented.key.settings, &presented.key.standing);
    let limits = [&settings.limits, &request.limits, &standing.owner_limits, &standing.tenant_limits];
    limits.into_iter().any(|limits| !limits.is_empty()).then_some(presented)
}

/// Checks what the store has, and takes nothing.
pub(super) fn look(view: &View<'_>, limits: &[(MeterId, Limit)], now: Moment) -> Result<Reckoning, StoreError> {
    let (accounts, _) = accounts(limits, now, |id, _| view.meter(id))?;
    Ok(Reckoning::look(&accounts, now))
}

/// Takes one of each limit in the transaction of `changes`.
pub(super) fn take(changes: &Changes<'_>, limits: &[(MeterId, Limit)], now: Moment) -> Result<Reckoning, StoreError> {
    let ids: Vec<_> = limits.iter().map(|(id, _)| id).collect();
    let mut found = changes.meters(&ids)?.into_iter();
    let (mut accounts, are_mended) = accounts(limits, now, |_, _| Ok(found.next().unwrap_or_default()))?;
    let reckoning = Reckoning::take(&mut accounts, now);
    let to_write = limits.iter().zip(&accounts).zip(are_mended);
    let to_write = to_write.filter(|(_, is_mended)| reckoning.is_allowed || *is_mended);
    let to_write: Vec<_> = to_write.map(|(((id, _), account), _)| (id, account.meter)).collect();
    changes.save_meters(&to_write)?;
    Ok(reckoning)
}

/// The limits with what was used of them, and which meters were impossible by this clock and were mended.
fn accounts(
    limits: &[(MeterId, Limit)],
    now: Moment,
    mut meter: impl FnMut(&MeterId, &Limit) -> Result<Meter, StoreError>,
) -> Result<(Vec<Account>, Vec<bool>), StoreError> {
    let account = |(id, limit): &(MeterId, Limit)| {
        let read = meter(id, limit)?;
        let meter = limit.mended(read, now);
        Ok((Account { whose: id.whose, limit: *limit, meter }, meter != read))
    };
    limits.iter().map(account).collect()
}

/// What has been used, shared by all users of a gate.
#[derive(Default)]
pub(super) struct Meters {
    state: Mutex<State>,
    failures: AtomicU32,
}

#[derive(Default)]
struct State {
    /// The number of the file that they belong to.
    file: u64,
    meters: HashMap<MeterId, Local>,
}

/// A meter, and how much of it is in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Local {
    limit: Limit,
    meter: Meter,
    /// The number in the store when this was last compared with it.
    stored: u64,
    is_written: bool,
}

/// What is about to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unwritten {
    /// The number of the file that it belongs to.
    pub(super) file: u64,
    meters: Arc<Vec<(MeterId, Local)>>,
}

impl Unwritten {
    pub(super) fn is_empty(&self) -> bool {
        self.meters.is_empty()
    }
}

impl Meters {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Checks the limits of a key that is [`limited`], and takes one of each if that is wanted.
    pub(super) fn reckon(
        &self,
        presented: &Presented,
        request: &Request,
        reader: &Reader,
        now: Moment,
        takes: bool,
    ) -> Result<Reckoning, VerifyError> {
        reader.check_connected()?;
        if takes && self.failures.load(Ordering::Relaxed) >= FAILURES {
            return Err(VerifyError::NotMetered);
        }
        let (limits, file) = (of(presented, request), reader.file());
        // Only for meters that no question needed before: a transaction costs as much as all else here.
        let mut view = None;
        let mut state = self.state();
        if state.file < file {
            *state = State { file, meters: HashMap::new() };
        }
        // A reader of a former file takes nothing from the counts for the current one.
        let takes = takes && state.file == file;
        // For another day or month, others may have written more.
        let is_present = |local: &Local, limit: &Limit| limit.window(now).is_none_or(|mark| mark <= local.meter.mark);
        let (mut accounts, are_mended) = accounts(&limits, now, |id, limit| match state.meters.get(id) {
            Some(local) if is_present(local, limit) => Ok(local.meter),
            _ => match &view {
                Some(view) => View::meter(view, id),
                None => view.insert(reader.view()?).meter(id),
            },
        })?;
        let reckoning = if takes { Reckoning::take(&mut accounts, now) } else { Reckoning::look(&accounts, now) };
        for (((id, limit), account), is_mended) in limits.into_iter().zip(accounts).zip(are_mended) {
            if !takes || !reckoning.is_allowed && !is_mended {
                continue;
            }
            // If it was just read from the store, the stored number is the one before this request.
            let stored = account.meter.used.saturating_sub(reckoning.is_allowed.into());
            let read = Local { limit, meter: account.meter, stored, is_written: false };
            let local = state.meters.entry(id).or_insert(read);
            *local = if is_present(local, &limit) { Local { stored: local.stored, ..read } } else { read };
        }
        Ok(reckoning)
    }

    /// Whether there is something to be written.
    pub(super) fn is_behind(&self) -> bool {
        self.state().meters.values().any(|local| !local.is_written)
    }

    /// What is to be written.
    pub(super) fn unwritten(&self) -> Unwritten {
        let state = self.state();
        let unwritten = state.meters.iter().filter(|(_, local)| !local.is_written);
        let meters = Arc::new(unwritten.map(|(id, local)| (id.clone(), *local)).collect());
        Unwritten { file: state.file, meters }
    }

    /// Writes it, merged with what others have written, and returns the resulting values.
    pub(super) fn write<'u>(
        changes: &Changes<'_>,
        unwritten: &'u Unwritten,
        now: Moment,
    ) -> Result<Vec<(MeterId, Meter)>, StoreError> {
        let ids: Vec<_> = unwritten.meters.iter().map(|(id, _)| id).collect();
        let found = changes.meters(&ids)?;
        let merge = |((id, own), found): (&'u (MeterId, Local), Meter)| {
            (id, merged(own.meter, own.stored, own.limit.mended(found, now), is_quota(id)))
        };
        let merged: Vec<_> = unwritten.meters.iter().zip(found).map(merge).collect();
        changes.save_meters(&merged)?;
        Ok(merged.into_iter().map(|(id, meter)| (id.clone(), meter)).collect())
    }

    /// Records that they were written, with the values in the store now.
    pub(super) fn written(&self, unwritten: &Unwritten, now: Vec<(MeterId, Meter)>) {
        self.failures.store(0, Ordering::Relaxed);
        let mut state = self.state();
        if state.file != unwritten.file {
            return;
        }
        for ((id, before), (_, stored)) in unwritten.meters.iter().zip(now) {
            let Some(local) = state.meters.get_mut(id) else { continue };
            // What was taken during the write is added. For another day or month, nothing was written.
            let is_same = local.meter == before.meter;
            let written = if local.meter.mark == before.meter.mark { before.meter.used } else { local.stored };
            local.meter = merged(local.meter, written, stored, is_quota(id));
            // For a day or month other than the store's, nothing is stored yet.
            let is_present = !is_quota(id) || local.meter.mark == stored.mark;
            (local.stored, local.is_written) = (if is_present { stored.used } else { 0 }, is_same);
        }
        if state.meters.len() > MOST_IDLE {
            state.meters.retain(|_, local| !local.is_written);
        }
    }

    /// Records that they could not be written.
    pub(super) fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// Records that they can never be written.
    pub(super) fn cannot_be_written(&self) {
        self.failures.store(FAILURES, Ordering::Relaxed);
    }
}

fn is_quota(id: &MeterId) -> bool {
    id.length >= 86_400
}

/// Merges two meters: `own`, of which `before` was already in the store, and the stored one.
fn merged(own: Meter, before: u64, stored: Meter, is_quota: bool) -> Meter {
    match (is_quota, own.mark.cmp(&stored.mark)) {
        (true, std::cmp::Ordering::Equal) => {
            Meter { mark: own.mark, used: stored.used.saturating_add(own.used.saturating_sub(before)) }
        }
        (_, std::cmp::Ordering::Less) => stored,
        _ => own,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_of_another_day_while_the_last_one_is_written_is_not_lost() {
        let id = MeterId { whose: Whose::Key, policy: None, subject: 1, length: 86_400 };
        let meters = Meters::default();
        let limit = "100/1d".parse().unwrap();
        let local = |mark, used, stored| Local { limit, meter: Meter { mark, used }, stored, is_written: false };
        let put = |mark, used, stored| {
            meters.state().meters.insert(id.clone(), local(mark, used, stored));
        };
        put(7, 13, 10);
        let unwritten = meters.unwritten();
        put(8, 2, 0);
        meters.written(&unwritten, vec![(id.clone(), Meter { mark: 7, used: 13 })]);
        assert_eq!(*meters.unwritten().meters, [(id.clone(), local(8, 2, 0))]);
        // And what is taken on the same day is added to what others had.
        let unwritten = meters.unwritten();
        put(8, 5, 0);
        meters.written(&unwritten, vec![(id.clone(), Meter { mark: 8, used: 9 })]);
        assert_eq!(*meters.unwritten().meters, [(id, local(8, 12, 9))]);
    }

    #[test]
    fn two_meters_of_one_limit_become_one() {
        let meter = |mark, used| Meter { mark, used };
        // Quotas: this gate has used 3 since it last checked, the other one 4.
        assert_eq!(merged(meter(7, 13), 10, meter(7, 14), true), meter(7, 17));
        // Another day has begun here, or there.
        assert_eq!(merged(meter(8, 3), 0, meter(7, 14), true), meter(8, 3));
        assert_eq!(merged(meter(7, 3), 0, meter(8, 14), true), meter(8, 14));
        // Rates: the later one counts.
        assert_eq!(merged(meter(7, 0), 0, meter(9, 0), false), meter(9, 0));
        assert_eq!(merged(meter(9, 0), 0, meter(7, 0), false), meter(9, 0));
    }
}

#[cfg(test)]
#[path = "limits_model.rs"]
mod model;
