//! What belongs to no single command: the formats (the manifest, what is printed with `--json`, the configuration of
//! `keyward serve`) and the store on a server. Each is a page of the manual, and a topic of `keyward help`.

use std::fmt::Write as _;

use clap_mangen::roff::{Roff, bold, roman};

use super::json::shapes;
use super::{DATE, Page, add_see_also, guides, tidy};
use crate::formats::manifest::{KINDS, fields_of};
use keyward_core::rules::setting::Setting;

/// A part of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// A line above what follows.
    Heading(String),
    /// Running text.
    Text(&'static str),
    /// The language of lines, and the lines as they are.
    Lines(&'static str, &'static str),
    /// A term and what it means.
    Term(String, String),
}

/// Terms and what they mean.
pub(super) type Rows = &'static [(&'static str, &'static str)];

/// The same, as parts.
pub(super) fn terms(rows: Rows) -> impl Iterator<Item = Part> {
    rows.iter().map(|(term, meaning)| Part::Term((*term).to_owned(), (*meaning).to_owned()))
}

/// What stands before the further lines of a term's meaning.
const BEHIND: &str = "                     ";

/// A page about something that belongs to no single command.
#[derive(Debug)]
pub struct Topic {
    /// What it is called on the command line of `keyward help`.
    pub name: &'static str,
    /// What it is about, in a few words.
    pub summary: &'static str,
    /// The section of the manual: 5 for a format, 7 for what is none.
    pub section: &'static str,
    parts: fn() -> Vec<Part>,
}

