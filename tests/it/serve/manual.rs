//! `keyward help serve.toml` covers everything that a guard reads, answers, counts and logs.

use std::collections::BTreeSet;

use keyward_http::Refusal;
use keyward_http::policy::Identity;
use regex::Regex;

use super::world::World;
use super::{FACTS, head};
use crate::harness::Sandbox;

/// The terms under a heading.
fn terms(topic: &str, heading: &str) -> BTreeSet<String> {
    let (_, rest) = topic.split_once(&format!("\n\n{heading}\n")).unwrap_or_else(|| panic!("no {heading}"));
    // A heading is a short line of its own; text between it and the terms ends in a full stop or a colon.
    let is_heading =
        |line: &str| line.starts_with(char::is_uppercase) && line.len() < 40 && !line.ends_with(['.', ':']);
    let lines = rest.lines().take_while(|line| !is_heading(line));
    let term = |line: &str| {
        let line = line.strip_prefix("  ").filter(|line| !line.starts_with(' '))?;
        Some(line.split_once("  ").map_or(line, |(term, _)| term).to_owned())
    };
    lines.filter_map(term).flat_map(|term| term.split(", ").map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// The first word of each term, for terms longer than their column.
fn words(topic: &str, heading: &str) -> BTreeSet<String> {
    let words = |term: String| term.split(' ').next().unwrap_or_default().to_owned();
    terms(topic, heading).into_iter().map(words).collect()
}

/// The fields of a table in the parser.
fn fields(table: &str) -> BTreeSet<String> {
    let source = include_str!("../../../crates/keyward-http/src/server/config/file.rs");
    let (_, rest) = source.split_once(&format!("struct {table} {{")).unwrap();
    let body = rest.split_once("\n}").unwrap().0;
    let field = Regex::new(r"(?m)^    ([a-z_]+): ").unwrap();
    field.captures_iter(body).map(|found| found[1].to_owned()).collect()
}

#[test]
fn the_topic_has_every_field_of_the_configuration() {
    let topic = Sandbox::empty().run("help serve.toml").stdout;
    let mut whole = fields("File");
    for table in ["policy", "route"] {
        assert!(whole.remove(table));
    }
    assert_eq!(words(&topic, "Fields"), whole);
    assert_eq!(words(&topic, "Fields of a policy"), fields("PolicyTable"));
    assert_eq!(words(&topic, "Fields of a route"), fields("RouteTable"));
    // The example is a valid configuration.
    let (_, example) = topic.split_once("\n    listen").unwrap();
    let example = format!("listen{}", example.split("\n\n").next().unwrap());
    keyward_http::server::Config::parse(&example.replace("\n    ", "\n")).unwrap().check().unwrap();
}

#[test]
fn the_topic_has_every_reason_header_metric_and_line() {
    let topic = Sandbox::empty().run("help serve.toml").stdout;
    let reasons = words(&topic, "Reasons");
    for refusal in Refusal::ALL {
        assert!(reasons.contains(refusal.as_str()), "{refusal:?}");
        assert!(topic.contains(&format!("{} ", refusal.status())));
    }
    // All checks of `verify`, in order: each is named after the reason it fails with.
    let world = World::new();
    let secret = world.sandbox.mint("deploy --limit 9/1m");
    std::fs::write(world.sandbox.path("secret"), &secret).unwrap();
    let line = format!("verify --from-file {} --no-record --json", world.sandbox.path("secret").display());
    let answer = world.sandbox.run(&line).json();
    for check in answer["checks"].as_array().unwrap() {
        assert!(reasons.contains(check["check"].as_str().unwrap()), "{check}");
    }
    let headers: BTreeSet<_> =
        words(&topic, "Headers of answers").iter().map(|name| name.to_ascii_lowercase()).collect();
    for identity in Identity::ALL {
        assert!(headers.contains(identity.header().as_str()), "{identity:?}");
    }
    for (endpoint, policy) in [("forward", "all"), ("nginx", "all"), ("forward", "nobody")] {
        for (name, _) in world.at(endpoint, policy, Some(&secret), &[]).headers {
            let is_usual = ["cache-control", "content-length", "content-type", "date"].contains(&name.as_str());
            assert!(is_usual || headers.contains(&name), "{name}");
        }
    }
    let metrics = words(&topic, "Metrics");
    let scraped: BTreeSet<_> = world
        .guard
        .admin("/metrics")
        .body
        .lines()
        .filter_map(|line| line.strip_prefix("# HELP ").and_then(|rest| rest.split(' ').next()).map(str::to_owned))
        .collect();
    assert!(scraped.is_subset(&metrics), "{scraped:?}");
    assert_eq!(metrics.difference(&scraped).collect::<Vec<_>>(), ["keyward_key_requests_total"], "where it is wanted");
    world.guard.connect().ask(&head("GET", "/forward/default", &FACTS));
    let logged = terms(&topic, "Log");
    for name in world.guard.event("decision").as_object().unwrap().keys() {
        assert!(logged.contains(name), "{name}");
    }
}

#[test]
fn the_topic_has_every_event() {
    let topic = Sandbox::empty().run("help serve.toml").stdout;
    let told = terms(&topic, "Events");
    let event = Regex::new(r#"(?:event\("(?:info|warn|error)", |often\()"([a-z_]+)""#).unwrap();
    let mut number = 0;
    let mut folders = vec![std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/keyward-http/src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                folders.push(entry);
                continue;
            }
            for found in event.captures_iter(&std::fs::read_to_string(&entry).unwrap()) {
                assert!(told.contains(&found[1]), "{}", &found[1]);
                number += 1;
            }
        }
    }
    assert!(number >= 14, "{number}");
}
