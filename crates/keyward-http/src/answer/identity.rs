//! What a service is told of an allowed key, in headers that are always all there.
//!
//! A header that is missing or empty would let some proxies pass on the client's own of the same name (Caddy did, from
//! 2.10.0 on: GHSA-7r4p-vjf4-gxv4). So each of them has a value, and `-` stands for none.

use http::header::{HeaderMap, HeaderValue};
use keyward_core::rules::key::Key;

use crate::policy::{Identity, Policy};

/// Stands for none.
const NONE: &str = "-";

/// The value of one thing; `None` where it cannot be told without reading as something else.
fn value(identity: Identity, key: &Key, policy: &Policy) -> Option<HeaderValue> {
    let settings = &key.settings;
    let one = |text: Option<&str>| match text {
        None => Some(HeaderValue::from_static(NONE)),
        Some(NONE | "") => None,
        Some(text) => HeaderValue::from_str(text).ok(),
    };
    match identity {
        Identity::Id => one(Some(key.id.as_str())),
        Identity::Name => one(Some(key.name.as_str())),
        Identity::Owner => one(settings.owner.as_ref().map(AsRef::as_ref)),
        Identity::Tenant => one(settings.tenant.as_ref().map(AsRef::as_ref)),
        Identity::Role => one(key.effective_role().map(|(role, _)| role.as_str())),
        Identity::Group => one(settings.group.as_ref().map(AsRef::as_ref)),
        Identity::Scopes => list(&settings.scopes),
        Identity::Levels => list(&settings.levels),
        Identity::Policy => one(Some(policy.name.as_str())),
    }
}

/// Neither scopes nor levels hold a comma.
fn list<'i, T: AsRef<str> + 'i>(items: impl IntoIterator<Item = &'i T>) -> Option<HeaderValue> {
    let text = items.into_iter().map(AsRef::as_ref).collect::<Vec<_>>().join(",");
    match text.as_str() {
        "" => Some(HeaderValue::from_static(NONE)),
        NONE => None,
        text => HeaderValue::from_str(text).ok(),
    }
}

/// Writes what the policy tells. Returns whether all of it could be told.
pub(super) fn write(key: &Key, policy: &Policy, headers: &mut HeaderMap) -> bool {
    policy
        .headers
        .iter()
        .all(|identity| value(*identity, key, policy).map(|value| headers.insert(identity.header(), value)).is_some())
}
