//! The manual in Markdown, made from the same source as `--help` and `keyward help TOPIC`.
//!
//! It lives beside the tests because the program does not need it.

use std::fmt::Write as _;

use clap::{Arg, Command};
use keyward_cli::error::{Code, Exit};
use keyward_cli::manual::{ENVIRONMENT, Part, TOPICS, Topic};

/// A page.
pub struct Page {
    /// The file name, such as `keyward-create.md`.
    pub file: String,
    /// What it is about, in a few words.
    pub summary: String,
    pub text: String,
}

impl Page {
    /// The title for readers: `keyward group create`, or the name of a topic.
    pub fn title(&self) -> &str {
        self.text.lines().next().unwrap().trim_start_matches("# ")
    }
}

/// The pages of all commands, the main one first.
pub fn commands(command: Command) -> Vec<Page> {
    let mut root = command.disable_help_flag(true).disable_version_flag(true);
    root.build();
    let mut pages = vec![];
    add_commands(&root, "keyward", &mut pages);
    pages
}

/// The pages of all topics.
pub fn topics() -> Vec<Page> {
    TOPICS.iter().map(topic).collect()
}

fn verbs(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|verb| !verb.is_hide_set())
}

fn add_commands(command: &Command, name: &str, pages: &mut Vec<Page>) {
    let summary = command.get_about().unwrap().to_string();
    pages.push(Page { file: file(name), summary, text: render(command, name) });
    for verb in verbs(command) {
        // The help of each command would appear twice.
        if verb.get_name() != "help" || name == "keyward" {
            add_commands(verb, &format!("{name} {}", verb.get_name()), pages);
        }
    }
}

fn file(name: &str) -> String {
    format!("{}.md", name.replace(' ', "-"))
}

fn render(command: &Command, name: &str) -> String {
    let about = command.get_long_about().or(command.get_about()).unwrap().to_string();
    let mut text = format!("# {name}\n\n");
    for paragraph in about.split("\n\n") {
        let _ = writeln!(text, "{}\n", escaped(&one_line(paragraph)));
    }
    let usage = command.clone().render_usage().to_string();
    // Align further lines with the first.
    let usage = usage.trim_start_matches("Usage: ").replace("\n       ", "\n");
    let _ = writeln!(text, "```text\n{usage}\n```");
    let examples = command.get_after_long_help().or(command.get_after_help()).map(ToString::to_string);
    add_examples(examples.unwrap_or_default().as_str(), &mut text);
    let is_verb = |verb: &&Command| verb.get_name() != "help" || name == "keyward";
    let mut below = verbs(command).filter(is_verb).peekable();
    if below.peek().is_some() {
        text.push_str("\n## Commands\n\n");
        for verb in below {
            let whole = format!("{name} {}", verb.get_name());
            let about = escaped(&verb.get_about().unwrap().to_string());
            let _ = writeln!(text, "- [{whole}]({}): {about}", file(&whole));
        }
    }
    add_arguments(command, &mut text);
    if name == "keyward" {
        add_codes(&mut text);
    } else {
        text.push_str("\n[keyward](keyward.md) has the options of all commands, the exit codes and the error codes.\n");
    }
    text
}

/// Adds the examples: indented paragraphs, each below its heading line.
fn add_examples(help: &str, text: &mut String) {
    if !help.starts_with("Example") {
        return;
    }
    let (mut is_open, mut lines) = (false, help.lines().peekable());
    while let Some(line) = lines.next() {
        if line.is_empty() {
            // Between recipes, but not before a heading.
            if lines.peek().is_some_and(|next| next.starts_with(' ')) {
                text.push('\n');
            }
        } else if let Some(line) = line.strip_prefix("  ") {
            let _ = writeln!(text, "{}", line.trim_end());
        } else {
            let end = if is_open { "```\n" } else { "" };
            let language = if line.contains("configuration") { "toml" } else { "sh" };
            let _ = writeln!(text, "{end}\n## {}\n\n```{language}", line.trim_end_matches(':'));
            is_open = true;
        }
    }
    text.push_str("```\n");
}