/// All of them.
pub const TOPICS: &[Topic] = &[
    Topic { name: "checking", summary: "how a script asks about requests", section: "7", parts: guides::checking },
    #[cfg(feature = "serve")]
    Topic {
        name: "protect",
        summary: "put a service behind the guard, with a proxy or without",
        section: "7",
        parts: super::protecting::parts,
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
    Topic { name: "manifest", summary: "what a store should hold, as a text", section: "5", parts: manifest },
    Topic { name: "json", summary: "what keyward prints with --json", section: "5", parts: json },
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
    /// What it says, part by part.
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
            // A String takes whatever is written to it.
            let _ = match part {
                Part::Heading(heading) => writeln!(text, "\n{heading}"),
                Part::Text(lines) => writeln!(text, "\n{}", textwrap::fill(lines, 90)),
                Part::Lines(_, lines) => writeln!(text, "\n{}", indented(lines)),
                Part::Term(term, meaning) => {
                    let behind = textwrap::Options::new(110).initial_indent("  ").subsequent_indent(BEHIND);
                    writeln!(text, "{}", textwrap::fill(&format!("{term:<17}  {meaning}"), behind))
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
                    page.text([roman(lines)]);
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

fn indented(lines: &str) -> String {
    lines.lines().map(|line| format!("    {line}").trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

fn manifest() -> Vec<Part> {
    let mut parts = vec![
        Part::Text(
            "A manifest says what roles, tenants, groups, users and keys a store should hold. `keyward export` prints \
             one, `keyward apply FILE` makes the store match one, in a single transaction. It is TOML, with a table \
             for each thing, or JSON, with one object that has the five lists.",
        ),
        Part::Lines(
            "toml",
            "[[group]]\nname = \"ci\"\n\n[[user]]\nname = \"ann\"\nrole = \"editor\"\n\n[[key]]\nname = \"deploy\"\n\
             group = \"ci\"\nowner = \"ann\"\nscopes = [\"rest\"]\nallowed_ips = [\"10.0.0.0/8\"]\nexpires_at = \"90d\"\n\
             labels = { team = \"web\" }\ndeliver = { secret_file = \"/run/secrets/deploy\" }",
        ),
        Part::Lines("json", "{\"group\": [{\"name\": \"ci\"}], \"key\": [{\"name\": \"deploy\", \"group\": \"ci\"}]}"),
        Part::Text(
            "What is left out has its default, also in what is there already: a manifest says all there is to say \
             about what it names. Only `prefix` and `expires_at` are left as they are where they are not named. What is \
             not named at all \
             stays, unless `--prune` is given; then it is deleted. An empty text, an empty list and null all stand \
             for nothing.",
        ),
        Part::Text(
            "A duration in `expires_at` counts from when the key is made. The duration that a key was given already, by a \
             manifest or by hand, changes nothing, whatever the clock did meanwhile; another one counts from when the \
             key was made. A new key without `expires_at` ends as the setting `default-lifetime` says; an existing key keeps its end. \
             Names are looked up in the manifest first, then in the store. Unknown fields are refused; all \
             mistakes are reported at once, each with its file, line and column.",
        ),
        Part::Text(
            "A limit is a text, N/PERIOD or N/PERIOD:BURST, or the object that `keyward export --json` prints. A period is \
             1s to 1h, 1d or 1mo. Up to an hour, N requests pass in a period on the average, and BURST at once (N, where \
             no burst is given). A day and a month are those of the calendar, in UTC, and have no burst. There is one \
             limit a period, and 8 at most.",
        ),
        Part::Lines(
            "toml",
            "limits = [\"100/1m:20\", \"10000/1d\"]\n\
             limits = [{ count = 100, period = \"1m\", burst = 20 }, { count = 10000, period = \"1d\" }]",
        ),
    ];
    for kind in KINDS {
        parts.push(Part::Heading(format!("Fields of a {}", kind.as_str())));
        for field in fields_of(kind) {
            let meaning = match *field {
                "name" => "letters, digits and . _ - @ /; unique among its kind",
                "description" => "a line of text",
                "rank" => "its place among the roles, from 0; higher ranks may do more",
                "manages_keys" => "true: users in it may manage keys of its rank and below",
                "enabled" => "false: its keys are suspended",
                "role" => "the most that the user may do",
                "limits" => "how often all of its keys together may be used, as for a key",
                _ => "the tenant of the user, and of the keys that they make",
            };
            parts.push(Part::Term((*field).to_owned(), meaning.to_owned()));
        }
    }
    parts.push(Part::Heading("Fields of a key".to_owned()));
    parts.push(Part::Term("name".to_owned(), "letters, digits and . _ - @ /; unique in a store".to_owned()));
    for setting in Setting::ALL {
        parts.push(Part::Term(setting.name.to_owned(), setting.purpose.to_owned()));
    }
    parts.push(Part::Term("deliver".to_owned(), "where the secret goes when the key is made; see below".to_owned()));
    parts.extend([
        Part::Heading("Delivery".to_owned()),
        Part::Text(
            "The secret of a key that is made goes to one place: the one that its `deliver` table names, or else a \
             file in the folder of `--secrets-dir`, with the name of the key, in which a / is written %2F. Paths are \
             seen from the folder in which keyward was started.",
        ),
    ]);
    for (place, meaning) in [
        ("secret_file", "a new file of mode 0600"),
        ("env_file, env_name", "a variable in a dotenv file, the rest of which stays as it is"),
        ("secret_to", "the standard input of a command, which a shell reads"),
        (
            "github_env",
            "a variable of the steps that follow in GitHub Actions; no name that the runner keeps for itself",
        ),
        ("github_output", "an output of this step in GitHub Actions; the same names are refused"),
    ] {
        parts.push(Part::Term(place.to_owned(), meaning.to_owned()));
    }
    parts
}

fn json() -> Vec<Part> {
    let mut parts = vec![Part::Text(
        "With --json, a command prints one document on standard output, on one line or, for lists, with an item a \
         line. Errors are one object on standard error. Fields are only ever added, never renamed or removed, and \
         what is absent is null, never missing. Times are RFC 3339 in UTC, with a Z and whole seconds. \
         `keyward export --json` prints a manifest, which `keyward help manifest` describes. create, edit and \
         delete of groups, users, roles and tenants print the object below its kind's name, with an `outcome` \
         beside it, and for delete the number of `deleted_keys`; enable and disable of users and tenants print a \
         list of such. `verify --quiet` prints nothing at all: its answer is the exit code.",
    )];
    for shape in shapes() {
        parts.push(Part::Heading(format!("{} ({})", capital(shape.name), shape.printed_by)));
        for (field, kind, meaning) in shape.fields.iter() {
            parts.push(Part::Term((*field).to_owned(), format!("{}: {meaning}", kind.in_words())));
        }
    }
    parts
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
