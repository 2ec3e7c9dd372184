//! What an acting user may do: every verb, for every kind of actor.

use crate::harness::{Output, Sandbox, words};

/// The actors, compared with a key that has the role editor (rank 20).
const ACTORS: [(&str, &str); 8] = [
    ("", "nobody: the owner of the store"),
    ("lower", "a role below the key's, which manages keys"),
    ("equal", "the key's own role"),
    ("higher", "the highest role"),
    ("manages-nothing", "a role that does not manage keys"),
    ("disabled", "the highest role, disabled"),
    ("no-role", "no role"),
    ("unknown", "not in the directory"),
];

/// verb | nobody lower equal higher manages-nothing disabled no-role unknown
///
/// `+` allowed, `c` role_ceiling, `n` not_permitted.
const TABLE: &str = "
create new                            | + + + + n n n n
create new --role viewer              | + + + + n n n n
create new --role junior              | + + + + n n n n
create new --role editor              | + c + + n n n n
create new --role admin               | + c c + n n n n
edit target --description x           | + c + + n n n n
edit target --name renamed            | + c + + n n n n
edit target --role viewer             | + c + + n n n n
edit target --role admin              | + c c + n n n n
edit target --clear role              | + c + + n n n n
edit plain --role editor              | + c + + n n n n
edit plain --description x            | + + + + n n n n
duplicate target copy                 | + c + + n n n n
duplicate target copy --role viewer   | + c + + n n n n
duplicate target copy --role admin    | + c c + n n n n
duplicate plain copy                  | + + + + n n n n
rotate target                         | + c + + n n n n
rotate target --grace 1h              | + c + + n n n n
rotate plain                          | + + + + n n n n
enable target                         | + c + + n n n n
disable target                        | + c + + n n n n
disable plain target                  | + c + + n n n n
delete target --yes                   | + c + + n n n n
delete plain --yes                    | + + + + n n n n
delete plain target --yes             | + c + + n n n n
group create new                      | + + + + n n n n
group edit team --name squad          | + + + + n n n n
group delete empty                    | + + + + n n n n
group delete team --with-keys --yes   | + c + + n n n n
user create new                       | + n n + n n n n
user create new --role admin          | + n n + n n n n
user edit plain-user --role editor    | + n n + n n n n
user disable plain-user               | + n n + n n n n
user enable plain-user                | + n n + n n n n
user delete plain-user                | + n n + n n n n
role create new --rank 30             | + n n + n n n n
role create new --rank 31             | + n n c n n n n
role edit junior --rank 16            | + n n + n n n n
role edit junior --rank 31            | + n n c n n n n
role delete unused                    | + n n + n n n n
tenant create new                     | + n n + n n n n
tenant edit acme --name acme2         | + n n + n n n n
tenant disable acme                   | + n n + n n n n
tenant enable acme                    | + n n + n n n n
tenant delete acme                    | + n n + n n n n
settings set prefix app               | + n n + n n n n
list                                  | + + + + + + + +
show target                           | + + + + + + + +
history target                        | + + + + + + + +
history --check                       | + + + + + + + +
user list                             | + + + + + + + +
role show admin                       | + + + + + + + +
settings list                         | + + + + + + + +
verify                                | + + + + + + + +
user show lower                       | + + + + + + + +
group list                            | + + + + + + + +
group show team                       | + + + + + + + +
tenant list                           | + + + + + + + +
tenant show acme                      | + + + + + + + +
user delete plain-user --with-keys --yes | + n n + n n n n
role delete unused --with-keys --yes  | + n n + n n n n
tenant delete acme --with-keys --yes  | + n n + n n n n
";

/// A store with a key that has the role editor, one without a role, and all kinds of users.
fn sandbox() -> (Sandbox, String) {
    let sandbox = Sandbox::new();
    for line in [
        "role create junior --rank 15 --manages-keys",
        "role create unused",
        "user create lower --role junior",
        "user create equal --role editor",
        "user create higher --role admin",
        "user create manages-nothing --role viewer",
        "user create disabled --role admin",
        "user disable disabled",
        "user create no-role",
        "user create plain-user",
        "tenant create acme",
        "group create team",
        "group create empty",
    ] {
        let output = sandbox.run(line);
        assert_eq!(output.code, 0, "{line}: {output}");
    }
    let secret = sandbox.mint("target --role editor --group team");
    sandbox.mint("plain");
    (sandbox, secret)
}

