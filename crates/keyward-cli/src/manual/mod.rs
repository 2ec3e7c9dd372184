//! Man pages, from the same definitions as `--help`.
//!
//! One page for each command. clap_mangen renders what clap knows (options, subcommands); examples come from the help
//! text, and exit status, files and environment are added. Formats have their own pages in section 5, and guides in
//! section 7.

mod formats;
mod guides;
pub mod json;
#[cfg(feature = "postgres")]
mod server_store;
#[cfg(feature = "serve")]
mod serving;
mod topics;

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use crate::error::{Code, Exit};
use crate::synopsis::pieces;
pub use topics::{Part, TOPICS, Topic};

/// The day of the release that the pages describe, not of the build: the same source makes the same pages.
const DATE: &str = "2026-11-22";
/// mandoc complains about longer lines, and they are hard to read in a diff.
const LINE: usize = 78;

/// The variables that keyward reads, and what they are for.
pub const ENVIRONMENT: [(&str, &str); 4] = [
    ("KEYWARD_STORE", "The store, unless --store names one."),
    ("KEYWARD_AS", "The acting user, unless --as names one."),
    ("KEYWARD_PAGER", "The pager for output that is longer than the screen, instead of PAGER; empty for none."),
    ("NO_COLOR", "Set to anything: no colours and symbols."),
];

/// A page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The name of its file: `keyward-create.1`.
    pub file: String,
    /// Its text, in roff.
    pub text: String,
}

/// All pages of the command line that `command` defines, the main one first.
///
/// # Errors
/// None that can happen: the pages are rendered into memory.
pub fn pages(command: Command) -> anyhow::Result<Vec<Page>> {
    let mut root = command.disable_help_flag(true).disable_version_flag(true);
    root.build();
    let mut pages = vec![];
    add_pages(&root, "keyward", &mut pages)?;
    for topic in TOPICS {
        pages.push(topic.page()?);
    }
    Ok(pages)
}

fn add_pages(command: &Command, name: &str, pages: &mut Vec<Page>) -> anyhow::Result<()> {
    pages.push(Page { file: format!("{name}.1"), text: render(command, name)? });
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set() && verb.get_name() != "help") {
        add_pages(verb, &format!("{name}-{}", verb.get_name()), pages)?;
    }
    Ok(())
}

fn render(command: &Command, name: &str) -> anyhow::Result<String> {
    let examples = command.get_after_long_help().or(command.get_after_help()).map(ToString::to_string);
    let examples = examples.filter(|text| text.starts_with("Example"));
    let command = command.clone().name(name.to_owned()).display_name(name.to_owned());
    let command = command.bin_name(name.replace('-', " ")).after_help("").after_long_help("");
    // A page has room for what short help leaves out.
    let command = command.mut_args(|arg| arg.hide_short_help(false));
    let globals: Vec<String> = command
        .get_arguments()
        .filter(|arg| arg.is_global_set())
        .filter_map(|arg| arg.get_long().map(|long| format!("--{long}")))
        .collect();
    let has_verbs = command.get_subcommands().any(|verb| !verb.is_hide_set() && verb.get_name() != "help");
    let synopsis = pieces(&command);
    let man = Man::new(command)
        .title(name.to_uppercase())
        .source(concat!("keyward ", env!("CARGO_PKG_VERSION")))
        .manual("keyward")
        .date(DATE);
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    if name == "keyward" {
        man.render_synopsis_section(&mut text)?;
    } else {
        let mut section = Roff::new();
        section.control("SH", ["SYNOPSIS"]);
        section.text([bold(name.replace('-', " ")), roman(format!(" {}", synopsis.join(" ")))]);
        section.to_writer(&mut text)?;
    }
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if has_verbs {
        man.render_subcommands_section(&mut text)?;
    }
    let mut rest = Roff::new();
    if name != "keyward" {
        add_global_options(&mut rest, &globals);
    }
    if let Some(examples) = examples {
        add_examples(&mut rest, &examples);
    }
    add_exit_status(&mut rest);
    add_error_codes(&mut rest, name == "keyward");
    add_environment(&mut rest);
    add_files(&mut rest);
    add_see_also(&mut rest, name);
    rest.to_writer(&mut text)?;
    Ok(tidy(&String::from_utf8(text)?))
}

/// The examples, each apart; and the sections that follow them, as they stand there.
fn add_examples(page: &mut Roff, examples: &str) {
    let is_heading = |line: &&str| !line.is_empty() && !line.starts_with(' ');
    page.control("SH", ["EXAMPLES"]);
    let mut lines = examples.lines().skip(1).peekable();
    let mut place = 0;
    while let Some(line) = lines.next_if(|line| !is_heading(line)) {
        if line.is_empty() {
            continue;
        }
        if place > 0 {
            page.control("PP", []);
        }
        place += 1;
        add_lines(page, [line.trim()]);
    }
    while let Some(heading) = lines.next() {
        page.control("SH", [heading.trim_end_matches(':').to_uppercase().as_str()]);
        let mut section = vec![];
        while let Some(line) = lines.next_if(|line| !is_heading(line)) {
            section.push(line.strip_prefix("  ").unwrap_or(line));
        }
        add_lines(page, section.join("\n").trim_end().lines());
    }
}

