//! `keyward store init`

use crate::error::{Error, Exit};
use crate::session::Session;

/// Makes the store in the database that was named.
///
/// # Errors
/// Where it cannot be made, or something is there.
pub(super) fn run(session: &mut Session) -> Result<Exit, Error> {
    let store = session.found_store()?;
    session.terminal.note(&format!("made a new store: {}", store.path().display()));
    Ok(Exit::DONE)
}
