//! A gateway API with auth keys: `x-auth-key` and its relatives, in headers or in the query.

use super::capture::{CLIENTS, Call, Client, curl};
use super::story::{Story, assert_fields};

const HTTPS: &str = "--transport https";

#[test]
#[ignore = "needs curl and python3-requests"]
fn the_story_of_an_auth_key() {
    let story = Story::begin();
    let secret = story.mint("create monitoring --description 'polls the device list' --scope read");
    let key = story.key("monitoring");
    assert_fields(&key, serde_json::json!({"require_secure": true, "read_only": false, "scopes": ["read"]}));

    two_real_clients();
    headers(&story, &secret);
    queries(&story, &secret);
    two_at_once(&story, &secret);
    a_store_without_queries(&story, &secret);
    another_secret_and_the_end(&story, &secret);
    story.end();
}

/// Checks which client sent the bytes, and that clients encode what a URL cannot hold.
fn two_real_clients() {
    let requests = Call::get("/api/devices").query("filter", "Gerät & Ort = 1").by_each();
    for (request, agent) in requests.iter().zip(["user-agent: curl/", "user-agent: python-requests/"]) {
        let text = String::from_utf8_lossy(request).to_lowercase();
        assert!(text.contains(agent) && text.contains("filter=ger%c3%a4t") && text.contains("%26"), "{text}");
    }
}

/// Header names are case-insensitive: HTTP says so, and proxies rewrite them.
fn headers(story: &Story, secret: &str) {
    for (header, presentation) in [
        ("x-auth-key", "x_auth_key"),
        ("X-Auth-Key", "x_auth_key"),
        ("X-AUTH-KEY", "x_auth_key"),
        ("x-api-auth", "x_api_auth"),
        ("X-Api-Auth", "x_api_auth"),
        ("X-API-AUTH", "x_api_auth"),
        ("x-api-key", "x_api_key"),
        ("X-API-Key", "x_api_key"),
        ("X-aPi-KeY", "x_api_key"),
    ] {
        let call = Call::get("/api/devices").header(header, secret);
        assert_eq!(story.told_by_each(HTTPS, &call), format!("{presentation}: allowed"), "{header}");
        assert_eq!(story.told(&format!("{HTTPS} --scope write"), &call), format!("{presentation}: scope_missing"));
    }
    let call = Call::get("/api/devices").header("x-auth-key", secret);
    assert_eq!(story.told_by_each("", &call), "x_auth_key: insecure_transport");
    // An HTTP/1.0 client, and a request that writes.
    let header = format!("x-auth-key: {secret}");
    for args in [vec!["--http1.0", "--header", &header], vec!["--data", "name=pump", "--header", &header]] {
        assert_eq!(story.verify(HTTPS, &curl("/api/devices", &args)).told(), "x_auth_key: allowed", "{}", args[0]);
    }
    for (header, told) in [("x-auth-keys", "none: no_credential"), ("auth-key", "none: no_credential")] {
        assert_eq!(story.told_by_each(HTTPS, &Call::get("/api/devices").header(header, secret)), told, "{header}");
    }
    let last = if secret.ends_with('x') { 'y' } else { 'x' };
    let damaged = format!("{}{last}", &secret[..secret.len() - 1]);
    let call = Call::get("/api/devices").header("x-auth-key", damaged);
    assert_eq!(story.told_by_each(HTTPS, &call), "x_auth_key: malformed");
}

/// Allowed but discouraged: URLs end up in histories and access logs.
fn queries(story: &Story, secret: &str) {
    for (name, presentation) in [("_auth_key", "query_auth_key"), ("_api_auth", "query_api_auth")] {
        let allowed = format!("{presentation}: allowed (credential_in_query)");
        for call in [
            Call::get("/api/devices").query(name, secret),
            Call::get("/api/devices?page=2").query("filter", "Gerät & Ort = 1").query(name, secret),
            // What the client has encoded is part of another field's value, not a second credential.
            Call::get("/api/devices").query("next", format!("/x?{name}=kw_other&y#{name}")).query(name, secret),
        ] {
            assert_eq!(story.told_by_each(HTTPS, &call), allowed);
        }
        // By hand, as in the samples; with every character encoded; with a part that the client does not send.
        let encoded = secret.bytes().fold(String::new(), |text, byte| format!("{text}%{byte:02X}"));
        for target in [
            format!("/api/devices?{name}={secret}&page=2"),
            format!("/api/devices?{name}={encoded}"),
            format!("/api/devices?%5F{}={secret}", &name[1..]),
            format!("/api/devices?{name}={secret}#top"),
        ] {
            for client in CLIENTS {
                let request = client.sends(&Call::get(&target));
                assert_eq!(story.verify(HTTPS, &request).told(), allowed, "{client:?}");
            }
        }
        let call = Call::get("/api/devices").query(name, secret);
        assert_eq!(story.told("", &call), format!("{presentation}: insecure_transport (credential_in_query)"));
        // Query field names, unlike header names, must match exactly.
        for other in [name.to_uppercase(), name[1..].to_owned()] {
            let call = Call::get("/api/devices").query(&other, secret);
            assert_eq!(story.told_by_each(HTTPS, &call), "none: no_credential", "{other}");
        }
    }
    let request = Call::get("/api/devices").query("_auth_key", secret).by_curl();
    let said = story.run("verify --request --transport https --no-record", &request);
    assert_eq!(said.code, 0);
    assert!(said.stderr.contains("send it in a header"), "a person is told as well: {said}");
}

