//! Guides that span commands: checking requests, guarding services, limits, provisioning, the store's file.
//!
//! Each is written in a subset of Markdown: paragraphs, headings, fenced lines without empty ones, and lists of terms:
//! - `term`: meaning. What belongs to one command is in its help and is not repeated here.

use super::topics::Part;

/// How a script asks.
pub(super) fn checking() -> Vec<Part> {
    read(include_str!("guides/checking.md"))
}

/// How to put a service behind the guard. The fields, endpoints and answers are in the topic `serve.toml`.
#[cfg(feature = "serve")]
pub(super) fn protect() -> Vec<Part> {
    read(include_str!("guides/protect.md"))
}

/// What a limit counts, and who sees it.
pub(super) fn limits() -> Vec<Part> {
    read(include_str!("guides/limits.md"))
}

/// Keys that scripts and services make for themselves.
pub(super) fn provisioning() -> Vec<Part> {
    read(include_str!("guides/provisioning.md"))
}

/// The store of one machine.
pub(super) fn file_store() -> Vec<Part> {
    read(include_str!("guides/file_store.md"))
}

/// The parts of a page. A paragraph is one part, including its line ends.
fn read(page: &'static str) -> Vec<Part> {
    let mut parts = vec![];
    for block in page.trim_end().split("\n\n") {
        if let Some(heading) = block.strip_prefix("## ") {
            parts.push(Part::Heading(heading.to_owned()));
        } else if let Some((language, lines)) = block.strip_prefix("```").and_then(|block| block.split_once('\n')) {
            parts.push(Part::Lines(language, lines.trim_end_matches("\n```")));
        } else if let Some(list) = block.strip_prefix("- `") {
            let terms = list.split("\n- `").filter_map(|item| item.split_once("`: "));
            parts.extend(terms.map(|(term, meaning)| Part::Term(term.to_owned(), meaning.replace("\n ", ""))));
        } else {
            parts.push(Part::Text(block));
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_part_is_read() {
        let page =
            "One\ntwo.\n\n## Three\n\n```sh\nfour \\\n    five\n```\n\n- `six`: seven\n  eight\n- `nine`: `ten`: 11\n";
        let term = |term: &str, meaning: &str| Part::Term(term.to_owned(), meaning.to_owned());
        let parts = [
            Part::Text("One\ntwo."),
            Part::Heading("Three".to_owned()),
            Part::Lines("sh", "four \\\n    five"),
            term("six", "seven eight"),
            term("nine", "`ten`: 11"),
        ];
        assert_eq!(read(page), parts);
    }
}
