//! The synopsis of a command, in the order in which it is typed: the arguments, then the options with their values.
//!
//! Options under a common heading are one word, in capitals.

use clap::{Arg, ArgAction, Command};

/// The widest line. The name of a heading or an option is never broken.
const LINE: usize = 80;
/// The width of the text before the first line.
const HEADING: usize = "Usage: ".len();

/// The parts after the name of `command`.
pub(super) fn pieces(command: &Command) -> Vec<String> {
    let mut pieces: Vec<String> = command.get_positionals().filter(|arg| !arg.is_hide_set()).map(argument).collect();
    let options = command.get_arguments().filter(|arg| {
        let is_own = !arg.is_positional() && !arg.is_global_set() && !arg.is_hide_set();
        is_own
            && !matches!(
                arg.get_action(),
                ArgAction::Help | ArgAction::HelpShort | ArgAction::HelpLong | ArgAction::Version
            )
    });
    for option in options {
        let piece = match option.get_help_heading() {
            Some(heading) => format!("[{}]", heading.to_uppercase()),
            None => self::option(option),
        };
        if !pieces.contains(&piece) {
            pieces.push(piece);
        }
    }
    if command.has_subcommands() {
        pieces.push(if command.is_subcommand_required_set() { "COMMAND" } else { "[COMMAND]" }.to_owned());
    }
    pieces
}

/// The synopsis of `command`, beginning with `words`, on as many lines as it needs.
pub(super) fn synopsis(command: &Command, words: &str) -> String {
    let mut lines = vec![format!("keyward {words}")];
    for piece in pieces(command) {
        match lines.last_mut() {
            Some(line) if HEADING + line.len() + 1 + piece.len() <= LINE => {
                line.push(' ');
                line.push_str(&piece);
            }
            _ => lines.push(format!("  {piece}")),
        }
    }
    lines.join(&format!("\n{}", " ".repeat(HEADING)))
}

fn argument(arg: &Arg) -> String {
    let names = values(arg);
    let repeats = arg.get_num_args().is_some_and(|number| number.max_values() > 1);
    let dots = if repeats { "..." } else { "" };
    if arg.is_required_set() { format!("{names}{dots}") } else { format!("[{names}]{dots}") }
}

fn option(arg: &Arg) -> String {
    let name = arg.get_long().map_or_else(|| arg.get_id().to_string(), |long| format!("--{long}"));
    let number = arg.get_num_args().unwrap_or_default();
    let text = match (number.takes_values(), number.min_values()) {
        (false, _) => name,
        (true, 0) => format!("{name}[={}]", values(arg)),
        (true, _) => format!("{name} {}", values(arg)),
    };
    let repeats = matches!(arg.get_action(), ArgAction::Append) && number.takes_values();
    let dots = if repeats { "..." } else { "" };
    if arg.is_required_set() { format!("{text}{dots}") } else { format!("[{text}]{dots}") }
}

fn values(arg: &Arg) -> String {
    match arg.get_value_names() {
        Some(names) => names.join(" "),
        None => arg.get_id().as_str().to_uppercase(),
    }
}
