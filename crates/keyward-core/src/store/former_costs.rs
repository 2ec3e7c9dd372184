//! The costs of this store's hashes other than its current parameters. A failed verification spends exactly these costs
//! too, so that its duration does not reveal which hash was checked.
//!
//! A cost is on the list as long as any hash has it. To notice when the last one goes without reading all hashes each
//! time, the first row with that cost is remembered. Rows before it have other costs, so when it goes, the search for
//! the next one begins there: all searches together read each row once.

use super::db::Conn;
use super::error::StoreError;
use super::settings;
use crate::rules::hashing::{Cost, HashedSecret};
use crate::rules::token::Id;

/// The name of the setting that holds both lists.
const COSTS: &str = "former_costs";
const ROWS: &str = "former_cost_rows";

/// A cost, and the first row that has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Former {
    pub(super) cost: Cost,
    row: i64,
}

/// Where a search stops.
enum Stop {
    At(i64),
    Failed(StoreError),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

/// The costs of all hashes except `cost`. Reads every secret, so it is used only when the parameters change.
pub(super) fn of_all_but(conn: &Conn, cost: Cost) -> Result<Vec<Former>, StoreError> {
    let mut found: Vec<Former> = vec![];
    conn.each("SELECT id, hash FROM secret ORDER BY id", &[], |row| {
        let own = HashedSecret::from_stored(row.text(1)?.to_owned()).cost();
        if let Some(own) = own.filter(|own| *own != cost && found.iter().all(|former| former.cost != *own)) {
            found.push(Former { cost: own, row: row.integer(0)? });
        }
        Ok::<_, StoreError>(())
    })?;
    Ok(found)
}

/// Replaces the stored list.
pub(super) fn save(conn: &Conn, all: &[Former]) -> Result<(), StoreError> {
    let costs: Vec<_> = all.iter().map(|former| former.cost.to_string()).collect();
    let rows: Vec<_> = all.iter().map(|former| former.row.to_string()).collect();
    for (name, value) in [(COSTS, costs.join(";")), (ROWS, rows.join(";"))] {
        settings::set(conn, name, Some(value.as_str()).filter(|_| !all.is_empty()))?;
    }
    Ok(())
}

/// Adds the cost of a new hash of this secret if the list lacks it. A process that read the parameters before they
/// changed may have computed it.
pub(super) fn meet(conn: &Conn, secret: &Id, hash: &HashedSecret) -> Result<(), StoreError> {
    let Some(cost) = hash.cost() else { return Ok(()) };
    let present = setting(conn, "hash_cost")?.map_or_else(|| Ok(Cost::default()), |text| parse(conn, &text))?;
    if cost == present {
        return Ok(());
    }
    let row = conn.alone("SELECT id FROM secret WHERE public_id = ?1", &[secret.into()], |row| row.integer(0))?;
    let mut all = load(conn)?;
    match all.iter_mut().find(|former| former.cost == cost) {
        Some(former) => former.row = former.row.min(row),
        None => all.push(Former { cost, row }),
    }
    save(conn, &all)
}

/// Called after a hash is deleted or replaced: removes the costs that no hash has any more.
pub(super) fn end(conn: &Conn) -> Result<(), StoreError> {
    let all = load(conn)?;
    let mut left = vec![];
    for former in &all {
        left.extend(first(conn, former.cost, former.row)?.map(|row| Former { row, ..*former }));
    }
    if left == all { Ok(()) } else { save(conn, &left) }
}

/// The first row with this cost, from `row` on.
fn first(conn: &Conn, cost: Cost, row: i64) -> Result<Option<i64>, StoreError> {
    let found = conn.each("SELECT id, hash FROM secret WHERE id >= ?1 ORDER BY id", &[row.into()], |row| {
        match HashedSecret::from_stored(row.text(1)?.to_owned()).cost() {
            Some(own) if own == cost => Err(Stop::At(row.integer(0)?)),
            _ => Ok(()),
        }
    });
    match found {
        Ok(()) => Ok(None),
        Err(Stop::At(row)) => Ok(Some(row)),
        Err(Stop::Failed(error)) => Err(error),
    }
}

/// Reads the list. If it was written without rows, each search begins at the first row.
fn load(conn: &Conn) -> Result<Vec<Former>, StoreError> {
    let Some(costs) = setting(conn, COSTS)? else { return Ok(vec![]) };
    let rows = setting(conn, ROWS)?.unwrap_or_default();
    let mut rows = rows.split(';').map(|row| row.parse().unwrap_or(0));
    costs.split(';').map(|cost| Ok(Former { cost: parse(conn, cost)?, row: rows.next().unwrap_or(0) })).collect()
}

fn setting(conn: &Conn, name: &str) -> Result<Option<String>, StoreError> {
    conn.optional("SELECT value FROM setting WHERE name = ?1", &[name.into()], |row| Ok(row.text(0)?.to_owned()))
}

/// A value that does not parse is damage.
fn parse(conn: &Conn, text: &str) -> Result<Cost, StoreError> {
    let damage = |_| StoreError::Corrupt { path: conn.place().to_owned(), detail: format!("no cost: {text:?}") };
    text.parse().map_err(damage)
}
