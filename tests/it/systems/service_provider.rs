//! A service provider's console: keys that belong to a company's user, and live as long as the user.

use serde_json::{Value, json};

use super::capture::Call;
use super::story::{Story, assert_fields, text};

/// The console's API is called over TLS, for one company's data.
const CONTEXT: &str = "--transport https --tenant initech";

fn bearer(method: &str, secret: &str) -> Call {
    Call::new(method, "/api/v2/identities").header("Authorization", format!("Bearer {secret}"))
}

/// Mints a key as the console's API does, with one document. Returns the document and the secret.
fn identity(story: &Story, line: &str) -> (Value, String) {
    let document = story.json(&format!("create {line}"));
    let secret = story.note_secret(text(&document["secret"]));
    (document, secret)
}

#[test]
#[ignore = "needs curl and python3-requests"]
fn the_story_of_a_user_s_keys() {
    let story = Story::begin();
    story.run_well("tenant create initech --description 'Initech Ltd'");
    story.run_well("tenant create hooli");
    story.run_well("user create peter@initech.example --role editor --tenant initech");
    story.run_well("user create milton@initech.example --role editor --tenant initech");

    let secrets = creation(&story);
    scopes(&story, &secrets);
    read_only_access(&story, &secrets);
    temporary_stops(&story, &secrets);
    the_company(&story, &secrets);
    permanent_stops(&story, &secrets);
    story.end();
}

/// Peter's reading key, Peter's writing key, and Milton's.
struct Secrets {
    reader: String,
    writer: String,
    other: String,
}

/// The answer to creation contains everything the console shows, and the key itself this once.
fn creation(story: &Story) -> Secrets {
    let line = "reader --as peter@initech.example --description 'nightly report' --scope rest,ui --read-only";
    let (document, reader) = identity(story, line);
    let key = &document["key"];
    let expected = json!({
        "name": "reader", "owner": "peter@initech.example", "tenant": "initech", "description": "nightly report",
        "read_only": true, "scopes": ["rest", "ui"], "enabled": true, "state": "active",
        "created_by": "peter@initech.example", "expires_at": null,
    });
    assert_fields(key, expected);
    assert_eq!((text(&key["id"]).len(), text(&key["created_at"]).ends_with('Z')), (12, true));
    assert_eq!(document["outcome"], "created");
    assert_eq!(story.key("reader"), *key, "afterwards everything is known but the secret");

    let owned = "--owner peter@initech.example --tenant initech";
    let (_, writer) = identity(story, &format!("writer {owned} --scope rest --scope integration"));
    let (_, other) = identity(story, "other --owner milton@initech.example --tenant initech --scope ui");
    assert_eq!(story.listed("--owner peter@initech.example"), "reader writer");
    assert_eq!(story.listed("--tenant initech --scope rest"), "reader writer");
    story.refused("create x --owner nobody", "not_found");
    story.refused("create x --tenant nowhere", "not_found");
    Secrets { reader, writer, other }
}

fn scopes(story: &Story, secrets: &Secrets) {
    for (secret, scope, reason) in [
        (&secrets.reader, "--scope rest", "allowed"),
        (&secrets.reader, "--scope rest --scope ui", "allowed"),
        (&secrets.reader, "--scope integration", "scope_missing"),
        (&secrets.writer, "--scope rest,integration", "allowed"),
        (&secrets.writer, "--scope rest,ui", "scope_missing"),
        (&secrets.other, "--scope ui", "allowed"),
        (&secrets.other, "--scope REST", "scope_missing"),
    ] {
        let told = story.told_by_each(&format!("{CONTEXT} {scope}"), &bearer("GET", secret));
        assert_eq!(told, format!("bearer: {reason}"), "{scope}");
    }
    let told = story.told("--scope integration", &bearer("POST", &secrets.reader));
    assert_eq!(told, "bearer: insecure_transport tenant_mismatch method_not_allowed scope_missing");
    story.run_well("edit other --scope ui,rest");
    assert_eq!(story.told(&format!("{CONTEXT} --scope rest"), &bearer("GET", &secrets.other)), "bearer: allowed");
}

/// The method is the one in the request line; no header overrides it.
fn read_only_access(story: &Story, secrets: &Secrets) {
    for (method, reason) in [
        ("GET", "allowed"),
        ("HEAD", "allowed"),
        ("OPTIONS", "allowed"),
        ("POST", "method_not_allowed"),
        ("PUT", "method_not_allowed"),
        ("PATCH", "method_not_allowed"),
        ("DELETE", "method_not_allowed"),
    ] {
        let told = story.told_by_each(CONTEXT, &bearer(method, &secrets.reader));
        assert_eq!(told, format!("bearer: {reason}"), "{method}");
        assert_eq!(story.told(CONTEXT, &bearer(method, &secrets.writer)), "bearer: allowed", "{method}");
    }
    let disguised = bearer("POST", &secrets.reader).header("X-HTTP-Method-Override", "GET");
    assert_eq!(story.told_by_each(CONTEXT, &disguised), "bearer: method_not_allowed");
    story.run_well("edit reader --read-write");
    assert_eq!(story.told(CONTEXT, &bearer("POST", &secrets.reader)), "bearer: allowed");
    story.run_well("edit reader --read-only");
    assert_eq!(story.told(CONTEXT, &bearer("POST", &secrets.reader)), "bearer: method_not_allowed");
}

