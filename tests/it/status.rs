//! `status`, and the words that people try first.

use jiff::ToSpan as _;

use crate::harness::Sandbox;

#[test]
fn status_tells_the_store_who_acts_and_how_the_keys_are() {
    let sandbox = Sandbox::new();
    for line in [
        "role create deployer --rank 20 --manages-keys",
        "user create ann --role deployer",
        "user create bob",
        "tenant create acme",
        "create a --expires 3d",
        "create b --expires 13d",
        "create c --expires 15d",
        "create d",
        "create e --disabled --expires 5d",
        "create f --expires 1h",
        "create g --owner bob --expires 90d",
        "user disable bob",
    ] {
        assert_eq!(sandbox.run(line).code, 0, "{line}");
    }
    sandbox.pass(2.hours());
    let told = sandbox.run("status --json --as ann").json();
    assert_eq!(told["store"], sandbox.store().display().to_string());
    assert_eq!((&told["as"], &told["role"]), (&"ann".into(), &"deployer".into()));
    assert_eq!(told["keys"], serde_json::json!({"active": 4, "disabled": 1, "expired": 1, "suspended": 1}));
    assert_eq!(told["expiring"], 2);
    let first = told["expiring_first"].as_array().unwrap();
    assert_eq!(first.iter().map(|key| key["name"].as_str().unwrap()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(first[0]["expires_at"], "2026-02-03T12:00:00Z");
    let attention: Vec<_> = told["attention"].as_array().unwrap().iter().map(|found| &found["check"]).collect();
    assert_eq!(attention, ["never_expires", "expired", "suspended"]);

    let output = sandbox.run("status --as ann");
    for says in [
        sandbox.store().to_str().unwrap(),
        "ann, in the role deployer",
        "4 active, 1 disabled, 1 expired, 1 suspended",
        "2 keys within 14 days",
        "1 key never expires: keyward list --state active --expires never",
        "1 key has expired",
    ] {
        assert!(output.stdout.contains(says), "{says}: {output}");
    }
    // The command it suggests shows as many.
    assert_eq!(sandbox.run("list -q --state active --expires never").stdout, "d\n");
    assert!(sandbox.run("status").stdout.contains("the owner of the store (no --as): every change is allowed"));
    // A user who may change nothing learns why.
    assert_eq!(sandbox.run("user create vi --role viewer").code, 0);
    assert_eq!(sandbox.run("user create nell").code, 0);
    for (user, says) in [
        ("bob", "bob, a disabled user: every change is refused"),
        ("vi", "vi, in a role that does not manage keys: every change is refused"),
        ("nell", "nell, without a role: every change is refused"),
        ("nobody", "nobody, no user of this store: every change is refused"),
    ] {
        let told = sandbox.run(&format!("status --as {user}")).stdout;
        assert!(told.contains(says), "{told}");
        assert_eq!(sandbox.run(&format!("create x --as {user}")).code, 1, "{user}");
    }
    assert_eq!(sandbox.run("status -q").stdout, "");
}

#[test]
fn status_of_a_store_that_is_not_there() {
    let sandbox = Sandbox::empty();
    let output = sandbox.run("status --json");
    assert_eq!((output.code, output.error()["code"].as_str()), (6, Some("store_missing")));
}

#[test]
fn the_words_that_people_try_first_work() {
    let sandbox = Sandbox::new();
    let secret = sandbox.run("new deploy").stdout;
    assert_eq!(sandbox.run("ls -q").stdout, "deploy\n");
    assert_eq!(sandbox.run("get deploy -q").stdout, "deploy\n");
    let revoked = sandbox.run("revoke deploy");
    assert_eq!((revoked.code, revoked.stderr.as_str()), (0, "disabled the key deploy\n"));
    assert_eq!(sandbox.reason("", secret.trim_end()), "key_disabled");
    assert!(sandbox.run("log deploy").stdout.contains("key.disable"));
    assert_eq!(sandbox.run("rm deploy --yes").code, 0);
    assert_eq!(sandbox.run("list -q").stdout, "");
    assert_eq!(sandbox.run("version").stdout, sandbox.run("--version").stdout);
    for (word, verb) in [
        ("ls", "list"),
        ("rm", "delete"),
        ("new", "create"),
        ("get", "show"),
        ("revoke", "disable"),
        ("log", "history"),
    ] {
        assert_eq!(sandbox.run(&format!("help {word}")).stdout, sandbox.run(&format!("help {verb}")).stdout);
        // The help does not list these words.
        assert!(!sandbox.run("--help").stdout.contains(&format!("  {word} ")), "{word}");
    }
}
