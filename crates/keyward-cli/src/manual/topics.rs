//! Topics that belong to no single command: guides, formats and the store on a server. Each is a page of the manual,
//! and a topic of `keyward help`.

use std::fmt::Write as _;

use clap_mangen::roff::{Roff, bold, roman};

use super::{DATE, Page, add_see_also, formats, guides, tidy};

/// A part of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// A line above what follows.
    Heading(String),
    /// Running text, whose line ends do not matter.
    Text(&'static str),
    /// A language, and lines in it, kept unchanged.
    Lines(&'static str, &'static str),
    /// A term and what it means.
    Term(String, String),
}

/// Terms and what they mean.
#[cfg(any(feature = "serve", feature = "postgres"))]
pub(super) type Rows = &'static [(&'static str, &'static str)];

/// The same, as parts.
#[cfg(any(feature = "serve", feature = "postgres"))]
pub(super) fn terms(rows: Rows) -> impl Iterator<Item = Part> {
    rows.iter().map(|(term, meaning)| Part::Term((*term).to_owned(), (*meaning).to_owned()))
}

/// The indent of the further lines of a term's meaning.
const BEHIND: &str = "                     ";

/// A page about a topic that belongs to no single command.
#[derive(Debug)]
pub struct Topic {
    /// Its name on the command line of `keyward help`.
    pub name: &'static str,
    /// What it is about, in a few words.
    pub summary: &'static str,
    /// The section of the manual: 5 for a format, 7 for anything else.
    pub section: &'static str,
    parts: fn() -> Vec<Part>,
}

/// All of them.
pub const TOPICS: &[Topic] = &[
    Topic {
        name: "checking",
        summary: "check requests from a script, also behind a proxy",
        section: "7",
        parts: guides::checking,
    },
    #[cfg(feature = "serve")]
    Topic {
        name: "protect",
        summary: "put a service behind the guard, with a proxy or without",
        section: "7",
        parts: guides::protect,
    },
    Topic {
        name: "provisioning",
        summary: "keys for CI, services and scripts",
        section: "7",
        parts: guides::provisioning,
    },
    Topic { name: "limits", summary: "how often a key may be used, and was used", section: "7", parts: guides::limits },
    Topic {
        name: "file-store",
        summary: "where the store is: permissions, containers, backups",
        section: "7",
        parts: guides::file_store,
    },
    Topic { name: "manifest", summary: "what a store should hold, as a text", section: "5", parts: formats::manifest },
    Topic { name: "json", summary: "what keyward prints with --json", section: "5", parts: formats::json },
    #[cfg(feature = "serve")]
    Topic {
        name: "serve.toml",
        summary: "the configuration of keyward serve",
        section: "5",
        parts: super::serving::parts,
    },
    #[cfg(feature = "postgres")]
    Topic {
        name: "server-store",
        summary: "a store in a PostgreSQL database, for several hosts",
        section: "7",
        parts: super::server_store::parts,
    },
];

impl Topic {
    /// Its content, part by part.
    pub fn parts(&self) -> Vec<Part> {
        (self.parts)()
    }

    /// The topic as a text for a terminal.
    pub fn text(&self) -> String {
        let mut text = format!("{}: {}\n", self.name, self.summary);
        let mut is_text = false;
        for part in self.parts() {
            if is_text && matches!(part, Part::Term(..)) {
                text.push('\n');
            }
            is_text = matches!(part, Part::Text(_));
            // Writing to a String cannot fail.
            let _ = match part {
                Part::Heading(heading) => writeln!(text, "\n{heading}"),
                Part::Text(lines) => writeln!(text, "\n{}", textwrap::fill(&lines.replace('\n', " "), lines_of(90))),
                Part::Lines(_, lines) => writeln!(text, "\n{}", indented(lines)),
                Part::Term(term, meaning) => {
                    let meaning =
                        textwrap::fill(&meaning, lines_of(110).initial_indent(BEHIND).subsequent_indent(BEHIND));
                    match meaning.strip_prefix(BEHIND) {
                        Some(meaning) if term.len() < BEHIND.len() - 3 => writeln!(text, "  {term:<17}  {meaning}"),
                        _ => writeln!(text, "  {term}\n{meaning}"),
                    }
                }
            };
        }
        text
    }

    /// The topic as a page of the manual.
    pub(super) fn page(&self) -> anyhow::Result<Page> {
        let name = format!("keyward-{}", self.name);
        let mut page = Roff::new();
        page.control(
            "TH",
            [
                name.to_uppercase().as_str(),
                self.section,
                DATE,
                concat!("keyward ", env!("CARGO_PKG_VERSION")),
                "keyward",
            ],
        );
        page.control("SH", ["NAME"]);
        page.text([roman(format!("{name} - {}", self.summary))]);
        page.control("SH", ["DESCRIPTION"]);
        let mut is_first = true;
        for part in self.parts() {
            match part {
                Part::Heading(heading) => {
                    page.control("SH", [heading.to_uppercase().as_str()]);
                    is_first = true;
                    continue;
                }
                Part::Text(lines) => {
                    if !is_first {
                        page.control("PP", []);
                    }
                    page.text([roman(lines.replace('\n', " "))]);
                }
                Part::Lines(_, lines) => {
                    if !is_first {
                        page.control("PP", []);
                    }
                    page.control("RS", ["4"]);
                    page.control("nf", []);
                    for line in lines.lines() {
                        page.text([roman(line)]);
                    }
                    page.control("fi", []);
                    page.control("RE", []);
                }
                Part::Term(term, meaning) => {
                    page.control("TP", []);
                    page.text([bold(term)]);
                    page.text([roman(meaning)]);
                }
            }
            is_first = false;
        }
        add_see_also(&mut page, &name);
        let mut text = Vec::new();
        page.to_writer(&mut text)?;
        Ok(Page { file: format!("{name}.{}", self.section), text: tidy(&String::from_utf8(text)?) })
    }
}

/// Lines of this width. A flag or a header is not broken at its hyphens, because a copy would then contain a line end.
fn lines_of(width: usize) -> textwrap::Options<'static> {
    textwrap::Options::new(width).word_splitter(textwrap::WordSplitter::NoHyphenation)
}

fn indented(lines: &str) -> String {
    lines.lines().map(|line| format!("    {line}").trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}
