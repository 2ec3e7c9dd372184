//! Files generated from the definition of the command line: they are committed and up to date.

use std::path::{Path, PathBuf};
use std::process::Command;

use expect_test::expect_file;
use keyward_cli::cli::Cli;

use crate::harness::{Output, Sandbox, binary, finish};
use crate::pty::Screen;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files_in(folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(root().join(folder)).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    files.sort();
    files
}

/// The file that each shell loads.
const SCRIPTS: [(&str, &str); 5] = [
    ("bash", "keyward.bash"),
    ("elvish", "keyward.elv"),
    ("fish", "keyward.fish"),
    ("powershell", "keyward.ps1"),
    ("zsh", "_keyward"),
];

#[test]
fn the_completion_scripts_are_not_stale() {
    let sandbox = Sandbox::empty();
    for (shell, file) in SCRIPTS {
        let output = sandbox.run(&format!("completions {shell}"));
        assert_eq!(output.code, 0, "{output}");
        expect_file![root().join("completions").join(file)].assert_eq(&output.stdout);
    }
    let mut expected = SCRIPTS.map(|(_, file)| file.to_owned());
    expected.sort();
    assert_eq!(files_in("completions"), expected);
    assert_eq!(sandbox.run("completions tcsh --json").error()["code"], "usage");
}

#[test]
fn the_man_pages_are_not_stale() {
    let pages = keyward_cli::manual::pages(Cli::shown()).unwrap();
    for page in &pages {
        expect_file![root().join("man").join(&page.file)].assert_eq(&page.text);
    }
    let mut expected: Vec<_> = pages.iter().map(|page| page.file.clone()).collect();
    expected.sort();
    assert_eq!(files_in("man"), expected);
}

#[test]
fn man_prints_the_main_page_or_writes_them_all() {
    let sandbox = Sandbox::empty();
    assert!(sandbox.run("man").stdout.contains(".TH KEYWARD 1"));
    let output = sandbox.run(&format!("man --dir {}", sandbox.path("").display()));
    assert_eq!(output.code, 0, "{output}");
    assert!(sandbox.path("keyward-verify.1").exists());
    for (words, title) in
        [("create", "KEYWARD-CREATE 1"), ("group edit", "KEYWARD-GROUP-EDIT 1"), ("manifest", "KEYWARD-MANIFEST 5")]
    {
        let page = sandbox.run(&format!("man {words}")).stdout;
        assert!(page.contains(&format!(".TH {title}")), "{words}: {page}");
    }
    let output = sandbox.run("man creat --json");
    assert_eq!((output.code, output.error()["code"].as_str()), (2, Some("usage")));
    let output = sandbox.run("man --dir /does/not/exist --json");
    assert_eq!((output.code, output.error()["code"].as_str()), (1, Some("output_failed")));
}

#[test]
fn the_main_page_has_what_belongs_there() {
    for page in keyward_cli::manual::pages(Cli::shown()).unwrap() {
        let of_commands = ["NAME", "SYNOPSIS", "EXIT STATUS", "ENVIRONMENT", "FILES"];
        let of_formats = ["NAME", "DESCRIPTION", "SEE ALSO"];
        let is_format = !page.file.ends_with(".1");
        for section in if is_format { &of_formats[..] } else { &of_commands[..] } {
            assert!(
                page.text.contains(&format!(".SH {section}\n")) || page.text.contains(&format!(".SH \"{section}\"\n")),
                "{}: {section}",
                page.file
            );
        }
    }
}

#[test]
fn every_argument_and_option_of_a_page_is_described() {
    for page in keyward_cli::manual::pages(Cli::shown()).unwrap() {
        let lines: Vec<&str> = page.text.lines().collect();
        for entry in lines.windows(3).filter(|entry| entry[0] == ".TP") {
            assert!(!entry[2].is_empty() && !entry[2].starts_with('.'), "{}: {}", page.file, entry[1]);
        }
        let synopsis = lines.iter().skip_while(|line| **line != ".SH SYNOPSIS").nth(1);
        assert!(synopsis.is_none_or(|line| line.starts_with("\\fBkeyward")), "{}: {synopsis:?}", page.file);
    }
}

#[test]
#[ignore = "needs mandoc"]
fn the_man_pages_are_clean() {
    let pages = files_in("man").into_iter().map(|file| root().join("man").join(file));
    let output = Command::new("mandoc").args(["-T", "lint"]).args(pages).output().expect("mandoc");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
}

