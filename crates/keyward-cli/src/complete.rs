//! Command-line completion, including names from the store.
//!
//! A shell that has loaded one of the scripts in `completions/` starts keyward with [`VARIABLE`] set and the words so
//! far. What a value may be follows from its name in the definition of the command line (`KEY`, `GROUP`, `SCOPE` …), so
//! a new flag completes automatically. The store is only read; if anything goes wrong, the shell gets no candidates and
//! no message.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Arg, Command};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use clap_complete::env::{EnvCompleter, Shells};

use crate::manual::TOPICS;
use crate::text::clean;
use keyward_core::rules::key::State;
use keyward_core::rules::names::NOT;
use keyward_core::store::{ACTIONS, Names, Store};

/// The environment variable with which the scripts ask for candidates. It has its own name: with the usual one, a stray
/// `COMPLETE=1` in the environment would break every command.
pub const VARIABLE: &str = "KEYWARD_COMPLETE";

/// The environment variable in which the bash script passes the first character of the word, which may be a quotation
/// mark.
pub const QUOTE: &str = "KEYWARD_COMPLETE_QUOTE";

/// The names of the shells that have a script.
pub fn shells() -> Vec<&'static str> {
    Shells::builtins().iter().map(EnvCompleter::name).collect()
}

/// The script that makes `shell` ask keyward for candidates.
///
/// # Errors
/// If there is no such shell.
pub fn script(shell: &str) -> anyhow::Result<String> {
    let shells = Shells::builtins();
    let shell = shells.completer(shell).ok_or_else(|| anyhow::anyhow!("there is no script for {shell}"))?;
    let mut script = Vec::new();
    shell.write_registration(VARIABLE, "keyward", "keyward", "keyward", &mut script)?;
    let script = String::from_utf8(script)?;
    Ok(match shell.name() {
        "bash" => joined_by_bash(&script),
        "zsh" => loaded_by_zsh(&script),
        _ => script,
    })
}

