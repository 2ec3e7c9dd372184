//! What a store promises, whatever its engine.
//!
//! Each promise is a function that takes a [`Fixture`] and knows nothing of files: `tests/file.rs` tests what only
//! files have. A new engine needs a fixture and one more line at the end of this file.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends at the first surprise")]

mod changes;
mod costs;
mod damage;
mod filters;
mod history;
mod leases;
#[cfg(feature = "postgres")]
mod postgres;
mod usage;
mod views;

use jiff::Timestamp;
use keyward_core::rules::hashing::{Cost, HashedSecret};
use keyward_core::rules::key::{Key, Settings};
use keyward_core::rules::names::{Name, Prefix};
use keyward_core::rules::token::{Id, Secret};
use keyward_core::rules::usage::Call;
use keyward_core::store::{Changes, NewKey, NewSecret, Stamp, Store, StoreError, Uses};

/// A place for one empty store.
pub(crate) trait Fixture {
    fn new() -> Self;

    /// The store, on a new connection each time.
    fn open(&self) -> Store;

    /// Changes rows as a tool would that ignores keyward and checks no references.
    fn tamper(&self, sql: &str);
}

pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// The second at which the tests act by default.
pub(crate) const NOW: i64 = 1_000;

pub(crate) fn stamp() -> Stamp<'static> {
    Stamp { now: at(NOW), actor: None }
}

/// A made-up secret.
pub(crate) fn secret(byte: u8) -> NewSecret {
    let plain = Secret::build(&Prefix::default(), Id::from_random([byte; 8]), &[byte; 32]);
    NewSecret { id: plain.id().clone(), hash: HashedSecret::new(&plain, [byte; 16], Cost::FLOOR).unwrap() }
}

pub(crate) fn settings() -> Settings {
    Settings::with_prefix(Prefix::default())
}

/// Makes a key whose secret is `secret(byte)`.
pub(crate) fn insert(changes: &Changes<'_>, named: &str, byte: u8) -> Result<Key, StoreError> {
    insert_with(changes, named, byte, &settings())
}

pub(crate) fn insert_with(
    changes: &Changes<'_>,
    named: &str,
    byte: u8,
    settings: &Settings,
) -> Result<Key, StoreError> {
    let (name, id) = (name(named), Id::from_random([byte + 100; 8]));
    changes.insert_key(&NewKey { id: &id, name: &name, settings, secret: &secret(byte) })
}

/// Records an allowed request with the key.
pub(crate) fn use_once(changes: &Changes<'_>, key: &Key) -> Result<(), StoreError> {
    let mut uses = Uses::default();
    uses.add(&key.id, Call::Allowed, changes.now(), None);
    changes.record_uses(&uses)
}

struct File {
    folder: tempfile::TempDir,
}

impl File {
    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("keys.db")
    }
}

impl Fixture for File {
    fn new() -> Self {
        let file = Self { folder: tempfile::tempdir().unwrap() };
        Store::create(&file.path(), at(0)).unwrap();
        file
    }

    fn open(&self) -> Store {
        Store::open(&self.path()).unwrap()
    }

    fn tamper(&self, sql: &str) {
        let conn = rusqlite::Connection::open(self.path()).unwrap();
        conn.execute_batch(&format!("PRAGMA foreign_keys = OFF; {sql}")).unwrap();
    }
}

/// Makes each promise a test of each engine.
macro_rules! promises {
    ($($room:ident: $($promise:ident)+;)+) => {
        mod in_a_file {
            $(mod $room {
                $(#[test]
                fn $promise() {
                    crate::$room::$promise::<crate::File>();
                })+
            })+
        }

        #[cfg(feature = "postgres")]
        mod on_a_server {
            $(mod $room {
                $(#[test]
                #[ignore = "needs postgresql"]
                fn $promise() {
                    crate::$room::$promise::<crate::postgres::OnServer>();
                })+
            })+
        }
    };
}

promises! {
    changes:
        a_failed_change_leaves_nothing_and_a_rehearsal_neither
        a_change_sees_what_was_changed_before_it
        a_setting_that_names_nothing_is_refused
        every_setting_is_read_as_it_was_written
        deleting_a_key_takes_everything_that_hangs_on_it
        a_rotation_has_one_current_secret_at_every_moment
        a_staged_secret_goes_whatever_has_become_of_its_end
        what_is_no_longer_staged_is_not_promoted
        an_announced_secret_is_a_leftover_until_its_key_is_there
        who_acts_may_do_what_their_role_allows
        what_is_in_use_stays_or_goes_with_its_keys;
    costs:
        a_former_cost_ends_with_its_last_hash
        the_former_costs_are_those_of_the_hashes_whatever_is_done;
    usage:
        uses_are_counted_and_the_last_one_stays_the_last
        calls_are_kept_by_key_and_hour
        usage_is_told_by_period_and_by_key
        few_hours_of_many_are_told_alike
        usage_is_kept_as_long_as_it_is_said;
    views:
        a_view_is_of_one_moment
        a_view_hinders_nobody_and_waits_for_nobody
        a_walk_through_all_keys_can_end_early
        another_connection_notices_a_change;
    history:
        the_chain_notices_tampering
        a_check_of_the_history_is_of_one_moment
        the_head_moves_with_every_change_and_with_nothing_else
        events_are_told_in_order_and_filtered;
    filters:
        every_filter_lets_through_what_it_says
        keys_are_counted_by_their_states_a_part_at_a_time
        names_are_completed_from_their_start
        a_time_later_other_keys_have_expired;
    damage:
        nothing_is_decided_or_made_of_a_damaged_key
        a_damaged_key_is_shown_switched_off_and_deleted
        a_row_too_many_is_damage_too
        switching_a_key_touches_nothing_else
        nothing_is_made_of_a_user_whose_role_or_tenant_is_missing;
    leases:
        of_two_who_want_a_name_the_second_is_refused
        a_lease_ends_by_itself_or_is_given_back
        a_lease_of_a_clock_that_went_back_ends_too
        a_lease_keeps_others_from_minting_and_from_nothing_else
        what_was_minted_ends_its_lease
        a_lease_leaves_no_trace_in_the_history
        what_is_tried_out_is_taken_back_and_the_rest_stays;
}