/// A store with names to complete, and the folder of the binary for the `PATH`.
fn sandbox() -> (Sandbox, PathBuf) {
    let sandbox = Sandbox::new();
    sandbox.run("user create ann");
    sandbox.run("group create ci");
    sandbox.mint("alpha --scope rest,ui --level A/B");
    sandbox.mint("alpine");
    sandbox.mint("beta");
    let folder = Path::new(env!("CARGO_BIN_EXE_keyward")).parent().unwrap().to_owned();
    (sandbox, folder)
}

/// Words so far, the last one incomplete | its completions
const CANDIDATES: [(&str, &str); 11] = [
    ("show al", "alpha alpine"),
    ("show zzz", ""),
    ("rotate b", "beta"),
    ("list --scope r", "rest"),
    ("create new --scope rest,u", "rest,ui"),
    ("list --level ", "A/B"),
    ("create new --owner a", "ann"),
    ("create new --group ", "ci"),
    ("edit alpha --role v", "viewer"),
    ("user show ", "ann"),
    ("dis", "disable"),
];

/// Keeps only the names among the candidates: flags are offered, too, if nothing has been typed.
fn names(output: &Output) -> String {
    let candidates = output.stdout.split_whitespace().filter(|candidate| !candidate.starts_with('-'));
    let mut candidates: Vec<_> = candidates.collect();
    candidates.sort_unstable();
    candidates.join(" ")
}

#[test]
fn a_shell_gets_names_from_the_store() {
    let (sandbox, _) = sandbox();
    for (line, expected) in CANDIDATES {
        let words: Vec<_> = format!("-- keyward {line}").split(' ').map(str::to_owned).collect();
        let mut command = binary(&sandbox.store(), &words);
        command
            .env("KEYWARD_COMPLETE", "bash")
            .env("_CLAP_IFS", "\n")
            .env("_CLAP_COMPLETE_INDEX", (words.len() - 2).to_string());
        assert_eq!(names(&finish(&mut command)), expected, "{line}");
    }
}

#[test]
fn completion_is_silent_about_everything_that_is_wrong() {
    let (sandbox, _) = sandbox();
    for store in ["/does/not/exist", "/etc/passwd", "/"] {
        for shell in ["bash", "nosuch", "1"] {
            let words: Vec<_> = "-- keyward show a".split(' ').map(str::to_owned).collect();
            let mut command = binary(Path::new(store), &words);
            command.env("KEYWARD_COMPLETE", shell).env("_CLAP_IFS", "\n").env("_CLAP_COMPLETE_INDEX", "2");
            let output = finish(&mut command);
            assert_eq!((names(&output).as_str(), output.stderr.as_str(), output.code), ("", "", 0), "{store} {shell}");
        }
    }
    drop(sandbox);
}

