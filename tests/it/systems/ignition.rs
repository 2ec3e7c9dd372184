//! Ignition Gateway: API keys with security levels, sent as `name:key`.

use serde_json::json;

use super::capture::Call;
use super::story::{Story, assert_fields, text};
use crate::pty::Screen;

const HTTPS: &str = "--transport https";

fn token(credential: &str) -> Call {
    Call::get("/data/api/v1/projects").header("X-Ignition-API-Token", credential)
}

fn bearer(credential: &str) -> Call {
    Call::get("/data/api/v1/projects").header("Authorization", format!("Bearer {credential}"))
}

/// Fills in the form in a terminal; returns the screen, and the secret that it shows.
fn form(story: &Story, line: &str) -> (Screen, String) {
    let screen = Screen::start(&story.sandbox.store(), line, 100);
    screen.wait_for("I have stored it");
    let secret = screen.text().lines().find(|line| line.starts_with("kw_")).unwrap().to_owned();
    (screen, secret)
}

#[test]
#[ignore = "needs curl and python3-requests"]
fn the_story_of_a_gateway_key() {
    let story = Story::begin();
    let secret = creation(&story);
    use_by_clients(&story, &secret);
    security_levels(&story, &secret);
    plain_http(&story, &secret);
    list_and_edit(&story, &secret);
    duplicate_as_new_key(&story, &secret);
    deletion(&story, &secret);
    story.end();
}

/// Only people with write permission create keys, and none exists before "I have stored my API key".
fn creation(story: &Story) -> String {
    story.run_well("user create operator --role viewer");
    story.run_well("user create engineer --role admin");
    for (who, says) in [("operator", "acts as viewer"), ("visitor", "there is no user visitor")] {
        let said = story.refused(&format!("create historian --as {who}"), "not_permitted");
        assert!(said.contains(says), "{said}");
    }

    let line = "create historian --as engineer --level Authenticated/Roles/Administrator --description=trends";
    let (mut screen, discarded) = form(story, line);
    screen.press("\x1b");
    assert_eq!((screen.end(), story.listed("")), (5, String::new()));
    assert_eq!(story.told(HTTPS, &bearer(&discarded)), "bearer: not_genuine");

    let (mut screen, secret) = form(story, line);
    assert!(screen.text().contains(&format!("Authorization: Bearer historian:{secret}")));
    assert_eq!(story.listed(""), "", "not before somebody said that it is stored");
    screen.press("\r");
    assert_eq!(screen.end(), 0);
    screen.assert_restored();
    assert!(!screen.scrollback().contains(&secret[16..40]));
    story.note_secret(&secret);

    let key = story.key("historian");
    let expected = json!({
        "description": "trends", "levels": ["Authenticated/Roles/Administrator"], "require_secure": true,
        "enabled": true, "owner": "engineer", "created_by": "engineer", "use_count": 0,
    });
    assert_fields(&key, expected);
    let said = story.refused("create historian --level Authenticated", "name_taken");
    assert!(said.contains("historian"), "{said}");
    secret
}

fn use_by_clients(story: &Story, secret: &str) {
    let named = format!("historian:{secret}");
    for (header, value, told) in [
        ("Authorization", format!("Bearer {named}"), "bearer_named: allowed"),
        ("authorization", format!("bearer {named}"), "bearer_named: allowed"),
        ("AUTHORIZATION", format!("BEARER  {named}"), "bearer_named: allowed"),
        ("Authorization", format!("Bearer {secret}"), "bearer: allowed"),
        ("X-Ignition-API-Token", named.clone(), "x_ignition_api_token: allowed"),
        ("x-ignition-api-token", named.clone(), "x_ignition_api_token: allowed"),
        ("X-IGNITION-API-TOKEN", named.clone(), "x_ignition_api_token: allowed"),
        // The older header has always carried the name; without a name, it is malformed.
        ("X-Ignition-API-Token", secret.to_owned(), "none: malformed"),
    ] {
        let call = Call::get("/data/api/v1/projects").header(header, value);
        assert_eq!(story.told_by_each(HTTPS, &call), told, "{header}");
    }
    // A client that moves to the new header may send both for a while.
    let both = bearer(&named).header("X-Ignition-API-Token", &named);
    assert_eq!(story.told_by_each(HTTPS, &both), "bearer_named: allowed");

    let other = story.mint("create scada");
    for name in ["scada", "Historian", "historia", "nobody", ""] {
        let wrong = format!("{name}:{secret}");
        assert_eq!(story.told(HTTPS, &bearer(&wrong)), "bearer_named: not_genuine", "{name}");
        assert_eq!(story.told_by_each(HTTPS, &token(&wrong)), "x_ignition_api_token: not_genuine", "{name}");
    }
    for two in [
        bearer(&named).header("X-Ignition-API-Token", format!("scada:{other}")),
        bearer(&named).header("X-Ignition-API-Token", format!("scada:{secret}")),
    ] {
        assert_eq!(story.told_by_each(HTTPS, &two), "none: ambiguous_credential");
    }
    assert_eq!(story.told(HTTPS, &Call::get("/data/api/v1/projects")), "none: no_credential");
    assert_eq!(story.key("scada")["use_count"], 0);
}

