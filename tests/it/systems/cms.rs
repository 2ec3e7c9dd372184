//! A CMS with organisation keys: a name, a role, and no one grants more than they have.

use serde_json::json;

use super::capture::Call;
use super::story::{Story, assert_fields};

const HTTPS: &str = "--transport https";

fn bearer(secret: &str) -> Call {
    Call::get("/v1/articles").header("Authorization", format!("Bearer {secret}"))
}

#[test]
#[ignore = "needs curl and python3-requests"]
fn the_story_of_an_organisation_s_keys() {
    let story = Story::begin();
    story.run_well("role create contributor --rank 15 --manages-keys --description 'writes drafts'");
    for (user, role) in [("olga", "admin"), ("emil", "editor"), ("cora", "contributor"), ("vera", "viewer")] {
        story.run_well(&format!("user create {user} --role {role}"));
    }
    who_may_create_what(&story);
    let secret = story.mint("create website-frontend --role editor --as emil");
    roles_at_work(&story, &secret);
    the_ceiling_everywhere(&story);
    an_owner_who_falls(&story, &secret);
    let secret = lost_and_leaked(&story, &secret);
    the_end(&story, &secret);
    story.end();
}

/// A key's role is at most its creator's own.
fn who_may_create_what(story: &Story) {
    for (user, refused) in [
        ("olga", [None, None, None, None]),
        ("emil", [None, None, None, Some("role_ceiling")]),
        ("cora", [None, None, Some("role_ceiling"), Some("role_ceiling")]),
        ("vera", [Some("not_permitted"); 4]),
        ("nobody", [Some("not_permitted"); 4]),
    ] {
        for (role, refused) in ["viewer", "contributor", "editor", "admin"].into_iter().zip(refused) {
            let line = format!("create {user}-{role} --role {role} --as {user}");
            match refused {
                None => assert!(!story.mint(&line).is_empty()),
                Some(code) => assert!(!story.refused(&line, code).is_empty()),
            }
        }
    }
    let owned = json!({"owner": "emil", "created_by": "emil", "role": "editor"});
    assert_fields(&story.key("emil-editor"), owned);
    story.refused("create x --role author", "not_found");
    // Nor can a role be changed to fit.
    story.refused("role edit contributor --rank 30 --as cora", "not_permitted");
    story.refused("user edit emil --role admin --as emil", "not_permitted");
    story.refused("role create owner --rank 40 --as olga", "role_ceiling");
    // They may delete what they made.
    for (user, made) in [("olga", 4), ("emil", 3), ("cora", 2)] {
        let keys = story.listed(&format!("--owner {user}"));
        assert_eq!(keys.split(' ').count(), made, "{keys}");
        story.run_well(&format!("delete --yes {keys} --as {user}"));
    }
    assert_eq!(story.listed(""), "");
}

fn roles_at_work(story: &Story, secret: &str) {
    for (role, reason) in [
        ("viewer", "allowed"),
        ("contributor", "allowed"),
        ("editor", "allowed"),
        ("admin", "role_too_low"),
        ("author", "role_too_low"),
    ] {
        let told = story.told_by_each(&format!("{HTTPS} --role {role}"), &bearer(secret));
        assert_eq!(told, format!("bearer: {reason}"), "{role}");
    }
    assert_eq!(story.told_by_each("--role admin", &bearer(secret)), "bearer: insecure_transport role_too_low");
    let roleless = story.mint("create roleless --owner olga");
    assert_eq!(story.told(&format!("{HTTPS} --role viewer"), &bearer(&roleless)), "bearer: role_too_low");
    assert_eq!(story.told(HTTPS, &bearer(&roleless)), "bearer: allowed");
    story.run_well("delete roleless --yes");
}

