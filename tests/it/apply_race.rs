//! `apply` next to other writers: it plans again if the plan has changed, and ignores changes outside its manifest.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::harness::{Output, Sandbox, binary, finish, words};
use crate::pty::Screen;

/// Runs `write` repeatedly on separate threads until `read` is done; returns how often it ran.
fn beside<T>(writers: usize, write: impl Fn(usize, usize) + Sync, read: impl FnOnce() -> T) -> (T, usize) {
    let (over, count) = (AtomicBool::new(false), AtomicUsize::new(0));
    let work = |writer| {
        for round in 0.. {
            if over.load(Ordering::SeqCst) {
                return;
            }
            write(writer, round);
            count.fetch_add(1, Ordering::SeqCst);
        }
    };
    std::thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = (0..writers).map(|writer| scope.spawn(move || work(writer))).collect();
        let done = read();
        over.store(true, Ordering::SeqCst);
        for thread in threads {
            thread.join().unwrap();
        }
        (done, count.load(Ordering::SeqCst))
    })
}

fn manifest(sandbox: &Sandbox, text: &str) -> String {
    let file = sandbox.path("keys.toml");
    std::fs::write(&file, text).unwrap();
    file.display().to_string()
}

#[test]
fn what_others_change_that_is_not_in_the_manifest_holds_nothing_up() {
    let sandbox = Sandbox::new();
    for writer in 0..3 {
        sandbox.mint(&format!("busy{writer}"));
    }
    let store = sandbox.store();
    let run = |line: &str| finish(&mut binary(&store, &words(line)));
    let write = |writer: usize, round: usize| {
        let output = run(&format!("edit busy{writer} --description round-{round}"));
        assert_eq!(output.code, 0, "{output}");
    };
    let secrets = sandbox.path("secrets").display().to_string();
    let (outputs, written) = beside(3, write, || {
        (0..12)
            .map(|n| {
                let text = format!("[[group]]\nname = 'g'\ndescription = 'd{n}'\n[[key]]\nname = 'k{n}'\n");
                run(&format!("apply {} --json --secrets-dir {secrets}", manifest(&sandbox, &text)))
            })
            .collect::<Vec<Output>>()
    });
    assert!(written > 20, "nobody wrote beside it: {written}");
    for (n, output) in outputs.iter().enumerate() {
        assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{n}: {output}");
        assert_eq!(output.json()["outcome"], "applied");
    }
    assert_eq!(sandbox.run("history --check").code, 0);
    for n in 0..12 {
        let secret = std::fs::read(sandbox.path(&format!("secrets/k{n}"))).unwrap();
        assert_eq!(sandbox.run_with("verify -q", secret).code, 0);
    }
}

/// Here others also change what is in the manifest, so that the plan keeps changing.
#[test]
fn a_plan_that_is_another_by_now_is_made_again() {
    let sandbox = Sandbox::new();
    sandbox.mint("shared");
    let store = sandbox.store();
    let run = |line: &str| finish(&mut binary(&store, &words(line)));
    let write = |_: usize, round: usize| {
        let output = run(&format!("edit shared --description {round}"));
        assert_eq!(output.code, 0, "{output}");
    };
    let text = "[[key]]\nname = 'shared'\ndescription = 'as it should be'\n";
    let apply = format!("apply {} --json", manifest(&sandbox, text));
    let (outputs, written) = beside(2, write, || (0..25).map(|_| run(&apply)).collect::<Vec<_>>());
    assert!(written > 20, "nobody wrote beside it: {written}");
    for output in outputs {
        assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{output}");
    }
}

/// Several apply the same manifest at once: one creates the keys, and the others find them there.
#[test]
fn many_that_apply_one_manifest_at_once_all_succeed() {
    for deliver in
        ["", "deliver = { secret_to = 'cat > NAME.got' }\n", "deliver = { env_file = 'env', env_name = 'NAME' }\n"]
    {
        let sandbox = Sandbox::new();
        let key = |n: u32| format!("[[key]]\nname = 'k{n}'\n{}", deliver.replace("NAME", &format!("k{n}")));
        let text: String = (0..3).map(key).collect();
        let file = manifest(&sandbox, &text);
        let secrets = sandbox.path("secrets").display().to_string();
        let start = |_| {
            let mut command = sandbox.binary(&format!("apply {file} --json --secrets-dir {secrets}"));
            command.env("PATH", "/usr/bin:/bin").current_dir(sandbox.path(""));
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        };
        let children: Vec<_> = (0..6).map(start).collect();
        for child in children {
            let output = child.wait_with_output().unwrap();
            assert_eq!(output.status.code(), Some(0), "{deliver}: {output:?}");
        }
        assert_eq!(sandbox.run("history --json --action key.create").json().as_array().unwrap().len(), 3, "{deliver}");
        for n in 0..3 {
            let name = if deliver.contains("secret_to") { format!("k{n}.got") } else { format!("secrets/k{n}") };
            if !deliver.contains("env_file") {
                let secret = std::fs::read(sandbox.path(&name)).unwrap();
                assert_eq!(sandbox.run_with("verify -q", secret).code, 0, "{deliver}");
            }
        }
    }
}