/// bash also splits words at `=`, `@` and `:` (COMP_WORDBREAKS), and replaces only the last part. This joins the parts
/// again, and strips from the candidates what bash keeps.
fn joined_by_bash(script: &str) -> String {
    const TAKEN: &str = r#"    local words=("${COMP_WORDS[@]}")
    if [[ "${BASH_VERSINFO[0]}" -ge 4 ]]; then
        words[COMP_CWORD]="$2"
    fi
"#;
    const JOINED: &str = r#"    local words=() line="${COMP_LINE:0:COMP_POINT}" kept= part blanks i
    for ((i = 0; i <= COMP_CWORD; i++)); do
        part="${COMP_WORDS[i]}"
        blanks="${line%%[![:space:]]*}"
        line="${line#"$blanks"}"
        if ((i == 0)) || [[ -n "$blanks" ]]; then
            ((i < COMP_CWORD)) || part="$2"
            words+=("$part")
        else
            ((i < COMP_CWORD)) || part="$line"
            words[${#words[@]} - 1]+="$part"
            ((i < COMP_CWORD)) || kept="${words[${#words[@]} - 1]%"$2"}"
        fi
        line="${line#"$part"}"
    done
    _CLAP_COMPLETE_INDEX=$((${#words[@]} - 1))
"#;
    const ENDED: &str = "    if [[ $? != 0 ]]; then\n        unset COMPREPLY\n";
    const CUT: &str = r#"    if [[ $? != 0 ]]; then
        unset COMPREPLY
    elif [[ -n "$kept" ]]; then
        COMPREPLY=("${COMPREPLY[@]#"$kept"}")
    fi
    if [[ -z "${COMPREPLY-}" ]]; then
        :
"#;
    let asked = "        KEYWARD_COMPLETE=\"bash\"";
    let with_quote = format!("        {QUOTE}=\"${{COMP_WORDS[COMP_CWORD]:0:1}}\" \\\n{asked}");
    script.replace(TAKEN, JOINED).replace(ENDED, CUT).replace(asked, &with_quote)
}

/// At the first completion, zsh runs the file itself as the function, unless the file was sourced. The crate's script
/// would only register itself, and complete from the second time on.
fn loaded_by_zsh(script: &str) -> String {
    let register = "compdef _clap_dynamic_completer_keyward keyward";
    script.replace(
        register,
        &format!(
            "if [ \"$funcstack[1]\" = _keyward ]; then\n    _clap_dynamic_completer_keyward \"$@\"\nelse\n    {register}\nfi"
        ),
    )
}

/// Answers a script of `shell`: `args` is keyward's own command line, with the words to complete after `--`; `command`
/// is its definition.
pub fn answer(
    shell: &OsStr,
    quote: Option<&OsStr>,
    args: &[OsString],
    default_store: Option<PathBuf>,
    command: Command,
) -> Option<Vec<u8>> {
    let words: Vec<OsString> = args.iter().skip_while(|arg| *arg != "--").skip(1).cloned().collect();
    let shells = Shells::builtins();
    let shell = shells.completer(shell.to_str()?)?;
    let store = named_store(&words).or(default_store)?;
    let line = Line {
        store,
        words: words.iter().map(|word| word.to_string_lossy().into_owned()).collect(),
        topics: topics(&command),
        shell: Quoting::of(shell.name(), quote),
    };
    let mut command = with_candidates(command, &Arc::new(line), None);
    let mut answer = Vec::new();
    // Paths are completed relative to this.
    let folder = std::env::current_dir().ok();
    shell.write_complete(&mut command, words, folder.as_deref(), &mut answer).ok()?;
    Some(answer)
}

/// The store that `--store` names among the words so far.
fn named_store(words: &[OsString]) -> Option<PathBuf> {
    let words: Vec<_> = words.iter().filter_map(|word| word.to_str()).collect();
    let apart = words.windows(2).find(|pair| pair[0] == "--store").map(|pair| pair[1]);
    apart.or_else(|| words.iter().find_map(|word| word.strip_prefix("--store="))).map(PathBuf::from)
}

/// What is being completed.
struct Line {
    store: PathBuf,
    words: Vec<String>,
    /// The verbs and the other topics that have help.
    topics: Vec<String>,
    shell: Quoting,
}

impl Line {
    /// Whether this is among the words typed before the last one.
    fn has(&self, word: &str) -> bool {
        self.words.split_last().is_some_and(|(_, before)| before.iter().any(|typed| typed == word))
    }
}

fn topics(command: &Command) -> Vec<String> {
    let verbs = command.get_subcommands().filter(|verb| !verb.is_hide_set()).map(Command::get_name);
    let others = std::iter::once("exit-codes").chain(TOPICS.iter().map(|topic| topic.name));
    verbs.chain(others).map(str::to_owned).collect()
}

/// The command with candidates for all values known to the store or keyward.
fn with_candidates(command: Command, line: &Arc<Line>, kind: Option<Names>) -> Command {
    let kind = match command.get_name() {
        "group" => Some(Names::Groups),
        "user" => Some(Names::Users),
        "role" => Some(Names::Roles),
        "tenant" => Some(Names::Tenants),
        // A new name is not an existing one.
        "create" => None,
        _ => kind,
    };
    let verb = command.get_name().to_owned();
    command
        .mut_args(|arg| match candidates_for(&arg, kind, &verb, line) {
            Some(candidates) => complete_from(arg, Arc::clone(line), candidates),
            None => arg,
        })
        .mut_subcommands(|verb| with_candidates(verb, line, kind))
}

/// Where the candidates for a value come from.
#[derive(Clone)]
enum Candidates {
    Names(Names),
    Words(Vec<String>),
}

fn candidates_for(arg: &Arg, kind: Option<Names>, verb: &str, line: &Line) -> Option<Candidates> {
    let words = |words: &[&str]| Some(Candidates::Words(words.iter().map(|&word| word.to_owned()).collect()));
    let value = arg.get_value_names()?.first()?;
    let names = match (value.as_str(), verb) {
        ("KEY", "enable") if arg.is_positional() => Names::DisabledKeys,
        ("KEY", "disable") if arg.is_positional() => Names::EnabledKeys,
        ("KEY", _) if arg.is_positional() => Names::Keys,
        ("KEY[=VALUE]" | "KEY=VALUE", _) => Names::Labels,
        ("GROUP", _) => Names::Groups,
        ("USER" | "WHO", _) => Names::Users,
        ("ROLE", _) => Names::Roles,
        ("TENANT", _) => Names::Tenants,
        ("SCOPE", _) => Names::Scopes,
        ("PATH", _) if arg.get_id().as_str().ends_with("level") => Names::Levels,
        ("NAME", _) if arg.is_positional() => kind?,
        ("STATE", _) => return words(&State::ALL.map(State::as_str)),
        ("never", _) => return words(&["never"]),
        ("ACTION", _) => return words(&ACTIONS),
        ("TOPIC" | "COMMAND", "help" | "man") => return Some(Candidates::Words(line.topics.clone())),
        ("VALUE", "set") => return words(values_of(line)),
        _ => return None,
    };
    Some(Candidates::Names(names))
}

/// The usual values of the setting before it.
fn values_of(line: &Line) -> &'static [&'static str] {
    match line.words.iter().rev().nth(1).map(String::as_str) {
        Some("prefix") => &["kw"],
        Some("hash-parameters") => &["m=19456,t=2,p=1"],
        Some("query-credentials") => &["allow", "refuse"],
        Some("default-lifetime") => &["90d", "365d", "never"],
        Some("max-lifetime") => &["90d", "365d", "unlimited"],
        Some("usage-retention") => &["90d", "400d", "unlimited"],
        _ => &[],
    }
}

fn complete_from(arg: Arg, line: Arc<Line>, candidates: Candidates) -> Arg {
    let (is_positional, shell) = (arg.is_positional(), line.shell);
    arg.add(ArgValueCompleter::new(move |typed: &OsStr| {
        let typed = typed.to_str().unwrap_or_default();
        // Several values in one word are separated by commas, which no name contains: the last value is being typed. A
        // filter may exclude it.
        let last = typed.rsplit_once(',').map_or(typed, |(_, last)| last);
        let last = last.strip_prefix(NOT).unwrap_or(last);
        let before = &typed[..typed.len() - last.len()];
        let found = match &candidates {
            Candidates::Names(names) => {
                let starting = |store: Store| store.view()?.names_starting(*names, last);
                Store::open_to_read(&line.store).and_then(starting).unwrap_or_default()
            }
            Candidates::Words(words) => words.iter().filter(|word| word.starts_with(last)).cloned().collect(),
        };
        let typeable = found.into_iter().filter(|name| *clean(name) == **name && !name.contains('\n'));
        // No key is named twice.
        let new = typeable.filter(|name| !is_positional || !line.has(name));
        let new = new.filter(|name| shell != Quoting::BashSingle || !name.contains('\''));
        new.map(|name| CompletionCandidate::new(quoted(&format!("{before}{name}"), shell))).collect()
    }))
}

/// How to quote for shells that put a candidate on the command line unchanged, and would interpret it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quoting {
    /// The shell quotes candidates itself: zsh, fish, elvish.
    Own,
    /// A backslash before each character.
    Bash,
    /// Within double quotation marks in bash: a backslash before special characters.
    BashDouble,
    /// Within single ones: no character is special, and only the mark itself ends the text.
    BashSingle,
    /// Single quotes, doubled inside.
    PowerShell,
}

impl Quoting {
    fn of(shell: &str, quote: Option<&OsStr>) -> Self {
        match shell {
            "bash" if quote.is_some_and(|quote| quote == "\"") => Self::BashDouble,
            "bash" if quote.is_some_and(|quote| quote == "'") => Self::BashSingle,
            "bash" => Self::Bash,
            "powershell" => Self::PowerShell,
            _ => Self::Own,
        }
    }
}

/// The candidate, quoted so that the shell takes it as one plain word.
fn quoted(text: &str, quoting: Quoting) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-@/:,+=%".contains(c);
    match quoting {
        Quoting::Bash => text.chars().flat_map(|c| (!is_plain(c)).then_some('\\').into_iter().chain([c])).collect(),
        Quoting::BashDouble => {
            text.chars().flat_map(|c| "$`\"\\".contains(c).then_some('\\').into_iter().chain([c])).collect()
        }
        Quoting::PowerShell if !text.chars().all(is_plain) => format!("'{}'", text.replace('\'', "''")),
        Quoting::PowerShell | Quoting::BashSingle | Quoting::Own => text.to_owned(),
    }
}
