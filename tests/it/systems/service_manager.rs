//! A service manager: REST API keys in groups, limited to a tenant and to addresses.

use base64::Engine as _;
use serde_json::json;

use super::capture::{Call, curl};
use super::story::{Story, assert_fields, text};

fn rest_api_key(secret: &str) -> Call {
    Call::get("/rest/incidents").header("Authorization", format!("rest_api_key={secret}"))
}

#[test]
#[ignore = "needs curl and python3-requests"]
fn the_story_of_keys_in_groups() {
    let story = Story::begin();
    for tenant in ["north", "south"] {
        story.run_well(&format!("tenant create {tenant}"));
    }
    story.run_well("user create dana --role admin --tenant north");
    story.run_well("user create robot --role editor --tenant north");

    let secret = group_and_key(&story);
    authorization(&story, &secret);
    not_authorized(&story, &secret);
    behind_a_proxy(&story, &secret);
    questions_and_answers(&story, &secret);
    edits(&story, &secret);
    the_end(&story, &secret);
    story.end();
}

/// A group is created before its first key; the rest of the form keeps its defaults.
fn group_and_key(story: &Story) -> String {
    let create = "create import --group integrations --as dana --owner robot --role editor --disabled \
                  --description 'imports incidents' --allow-ip 192.0.2.0/24 --allow-ip 2001:db8:7::/48";
    let said = story.refused(create, "not_found");
    assert!(said.contains("integrations"), "{said}");
    story.run_well("group create integrations --description 'what other systems send' --as dana");
    story.refused("group create integrations", "name_taken");
    assert_eq!(story.json("group list")[0]["keys"], 0);

    let secret = story.mint(create);
    let key = story.key("import");
    let expected = json!({
        "group": "integrations", "description": "imports incidents", "owner": "robot", "role": "editor",
        "tenant": "north", "created_by": "dana", "allowed_ips": ["192.0.2.0/24", "2001:db8:7::/48"],
        "enabled": false, "state": "disabled",
    });
    assert_fields(&key, expected);
    assert_eq!(story.listed("--group integrations"), "import");
    assert_eq!(story.json("group show integrations")["keys"], 1);

    // keyward makes the reference id, which works wherever the name does.
    let call = rest_api_key(&secret);
    let context = "--transport https --tenant north --ip 192.0.2.7";
    assert_eq!(story.told_by_each(context, &call), "rest_api_key: key_disabled");
    story.run_well(&format!("enable {}", text(&key["id"])));
    assert_eq!(story.told_by_each(context, &call), "rest_api_key: allowed");
    secret
}

fn authorization(story: &Story, secret: &str) {
    let context = "--transport https --tenant north --ip 192.0.2.7";
    for (header, scheme) in
        [("Authorization", "rest_api_key"), ("authorization", "REST_API_KEY"), ("AUTHORIZATION", "Rest_Api_Key")]
    {
        let call = Call::get("/rest/incidents").header(header, format!("{scheme}={secret}"));
        assert_eq!(story.told_by_each(context, &call), "rest_api_key: allowed", "{header}: {scheme}");
    }
    let bare = Call::get("/rest/incidents").header("Authorization", secret);
    assert_eq!(story.told_by_each(context, &bare), "none: malformed");
}

/// "Not authorized": the answer names everything that is wrong, and how to fix it.
fn not_authorized(story: &Story, secret: &str) {
    let call = rest_api_key(secret);
    for (context, reasons) in [
        ("--tenant north --ip 192.0.2.7", "allowed"),
        ("--tenant north --ip 2001:db8:7:1::5", "allowed"),
        ("--tenant north --ip ::ffff:192.0.2.7", "allowed"),
        ("--tenant south --ip 192.0.2.7", "tenant_mismatch"),
        ("--tenant north --ip 192.0.3.7", "ip_not_allowed"),
        ("--tenant north --ip 2001:db8:8::5", "ip_not_allowed"),
        ("--tenant south --ip 203.0.113.9", "ip_not_allowed tenant_mismatch"),
        ("--tenant north", "ip_not_allowed"),
        ("--ip 192.0.2.7", "tenant_mismatch"),
        ("", "ip_not_allowed tenant_mismatch"),
        ("--tenant south --ip 203.0.113.9 --role admin", "ip_not_allowed tenant_mismatch role_too_low"),
    ] {
        let told = story.told_by_each(&format!("--transport https {context}"), &call);
        assert_eq!(told, format!("rest_api_key: {reasons}"), "{context}");
    }
    let told = story.told_by_each("--tenant south --ip 203.0.113.9", &call);
    assert_eq!(told, "rest_api_key: insecure_transport ip_not_allowed tenant_mismatch");
    let said = story.run("verify --request --transport https --tenant south --ip 203.0.113.9", &call.by_curl());
    assert_eq!(said.code, 4);
    for sentence in ["203.0.113.9 is not in 192.0.2.0/24", "edit import --add-allow-ip 203.0.113.9", "works for north"]
    {
        assert!(said.stdout.contains(sentence), "{sentence}: {said}");
    }
}

