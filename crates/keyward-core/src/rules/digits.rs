//! The digits that public ids and secrets are written with. Whoever makes a secret and whoever looks for one that stands
//! where it should not know them both.

/// The digits of a public id: lower-case Crockford base32, without i, l, o and u.
pub(super) const CROCKFORD: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// The digits of everything else in a secret, the least first.
pub(super) const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// How many digits a public id has.
pub(super) const ID_DIGITS: usize = 12;

/// What follows a public id between underscores, if `bytes` begin with one.
pub(super) fn behind_id(bytes: &[u8]) -> Option<&[u8]> {
    let (id, rest) = bytes.strip_prefix(b"_")?.split_at_checked(ID_DIGITS)?;
    if id.iter().all(|byte| CROCKFORD.contains(byte)) { rest.strip_prefix(b"_") } else { None }
}
