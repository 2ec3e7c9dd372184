//! What a later state of a key refuses that an earlier one allowed.
//!
//! Restoring a backup brings the earlier state back. Permissions removed since then must not come back with it.

use super::key::Key;
use super::setting::Settings;

/// The earlier settings, with every later setting that refuses a request allowed before. Each is taken over whole, as
/// if the later change were made again.
///
/// The rules are those of [`super::decision`]: a test compares the two.
pub fn as_strict(before: &Key, now: &Key) -> Settings {
    let (mut merged, later) = (before.settings.clone(), &now.settings);
    merged.enabled &= later.enabled;
    merged.read_only |= later.read_only;
    merged.require_secure |= later.require_secure;
    merged.expires_at = match (merged.expires_at, later.expires_at) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    };
    let has_address = |network| later.allowed_ips.iter().any(|present| present.includes(network));
    let every_address = merged.allowed_ips.is_empty();
    if !later.allowed_ips.is_empty() && (every_address || !merged.allowed_ips.iter().all(has_address)) {
        merged.allowed_ips.clone_from(&later.allowed_ips);
    }
    if !merged.scopes.is_subset(&later.scopes) {
        merged.scopes.clone_from(&later.scopes);
    }
    if !merged.limits.is_as_strict_as(&later.limits) {
        merged.limits.clone_from(&later.limits);
    }
    if !merged.levels.iter().all(|level| later.levels.iter().any(|present| present.includes(level))) {
        merged.levels.clone_from(&later.levels);
    }
    if later.tenant.is_some() && later.tenant != merged.tenant {
        merged.tenant.clone_from(&later.tenant);
    }
    // The role and the owner belong together: whichever is lower counts.
    let rank = |key: &Key| key.effective_role().map(|(_, rank)| rank);
    let is_stopped = !now.standing.owner_enabled && before.standing.owner_enabled;
    if rank(now) < rank(before) || is_stopped {
        merged.role.clone_from(&later.role);
        merged.owner.clone_from(&later.owner);
    }
    merged
}

#[cfg(test)]
#[path = "restriction_tests.rs"]
mod tests;