fn act(sandbox: &Sandbox, verb: &str, actor: &str, secret: &str) -> Output {
    let mut args = words(verb);
    args.push("--json".to_owned());
    if !actor.is_empty() {
        args.extend(["--as".to_owned(), actor.to_owned()]);
    }
    sandbox.run_args(&args, secret.as_bytes())
}

#[test]
fn every_verb_for_every_actor() {
    let (prepared, secret) = sandbox();
    let look = |sandbox: &Sandbox| ["list --json", "history --json", "role list --json"].map(|line| sandbox.run(line));
    let before = look(&prepared);
    for row in TABLE.lines().filter(|row| !row.trim().is_empty()) {
        let (verb, answers) = row.split_once('|').unwrap();
        assert_eq!(answers.split_whitespace().count(), ACTORS.len(), "{row}");
        for ((actor, who), answer) in ACTORS.iter().zip(answers.split_whitespace()) {
            let sandbox = prepared.copy();
            let output = act(&sandbox, verb, actor, &secret);
            let code = match answer {
                "+" => None,
                "c" => Some("role_ceiling"),
                "n" => Some("not_permitted"),
                other => panic!("{other}"),
            };
            match code {
                None => assert_eq!(output.code, 0, "{verb}, {who}: {output}"),
                Some(code) => {
                    let error = output.error();
                    assert_eq!((output.code, error["code"].as_str()), (1, Some(code)), "{verb}, {who}: {output}");
                    assert!(!error["hint"].is_null(), "{verb}, {who}: {output}");
                    assert!(before == look(&sandbox), "{verb}, {who}: something was changed");
                }
            }
        }
    }
}

#[test]
fn a_new_key_belongs_to_who_made_it() {
    let (sandbox, _) = sandbox();
    sandbox.run("user edit equal --tenant acme");
    let key = act(&sandbox, "create mine", "equal", "").json()["key"].clone();
    assert_eq!((&key["owner"], &key["tenant"], &key["created_by"]), (&"equal".into(), &"acme".into(), &"equal".into()));
    let key = act(&sandbox, "create theirs --owner lower", "equal", "").json()["key"].clone();
    assert_eq!((&key["owner"], &key["tenant"]), (&"lower".into(), &"acme".into()));
    // A duplicate keeps every setting that is not given explicitly.
    let key = act(&sandbox, "duplicate theirs copy", "higher", "").json()["key"].clone();
    assert_eq!((&key["owner"], &key["created_by"]), (&"lower".into(), &"higher".into()));
    let key = sandbox.run("create nobodys --json").json()["key"].clone();
    assert_eq!((&key["owner"], &key["created_by"]), (&serde_json::Value::Null, &serde_json::Value::Null));
}

#[test]
fn the_history_says_who_and_the_environment_can_say_it_too() {
    let (sandbox, _) = sandbox();
    let output = sandbox.run_env("disable target", &[("KEYWARD_AS", "higher")]);
    assert_eq!(output.code, 0, "{output}");
    let events = sandbox.run("history target --json").json();
    let last = events.as_array().unwrap().last().unwrap();
    assert_eq!((&last["actor"], &last["action"]), (&"higher".into(), &"key.disable".into()));
    // The flag takes precedence over the environment.
    let output = sandbox.run_env("enable target --as equal", &[("KEYWARD_AS", "unknown")]);
    assert_eq!(output.code, 0, "{output}");
    let output = sandbox.run_env("enable target --json", &[("KEYWARD_AS", "a b")]);
    assert_eq!((output.code, output.error()["code"].as_str()), (2, Some("usage")));
}

#[test]
fn a_role_that_is_lost_is_lost_at_the_next_change() {
    let (sandbox, _) = sandbox();
    assert_eq!(act(&sandbox, "disable target", "equal", "").code, 0);
    sandbox.run("user edit equal --role viewer");
    assert_eq!(act(&sandbox, "enable target", "equal", "").error()["code"], "not_permitted");
    sandbox.run("user edit equal --role junior");
    assert_eq!(act(&sandbox, "enable target", "equal", "").error()["code"], "role_ceiling");
    sandbox.run("role edit junior --rank 20");
    assert_eq!(act(&sandbox, "enable target", "equal", "").code, 0);
    sandbox.run("role edit junior --no-manages-keys");
    assert_eq!(act(&sandbox, "disable target", "equal", "").error()["code"], "not_permitted");
}
