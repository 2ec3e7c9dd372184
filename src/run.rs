//! From a world to an exit code.

use clap::error::ErrorKind;
use clap::{CommandFactory as _, FromArgMatches as _};

use crate::cli::Cli;
use crate::domain::text::clean;
use crate::domain::token::redact;
use crate::error::{Code, Error, Exit};
use crate::session::Session;
use crate::world::World;

/// Runs the command line of `world` and returns its exit code. Never ends the process.
pub fn run(mut world: World) -> Exit {
    let args = std::mem::take(&mut world.args);
    // Before the flags are parsed, an error must be told in the right form all the same.
    let wants_json = args.iter().any(|arg| arg == "--json");
    let cli = Cli::command().try_get_matches_from(args).and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match cli {
        Ok(cli) => cli,
        Err(error) => return not_parsed(&mut world, &error, wants_json),
    };
    let global = match cli.global.or_environment(&world.environment) {
        Ok(global) => global,
        Err(error) => return report(&mut world.stderr, &error, wants_json),
    };
    let mut session = Session::start(world, global);
    let result = cli.command.run(&mut session).and_then(|exit| session.terminal.flush().map(|()| exit));
    match result {
        Ok(exit) => exit,
        Err(error) => session.terminal.report(&error, session.json()),
    }
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
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = world.stderr.write_all(error.render().to_string().as_bytes());
            Error::new(Code::Usage, "").exit()
        }
        _ => report(&mut world.stderr, &usage(error), json),
    }
}

/// clap's message as one of ours: the sentence, and its tips as hints.
fn usage(error: &clap::Error) -> Error {
    let text = clean(&error.render().to_string());
    let leaked = matches!(redact(&text), std::borrow::Cow::Owned(_));
    let mut paragraphs = text.split("\n\n");
    let message = paragraphs.next().unwrap_or_default().trim_start_matches("error: ").trim();
    let mut result = Error::new(Code::Usage, message);
    if leaked {
        result = result
            .hint("a secret stood on the command line, where other users and the shell's history can see it: rotate that key")
            .hint("verify reads the credential from standard input, --from-file or --from-env");
    }
    for paragraph in paragraphs {
        for line in paragraph.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let line = line.trim_start_matches("tip: ");
            if !line.starts_with("For more information") {
                result = result.hint(line);
            }
        }
    }
    result
}

fn report(stderr: &mut dyn std::io::Write, error: &Error, json: bool) -> Exit {
    let _ = stderr.write_all(error.report(json).as_bytes());
    error.exit()
}