/// Lines as they are.
fn add_lines<'l>(page: &mut Roff, lines: impl IntoIterator<Item = &'l str>) {
    page.control("RS", ["4"]);
    page.control("nf", []);
    for line in lines {
        page.text([roman(line)]);
    }
    page.control("fi", []);
    page.control("RE", []);
}

fn add_exit_status(page: &mut Roff) {
    page.control("SH", ["EXIT STATUS"]);
    for (exit, meaning) in Exit::TABLE {
        page.control("TP", []);
        page.text([bold(exit.0.to_string())]);
        page.text([roman(meaning)]);
    }
}

/// Mentions the options that all commands take, where they are not described.
fn add_global_options(page: &mut Roff, names: &[String]) {
    page.control("SH", ["GLOBAL OPTIONS"]);
    page.text([roman(format!("{} are described in ", names.join(", "))), bold("keyward"), roman("(1).")]);
}

/// Lists all of them on one page, and on the others says where they are.
fn add_error_codes(page: &mut Roff, are_told: bool) {
    page.control("SH", ["ERROR CODES"]);
    let first = "With --json, an error is one object on standard error";
    if !are_told {
        let rest = format!("{first}; its codes and what they mean are in ");
        page.text([roman(rest), bold("keyward"), roman("(1).")]);
        return;
    }
    page.text([roman(format!("{first}, and its code is one of these:"))]);
    for (code, exit, meaning) in Code::table() {
        page.control("TP", []);
        page.text([bold(code), roman(format!(" (exit status {})", exit.0))]);
        page.text([roman(meaning)]);
    }
}

fn add_environment(page: &mut Roff) {
    page.control("SH", ["ENVIRONMENT"]);
    for (name, meaning) in ENVIRONMENT {
        page.control("TP", []);
        page.text([bold(name)]);
        page.text([roman(meaning)]);
    }
}

fn add_files(page: &mut Roff) {
    page.control("SH", ["FILES"]);
    page.control("TP", []);
    page.text([bold("~/.local/share/keyward/keys.db")]);
    page.text([roman(
        "The store, where none is named; on other platforms in their own data folder. Its permissions are the \
         security boundary: mode 0600, in a folder of mode 0700.",
    )]);
}

/// The page without what mandoc warns about: breaks next to a space, and long lines.
fn tidy(page: &str) -> String {
    let lines: Vec<&str> = page.lines().collect();
    let mut text = String::with_capacity(page.len());
    let mut is_filled = true;
    for (place, line) in lines.iter().enumerate() {
        match *line {
            ".nf" => is_filled = false,
            ".fi" => is_filled = true,
            _ => {}
        }
        let is_next_to_space =
            |other: Option<&&str>| other.is_some_and(|other| other.is_empty() || other.starts_with(".sp"));
        let before = place.checked_sub(1).and_then(|before| lines.get(before));
        // Each section defines the apostrophe again; once is enough.
        if place > 1 && (line.starts_with(".ie ") || line.starts_with(".el ")) {
            continue;
        }
        if *line == ".br" && (is_next_to_space(before) || is_next_to_space(lines.get(place + 1))) {
            continue;
        }
        if is_filled && !line.starts_with(['.', '\'']) {
            wrap(line, &mut text);
        } else {
            text.push_str(line.trim_end());
            text.push('\n');
        }
    }
    text
}

/// Breaks a line of text where allowed: at a space, but not before something that roff would take for a command.
fn wrap(line: &str, text: &mut String) {
    let mut length = 0;
    for word in line.split(' ').filter(|word| !word.is_empty()) {
        if length > 0 && length + 1 + word.len() > LINE && !word.starts_with(['.', '\'']) {
            text.push('\n');
            length = 0;
        } else if length > 0 {
            text.push(' ');
            length += 1;
        }
        text.push_str(word);
        length += word.len();
    }
    text.push('\n');
}

fn add_see_also(page: &mut Roff, name: &str) {
    page.control("SH", ["SEE ALSO"]);
    let pages = TOPICS.iter().map(|topic| (format!("keyward-{}", topic.name), format!("({})", topic.section)));
    let pages = std::iter::once(("keyward".to_owned(), "(1)".to_owned())).chain(pages).filter(|(page, _)| page != name);
    for (place, (name, section)) in pages.enumerate() {
        let before = if place == 0 { "" } else { ", " };
        page.text([roman(before), bold(name), roman(section)]);
    }
}