/// With two credentials, which one counts would depend on the reader.
fn two_at_once(story: &Story, secret: &str) {
    let other = story.mint("create reports");
    let call = Call::get("/api/devices").header("x-auth-key", secret);
    for two in [
        call.clone().header("x-api-auth", &other),
        call.clone().header("Authorization", format!("Bearer {other}")),
        call.clone().query("_auth_key", &other),
        Call::get("/api/devices").query("_auth_key", secret).query("_api_auth", &other),
        call.clone().login("admin", &other),
        // A valid credential does not excuse an invalid one.
        call.clone().header("x-api-key", "changeme"),
    ] {
        assert_eq!(story.told_by_each(HTTPS, &two), "none: ambiguous_credential");
    }
    // The same credential twice counts as one, however it was sent; an empty header counts as none.
    for same in [call.clone().header("x-api-key", secret), call.header("x-api-auth", "")] {
        assert_eq!(story.verify(HTTPS, &Client::Requests.sends(&same)).told(), "x_auth_key: allowed");
    }
    let repeated = format!("x-auth-key: {secret}");
    let request = curl("/api/devices", &["--header", &repeated, "--header", &repeated]);
    assert_eq!(story.verify(HTTPS, &request).told(), "x_auth_key: allowed");
    assert_eq!(story.key("reports")["use_count"], 0);
}

fn a_store_without_queries(story: &Story, secret: &str) {
    story.run_well("user create auditor --role editor");
    story.refused("settings set query-credentials refuse --as auditor", "not_permitted");
    story.refused("settings set query-credentials never", "invalid_value");
    story.run_well("settings set query-credentials refuse");
    assert_eq!(story.json("settings list")["query_credentials"], false);
    for (name, presentation) in [("_auth_key", "query_auth_key"), ("_api_auth", "query_api_auth")] {
        let call = Call::get("/api/devices").query(name, secret);
        let told = format!("{presentation}: no_credential (credential_in_query)");
        assert_eq!(story.told_by_each(HTTPS, &call), told, "as if there were none");
    }
    let call = Call::get("/api/devices").header("x-auth-key", secret);
    assert_eq!(story.told_by_each(HTTPS, &call), "x_auth_key: allowed");
    // A header as well does not remove it from the access log.
    let both = call.query("_auth_key", secret);
    assert_eq!(story.told_by_each(HTTPS, &both), "x_auth_key: no_credential (credential_in_query)");
    story.run_well("settings set query-credentials allow");
    assert_eq!(story.told(HTTPS, &both), "x_auth_key: allowed (credential_in_query)");
    let call = Call::get("/api/devices").query("_auth_key", secret);
    assert_eq!(story.told(HTTPS, &call), "query_auth_key: allowed (credential_in_query)");
}

/// It was in a URL, so it is in a log: rotate it, then see who still sends the old one.
fn another_secret_and_the_end(story: &Story, secret: &str) {
    let new = story.mint("rotate monitoring --grace 1h");
    let (old, new) =
        (Call::get("/api/devices").query("_auth_key", secret), Call::get("/api/devices").header("x-auth-key", new));
    assert_eq!(story.told_by_each(HTTPS, &old), "query_auth_key: allowed (credential_in_query)");
    assert_eq!(story.told_by_each(HTTPS, &new), "x_auth_key: allowed");
    let newest = Call::get("/api/devices").header("x-auth-key", story.mint("rotate monitoring"));
    assert_eq!(story.told(HTTPS, &old), "query_auth_key: secret_retired (credential_in_query)");
    assert_eq!(story.told(HTTPS, &new), "x_auth_key: secret_retired", "rotating at once ends every grace");

    story.run_well("edit monitoring --name polling --clear description");
    assert_eq!(story.told_by_each(HTTPS, &newest), "x_auth_key: allowed");
    story.run_well("disable polling");
    assert_eq!(story.told_by_each(HTTPS, &newest), "x_auth_key: key_disabled");
    story.run_well("enable polling");
    assert_eq!(story.told(HTTPS, &newest), "x_auth_key: allowed");
    assert_eq!(story.key("polling")["secrets"].as_array().unwrap().len(), 3);
    story.run_well("delete polling --yes");
    assert_eq!(story.told_by_each(HTTPS, &newest), "x_auth_key: not_genuine");
}
