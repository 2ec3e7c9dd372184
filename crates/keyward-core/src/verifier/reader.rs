//! One connection to the store, with what was read through it and when.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::away::Lost;
use super::claim::Shelf;
use super::epoch::{Commits, Epoch, Staleness, Written};
use super::matches::Matches;
use super::rows::{Row, Rows, State};
use crate::rules::imported::Bucket;
use crate::rules::names::Name;
use crate::rules::token::Id;
use crate::store::{Presented, Store, StoreError, StoreSettings, View, Way};

/// How many ranks of roles are kept: only made-up role names could exceed this.
const MOST_RANKS: usize = 256;

pub(super) struct Reader {
    store: Store,
    /// The number of the file that it reads.
    file: u64,
    epoch: Epoch,
    settings: Arc<StoreSettings>,
    /// Ranks of roles that were asked for.
    ranks: HashMap<Name, Option<i64>>,
    /// The state of the store at the last check.
    state: State,
    /// Whether it has checked the store yet.
    has_looked: bool,
    /// How often the connection to the server had been lost when this one was made.
    pub(super) lost: u64,
    /// Why it can only report what it already knows: its connection was lost.
    pub(super) stale: Option<Lost>,
    /// Held while it is connected, to count the connected readers.
    _count: Option<Arc<()>>,
}

impl Reader {
    /// A counted reader whose connection was made after this many losses of the connections to the server.
    pub(super) fn after(losses: u64, count: &Arc<()>, store: Store, file: u64) -> Result<Self, StoreError> {
        Ok(Self { lost: losses, _count: Some(Arc::clone(count)), ..Self::new(store, file)? })
    }

    /// Learns what others have seen of the store.
    pub(super) fn adopt(&mut self, way: &Way) {
        self.store.adopt(way);
    }

    /// What it still knows when its connection is lost.
    pub(super) fn stale(self, lost: &Lost) -> Self {
        Self { stale: Some(lost.clone()), _count: None, ..self }
    }

    pub(super) fn new(store: Store, file: u64) -> Result<Self, StoreError> {
        let settings = Arc::new(store.view()?.settings()?);
        Ok(Self {
            store,
            file,
            epoch: Epoch::default(),
            settings,
            ranks: HashMap::new(),
            state: State::default(),
            has_looked: false,
            lost: 0,
            stale: None,
            _count: None,
        })
    }

    /// The number of the file that it reads.
    pub(super) fn file(&self) -> u64 {
        self.file
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// What the store holds now.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(super) fn view(&self) -> Result<View<'_>, StoreError> {
        self.check_connected()?;
        self.store.view()
    }

    /// # Errors
    /// The one by which the connection to the server was lost.
    pub(super) fn check_connected(&self) -> Result<(), StoreError> {
        self.stale.as_ref().map_or(Ok(()), |lost| Err(lost.error()))
    }

    pub(super) fn settings(&self) -> &Arc<StoreSettings> {
        &self.settings
    }

    /// The state of the store at the last check.
    pub(super) fn state(&self) -> State {
        self.state
    }

    /// The rank of a role, `None` if there is no such role.
    pub(super) fn rank_of(&mut self, role: &Name) -> Result<Option<i64>, StoreError> {
        if let Some(rank) = self.ranks.get(role) {
            return Ok(*rank);
        }
        let rank = self.view()?.rank_of(role)?;
        if self.ranks.len() < MOST_RANKS {
            self.ranks.insert(role.clone(), rank);
        }
        Ok(rank)
    }

    /// Checks the store. Each reader that sees a change counts it in `changes`, which all readers share: a reader that
    /// has seen the count reads the store after all of those changes.
    ///
    /// # Errors
    /// As [`Store::refresh`].
    pub(super) fn look(&mut self, commits: &Commits, changes: &AtomicU64) -> Result<bool, StoreError> {
        let is_left = self.look_at(commits)?;
        // What a new connection sees first is not a change.
        if !is_left && self.has_looked {
            changes.fetch_add(1, Ordering::SeqCst);
        }
        self.has_looked = true;
        let head = self.store.known_head();
        self.state = State { file: self.file, changes: changes.load(Ordering::SeqCst), head };
        Ok(is_left)
    }