/// Holding a level includes every level above it, and none beside or below it.
fn security_levels(story: &Story, secret: &str) {
    let request = bearer(&format!("historian:{secret}")).by_curl();
    for (level, reason) in [
        ("Authenticated/Roles/Administrator", "allowed"),
        ("Authenticated/Roles", "allowed"),
        ("Authenticated", "allowed"),
        ("Authenticated,Authenticated/Roles", "allowed"),
        ("Authenticated/Roles/Admin", "level_missing"),
        ("Authenticated/Roles/Administrator/Site", "level_missing"),
        ("Authenticated/Roles/Operator", "level_missing"),
        ("authenticated", "level_missing"),
        ("Authenticated,SecurityZones", "level_missing"),
    ] {
        assert_eq!(story.verify(&format!("{HTTPS} --level {level}"), &request).reasons(), reason, "{level}");
    }
}

/// "Require secure connections" is on by default. A proxy that terminates TLS in front of the gateway says so.
fn plain_http(story: &Story, secret: &str) {
    let call = bearer(&format!("historian:{secret}"));
    assert_eq!(story.told_by_each("", &call), "bearer_named: insecure_transport");
    assert_eq!(story.told("--level Site", &call), "bearer_named: insecure_transport level_missing");
    for (proto, reason) in [("https", "allowed"), ("http", "insecure_transport"), ("https, http", "insecure_transport")]
    {
        let passed_on = call.clone().header("X-Forwarded-Proto", proto);
        let verdict = story.told_by_each("--trust-forwarded", &passed_on);
        assert_eq!(verdict, format!("bearer_named: {reason}"), "{proto}");
        assert_eq!(story.told("", &passed_on), "bearer_named: insecure_transport", "nobody said to trust {proto}");
    }
    story.run_well("edit historian --allow-insecure");
    assert_eq!(story.told_by_each("", &call), "bearer_named: allowed");
    story.run_well("edit historian --require-secure");
    assert_eq!(story.told("", &call), "bearer_named: insecure_transport");
}

/// The list shows name, description and creation date; an edit does not change the key's secret.
fn list_and_edit(story: &Story, secret: &str) {
    let table = story.run_well("list").stdout;
    let heading = table.lines().next().unwrap();
    assert!(["NAME", "CREATED", "DESCRIPTION"].iter().all(|column| heading.contains(column)), "{table}");
    assert!(table.lines().any(|row| row.starts_with("historian ") && row.contains("trends")), "{table}");
    assert!(text(&story.json("list")[0]["created_at"]).ends_with('Z'));
    assert_eq!(story.listed("--level Authenticated/Roles"), "historian");

    story.run_well("edit historian --description 'trends and alarms' --add-level 'SecurityZones/Line 1'");
    let key = story.key("historian");
    assert_eq!(key["description"], "trends and alarms");
    assert_eq!(key["levels"], json!(["Authenticated/Roles/Administrator", "SecurityZones/Line 1"]));
    let call = token(&format!("historian:{secret}"));
    let flags = format!("{HTTPS} --level SecurityZones --level 'SecurityZones/Line 1'");
    assert_eq!(story.told_by_each(&flags, &call), "x_ignition_api_token: allowed");
    story.run_well("edit historian --remove-level 'SecurityZones/Line 1'");
    assert_eq!(story.told(&flags, &call), "x_ignition_api_token: level_missing");
}

/// "Duplicate as New Key": all settings, a different name, and a secret of its own.
fn duplicate_as_new_key(story: &Story, secret: &str) {
    let said = story.refused("duplicate historian scada", "name_taken");
    assert!(said.contains("scada"), "{said}");
    let copied = story.mint("duplicate historian historian-2");
    let (original, copy) = (story.key("historian"), story.key("historian-2"));
    for (field, value) in original.as_object().unwrap() {
        match field.as_str() {
            "id" | "name" | "secrets" => assert_ne!(copy[field], *value, "{field}"),
            "created_at" | "created_by" | "updated_at" | "last_used_at" | "use_count" => {}
            _ => assert_eq!(copy[field], *value, "{field}"),
        }
    }
    for (name, key, reason) in [
        ("historian-2", copied.as_str(), "allowed"),
        ("historian", secret, "allowed"),
        ("historian-2", secret, "not_genuine"),
        ("historian", &copied, "not_genuine"),
    ] {
        let told = story.told_by_each(HTTPS, &bearer(&format!("{name}:{key}")));
        assert_eq!(told, format!("bearer_named: {reason}"), "{name}");
    }
}

/// Deleting asks, revokes at once, and cannot be undone; the duplicate is a key of its own.
fn deletion(story: &Story, secret: &str) {
    story.refused("delete historian", "confirmation_required");
    let mut screen = Screen::start(&story.sandbox.store(), "delete historian", 100);
    let uses = story.key("historian")["use_count"].to_string();
    screen.wait_for("to delete it permanently");
    assert!(screen.text().contains(&format!("used {uses} times")), "{}", screen.text());
    screen.press("n\r");
    assert_eq!(screen.end(), 5);
    let call = bearer(&format!("historian:{secret}"));
    assert_eq!(story.told_by_each(HTTPS, &call), "bearer_named: allowed");

    story.run_well("delete historian --yes");
    assert_eq!(story.told_by_each(HTTPS, &call), "bearer_named: not_genuine");
    for line in ["enable historian", "edit historian --description x", "rotate historian", "duplicate historian again"]
    {
        story.refused(line, "not_found");
    }
    assert_eq!(story.listed(""), "historian-2 scada");
    let again = story.mint("create historian --level Authenticated/Roles/Administrator");
    assert_eq!(story.told(HTTPS, &call), "bearer_named: not_genuine", "a new key brings no old one back");
    assert_eq!(story.told(HTTPS, &bearer(&format!("historian:{again}"))), "bearer_named: allowed");
}