/// The address that counts is the one the front proxy saw, and only if there is a proxy.
fn behind_a_proxy(story: &Story, secret: &str) {
    for (from, proto, reasons) in [
        ("192.0.2.7", "https", "allowed"),
        ("2001:db8:7::1", "https", "allowed"),
        ("203.0.113.9", "https", "ip_not_allowed"),
        // The client wrote the first hop itself.
        ("192.0.2.7, 203.0.113.9", "https", "ip_not_allowed"),
        ("203.0.113.9, 192.0.2.7", "https", "allowed"),
        ("192.0.2.7", "http", "insecure_transport"),
        ("unknown", "http", "insecure_transport ip_not_allowed"),
    ] {
        let call = rest_api_key(secret).header("X-Forwarded-For", from).header("X-Forwarded-Proto", proto);
        let told = story.told_by_each("--trust-forwarded --tenant north", &call);
        assert_eq!(told, format!("rest_api_key: {reasons}"), "{from} {proto}");
        let told = story.told("--tenant north", &call);
        assert_eq!(told, "rest_api_key: insecure_transport ip_not_allowed", "nobody said to trust {from} {proto}");
    }
    let call = rest_api_key(secret).header("Forwarded", "for=203.0.113.9, for=\"[2001:db8:7::1]:4711\";proto=https");
    assert_eq!(story.told_by_each("--trust-forwarded --tenant north", &call), "rest_api_key: allowed");
}

/// From the FAQ: other ways to send a key, and who makes how many calls.
fn questions_and_answers(story: &Story, secret: &str) {
    let context = "--transport https --tenant north --ip 192.0.2.7";
    let incidents = || Call::get("/rest/incidents");
    for (user, password) in [(secret, ""), (secret, "x"), ("", secret), ("import", secret), ("someone", secret)] {
        let told = story.told_by_each(context, &incidents().login(user, password));
        assert_eq!(told, "basic: allowed", "{:?}", (user.len(), password.len()));
    }
    for header in ["apiKey", "apikey", "APIKEY", "ApiKey"] {
        assert_eq!(story.told_by_each(context, &incidents().header(header, secret)), "api_key: allowed", "{header}");
    }
    let encoded = base64::engine::general_purpose::STANDARD.encode(format!("{secret}:"));
    let by_hand = incidents().header("authorization", format!("bASIC {encoded}"));
    assert_eq!(story.told_by_each(context, &by_hand), "basic: allowed");
    for (user, password) in [("admin", "password"), ("import", &secret[..40])] {
        // Someone else's password, or too little of a key to be one.
        assert_eq!(story.told_by_each(context, &incidents().login(user, password)), "none: no_credential", "{user}");
    }

    // Every client has its own key, so its calls can be told apart.
    let other = story.mint("create export --group integrations --as dana");
    for two in [
        incidents().login(secret, &other),
        incidents().login("x", secret).header("apiKey", &other),
        rest_api_key(secret).header("apiKey", &other),
    ] {
        assert_eq!(story.told_by_each(context, &two), "none: ambiguous_credential");
    }
    let exporting = curl("/rest/incidents", &["--user", &format!("{other}:")]);
    for _ in 0..5 {
        assert_eq!(story.verify(context, &exporting).told(), "basic: allowed");
    }
    assert_eq!(story.verify("--tenant north", &exporting).told(), "basic: insecure_transport");
    assert_eq!(story.key("export")["use_count"], 5, "what is refused is no use");
    let import = story.key("import");
    assert!(import["use_count"].as_u64() > Some(5) && text(&import["last_used_at"]).ends_with('Z'), "{import}");
    assert_eq!(story.listed("--sort used --limit 1 --reverse").split(' ').count(), 1);
}

/// Within its group, a key can be edited without its clients noticing.
fn edits(story: &Story, secret: &str) {
    let call = rest_api_key(secret);
    story.run_well("edit import --add-allow-ip 203.0.113.9 --remove-allow-ip 192.0.2.0/24 --description moved");
    assert_eq!(story.key("import")["allowed_ips"], json!(["203.0.113.9/32", "2001:db8:7::/48"]));
    for (ip, reason) in
        [("203.0.113.9", "allowed"), ("203.0.113.10", "ip_not_allowed"), ("192.0.2.7", "ip_not_allowed")]
    {
        let told = story.told_by_each(&format!("--transport https --tenant north --ip {ip}"), &call);
        assert_eq!(told, format!("rest_api_key: {reason}"), "{ip}");
    }
    story.run_well("edit import --tenant south --clear allow-ip");
    assert_eq!(story.told("--transport https --tenant south", &call), "rest_api_key: allowed");
    story.run_well("tenant edit south --name south-east");
    story.run_well("group edit integrations --name partners --description 'partners, too'");
    assert_fields(&story.key("import"), json!({"tenant": "south-east", "group": "partners"}));
    assert_eq!(story.told_by_each("--transport https --tenant south-east", &call), "rest_api_key: allowed");
    assert_eq!(story.told("--transport https --tenant south", &call), "rest_api_key: tenant_mismatch");
    story.refused("list --group integrations", "not_found");
    assert_eq!(story.listed("--group partners"), "export import");

    // In Role: never more than the user it acts for may do now.
    let context = "--transport https --tenant south-east --role editor";
    assert_eq!(story.told(context, &call), "rest_api_key: allowed");
    story.run_well("user edit robot --role viewer");
    assert_eq!(story.told_by_each(context, &call), "rest_api_key: role_too_low");
}

fn the_end(story: &Story, secret: &str) {
    let call = rest_api_key(secret);
    let context = "--transport https --tenant south-east";
    let said = story.refused("group delete partners", "in_use");
    assert!(said.contains("2 keys"), "{said}");
    story.run_well("delete import --yes");
    assert_eq!(story.told_by_each(context, &call), "rest_api_key: not_genuine");
    assert_eq!(story.listed("--group partners"), "export");
    story.refused("group delete partners --with-keys", "confirmation_required");
    // The other way to empty a group is to move its keys.
    story.run_well("edit export --clear group");
    story.run_well("group delete partners");
    assert_eq!((story.json("group list"), story.listed("")), (json!([]), "export".into()));
}
