//! Completion of the command line, names from the store included.
//!
//! A shell that has loaded one of the scripts in `completions/` starts keyward with
//! [`VARIABLE`] set and the words so far. What a value may be follows from its name in the
//! definition of the command line (`KEY`, `GROUP`, `SCOPE` …), so a new flag completes by itself. The store is only
//! read; whatever goes wrong, the shell gets no candidates and no message.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::{Arg, Command};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use clap_complete::env::{EnvCompleter, Shells};

use crate::text::clean;
use keyward_core::rules::key::State;
use keyward_core::rules::names::NOT;
use keyward_core::store::{Names, Store};

/// The environment variable by which the scripts ask for candidates. A name of our own: with the
/// usual one, a stray `COMPLETE=1` in the environment would break every command.
pub const VARIABLE: &str = "KEYWARD_COMPLETE";

/// The names of the shells that have a script.
pub fn shells() -> Vec<&'static str> {
    Shells::builtins().iter().map(EnvCompleter::name).collect()
}

/// The script that makes `shell` ask keyward for candidates.
///
/// # Errors
/// Where there is no such shell.
pub fn script(shell: &str) -> anyhow::Result<String> {
    let shells = Shells::builtins();
    let shell = shells.completer(shell).ok_or_else(|| anyhow::anyhow!("there is no script for {shell}"))?;
    let mut script = Vec::new();
    shell.write_registration(VARIABLE, "keyward", "keyward", "keyward", &mut script)?;
    let script = String::from_utf8(script)?;
    Ok(if shell.name() == "zsh" { loaded_by_zsh(&script) } else { script })
}

/// zsh runs the file itself as the function when it completes for the first time, unless the file was
/// sourced. The script of the crate would only register itself, and complete from the second time on.
fn loaded_by_zsh(script: &str) -> String {
    let register = "compdef _clap_dynamic_completer_keyward keyward";
    script.replace(
        register,
        &format!(
            "if [ \"$funcstack[1]\" = _keyward ]; then\n    _clap_dynamic_completer_keyward \"$@\"\nelse\n    {register}\nfi"
        ),
    )
}

/// Answers a script of `shell`: `args` are the command line of keyward itself, whose words to be
/// completed stand behind `--`; `command` is the definition of that command line.
pub fn answer(shell: &OsStr, args: &[OsString], default_store: Option<PathBuf>, command: Command) -> Option<Vec<u8>> {
    let words: Vec<OsString> = args.iter().skip_while(|arg| *arg != "--").skip(1).cloned().collect();
    let shells = Shells::builtins();
    let shell = shells.completer(shell.to_str()?)?;
    let store = named_store(&words).or(default_store)?;
    let mut command = with_candidates(command, &store, None, Quoting::of(shell.name()));
    let mut answer = Vec::new();
    shell.write_complete(&mut command, words, None, &mut answer).ok()?;
    Some(answer)
}

/// The store that `--store` names among the words so far.
fn named_store(words: &[OsString]) -> Option<PathBuf> {
    let words: Vec<_> = words.iter().filter_map(|word| word.to_str()).collect();
    let apart = words.windows(2).find(|pair| pair[0] == "--store").map(|pair| pair[1]);
    apart.or_else(|| words.iter().find_map(|word| word.strip_prefix("--store="))).map(PathBuf::from)
}

/// The command with candidates for all of its values that the store holds.
fn with_candidates(command: Command, store: &Path, kind: Option<Names>, shell: Quoting) -> Command {
    let kind = match command.get_name() {
        "group" => Some(Names::Groups),
        "user" => Some(Names::Users),
        "role" => Some(Names::Roles),
        "tenant" => Some(Names::Tenants),
        // A new name is none of the existing ones.
        "create" => None,
        _ => kind,
    };
    command
        .mut_args(|arg| match candidates_for(&arg, kind) {
            Some(Candidates::Names(names)) => {
                let store = store.to_owned();
                complete_from(arg, shell, move |typed| {
                    let names = |store: Store| store.view()?.names_starting(names, typed);
                    Store::open_to_read(&store).and_then(names).unwrap_or_default()
                })
            }
            Some(Candidates::Words(words)) => complete_from(arg, shell, move |typed| {
                words.iter().filter(|word| word.starts_with(typed)).map(|&word| word.to_owned()).collect()
            }),
            None => arg,
        })
        .mut_subcommands(|verb| with_candidates(verb, store, kind, shell))
}

/// Where the candidates for a value come from.
enum Candidates {
    Names(Names),
    Words(Vec<&'static str>),
}

fn candidates_for(arg: &Arg, kind: Option<Names>) -> Option<Candidates> {
    let value = arg.get_value_names()?.first()?;
    let names = match value.as_str() {
        "KEY" if arg.is_positional() => Names::Keys,
        "GROUP" => Names::Groups,
        "USER" => Names::Users,
        "ROLE" => Names::Roles,
        "TENANT" => Names::Tenants,
        "SCOPE" => Names::Scopes,
        "PATH" if arg.get_id().as_str().ends_with("level") => Names::Levels,
        "NAME" if arg.is_positional() => kind?,
        "STATE" => return Some(Candidates::Words(State::ALL.map(State::as_str).to_vec())),
        _ => return None,
    };
    Some(Candidates::Names(names))
}

fn complete_from(arg: Arg, shell: Quoting, starting: impl Fn(&str) -> Vec<String> + Send + Sync + 'static) -> Arg {
    arg.add(ArgValueCompleter::new(move |typed: &OsStr| {
        let typed = typed.to_str().unwrap_or_default();
        // Several values in one word are separated by commas, and no name has one: the last value is being typed. A
        // filter may leave it out.
        let last = typed.rsplit_once(',').map_or(typed, |(_, last)| last);
        let last = last.strip_prefix(NOT).unwrap_or(last);
        let before = &typed[..typed.len() - last.len()];
        let typeable = starting(last).into_iter().filter(|name| *clean(name) == **name && !name.contains('\n'));
        typeable.map(|name| CompletionCandidate::new(quoted(&format!("{before}{name}"), shell))).collect()
    }))
}

/// The shells that put a candidate on the command line as it is, and would obey what is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quoting {
    /// It quotes candidates itself: zsh, fish, elvish.
    Own,
    /// A backslash before each character.
    Bash,
    /// Single quotes, doubled inside.
    PowerShell,
}

impl Quoting {
    fn of(shell: &str) -> Self {
        match shell {
            "bash" => Self::Bash,
            "powershell" => Self::PowerShell,
            _ => Self::Own,
        }
    }
}

/// The candidate as the shell takes it for one word, and obeys nothing in it.
fn quoted(text: &str, quoting: Quoting) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-@/:,+=%".contains(c);
    match quoting {
        Quoting::Bash => text.chars().flat_map(|c| (!is_plain(c)).then_some('\\').into_iter().chain([c])).collect(),
        Quoting::PowerShell if !text.chars().all(is_plain) => format!("'{}'", text.replace('\'', "''")),
        Quoting::PowerShell | Quoting::Own => text.to_owned(),
    }
}
