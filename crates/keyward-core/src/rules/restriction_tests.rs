//! What was refused stays refused, according to the decision itself.

use proptest::prelude::*;
use proptest::sample::subsequence;

use super::*;
use crate::rules::decision::decide;
use crate::rules::decision::tests::{NOW, build, secret};
use crate::rules::key::tests::at;

const RESTRICTIONS: [&str; 24] = [
    "disabled",
    "expires=900",
    "expires=1001",
    "expires=2000",
    "owner=ann",
    "owner=ben",
    "owner-disabled",
    "tenant=acme",
    "tenant=other",
    "tenant-disabled",
    "insecure",
    "ip=10.0.0.0/8",
    "ip=10.1.0.0/16",
    "ip=192.0.2.1",
    "read-only",
    "scope=rest",
    "scope=ui",
    "level=A",
    "level=A/B",
    "level=C",
    "role=viewer",
    "role=editor",
    "role=admin",
    "secure",
];

const REQUESTS: [&str; 17] = [
    "method=GET",
    "method=POST",
    "ip=10.1.2.3",
    "ip=10.9.9.9",
    "ip=192.0.2.1",
    "ip=2001:db8::1",
    "tenant=acme",
    "tenant=other",
    "scope=rest",
    "scope=ui",
    "level=A",
    "level=A/B",
    "level=C",
    "role=viewer",
    "role=admin",
    "transport=http",
    "transport=https",
];

/// The key with the merged settings and the current directory.
fn restored(before: &Key, now: &Key) -> Key {
    let mut key = before.clone();
    key.settings = as_strict(before, now);
    let of_role = if key.settings.role == now.settings.role { now } else { before };
    key.standing.rank = of_role.standing.rank;
    let of_owner = if key.settings.owner == now.settings.owner { now } else { before };
    key.standing.owner_enabled = of_owner.standing.owner_enabled;
    key.standing.owner_role.clone_from(&of_owner.standing.owner_role);
    let of_tenant = if key.settings.tenant == now.settings.tenant { now } else { before };
    key.standing.tenant_enabled = of_tenant.standing.tenant_enabled;
    key
}

fn words(all: &'static [&'static str], most: usize) -> impl Strategy<Value = String> {
    subsequence(all, 0..=most).prop_map(|words| words.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn what_was_refused_since_is_refused_again(
        before in words(&RESTRICTIONS, 8), later in words(&RESTRICTIONS, 8), request in words(&REQUESTS, 6),
    ) {
        let ((before, request), (later, _)) = (build(&before, &request), build(&later, ""));
        let restored = restored(&before, &later);
        let allowed = |key: &Key| decide(key, &secret(None), &request, at(NOW)).is_allowed();
        prop_assert!(allowed(&later) || !allowed(&restored), "{:?}", restored.settings);
    }

    #[test]
    fn what_was_not_restricted_is_as_it_was(before in words(&RESTRICTIONS, 8)) {
        let (before, _) = build(&before, "");
        prop_assert_eq!(as_strict(&before, &before), before.settings);
    }
}

#[test]
fn only_what_refuses_something_is_changed_again() {
    for (before, later, expected) in [
        ("read-only", "", "read-only"),
        ("", "read-only", "read-only"),
        ("scope=rest", "scope=rest scope=ui", "scope=rest"),
        ("scope=rest scope=ui", "scope=rest", "scope=rest"),
        ("scope=rest", "scope=ui", "scope=ui"),
        ("ip=10.1.0.0/16", "ip=10.0.0.0/8", "ip=10.1.0.0/16"),
        ("ip=10.0.0.0/8", "ip=10.1.0.0/16", "ip=10.1.0.0/16"),
        ("ip=10.0.0.0/8", "", "ip=10.0.0.0/8"),
        ("", "ip=10.0.0.0/8", "ip=10.0.0.0/8"),
        ("level=A/B", "level=A", "level=A"),
        ("level=A", "level=A/B", "level=A"),
        ("expires=2000", "", "expires=2000"),
        ("expires=2000", "expires=1001", "expires=1001"),
        ("", "expires=2000", "expires=2000"),
        ("tenant=acme", "", "tenant=acme"),
        ("tenant=acme", "tenant=other", "tenant=other"),
        ("role=viewer", "role=admin", "role=viewer"),
        ("role=admin", "role=viewer", "role=viewer"),
        ("role=admin", "", ""),
        ("disabled", "", "disabled"),
        ("owner=ann", "owner=ben", "owner=ann"),
        ("insecure", "secure", "secure"),
        ("secure", "insecure", "secure"),
    ] {
        let key = |words: &str| build(words, "").0;
        assert_eq!(as_strict(&key(before), &key(later)), key(expected).settings, "{before} -> {later}");
    }
}
