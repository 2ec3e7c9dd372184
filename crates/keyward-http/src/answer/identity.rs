//! What a service is told about an allowed key, in headers that are always present.
//!
//! If a header is missing or empty, some proxies pass on the client's own header of that name (Caddy did, from 2.10.0
//! on: GHSA-7r4p-vjf4-gxv4). So each of them has a value, and `-` means none.

use http::header::{HeaderMap, HeaderValue};
use keyward_core::rules::key::Key;

use crate::policy::{Identity, Policy};

/// Means none.
const NONE: &str = "-";

/// The value of one field; `None` if it could be mistaken for something else.
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

/// Neither scopes nor levels contain a comma.
fn list<'i, T: AsRef<str> + 'i>(items: impl IntoIterator<Item = &'i T>) -> Option<HeaderValue> {
    let text = items.into_iter().map(AsRef::as_ref).collect::<Vec<_>>().join(",");
    match text.as_str() {
        "" => Some(HeaderValue::from_static(NONE)),
        NONE => None,
        text => HeaderValue::from_str(text).ok(),
    }
}

/// Writes the headers of the policy. Returns whether all of them could be written.
pub(super) fn write(key: &Key, policy: &Policy, headers: &mut HeaderMap) -> bool {
    policy
        .headers
        .iter()
        .all(|identity| value(*identity, key, policy).map(|value| headers.insert(identity.header(), value)).is_some())
}
