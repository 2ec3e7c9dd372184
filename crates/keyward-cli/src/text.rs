//! Text on its way to a terminal or into a message.

use std::borrow::Cow;
use std::collections::HashSet;
use std::path::Path;

pub use keyward_core::rules::text::count;
use keyward_core::rules::text::is_obeyed;

/// A set or a map of these, inserted one by one. `collect` would sort them first, and add 6 KiB of sorting code to the
/// program for each type.
pub fn gather<T, C: Default + Extend<T>>(items: impl IntoIterator<Item = T>) -> C {
    let mut gathered = C::default();
    gathered.extend(items);
    gathered
}

/// The most names that are suggested for another.
const OFFERED: usize = 3;

/// The `names` that were probably meant by `text`, the likeliest first: the same in another case; or else those with
/// this prefix; or else those spelled much like it.
fn likely<'n, N: AsRef<str>>(names: &'n [N], text: &str) -> Vec<&'n str> {
    let wanted = text.to_lowercase();
    let all = || names.iter().map(AsRef::as_ref);
    let mut found: Vec<&str> = all().filter(|name| name.to_lowercase() == wanted).collect();
    if found.is_empty() && wanted.trim_start_matches('-').len() > 1 {
        found = all().filter(|name| name.to_lowercase().starts_with(&wanted)).collect();
    }
    if found.is_empty() {
        // The common dashes make no flag likelier.
        let bare = |text: &str| text.trim_start_matches('-').to_lowercase();
        let similarity = |name: &str| strsim::jaro_winkler(&bare(name), &bare(text));
        let mut similar: Vec<(f64, &str)> = all().map(|name| (similarity(name), name)).collect();
        similar.retain(|(similarity, _)| *similarity > 0.8);
        similar.sort_by(|one, two| two.0.total_cmp(&one.0));
        let best = similar.first().map_or(0.0, |(similarity, _)| *similarity);
        found = similar.into_iter().filter(|(similarity, _)| best - similarity < 0.03).map(|(_, name)| name).collect();
    }
    let mut seen = HashSet::new();
    found.retain(|name| seen.insert(*name));
    found.truncate(OFFERED);
    found
}

/// Asks whether one of `names` was meant by `text`, if one may have been.
pub fn did_you_mean<N: AsRef<str>>(names: &[N], text: &str) -> Option<String> {
    asked(likely(names, text).into_iter().map(str::to_owned).collect())
}

/// The same, with the names in backticks.
pub fn did_you_mean_quoted<N: AsRef<str>>(names: &[N], text: &str) -> Option<String> {
    asked(likely(names, text).into_iter().map(|name| format!("`{name}`")).collect())
}

fn asked(likely: Vec<String>) -> Option<String> {
    match &likely[..] {
        [] => None,
        [only] => Some(format!("did you mean {only}?")),
        [first @ .., last] => Some(format!("did you mean {} or {last}?", first.join(", "))),
    }
}

/// The text without anything that a terminal obeys, except the line feed: a value from a store or from a command line
/// cannot move the cursor, ring the bell, change the title or turn the writing direction.
pub fn clean(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\n')) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(|c| if c != '\n' && is_obeyed(c) { '\u{fffd}' } else { c }).collect())
}

/// What libraries say about numbers, and what a person reads instead.
const OF_NUMBERS: [(&str, &str); 4] = [
    ("invalid digit found in string", "this is not a whole number"),
    ("cannot parse integer from empty string", "a number is missing"),
    ("number too large to fit in target type", "the number is too large"),
    ("number too small to fit in target type", "the number is too small"),
];

/// The text without what only programmers read: system error numbers, and what libraries say about numbers.
pub fn in_plain_words(mut text: String) -> String {
    const NUMBER: &str = " (os error ";
    while let Some(start) = text.find(NUMBER)
        && let Some(length) = text[start..].find(')')
    {
        text.replace_range(start..=start + length, "");
    }
    for (raw, plain) in OF_NUMBERS {
        if text.contains(raw) {
            text = text.replace(raw, plain);
        }
    }
    text
}

/// The text as one word of a shell command line: a remedy may be pasted, and a scope may contain shell syntax.
pub fn shell_word(text: &str) -> Cow<'_, str> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-@/:,+=".contains(&b)) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(format!("'{}'", text.replace('\'', r"'\''")))
    }
}