#[test]
#[ignore = "needs bash and fish"]
fn bash_and_fish_complete() {
    let (sandbox, folder) = sandbox();
    let run = |shell: &str, script: &str| {
        let mut command = Command::new(shell);
        command.args(["-c", script]).env_clear().env("KEYWARD_STORE", sandbox.store()).env("HOME", sandbox.path(""));
        finish(command.env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", folder.display())))
    };
    let file = |name: &str| root().join("completions").join(name).display().to_string();
    for (line, expected) in CANDIDATES {
        let last = line.rsplit(' ').next().unwrap();
        let bash = format!(
            "source {}; COMP_LINE='keyward {line}'; COMP_POINT=${{#COMP_LINE}}; IFS=' ' read -r -a COMP_WORDS <<< \"$COMP_LINE\"; \
             [ -n '{last}' ] || COMP_WORDS+=(''); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); COMP_TYPE=9; \
             _clap_complete_keyward keyward '{last}' ''; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            file("keyward.bash")
        );
        assert_eq!(names(&run("bash", &bash)), expected, "bash: {line}");
        let fish = format!("source {}; complete --do-complete 'keyward {line}' | cut -f1", file("keyward.fish"));
        assert_eq!(names(&run("fish", &fish)), expected, "fish: {line}");
    }
}

/// What is typed | what it becomes, in every shell with a terminal.
const TYPED: [(&str, &str); 13] = [
    ("show ann@ex", "show ann@example.org"),
    ("list --group=c", "list --group=ci"),
    ("list --label team=w", "list --label team=web"),
    ("list --state susp", "list --state suspended"),
    ("apply k3", "apply k3.toml"),
    ("create x --secret-file k3", "create x --secret-file k3.toml"),
    ("enable o", "enable off"),
    ("disable alpin", "disable alpine"),
    ("help dupl", "help duplicate"),
    ("man mani", "man manifest"),
    ("settings set query-credentials a", "settings set query-credentials allow"),
    ("history --action key.rot", "history --action key.rotate"),
    ("history --by an", "history --by ann"),
];

/// A store with names that shells split, and a file beside it.
fn sandbox_with_hard_names() -> Sandbox {
    let (sandbox, _) = sandbox();
    for line in ["create ann@example.org", "create off --disabled --label team=web", "tenant create acme"] {
        assert_eq!(sandbox.run(line).code, 0);
    }
    std::fs::write(sandbox.path("k3.toml"), "").unwrap();
    sandbox
}

/// Types a command and a tab, and checks that the line becomes this.
fn completes(screen: &mut Screen, typed: &str, whole: &str) {
    screen.press(&format!("\x15keyward {typed}\t"));
    screen.wait_for(&format!("> keyward {whole}"));
    std::thread::sleep(std::time::Duration::from_millis(150));
    let line = screen.text().lines().rfind(|line| line.starts_with("ready> ")).unwrap().trim_end().to_owned();
    assert_eq!(line.trim_end_matches(' '), format!("ready> keyward {whole}"), "{typed}");
}

#[test]
#[ignore = "needs fish"]
fn a_fish_completes_hard_names_and_paths() {
    let sandbox = sandbox_with_hard_names();
    let binary = Path::new(env!("CARGO_BIN_EXE_keyward")).parent().unwrap();
    let script = root().join("completions/keyward.fish").display().to_string();
    for (typed, whole) in TYPED {
        let text = format!("source {script}; complete --do-complete 'keyward {typed}' | cut -f1");
        let mut fish = Command::new("fish");
        fish.args(["-c", &text]).env_clear().env("KEYWARD_STORE", sandbox.store()).env("HOME", sandbox.path(""));
        fish.current_dir(sandbox.path("")).env("PATH", format!("{}:/usr/bin:/bin", binary.display()));
        let last = whole.rsplit(' ').next().unwrap();
        assert_eq!(names_or_flag(&finish(&mut fish)), last, "{typed}");
    }
}

/// The only candidate, which may be a flag with its value.
fn names_or_flag(output: &Output) -> String {
    output.stdout.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// In a terminal, bash splits words at `=`, `@` and `:`, and replaces only the last part.
#[test]
#[ignore = "needs bash"]
fn a_bash_in_a_terminal_completes_what_it_takes_apart() {
    let sandbox = sandbox_with_hard_names();
    let script = root().join("completions/keyward.bash").display().to_string();
    let mut screen = Screen::start_program("bash", &["--norc", "-i"], &sandbox.store(), &sandbox.path(""));
    screen.press("PS1='ready> '\r");
    screen.wait_for("\nready> ");
    screen.press(&format!("source {script}; clear\r"));
    let of_bash = [
        ("show ann", "show ann@example.org"),
        ("list --label te", "list --label team="),
        ("list --label=team=w", "list --label=team=web"),
        ("list --scope=rest,u", "list --scope=rest,ui"),
        ("list --scope '!u", "list --scope '!ui'"),
        ("list --scope \"!u", "list --scope \"!ui\""),
        ("--store k", "--store k"),
        // It is there already.
        ("show alpine alpi", "show alpine alpi"),
        ("enable alp", "enable alp"),
    ];
    for (typed, whole) in TYPED.into_iter().chain(of_bash) {
        completes(&mut screen, typed, whole);
    }
    screen.press("\x15exit\r");
    screen.end();
}

/// zsh completes only in a terminal.
#[test]
#[ignore = "needs zsh"]
fn zsh_completes() {
    let sandbox = sandbox_with_hard_names();
    let folder = root().join("completions").display().to_string();
    for load in [
        format!("fpath=({folder} $fpath); autoload -U compinit; compinit -u -D"),
        format!("autoload -U compinit; compinit -u -D; source {folder}/_keyward"),
    ] {
        let mut screen = Screen::start_program("zsh", &["-f", "-i"], &sandbox.store(), &sandbox.path(""));
        screen.press("PS1='ready> '\r");
        screen.wait_for("\nready> ");
        screen.press(&format!("{load}; clear\r"));
        // The first tab goes as far as all candidates agree, the second shows them.
        screen.press("keyward show al\t\t");
        screen.wait_for("alpha");
        screen.wait_for("alpine");
        screen.press("\x15keyward list --owner a\t");
        screen.wait_for("--owner ann");
        for (typed, whole) in TYPED {
            completes(&mut screen, typed, whole);
        }
        screen.press("\x15exit\r");
        screen.end();
    }
}