/// A key can be stopped for a while; so can all of a user's keys at once.
fn temporary_stops(story: &Story, secrets: &Secrets) {
    let calls = [&secrets.reader, &secrets.writer, &secrets.other].map(|secret| bearer("GET", secret));
    let assert_told = |reasons: [&str; 3]| {
        for (call, reason) in calls.iter().zip(reasons) {
            assert_eq!(story.told_by_each(CONTEXT, call), format!("bearer: {reason}"));
        }
    };
    story.run_well("disable writer");
    assert_told(["allowed", "key_disabled", "allowed"]);
    assert_eq!(
        (story.listed("--state disabled"), story.key("writer")["enabled"].clone()),
        ("writer".into(), false.into())
    );

    let said = story.run_well("user disable peter@initech.example").stderr;
    assert!(said.contains("2 keys"), "{said}");
    assert_told(["owner_disabled", "key_disabled owner_disabled", "allowed"]);
    assert_eq!(
        (story.listed("--state suspended"), text(&story.key("reader")["state"])),
        ("reader".into(), "suspended")
    );
    story.refused("create again --as peter@initech.example", "not_permitted");
    let said = story.run("verify --tenant initech --no-record", secrets.reader.as_bytes());
    assert!(said.stdout.contains("keyward user enable peter@initech.example"), "{said}");

    // Ending one stop does not end the other.
    story.run_well("user enable peter@initech.example");
    assert_told(["allowed", "key_disabled", "allowed"]);
    story.run_well("enable writer");
    assert_told(["allowed", "allowed", "allowed"]);
}

/// A company's keys work for its own data, whatever the company is called.
fn the_company(story: &Story, secrets: &Secrets) {
    let call = bearer("GET", &secrets.reader);
    assert_eq!(story.told_by_each("--transport https --tenant hooli", &call), "bearer: tenant_mismatch");
    assert_eq!(story.told("--transport https", &call), "bearer: tenant_mismatch", "nobody said whose data it is");
    story.run_well("tenant disable initech");
    assert_eq!(story.told_by_each(CONTEXT, &call), "bearer: tenant_disabled");
    story.run_well("tenant enable initech");

    story.run_well("tenant edit initech --name initrode");
    story.run_well("user edit peter@initech.example --name peter@initrode.example");
    assert_fields(&story.key("reader"), json!({"tenant": "initrode", "owner": "peter@initrode.example"}));
    assert_eq!(story.json("user show milton@initech.example")["tenant"], "initrode");
    assert_eq!(story.told_by_each("--transport https --tenant initrode", &call), "bearer: allowed");
    assert_eq!(story.told(CONTEXT, &call), "bearer: tenant_mismatch");
    story.run_well("tenant edit initrode --name initech");
}

/// Deletion is permanent: of a key; of a user with all keys; never of a user without confirmation.
fn permanent_stops(story: &Story, secrets: &Secrets) {
    let [reader, writer, other] =
        [&secrets.reader, &secrets.writer, &secrets.other].map(|secret| bearer("GET", secret));
    story.run_well("delete writer --yes");
    assert_eq!(story.told_by_each(CONTEXT, &writer), "bearer: not_genuine");
    assert_eq!(story.told_by_each(CONTEXT, &reader), "bearer: allowed");

    let (_, second) = identity(story, "second --as peter@initrode.example");
    let said = story.refused("user delete peter@initrode.example", "in_use");
    assert!(said.contains("2 keys"), "{said}");
    story.refused("user delete peter@initrode.example --with-keys", "confirmation_required");
    let deleted = story.json("user delete peter@initrode.example --with-keys --yes");
    assert_fields(&deleted, json!({"outcome": "deleted", "deleted_keys": 2}));
    for call in [&reader, &bearer("GET", &second)] {
        assert_eq!(story.told_by_each(CONTEXT, call), "bearer: not_genuine");
    }
    assert_eq!((story.listed(""), story.told_by_each(CONTEXT, &other)), ("other".into(), "bearer: allowed".into()));
    // A later user of the same name gets none of it back.
    story.run_well("user create peter@initrode.example --role editor --tenant initech");
    assert_eq!(story.told(CONTEXT, &reader), "bearer: not_genuine");
    let history = story.run_well("history reader").stdout;
    assert!(history.contains("key.create") && history.contains("key.delete"), "{history}");
}
