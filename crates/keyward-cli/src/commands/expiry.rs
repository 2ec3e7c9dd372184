//! What is reported about the end of a key and of its old secret: in words, and as the `warnings` of a document.

use jiff::Timestamp;

use crate::error::Error;
use crate::session::Session;
use keyward_core::rules::key::Key;
use keyward_core::rules::time::{Duration, relative, rfc3339};
use keyward_core::store::Store;

/// The warning for a key whose end had to be cut.
pub const EXPIRY_CUT: &str = "expiry_cut";
/// The warning for a grace period that ends with its key.
pub const GRACE_CUT: &str = "grace_cut";
/// The warning for a new key that expires in under an hour.
pub const EXPIRES_SOON: &str = "expires_soon";

/// The warnings that apply.
pub fn applying(warnings: &[(bool, &'static str)]) -> Vec<&'static str> {
    warnings.iter().filter(|(applies, _)| *applies).map(|(_, warning)| *warning).collect()
}

/// Whether a key expires in under an hour.
pub fn expires_soon(key: &Key, now: Timestamp) -> bool {
    key.settings.expires_at.is_some_and(|end| end.as_second() - now.as_second() < HOUR)
}

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

/// Says what was cut, as in the warnings of a document.
///
/// # Errors
/// If the store cannot be read.
pub fn tell_cuts(
    session: &mut Session,
    store: &Store,
    key: &Key,
    grace: Duration,
    warnings: &[&'static str],
) -> Result<(), Error> {
    let (name, Some(end)) = (&key.name, key.settings.expires_at) else { return Ok(()) };
    if warnings.contains(&EXPIRY_CUT)
        && let Some(max) = store.view()?.settings()?.max_lifetime
    {
        session.terminal.warn(&format!("max-lifetime is {max}, so {name} expires at {}", rfc3339(end)));
    }
    if warnings.contains(&GRACE_CUT) {
        session.terminal.warn(&if end > session.now() {
            format!("{name} expires then, so the grace is shorter than {grace}")
        } else {
            format!("{name} has expired, so there is no grace")
        });
    }
    Ok(())
}

/// Says when a key expires, or that it never does, whether a person or the store decided that. Less than an hour may be
/// a mistake.
pub fn tell_expiry(session: &mut Session, key: &Key) {
    let Some(end) = key.settings.expires_at else { return session.terminal.note("it never expires") };
    let (now, time) = (session.now(), rfc3339(end).to_string());
    if expires_soon(key, now) {
        return session.terminal.warn(&format!("it expires {} ({time})", relative(end, now)));
    }
    let left = end.as_second() - now.as_second();
    session.terminal.note(&if left < 2 * DAY {
        format!("it expires {} ({time})", relative(end, now))
    } else {
        let date = time.split('T').next().unwrap_or_default();
        format!("it expires in {} days ({date})", (left + DAY / 2) / DAY)
    });
}
