//! Other scanners, with the expression from `help scan`, find the same as `scan`, except for damaged secrets.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use keyward_core::rules::leaks::leaks;
use keyward_core::rules::token::{Id, Secret};
use proptest::prelude::Strategy as _;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use crate::harness::{Sandbox, finish};
use crate::recipes::services::tools;

/// A file, a line number, and the public id in that line.
type Place = (String, u64, String);

fn secret(prefix: &str, number: u64) -> String {
    let bytes = std::array::from_fn(|place| (number as usize * 7 + place * 31) as u8);
    Secret::build(&prefix.parse().unwrap(), Id::from_random(number.to_be_bytes()), &bytes).expose().to_owned()
}

/// A tree with secrets in many places, and with near-secrets. Returns where the secrets are.
fn plant(folder: &Path) -> BTreeSet<Place> {
    let mut runner = TestRunner::deterministic();
    // The heuristics of detect-secrets skip lines that look like templates or references.
    let line = "[A-Z0-9 ,.]{0,60}";
    let noise = proptest::string::string_regex(line).unwrap();
    let mut some = || noise.new_tree(&mut runner).unwrap().current();
    let mut planted = BTreeSet::new();
    for file in 0..60_u64 {
        let name = format!("d{}/f{file}.txt", file % 7);
        let mut text = String::new();
        for number in 1..=50_u64 {
            let which = file * 100 + number;
            let prefix = ["kw", "app", "a_b_1", "x"][(which % 4) as usize];
            let whole = secret(prefix, which);
            let (text_of_line, is_whole) = match which % 9 {
                0 => (whole.clone(), true),
                1 => (format!("key={whole};"), true),
                2 => (format!("\"{whole}\""), true),
                3 => (format!("{whole}{}", secret(prefix, which + 50_000)), true),
                4 => (format!("export K=A{whole}"), true),
                5 => (whole[..whole.len() - 1].to_owned(), false),
                6 => (whole.replacen('_', "-", 1), false),
                7 => (whole.to_uppercase(), false),
                _ => (some(), false),
            };
            if is_whole {
                let id = |text: &str| Secret::parse(text).unwrap().id().to_string();
                planted.insert((name.clone(), number, id(&whole)));
                if which % 9 == 3 {
                    planted.insert((name.clone(), number, id(&secret(prefix, which + 50_000))));
                }
            }
            text += &format!("{} {text_of_line} {}\n", some(), some());
        }
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    planted
}

/// The expression from `help scan`.
fn expression(sandbox: &Sandbox) -> String {
    let help = sandbox.run("help scan").stdout;
    help.lines().map(str::trim).find(|line| line.starts_with("[a-z][a-z0-9_]")).unwrap().to_owned()
}

#[test]
#[ignore = "needs rg and detect-secrets"]
fn other_scanners_find_the_same() {
    let sandbox = Sandbox::new();
    let folder = sandbox.path("tree");
    let planted = plant(&folder);
    assert!(planted.len() > 1_500, "{}", planted.len());
    let strip = |file: &str| file.strip_prefix(&format!("{}/", folder.display())).unwrap().to_owned();

    let output = sandbox.run(&format!("scan {} --json", folder.display()));
    let found: BTreeSet<Place> = output
        .json()
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| {
            let text = |field: &str| finding[field].as_str().unwrap().to_owned();
            (strip(&text("file")), finding["line"].as_u64().unwrap(), text("id"))
        })
        .collect();
    assert_eq!(found, planted);

    let expression = expression(&sandbox);
    let mut rg = Command::new("rg");
    rg.args(["-a", "-uu", "--only-matching", "--with-filename", "--line-number", "--no-heading", "--color=never"]);
    let output = finish(rg.arg(&expression).arg(&folder));
    // rg cannot check the checksum.
    let is_whole = |text: &str| (0..text.len() - 62).any(|start| Secret::parse(&text[start..]).is_ok());
    let mut of_rg: BTreeSet<Place> = BTreeSet::new();
    for line in output.stdout.lines() {
        let mut parts = line.splitn(3, ':');
        let mut part = || parts.next().unwrap();
        let (file, line, text) = (strip(part()), part().parse().unwrap(), part());
        if is_whole(text) {
            of_rg.insert((file, line, text[text.len() - 62..text.len() - 50].to_owned()));
        }
    }
    // It misses the second of two adjacent secrets: it takes the second's prefix for the end of the first.
    let touching =
        |place: &&Place| planted.iter().filter(|other| (&other.0, other.1) == (&place.0, place.1)).count() == 2;
    let missed: Vec<_> = planted.difference(&of_rg).filter(|place| !touching(place)).collect();
    assert!(missed.is_empty(), "{missed:?}");
    let more: Vec<_> = of_rg.difference(&planted).collect();
    assert!(more.is_empty(), "rg finds more: {more:?}");

    let plugin = sandbox.path("plugin.py");
    let text = format!(
        "import re\nfrom detect_secrets.plugins.base import RegexBasedDetector\n\n\nclass Keyward(RegexBasedDetector):\n    \
         secret_type = 'keyward'\n    denylist = [re.compile(r'{expression}')]\n"
    );
    fs::write(&plugin, text).unwrap();
    let mut peer = Command::new(tools().join("python/bin/detect-secrets"));
    peer.args(["scan", "--all-files", "--disable-filter", "detect_secrets.filters.heuristic.is_sequential_string"]);
    let output = finish(peer.arg("-p").arg(&plugin).arg(".").current_dir(&folder));
    let results = output.json()["results"].clone();
    let of_peer: BTreeSet<(String, u64)> = results
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(file, found)| {
            let found = found.as_array().unwrap().iter().filter(|found| found["type"] == "keyward");
            found.map(move |found| (file.clone(), found["line_number"].as_u64().unwrap()))
        })
        .collect();
    let lines: BTreeSet<(String, u64)> = planted.iter().map(|(file, line, _)| (file.clone(), *line)).collect();
    let missed: Vec<_> = lines.difference(&of_peer).collect();
    assert!(missed.is_empty(), "it misses {missed:?}");
    // detect-secrets does not check it either: anything that only it finds is damaged.
    let with_form = |(file, line): &&(String, u64)| {
        let text = fs::read_to_string(folder.join(file)).unwrap();
        let line = text.lines().nth(*line as usize - 1).unwrap().to_owned();
        leaks(line.as_bytes()).is_empty() && line.contains("a-b_1_")
    };
    let more: Vec<_> = of_peer.difference(&lines).filter(|place| !with_form(place)).collect();
    assert!(more.is_empty(), "it finds more: {more:?}");
}