    /// Forgets or updates what was read if the store has changed since, and returns whether any of it is left.
    ///
    /// # Errors
    /// As [`Store::refresh`].
    fn look_at(&mut self, commits: &Commits) -> Result<bool, StoreError> {
        match self.epoch.look(&mut self.store, commits)? {
            Staleness::None => Ok(true),
            Staleness::Counts(all) => {
                // It may have been the last hash with a former cost.
                if all.iter().any(|written| matches!(written, Written::Hashes(_))) {
                    self.read_settings()?;
                }
                Ok(true)
            }
            Staleness::All => {
                self.ranks.clear();
                self.read_settings()?;
                Ok(false)
            }
        }
    }

    fn read_settings(&mut self) -> Result<(), StoreError> {
        match self.store.view().and_then(|view| view.settings()) {
            Ok(settings) => self.settings = Arc::new(settings),
            Err(error) => {
                self.epoch.reset();
                return Err(error);
            }
        }
        Ok(())
    }

    /// The row of the secret with this public id.
    fn row(
        &mut self,
        secret: &Id,
        matches: &Matches,
        rows: &Rows,
        commits: &Commits,
    ) -> Result<Option<Row>, StoreError> {
        if let Some(row) = rows.get(secret, self.state) {
            return Ok(Some(row));
        }
        // Data read while a recorder writes may or may not include its uses.
        let written = Some(rows.commits()).filter(|written| *written == commits.started());
        let Some(presented) = self.view()?.presented_or_damaged(secret)? else { return Ok(None) };
        let row = row(presented, matches);
        if let Some(written) = written.filter(|written| *written == commits.started()) {
            rows.keep(secret, row.clone(), self.state, written);
        }
        Ok(Some(row))
    }

    /// The rows of the imported secrets in this bucket.
    fn in_bucket(
        &mut self,
        bucket: Bucket,
        matches: &Matches,
        rows: &Rows,
        commits: &Commits,
    ) -> Result<Vec<Row>, StoreError> {
        if let Some(rows) = rows.in_bucket(bucket, self.state) {
            return Ok(rows);
        }
        let written = Some(rows.commits()).filter(|written| *written == commits.started());
        let found = self.view()?.in_bucket(bucket)?;
        let found: Vec<_> = found.into_iter().map(|presented| row(presented, matches)).collect();
        if let Some(written) = written.filter(|written| *written == commits.started()) {
            rows.keep_bucket(bucket, &found, self.state, written);
        }
        Ok(found)
    }
}

/// What a reader finds, with what the gate remembers.
pub(super) struct Remembering<'r> {
    pub(super) reader: &'r mut Reader,
    pub(super) matches: &'r Matches,
    pub(super) rows: &'r Rows,
    pub(super) commits: &'r Commits,
}

impl Shelf for Remembering<'_> {
    fn by_id(&mut self, secret: &Id) -> Result<Option<Row>, StoreError> {
        self.reader.row(secret, self.matches, self.rows, self.commits)
    }

    fn in_bucket(&mut self, bucket: Bucket) -> Result<Vec<Row>, StoreError> {
        self.reader.in_bucket(bucket, self.matches, self.rows, self.commits)
    }

    fn of_unknown_text(&mut self, key: &str) -> Result<Vec<Row>, StoreError> {
        let found = self.reader.view()?.of_unknown_text(key)?;
        Ok(found.into_iter().map(|presented| row(presented, self.matches)).collect())
    }

    fn no_lookup_key(&self) -> StoreError {
        self.reader.view().map_or_else(|error| error, |view| view.no_lookup_key())
    }
}

fn row(presented: Presented, matches: &Matches) -> Row {
    Row { seal: Some(matches.seal(&presented.hash)), cost: presented.hash.cost(), presented: Arc::new(presented) }
}