/// Adds the arguments and options, under their headings.
fn add_arguments(command: &Command, text: &mut String) {
    let mut sections: Vec<(&str, Vec<&Arg>)> = vec![];
    for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
        let usual = if arg.is_positional() { "Arguments" } else { "Options" };
        let heading = arg.get_help_heading().unwrap_or(usual);
        match sections.iter_mut().find(|(name, _)| *name == heading) {
            Some((_, args)) => args.push(arg),
            None => sections.push((heading, vec![arg])),
        }
    }
    for (heading, args) in sections {
        let _ = writeln!(text, "\n## {heading}\n");
        for arg in args {
            add_argument(arg, text);
        }
    }
}

fn add_argument(arg: &Arg, text: &mut String) {
    let short = arg.get_short().map(|short| format!("-{short}, ")).unwrap_or_default();
    let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
    let mut paragraphs = help.split("\n\n").map(|paragraph| escaped(&one_line(paragraph)));
    let _ = writeln!(text, "- `{short}{arg}`: {}", paragraphs.next().unwrap_or_default());
    for paragraph in paragraphs {
        let _ = writeln!(text, "\n  {paragraph}");
    }
    let defaults: Vec<_> = arg.get_default_values().iter().map(|value| format!("`{}`", value.display())).collect();
    if !defaults.is_empty() && !arg.is_hide_default_value_set() && arg.get_action().takes_values() {
        let _ = writeln!(text, "\n  Default: {}", defaults.join(", "));
    }
    let values = arg.get_possible_values();
    let mut values = values.iter().filter(|value| !value.is_hide_set()).peekable();
    if values.peek().is_none() || arg.is_hide_possible_values_set() || !arg.get_action().takes_values() {
        return;
    }
    text.push_str("\n  Possible values:\n\n");
    for value in values {
        let help = value.get_help().map(|help| format!(": {}", escaped(&help.to_string()))).unwrap_or_default();
        let _ = writeln!(text, "  - `{}`{help}", value.get_name());
    }
}

fn add_codes(text: &mut String) {
    text.push_str("\n## Exit codes\n\n| code | meaning |\n|---|---|\n");
    for (exit, meaning) in Exit::TABLE {
        let _ = writeln!(text, "| {} | {} |", exit.0, escaped(meaning));
    }
    text.push_str("\n## Error codes\n\nWith `--json`, an error is one object on standard error: ");
    text.push_str("`{\"error\":{\"code\",\"message\",\"hint\"}}`.\n");
    text.push_str("\n| code | exit code | meaning |\n|---|---|---|\n");
    for (code, exit, meaning) in Code::table() {
        let _ = writeln!(text, "| `{code}` | {} | {} |", exit.0, escaped(meaning));
    }
    text.push_str("\n## Environment\n\n");
    for (name, meaning) in ENVIRONMENT {
        let _ = writeln!(text, "- `{name}`: {}", escaped(meaning));
    }
}

fn topic(topic: &Topic) -> Page {
    let mut text =
        format!("# {}\n\n{}. In a terminal: `keyward help {}`.\n", topic.name, capital(topic.summary), topic.name);
    let mut is_list = false;
    for part in topic.parts() {
        let is_term = matches!(part, Part::Term(..));
        if !is_term || !is_list {
            text.push('\n');
        }
        is_list = is_term;
        let _ = match part {
            Part::Heading(heading) => writeln!(text, "## {}", escaped(&heading)),
            Part::Text(lines) => writeln!(text, "{}", escaped(&one_line(lines))),
            Part::Lines(language, lines) => writeln!(text, "```{language}\n{lines}\n```"),
            Part::Term(term, meaning) => writeln!(text, "- `{term}`: {}", escaped(&meaning)),
        };
    }
    Page { file: format!("{}.md", topic.name), summary: topic.summary.to_owned(), text }
}

fn capital(text: &str) -> String {
    text[..1].to_uppercase() + &text[1..]
}

fn one_line(paragraph: &str) -> String {
    paragraph.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The text with Markdown's special characters escaped, except between backquotes.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for (place, part) in text.split('`').enumerate() {
        let is_code = place % 2 == 1;
        if place > 0 {
            escaped.push('`');
        }
        for letter in part.chars() {
            if !is_code && r"\*_<>[]|$~#".contains(letter) {
                escaped.push('\\');
            }
            escaped.push(letter);
        }
    }
    escaped
}
