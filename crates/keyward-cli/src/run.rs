//! Turns a world into an exit code.

mod meant;

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::CommandFactory as _;
use clap::error::{ContextKind, ErrorKind};

use crate::cli::Cli;
use crate::complete;
use crate::error::{Code, Error, Exit};
use crate::session::{DEFAULT_STORE, Session};
use crate::text::clean;
use crate::world::World;
use keyward_core::rules::text::holds_secret;

/// Runs the command line of `world` and returns its exit code. Never ends the process.
pub fn run(mut world: World) -> Exit {
    let args = world.args.clone();
    // The scripts put the typed words after `--`: a variable that was left set affects no other command line.
    let is_asked = args.get(1).is_some_and(|arg| arg == "--");
    if let Some(shell) = (world.environment)(complete::VARIABLE).filter(|shell| is_asked && !shell.is_empty()) {
        return answer_shell(&mut world, &shell);
    }
    // An error before the flags are parsed must have the right form too.
    let wants_json = args.iter().any(|arg| arg == "--json");
    let cli = match Cli::read(&args) {
        Ok(cli) => cli,
        Err(error) => return not_parsed(&mut world, &error, wants_json),
    };
    let global = match cli.global.or_environment(&world.environment) {
        Ok(global) => global,
        Err(error) => return report(&mut world.stderr, &error, wants_json),
    };
    let mut session = Session::start(world, global);
    if cli.command.only_reads() {
        session.use_pager();
    }
    let result = cli.command.run(&mut session);
    let printed = session.end_output();
    match result.and_then(|exit| printed.map(|()| exit)) {
        Ok(exit) => exit,
        Err(error) => {
            let error = with_place(error, &session).with_hints(|hint| session.advice(hint));
            session.terminal.report(&error, session.json())
        }
    }
}

/// Adds the path of the store: what is missing may be in another store.
fn with_place(error: Error, session: &Session) -> Error {
    match session.store_path() {
        Some(path) if error.code() == Code::NotFound => error.hint(format!("looked at the store {}", path.display())),
        _ => error,
    }
}

/// A shell asks for candidates: it gets them, or silence.
fn answer_shell(world: &mut World, shell: &OsStr) -> Exit {
    let named = (world.environment)("KEYWARD_STORE").filter(|path| !path.is_empty()).map(PathBuf::from);
    let store = named.or_else(|| world.data_folder.as_ref().map(|folder| folder.join(DEFAULT_STORE)));
    let quote = (world.environment)(complete::QUOTE);
    if let Some(answer) = complete::answer(shell, quote.as_deref(), &world.args, store, Cli::command()) {
        let _ = world.stdout.write_all(&answer);
    }
    Exit::DONE
}

/// Help and version are answers; everything else is an error of usage.
fn not_parsed(world: &mut World, error: &clap::Error, json: bool) -> Exit {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let text = error.render();
            let text = if world.streams.stdout_is_terminal { text.ansi().to_string() } else { text.to_string() };
            let written = world.stdout.write_all(text.as_bytes()).and_then(|()| world.stdout.flush());
            if written.is_ok() { Exit::DONE } else { Exit(1) }
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand if json => {
            let error = Error::new(Code::Usage, "a subcommand is needed");
            report(&mut world.stderr, &error.hint("the commands: keyward --help"), json)
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = world.stderr.write_all(error.render().to_string().as_bytes());
            Error::new(Code::Usage, "").exit()
        }
        _ => report(&mut world.stderr, &usage(error, &world.args), json),
    }
}

/// clap's message in our form: the sentence, its tips as hints, and where the help is.
fn usage(error: &clap::Error, args: &[OsString]) -> Error {
    let text = error.render().to_string();
    let text = clean(&text);
    let mut paragraphs = text.split("\n\n");
    let message = paragraphs.next().unwrap_or_default().trim_start_matches("error: ").trim();
    let mut result = Error::new(Code::Usage, message);
    if holds_secret(&text) {
        result = result
            .hint("a secret stood on the command line, where other users and the shell's history can see it: rotate that key")
            .hint("verify reads the credential from standard input, --from-file or --from-env");
    }
    let mut root = Cli::command();
    root.build();
    let mut command = &root;
    let mut verb = String::new();
    // Words after an unknown command are not looked up.
    let unknown = error.get(ContextKind::InvalidSubcommand).map(ToString::to_string);
    let known = |word: &&str| unknown.as_deref() != Some(*word);
    for word in args.iter().skip(1).filter_map(|arg| arg.to_str()).take_while(known) {
        if let Some(found) = command.find_subcommand(word) {
            command = found;
            verb = format!("{verb} {word}");
        }
    }
    let named = |kind| error.get(kind).map(ToString::to_string);
    let meant = match error.kind() {
        ErrorKind::InvalidSubcommand => unknown.as_deref().and_then(|word| meant::verb(word, command)),
        ErrorKind::InvalidValue => named(ContextKind::SuggestedValue).map(|value| format!("did you mean {value}?")),
        ErrorKind::UnknownArgument => named(ContextKind::InvalidArg).and_then(|flag| meant::flag(&flag, command)),
        _ => None,
    };
    if let Some(meant) = meant {
        result = result.hint(meant);
    }
    result.hint(if verb.is_empty() {
        "see the commands: keyward --help".to_owned()
    } else {
        format!("usage: keyward help{verb}")
    })
}

fn report(stderr: &mut dyn std::io::Write, error: &Error, json: bool) -> Exit {
    let _ = stderr.write_all(error.report(json).as_bytes());
    error.exit()
}
