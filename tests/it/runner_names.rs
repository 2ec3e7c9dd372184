//! Names reserved by GitHub's runner: it would discard a secret written there, so none is minted.

use keyward_cli::world::StreamKinds;

use crate::harness::{Output, Sandbox, words};

/// In every spelling that the runner treats as the same.
const KEPT: [&str; 11] = [
    "NODE_OPTIONS",
    "node_options",
    "GITHUB_SHA",
    "Github_Sha",
    "GITHUB_ANYTHING",
    "GITHUB_",
    "RUNNER_TEMP",
    "runner_x",
    "PATH",
    "Path",
    "CI",
];

const FREE: [&str; 9] = [
    "GITHUB_TOKEN",
    "github_token",
    "GITHUBX",
    "MY_GITHUB_SHA",
    "RUNNERS",
    "NODE_OPTIONS_",
    "PATHS",
    "CIRCLE",
    "DEPLOY_KEY",
];

struct Step(Sandbox);

impl Step {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        sandbox.mint("old");
        Self(sandbox)
    }

    fn run(&self, line: &str, input: &str) -> Output {
        let files = ["env", "output"].map(|name| self.0.path(name).display().to_string());
        let variables = [("GITHUB_ENV", files[0].as_str()), ("GITHUB_OUTPUT", files[1].as_str())];
        self.0.run_in(&words(line), input.as_bytes(), &variables, StreamKinds::default())
    }
}

#[test]
fn a_name_that_the_runner_keeps_is_refused_before_any_work() {
    for name in KEPT {
        let step = Step::new();
        let before = step.0.files();
        for flag in ["github-env", "github-output"] {
            for verb in ["create new", "create old --ensure", "duplicate old new", "rotate old", "rotate gone"] {
                let output = step.run(&format!("{verb} --{flag} {name} --json"), "");
                assert_eq!((output.code, output.stdout.as_str()), (2, ""), "{verb} {flag} {name}: {output}");
                let error = output.error();
                assert_eq!(error["code"], "usage", "{output}");
                let message = error["message"].as_str().unwrap();
                assert!(message.contains("runner keeps") && message.contains("API_KEY"), "{output}");
            }
            // Even if the key already exists, and nothing would be delivered this time.
            for key in ["new", "old"] {
                let field = flag.replace('-', "_");
                let manifest = format!("[[key]]\nname = '{key}'\ndeliver = {{ {field} = '{name}' }}\n");
                for flags in ["", "--dry-run"] {
                    let output = step.run(&format!("apply - --json {flags}"), &manifest);
                    assert_eq!((output.code, output.stdout.as_str()), (1, ""), "{field} {name}: {output}");
                    let message = output.error()["message"].as_str().unwrap().to_owned();
                    assert!(message.contains("stdin:3:") && message.contains("runner keeps"), "{output}");
                }
            }
        }
        assert_eq!(step.0.files(), before, "{name}");
    }
    // If there is no store yet, none is created.
    let sandbox = Sandbox::empty();
    assert_eq!(sandbox.run_env("create new --github-env PATH", &[("GITHUB_ENV", "/dev/null")]).code, 2);
    assert!(sandbox.files().is_empty());
}

#[test]
fn other_names_are_taken() {
    for name in FREE {
        for flag in ["github-env", "github-output"] {
            let step = Step::new();
            let output = step.run(&format!("create new --{flag} {name}"), "");
            assert_eq!(output.code, 0, "{flag} {name}: {output}");
            let manifest = format!("[[key]]\nname = 'x'\ndeliver = {{ {} = '{name}' }}\n", flag.replace('-', "_"));
            assert_eq!(step.run("apply -", &manifest).code, 0, "{flag} {name}");
        }
    }
    // An output may have a hyphen, and a dotenv variable any name.
    let step = Step::new();
    assert_eq!(step.run("create a --github-output ci-key", "").code, 0);
    let file = step.0.path("dotenv").display().to_string();
    assert_eq!(step.run(&format!("create b --env-file {file} --env-name CI"), "").code, 0);
}

/// The runner ignores the case of outputs: of two that differ only in case, one would be lost.
#[test]
fn outputs_that_differ_only_in_case_are_one_place() {
    let manifest = |field: &str| {
        let key = |name: &str, place: &str| format!("[[key]]\nname = '{name}'\ndeliver = {{ {field} = '{place}' }}\n");
        key("one", "Api_Key") + &key("two", "API_KEY")
    };
    let step = Step::new();
    let output = step.run("apply - --json", &manifest("github_output"));
    assert_eq!(output.code, 7, "{output}");
    assert!(output.error()["message"].as_str().unwrap().contains("the same place"), "{output}");
    assert_eq!(step.run("apply -", &manifest("github_env")).code, 0);
}
