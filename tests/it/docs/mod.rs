//! The documents: `docs/manual` is generated from the command line definition and up to date, and no link is broken.

mod markdown;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use expect_test::expect_file;
use keyward_cli::cli::Cli;
use regex::Regex;

use markdown::Page;

/// The hand-written guides: file, title, summary.
const GUIDES: [(&str, &str, &str); 2] = [
    ("tour.md", "A tour", "every command at work, with what it prints"),
    ("services.md", "Services that ask for themselves", "FastAPI and Express in fifteen lines each"),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files_in(folder: &str) -> BTreeSet<String> {
    let entries = std::fs::read_dir(root().join(folder)).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn index(topics: &[Page], commands: &[Page]) -> String {
    let mut text =
        "# The documents of keyward\n\nBegin with the [README](../README.md). [SECURITY.md](../SECURITY.md) says \
                    what is promised, and what is not.\n\n## Guides\n\n"
            .to_owned();
    for (file, title, summary) in GUIDES {
        let _ = writeln!(text, "- [{title}]({file}): {summary}");
    }
    text.push_str(
        "\n## Manual\n\nThe same texts are in `keyward help` and in the man pages. A test makes these pages from the \
         program; do not edit them. After a change:\n\n```sh\nUPDATE_EXPECT=1 cargo test --test it -- docs\n```\n\n\
         ### Topics\n\n",
    );
    for (is_command, page) in topics.iter().map(|page| (false, page)).chain(commands.iter().map(|page| (true, page))) {
        if page.file == "keyward.md" {
            text.push_str("\n### Commands\n\n");
        }
        // Below its parent command.
        let depth = if is_command { page.file.matches('-').count().saturating_sub(1) } else { 0 };
        let _ = writeln!(text, "{}- [{}](manual/{}): {}", "  ".repeat(depth), page.title(), page.file, page.summary);
    }
    text
}

#[test]
fn the_manual_in_markdown_is_not_stale() {
    let (topics, commands) = (markdown::topics(), markdown::commands(Cli::shown()));
    let mut expected = BTreeSet::new();
    for page in topics.iter().chain(&commands) {
        expect_file![root().join("docs/manual").join(&page.file)].assert_eq(&page.text);
        assert!(expected.insert(page.file.clone()), "{} is there twice", page.file);
    }
    assert_eq!(files_in("docs/manual"), expected);
    expect_file![root().join("docs/README.md")].assert_eq(&index(&topics, &commands));
}

/// The documents that people read.
fn documents() -> Vec<PathBuf> {
    let mut documents = vec![];
    for folder in [".", "docs", "docs/manual"] {
        let names = files_in(folder).into_iter().filter(|name| Path::new(name).extension() == Some("md".as_ref()));
        documents.extend(names.map(|name| Path::new(folder).join(name)));
    }
    documents
}

/// The anchors of the headings, as GitHub generates them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchor = |line: &str| {
        let kept = line.trim_start_matches('#').trim().to_lowercase();
        kept.chars().filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter)).collect::<String>()
    };
    headings.map(|line| anchor(line).replace(' ', "-")).collect()
}

#[test]
fn links_lead_somewhere() {
    let link = Regex::new(r#"(?:\]\(|src(?:set)?=")([^)"\s]+)[)"]"#).unwrap();
    let code = Regex::new(r"(?s)```.*?```|`[^`\n]*`").unwrap();
    let mut seen = 0;
    for document in documents() {
        let text = std::fs::read_to_string(root().join(&document)).unwrap();
        for found in link.captures_iter(&code.replace_all(&text, "")) {
            let (path, anchor) = found[1].split_once('#').unwrap_or((&found[1], ""));
            if path.starts_with("https://") {
                continue;
            }
            let target = if path.is_empty() { document.clone() } else { document.parent().unwrap().join(path) };
            assert!(root().join(&target).exists(), "{}: {}", document.display(), &found[1]);
            if !anchor.is_empty() {
                let target = std::fs::read_to_string(root().join(&target)).unwrap();
                assert!(anchors(&target).contains(anchor), "{}: {}", document.display(), &found[1]);
            }
            seen += 1;
        }
    }
    assert!(seen > 100, "{seen}");
    for (file, title, _) in GUIDES {
        let text = std::fs::read_to_string(root().join("docs").join(file)).unwrap();
        assert_eq!(text.lines().next().unwrap(), format!("# {title}"));
    }
}