/// A key that users may not create, they may not copy, edit into being, rotate or delete either.
fn the_ceiling_everywhere(story: &Story) {
    let publisher = story.mint("create publisher --role admin --as olga");
    let draft = story.mint("create draft-bot --role contributor --as cora");
    for line in [
        "edit draft-bot --role editor",
        "edit draft-bot --role admin",
        "edit publisher --description x",
        "edit publisher --role contributor",
        "edit publisher --owner cora",
        "duplicate publisher mine",
        // A lower role would not remove the higher key's other rights.
        "duplicate publisher mine --role contributor",
        "duplicate draft-bot mine --role admin",
        "rotate publisher",
        "rotate website-frontend --grace 1h",
        "disable publisher",
        "enable publisher",
        "delete publisher --yes",
        "delete draft-bot publisher --yes",
    ] {
        story.refused(&format!("{line} --as cora"), "role_ceiling");
    }
    for line in ["edit draft-bot --name x", "rotate draft-bot", "disable draft-bot", "delete draft-bot --yes"] {
        story.refused(&format!("{line} --as vera"), "not_permitted");
    }
    // Up to the ceiling, everything works. A copy keeps every setting that is not named.
    let copy = story.mint("duplicate website-frontend copy --role contributor --as emil");
    assert_eq!(story.told(&format!("{HTTPS} --role editor"), &bearer(&copy)), "bearer: role_too_low");
    story.run_well("delete copy --yes --as emil");
    story.run_well("edit website-frontend --role contributor --as emil");
    story.run_well("edit website-frontend --role editor --as emil");
    let second = story.mint("duplicate draft-bot draft-bot-2 --as cora");
    let rotated = story.mint("rotate draft-bot --as emil");
    for (secret, reason) in
        [(&publisher, "allowed"), (&draft, "secret_retired"), (&second, "allowed"), (&rotated, "allowed")]
    {
        assert_eq!(story.told_by_each(HTTPS, &bearer(secret)), format!("bearer: {reason}"));
    }
    story.run_well("delete draft-bot draft-bot-2 --yes --as emil");
    assert_eq!(story.told(HTTPS, &bearer(&rotated)), "bearer: not_genuine");
}

/// A key never does more than its owner currently may, and regains its rights with them.
fn an_owner_who_falls(story: &Story, secret: &str) {
    let request = bearer(secret).by_curl();
    let effective = |flags: &str| {
        let verdict = story.verify(&format!("{HTTPS} {flags}"), &request);
        format!("{} {}", verdict.effective_role().unwrap_or("none"), verdict.reasons())
    };
    assert_eq!(effective("--role editor"), "editor allowed");
    story.run_well("user edit emil --role contributor");
    assert_eq!(effective("--role editor"), "contributor role_too_low");
    assert_eq!(effective("--role contributor"), "contributor allowed");
    assert_eq!(story.key("website-frontend")["role"], "editor", "what was decided about the key stays");
    story.refused("rotate website-frontend --as emil", "role_ceiling");
    story.run_well("user edit emil --clear role");
    assert_eq!(effective("--role viewer"), "none role_too_low");
    story.run_well("user edit emil --role admin");
    assert_eq!(effective("--role editor"), "editor allowed");
    assert_eq!(effective("--role admin"), "editor role_too_low");
    // Moving a role moves everyone in it.
    story.run_well("role edit editor --rank 12");
    assert_eq!(effective("--role contributor"), "editor role_too_low");
    story.run_well("role edit editor --rank 20");
    story.run_well("user edit emil --role editor");
}

/// No one can look a key up again; a lost or leaked one is replaced at once.
fn lost_and_leaked(story: &Story, secret: &str) -> String {
    story.run_well("edit website-frontend --name website --as emil");
    story.refused("show website-frontend", "not_found");
    assert_eq!(story.told_by_each(HTTPS, &bearer(secret)), "bearer: allowed", "the name is only a name");
    assert_eq!(story.told(HTTPS, &bearer(&format!("website:{secret}"))), "bearer_named: allowed");
    assert_eq!(story.told(HTTPS, &bearer(&format!("website-frontend:{secret}"))), "bearer_named: not_genuine");
    // None of these prints the secret: the story would notice.
    for line in ["show website", "show website --json", "list", "list --json", "history website", "history --json"] {
        story.run_well(line);
    }
    let new = story.mint("rotate website --grace 0s --as emil");
    assert_eq!(story.told_by_each(HTTPS, &bearer(secret)), "bearer: secret_retired");
    assert_eq!(story.told_by_each(HTTPS, &bearer(&new)), "bearer: allowed");
    assert_fields(&story.key("website"), json!({"role": "editor", "owner": "emil"}));
    new
}

fn the_end(story: &Story, secret: &str) {
    let history = story.json("history website");
    let told: Vec<_> = history.as_array().unwrap().iter().map(|event| (&event["action"], &event["actor"])).collect();
    let emil = json!("emil");
    let expected = ["key.create", "key.edit", "key.edit", "key.edit", "key.rotate"].map(|action| json!(action));
    assert_eq!(told, expected.iter().map(|action| (action, &emil)).collect::<Vec<_>>());
    story.refused("delete website", "confirmation_required");
    let said = story.refused("role delete editor", "in_use");
    assert!(said.contains("1 key and 1 user"), "{said}");
    story.run_well("delete website --yes --as emil");
    assert_eq!(story.told_by_each(HTTPS, &bearer(secret)), "bearer: not_genuine");
    assert_eq!(story.listed(""), "publisher");
}