#[test]
fn it_gives_up_after_five_more_plans_and_says_so() {
    let sandbox = Sandbox::new();
    sandbox.mint("shared");
    // The store changes each time another key's secret is delivered.
    let keyward = sandbox.binary("").get_program().to_str().unwrap().to_owned();
    let count = sandbox.path("count").display().to_string();
    let command = format!(
        "cat >/dev/null; echo >>{count}; set -- - --read-only --scope=a --level=a --label=a=b --allow-insecure \
         --disabled; shift $(wc -l <{count}); {keyward} edit shared $1"
    );
    let text =
        format!("[[key]]\nname = 'new'\ndeliver = {{ secret_to = '''{command}''' }}\n[[key]]\nname = 'shared'\n");
    let mut apply = sandbox.binary(&format!("apply {} --json", manifest(&sandbox, &text)));
    let output = finish(apply.env("PATH", "/usr/bin:/bin"));
    assert_eq!((output.code, output.error()["code"].as_str()), (1, Some("conflict")), "{output}");
    let hint = output.error()["hint"].as_str().unwrap().to_owned();
    assert!(hint.contains("opens nothing") && hint.contains("apply the manifest again"), "{output}");
    assert_eq!(std::fs::read_to_string(&count).unwrap().len(), 6, "the first time, and five more");
    assert_eq!(sandbox.run("show new").code, 1);
}

#[test]
fn a_failure_that_has_nothing_to_do_with_others_is_not_tried_again() {
    let sandbox = Sandbox::new();
    let count = sandbox.path("count").display().to_string();
    sandbox.mint("other");
    let keyward = sandbox.binary("").get_program().to_str().unwrap().to_owned();
    // A second passes, but a duration still means the same moment.
    let command = format!("echo >>{count}; {keyward} edit other --description x; sleep 1.1; exit 3");
    let text = format!("[[key]]\nname = 'new'\nexpires_at = '90d'\ndeliver = {{ secret_to = '''{command}''' }}\n");
    let mut apply = sandbox.binary(&format!("apply {} --json", manifest(&sandbox, &text)));
    assert_eq!(finish(apply.env("PATH", "/usr/bin:/bin")).code, 7);
    assert_eq!(std::fs::read_to_string(&count).unwrap().len(), 1);
}

fn in_between(sandbox: &Sandbox, line: &str) {
    let output = Command::new(sandbox.binary("").get_program())
        .args(words(line))
        .env("KEYWARD_STORE", sandbox.store())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{line}: {output:?}");
}

#[test]
fn who_confirmed_a_plan_is_shown_another_one_and_asked_again() {
    let sandbox = Sandbox::new();
    for key in ["a", "b", "kept"] {
        sandbox.mint(key);
    }
    let file = manifest(
        &sandbox,
        "[[key]]\nname = 'kept'\nexpires_at = '3650d'\n[[role]]\nname='viewer'\nrank=10\n[[role]]\nname='editor'\nrank=20\nmanages_keys=true\n[[role]]\nname='admin'\nrank=30\nmanages_keys=true\n",
    );
    let mut screen = Screen::start(&sandbox.store(), &format!("apply {file} --prune"), 100);
    screen.wait_for("Delete 2 things permanently?");
    in_between(&sandbox, "create late --yes");
    screen.press("y\r");
    screen.wait_for("the store changed in the meantime");
    screen.wait_for("- delete key late");
    screen.wait_for("Delete 3 things permanently?");
    // Neither this nor the time that passes changes the plan, so there is no second prompt.
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    in_between(&sandbox, "settings set query-credentials refuse");
    screen.press("y\r");
    assert_eq!(screen.end(), 0, "{}", screen.text());
    assert_eq!(sandbox.run("list -q").stdout, "kept\n");

    // Answering no to the second prompt changes nothing.
    sandbox.mint("a");
    let mut screen = Screen::start(&sandbox.store(), &format!("apply {file} --prune"), 100);
    screen.wait_for("Delete 1 thing permanently?");
    in_between(&sandbox, "create late --yes");
    screen.press("y\r");
    screen.wait_for("Delete 2 things permanently?");
    screen.press("n\r");
    assert_eq!(screen.end(), 5, "{}", screen.text());
    assert_eq!(sandbox.run("list -q").stdout, "a\nkept\nlate\n");
}