/// The text with this flag in each command of keyward that it advises. Where the text names a store itself, or a topic of
/// the help, nothing is added.
pub fn with_flag(text: &str, flag: &str) -> String {
    const PROGRAM: &str = "keyward ";
    let (mut out, mut rest) = (String::with_capacity(text.len() + flag.len()), text);
    while let Some((before, after)) = rest.split_once(PROGRAM) {
        out.push_str(before);
        out.push_str(PROGRAM);
        let is_word = before.chars().next_back().is_none_or(|c| !c.is_alphanumeric() && !"-_/.".contains(c));
        let verb = after.split(|c: char| !c.is_ascii_lowercase() && c != '-').next().unwrap_or_default();
        let is_command = is_word && VERBS_ON_A_STORE.contains(&verb);
        if is_command {
            out.push_str(flag);
            out.push(' ');
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// The commands that messages advise, and that look at the store.
const VERBS_ON_A_STORE: [&str; 22] = [
    "apply",
    "backup",
    "create",
    "delete",
    "disable",
    "doctor",
    "duplicate",
    "edit",
    "enable",
    "export",
    "group",
    "history",
    "import",
    "list",
    "restore",
    "role",
    "rotate",
    "scan",
    "settings",
    "show",
    "tenant",
    "user",
];

/// The names as words of a command line, where none of them is taken for a flag.
pub fn shell_words<'t>(names: impl IntoIterator<Item = &'t str>) -> String {
    let mut words: Vec<_> = names.into_iter().map(shell_word).collect();
    if words.iter().any(|word| word.starts_with('-')) {
        words.insert(0, Cow::Borrowed("--"));
    }
    words.join(" ")
}

/// The path as one word of a shell command line.
pub fn shell_path(path: &Path) -> String {
    shell_word(&path.display().to_string()).into_owned()
}

/// What a shell would have replaced at the start of a path, and by what. A folder that is really called so is written with
/// `./` in front.
pub fn unexpanded(path: &Path) -> Option<(&'static str, &'static str)> {
    match path.as_os_str().as_encoded_bytes() {
        [b'~'] | [b'~', b'/', ..] => Some(("~", "your home folder")),
        [b'~', name @ ..] if name.contains(&b'/') => Some(("~", "somebody's home folder")),
        [b'$', ..] => Some(("$", "its value")),
        _ => None,
    }
}

/// What messages call an input: its path, or stdin for `-`.
pub fn input_name(path: &Path) -> String {
    if path == Path::new("-") { "stdin".to_owned() } else { path.display().to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_that_are_advised_are_for_the_store_that_was_named() {
        for (text, expected) in [
            ("keyward disable a", "keyward -s x disable a"),
            (
                "keyward list -q | xargs -r keyward delete --yes --",
                "keyward -s x list -q | xargs -r keyward -s x delete --yes --",
            ),
            ("see `keyward doctor`, or keyward help serve", "see `keyward -s x doctor`, or keyward help serve"),
            ("keyward --store y create first-key", "keyward --store y create first-key"),
            ("cargo install keyward --features postgres", "cargo install keyward --features postgres"),
            (
                "this keyward needs schema 3; /usr/bin/keyward list",
                "this keyward needs schema 3; /usr/bin/keyward list",
            ),
            ("", ""),
        ] {
            assert_eq!(with_flag(text, "-s x"), expected);
        }
    }

    #[test]
    fn no_name_is_taken_for_a_flag() {
        assert_eq!(shell_words(["a", "b c"]), "a 'b c'");
        assert_eq!(shell_words(["a", "--yes"]), "-- a --yes");
    }

    #[test]
    fn what_a_terminal_obeys_does_not_reach_it() {
        assert_eq!(
            clean("a\u{1b}[2Jb\u{7}c\r\nd\u{9b}e\u{202e}f"),
            "a\u{fffd}[2Jb\u{fffd}c\u{fffd}\nd\u{fffd}e\u{fffd}f"
        );
    }

    #[test]
    fn what_was_probably_meant_is_offered() {
        let names = ["deploy", "Deploy-2", "deploy-1", "backup", "key.create"];
        for (text, offered) in [
            ("DEPLOY", Some("did you mean deploy?")),
            ("deploy-", Some("did you mean Deploy-2 or deploy-1?")),
            ("de", Some("did you mean deploy, Deploy-2 or deploy-1?")),
            ("deplyo", Some("did you mean deploy?")),
            ("bakup", Some("did you mean backup?")),
            ("d", None),
            ("nothing", None),
            ("", None),
        ] {
            assert_eq!(did_you_mean(&names, text).as_deref(), offered, "{text}");
        }
    }

    #[test]
    fn what_only_programmers_read_is_left_out() {
        for (raw, plain) in [
            ("x: No such file or directory (os error 2)", "x: No such file or directory"),
            ("(os error 1) (os error 13), y (os error 2)", "(os error 1), y"),
            (" (os error ", " (os error "),
            ("'x' for N: invalid digit found in string", "'x' for N: this is not a whole number"),
            ("nothing of that", "nothing of that"),
        ] {
            assert_eq!(in_plain_words(raw.to_owned()), plain);
        }
    }

    #[test]
    fn a_word_is_one_word_to_a_shell() {
        for (text, word) in [
            ("", "''"),
            ("rest,ui", "rest,ui"),
            ("a;b$(x)", "'a;b$(x)'"),
            ("it's", r"'it'\''s'"),
            ("A/Line Lead", "'A/Line Lead'"),
        ] {
            assert_eq!(shell_word(text), word);
        }
    }
}
