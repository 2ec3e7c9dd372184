//! What must be true of the parsers for any input, shared by the fuzz targets and the plain test that runs the seeds
//! (`tests/it/fuzz_seeds.rs`).
//!
//! Each function takes an input as the fuzzer makes it, and panics if a property does not hold. It returns in one word
//! how the input was read, so that a test can check that the seeds still reach everything.

#[path = "guard.rs"]
pub mod guard;
#[path = "imports.rs"]
pub mod imports;
#[path = "server.rs"]
pub mod server;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::from_utf8;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use keyward_cli::formats::dotenv::{Variable, get, set};
use keyward_cli::formats::manifest::{
    Action, Present, Step, Subject, key_to_json, key_to_toml, plan, read, to_json, to_toml,
};
use keyward_cli::formats::tree::{Mistake, locate};
use keyward_core::rules::address::{Cidr, parse_address};
use keyward_core::rules::credential::{Credential, CredentialError, Credentials, Texts, parse_line, parse_request};
use keyward_core::rules::decision::Transport;
use keyward_core::rules::key::Key;
use keyward_core::rules::leaks::{Leak, WIDEST, leaks as find_leaks};
use keyward_core::rules::plain::PlainText as _;
use keyward_core::rules::text::{holds_secret, redact};
use keyward_core::rules::time::{Duration, Since, When, parse_time, relative, rfc3339, whole_seconds};
use keyward_core::rules::token::{Id, Secret, TokenError};
use serde_json::Value;

/// The digits of a secret, repeated here so that the library is not its own witness.
const BASE62: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const CROCKFORD: &[u8] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Lengths from the right end of a secret: the checksum; with the random part; with the id and
/// both underscores.
const CHECKSUM: usize = 6;
const RANDOM: usize = 43 + CHECKSUM;
const TAIL: usize = 1 + 12 + 1 + RANDOM;
/// The byte order mark that some editors put before a text.
const MARK: &str = "\u{feff}";

/// Checks [`Secret::parse`] and [`redact`], with the input unchanged and with a correct checksum appended: a fuzzer
/// does not find one by itself, and would reach little without it.
pub fn token(data: &[u8]) -> &'static str {
    let Ok(text) = from_utf8(data) else { return "not_utf8" };
    redact_around(text);
    if let Some(body) = text.len().checked_sub(CHECKSUM).and_then(|end| text.get(..end)) {
        let mended = format!("{body}{}", checksum(body));
        assert_ne!(secret(&mended), "checksum", "a right checksum was refused");
    }
    secret(text)
}

/// Checks [`leaks`](find_leaks): what is found parses and is at the reported position; a secret between two copies of
/// the input is found, whatever the input is.
pub fn leaks(data: &[u8]) -> &'static str {
    let found = find_leaks(data);
    let stands_there = |leak: &Leak| data.get(leak.start..leak.end) == Some(leak.secret.expose().as_bytes());
    for leak in &found {
        assert!(leak.start < leak.end && leak.end <= data.len(), "it stands outside");
        assert!(Secret::parse(leak.secret.expose()).is_ok(), "it is no secret");
        assert!(leak.end - leak.start <= WIDEST, "a part of a file could cut it in two");
    }
    assert!(found.is_sorted_by_key(|leak| leak.start), "they are not in order");
    let planted = Secret::build(&"kw".parse().unwrap(), Id::from_random([7; 8]), &[7; 32]);
    let around = [data, b"\n", planted.expose().as_bytes(), b"\n", data].concat();
    let is_it = |leak: &Leak| leak.secret.expose() == planted.expose() && leak.start == data.len() + 1;
    assert!(find_leaks(&around).iter().any(is_it), "a secret was not found");
    match found.iter().position(stands_there) {
        Some(_) => "plain",
        None if found.is_empty() => "nothing",
        None => "encoded",
    }
}

/// Checks [`parse_line`].
pub fn line(data: &[u8]) -> &'static str {
    let Ok(text) = from_utf8(data) else { return "not_utf8" };
    let result = parse_line(text);
    assert_eq!(result, parse_line(text), "one line was read in two ways");
    texts_came_from(&result, data);
    match &result.own {
        Ok(credential) => {
            let head = parse_request(format!("GET / HTTP/1.1\r\n{text}\r\n\r\n").as_bytes());
            if let Ok(Ok(own)) = head.map(|head| head.credentials.own) {
                assert_eq!(own, *credential, "a header alone and in a request are two credentials");
            }
            came_from(credential, data);
            hidden(credential, &format!("{credential:?}"));
            credential.presentation.as_str()
        }
        Err(error) => refused(error),
    }
}

/// Checks [`parse_request`].
pub fn request(data: &[u8]) -> &'static str {
    let result = parse_request(data);
    assert_eq!(result, parse_request(data), "one request was read in two ways");
    let end = end_of_fields(data);
    assert_eq!(result, parse_request(&data[..end.after]), "what follows the empty line was read");
    let head = match result {
        Ok(head) => head,
        Err(error) => return refused(&error),
    };
    texts_came_from(&head.credentials, data);
    let credential = match &head.credentials.own {
        Ok(credential) => credential,
        Err(error) => return refused(error),
    };
    came_from(credential, data);
    // The method is free text, and is meant to be seen.
    hidden(credential, &format!("{head:?}").replace(&format!("{:?}", head.method), ""));

    // Otherwise, which of two credentials counts would depend on the reader.
    let other = if credential.expose() == "other" { "another" } else { "other" };
    for place in [end.before, end.first_field] {
        let two = [&data[..place], format!("x-api-key: {other}\r\n").as_bytes(), &data[place..]].concat();
        if let Ok(Ok(read)) = parse_request(&two).map(|head| head.credentials.own) {
            panic!("two credentials were read as one, {read:?}: {:?}", two.escape_ascii().to_string());
        }
    }

    // Only the last hop counts; if another header differs from it, nothing does.
    let hop = b"Forwarded: for=192.0.2.7;proto=https\r\n";
    if let Ok(passed_on) = parse_request(&[&data[..end.before], hop, &data[end.before..]].concat()) {
        assert_eq!(passed_on.credentials, head.credentials);
        let (address, transport) = (passed_on.forwarded.address, passed_on.forwarded.transport);
        assert!(address.is_none_or(|address| address.to_string() == "192.0.2.7"), "{address:?}");
        assert!(transport.is_none_or(|transport| transport == Transport::Https), "{transport:?}");
    }
    credential.presentation.as_str()
}

/// Checks [`read`], [`plan`], and that what was read can be written.
pub fn manifest(data: &[u8]) -> &'static str {
    let Ok(text) = from_utf8(data) else { return "not_utf8" };
    let now = Timestamp::from_second(1_800_000_000).unwrap();
    let first = empty("first");
    let planned = |text: &str, present, now| read(text).and_then(|manifest| plan(&manifest, present, true, now));
    let found = planned(text, &first, now);
    if !text.starts_with(MARK) {
        let marked = planned(&format!("{MARK}{text}"), &first, now);
        let (marked, unmarked) = (places(&marked), places(&found));
        // Something nested too deeply has no position of its own, and is reported at the start.
        let moved = |(marked, unmarked)| marked == unmarked + MARK.len() || (marked == 0 && unmarked == 0);
        let moved = marked.len() == unmarked.len() && marked.iter().copied().zip(unmarked.iter().copied()).all(moved);
        assert!(moved, "a byte order mark moves {unmarked:?} to {marked:?} in {text:?}");
    }
    let steps = match found {
        Ok(steps) => steps,
        Err(wrongs) => return placed(text, wrongs, if read(text).is_err() { "mistakes" } else { "impossible" }),
    };
    assert!(steps.iter().all(|step| step.action == Action::Create && step.at.is_some_and(|at| at <= text.len())));
    let there = made(&steps, now);
    assert_eq!(planned(text, &there, now).map(|steps| steps.len()), Ok(0), "what was made is not what was wanted");

    // At another time and in a store with another prefix, the written manifest means the same.
    let later = Timestamp::from_second(1_900_000_000).unwrap();
    let second = empty("second");
    for written in written(&there) {
        assert_eq!(planned(&written, &there, later).map(|steps| steps.len()), Ok(0), "{written}");
        let anew = planned(&written, &second, later).unwrap_or_else(|wrongs| panic!("{wrongs:?}: {written}"));
        let anew = made(&anew, now);
        assert_eq!((&anew.entries, &anew.keys), (&there.entries, &there.keys), "{written}");
    }
    match text.trim_start_matches(MARK).trim_start().starts_with('{') {
        _ if steps.is_empty() => "nothing",
        true => "json",
        false => "toml",
    }
}

/// Checks [`Duration`], [`When`], [`Since`] and [`parse_time`], as of the first and the last representable moment, and
/// some in between.
pub fn time(data: &[u8]) -> &'static str {
    let Ok(text) = from_utf8(data) else { return "not_utf8" };
    let nows = [Timestamp::MIN, Timestamp::UNIX_EPOCH, Timestamp::from_second(1_800_000_000).unwrap(), Timestamp::MAX];
    let (time, when, since) = (parse_time(text), text.parse::<When>(), text.parse::<Since>());
    if let Some(time) = time {
        assert_eq!(time, whole_seconds(time), "{time} has a fraction");
        assert_eq!(parse_time(&rfc3339(time).to_string()), Some(time));
    }
    let duration = text.parse::<Duration>();
    if let Ok(duration) = duration {
        let shown = duration.to_string();
        let again: Duration = shown.parse().unwrap_or_else(|error| panic!("{shown}: {error}"));
        assert_eq!(again.to_string(), shown);
        for now in nows {
            let (after, before) = (duration.after(now), duration.before(now));
            assert_eq!((again.after(now), again.before(now)), (after, before), "{text} is not {shown}");
            assert_eq!(again.seconds_after(now), duration.seconds_after(now));
            assert_eq!(duration.seconds_after(now).is_some(), after.is_some());
            assert!(after.is_none_or(|after| after >= whole_seconds(now)), "{now} and {shown} is {after:?}");
            assert!(before.is_none_or(|before| before <= now), "{now} without {shown} is {before:?}");
        }
    }
    for now in nows {
        for time in [time, duration.as_ref().ok().and_then(|duration| duration.after(now))].into_iter().flatten() {
            assert_eq!(relative(time, now) == "now", time.as_second() == now.as_second());
        }
        if let Ok(since) = since {
            assert!(since.resolve(now) <= now || time.is_some());
        }
        match when {
            Ok(When::Never) => assert_eq!(when.clone().unwrap().resolve(now), Ok(None)),
            Ok(When::At(at)) => assert_eq!((when.clone().unwrap().resolve(now), Some(at)), (Ok(time), time)),
            Ok(When::In(after)) => {
                assert_eq!(after.to_string(), duration.as_ref().unwrap().to_string());
                assert_eq!(when.clone().unwrap().resolve(now).ok().flatten(), after.after(now));
            }
            Err(_) => {}
        }
    }
    match (when, since) {
        (Ok(When::Never), Err(_)) => "never",
        (Ok(When::At(_)), Ok(Since::At(at))) => {
            assert_eq!(Some(at), time);
            "at"
        }
        (Ok(When::In(_)), Ok(Since::Ago(_))) => "in",
        (Err(error), Err(_)) if error.to_string().starts_with("not a time") => "no_time",
        (Err(_), Err(_)) => "refused",
        (when, since) => panic!("{text} is two things: {when:?} and {since:?}"),
    }
}

/// Checks [`Cidr`] and [`parse_address`], with a network and, after a space, an address.
pub fn address(data: &[u8]) -> &'static str {
    let Ok(text) = from_utf8(data) else { return "not_utf8" };
    let (text, address) = text.split_once(' ').unwrap_or((text, "::ffff:10.0.0.1"));
    let network = match text.parse::<Cidr>() {
        Ok(network) => network,
        Err(error) => {
            let error = error.to_string();
            let Some((_, hint)) = error.split_once("the network is ") else { return "refused" };
            let (network, address) = hint.split_once(", the single address ").unwrap();
            for (text, hint) in [(network, network), (address, &single(address))] {
                assert_eq!(text.parse::<Cidr>().map(|network| network.to_string()).as_deref(), Ok(hint), "{error}");
            }
            return "host_bits";
        }
    };
    let shown = network.to_string();
    assert_eq!(shown.parse(), Ok(network));
    let (first, length) = shown.split_once('/').unwrap();
    let (first, length): (IpAddr, u32) = (first.parse().unwrap(), length.parse().unwrap());
    assert_eq!(parse_address(&first.to_string()), Ok(first));
    assert_eq!(first, first.to_canonical(), "an IPv4 network is shown as IPv6");
    assert!(network.contains(first));

    // The neighbours of the network, and the given address.
    let (start, bits) = number(first);
    let size = (bits - length).checked_sub(1).map_or(0, |bits| u128::MAX >> (127 - bits));
    let nearby = [start, start.wrapping_sub(1), start.wrapping_add(size), start.wrapping_add(size).wrapping_add(1)];
    let nearby = nearby.into_iter().map(|number| match bits {
        32 => IpAddr::V4(Ipv4Addr::from_bits(number as u32)),
        _ => IpAddr::V6(Ipv6Addr::from_bits(number)),
    });
    for address in nearby.chain(parse_address(address)) {
        let address = address.to_canonical();
        let (place, of) = number(address);
        let inside = of == bits && place >= start && place - start <= size;
        assert_eq!(network.contains(address), inside, "{address} in {network}");
        if let IpAddr::V4(address) = address {
            assert_eq!(network.contains(address.to_ipv6_mapped().into()), inside, "{address} as IPv6 in {network}");
        }
    }
    match (first, length == bits) {
        (IpAddr::V4(_), false) => "v4_network",
        (IpAddr::V4(_), true) => "v4_address",
        (IpAddr::V6(_), false) => "v6_network",
        (IpAddr::V6(_), true) => "v6_address",
    }
}

/// Checks [`get`] and [`set`]: the first line says what to set, the rest is the file.
pub fn dotenv(data: &[u8]) -> &'static str {
    let Ok(text) = from_utf8(data) else { return "not_utf8" };
    let Some((order, text)) = text.split_once('\n') else { return "no_order" };
    let Some((name, value)) = order.split_once('=') else { return "no_order" };
    let Ok(name) = name.parse::<Variable>() else { return "no_variable" };
    // The characters of secrets.
    if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return "no_value";
    }
    let before = get(text, &name);
    let once = set(text, &name, value);
    assert_eq!(get(&once, &name), Some(value), "{once:?}");
    assert_eq!(set(&once, &name, value), once);
    for word in text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
        if let Ok(other) = word.parse::<Variable>()
            && other != name
        {
            assert_eq!(get(&once, &other), get(text, &other), "{word} in {once:?}");
        }
    }

    let Some(last) = before else {
        let added = once.strip_prefix(text).unwrap_or_else(|| panic!("{text:?} became {once:?}"));
        let end = if text.contains("\r\n") { "\r\n" } else { "\n" };
        let end_of_text = if text.is_empty() || text.ends_with('\n') { "" } else { end };
        assert_eq!(added, format!("{end_of_text}{}={value}{end}", name.as_str()));
        return "added";
    };
    // The text after the last value stays, and the text around the others stays in order.
    let place = last.as_ptr().addr() - text.as_ptr().addr();
    let behind = &text[place + last.len()..];
    let space = if behind.starts_with('#') { " " } else { "" };
    let around = once.strip_suffix(&format!("{value}{space}{behind}"));
    let around = around.unwrap_or_else(|| panic!("{text:?} became {once:?}"));
    if text.contains(value) {
        return "replaced";
    }
    let parts: Vec<&str> = around.split(value).collect();
    let mut rest = text[..place].strip_prefix(parts[0]).unwrap_or_else(|| panic!("{text:?} became {once:?}"));
    for part in &parts[1..] {
        let kept = part.strip_prefix(" #").map_or((*part).to_owned(), |part| format!("#{part}"));
        let end = rest.find(part).map(|found| found + part.len());
        let end = end.or_else(|| rest.find(&kept).map(|found| found + kept.len()));
        rest = &rest[end.unwrap_or_else(|| panic!("{text:?} became {once:?}"))..];
    }
    assert_eq!(rest, "", "{text:?} became {once:?}");
    if parts.len() > 1 { "replaced_all" } else { "replaced" }
}

/// A text is a secret or it is not, and a secret has one spelling.
fn secret(text: &str) -> &'static str {
    let secret = match Secret::parse(text) {
        Ok(secret) => secret,
        Err(TokenError::Spaces) => return "spaces",
        Err(TokenError::Form) => return "form",
        Err(TokenError::Checksum) => return "checksum",
        Err(error) => panic!("what is {error}?"),
    };
    assert_eq!(secret.expose(), text);
    let id = secret.id().as_str();
    assert!(id.len() == 12 && id.bytes().all(|digit| CROCKFORD.contains(&digit)), "{id}");
    assert_eq!(format!("{secret:?}"), format!("Secret({id}, …)"));

    let (prefix, tail) = text.split_at(text.len() - TAIL);
    let random = &tail[TAIL - RANDOM..TAIL - CHECKSUM];
    let rebuilt = Secret::build(&prefix.parse().unwrap(), id.parse().unwrap(), &decoded(random));
    assert_eq!(rebuilt.expose(), text, "the bytes of a secret make another secret");

    let mut changed = text.as_bytes().to_vec();
    for place in 0..changed.len() {
        // The text determines which bit is flipped, so that the fuzzer can try all of them.
        let bit = 1 << ((usize::from(changed[changed.len() - 1]) + place) % 7);
        changed[place] ^= bit;
        assert!(Secret::parse(from_utf8(&changed).unwrap()).is_err(), "{text} with another byte at {place}");
        changed[place] ^= bit;
    }

    assert_eq!(redact(text), "[secret]");
    assert_eq!(redact(&format!("no '{text}' here")), "no '[secret]' here");
    assert_eq!(redact(&format!("Bearer name:{text}\r\n")), "Bearer [secret]\r\n");
    "secret"
}

/// A secret is hidden wherever it is in a text, and after that nothing is left to hide.
fn redact_around(text: &str) {
    let secret = Secret::build(&"kw".parse().unwrap(), "0123456789ab".parse().unwrap(), &[42; 32]);
    let middle = (0..=text.len() / 2).rev().find(|&place| text.is_char_boundary(place)).unwrap_or_default();
    let (before, after) = text.split_at(middle);
    for text in [text.to_owned(), format!("{before}{}{after}", secret.expose())] {
        let redacted = redact(&text);
        assert!(!redacted.contains(&secret.expose()[secret.expose().len() - RANDOM..]), "{redacted}");
        assert!(!holds_secret(&redacted), "{redacted}");
    }
}

/// The text in the place of the secret is part of the input, or of what the input encodes.
fn came_from(credential: &Credential, input: &[u8]) {
    let read = match credential.presentation.as_str() {
        "query_auth_key" | "query_api_auth" => percent_decoded(input),
        "basic" => {
            let encoded = input.split(|byte| !byte.is_ascii_graphic() || *byte == b',');
            encoded.filter_map(|word| STANDARD.decode(word).ok()).collect::<Vec<_>>().concat()
        }
        _ => input.to_vec(),
    };
    // In an unfolded field, the line ends inside become a space.
    let read = without_spaces(&read);
    let secret = without_spaces(credential.expose().as_bytes());
    assert!(
        secret.is_empty() || read.windows(secret.len()).any(|part| part == secret),
        "{} came out of {}",
        credential.expose(),
        input.escape_ascii()
    );
}

/// The same for texts that may be secrets of other systems. There are few of them, and debug output does not show them.
fn texts_came_from(credentials: &Credentials, input: &[u8]) {
    let Some(Texts::Candidates { texts, .. }) = credentials.texts.as_deref() else { return };
    assert!((1..=4).contains(&texts.len()), "{texts:?}");
    let shown = format!("{credentials:?}");
    let decoded = [percent_decoded(input), input.to_vec()].concat();
    let encoded = input.split(|byte| !byte.is_ascii_graphic() || *byte == b',');
    let basic = encoded.filter_map(|word| STANDARD.decode(word).ok()).collect::<Vec<_>>().concat();
    let read = without_spaces(&[decoded, basic].concat());
    for text in texts {
        let text = text.text.expose();
        assert!(
            read.windows(text.len()).any(|part| part == text.as_bytes()),
            "{text} came out of {}",
            input.escape_ascii()
        );
        assert!(text.len() < 48 || !shown.contains(text), "{shown}");
    }
}

/// Debug output reveals nothing about the secret. It may contain short words by chance, but nothing long enough to be a
/// secret.
fn hidden(credential: &Credential, shown: &str) {
    assert!(shown.contains(&format!("Credential({}, …)", credential.presentation.as_str())), "{shown}");
    for word in credential.expose().split_whitespace().filter(|word| word.len() >= 48) {
        assert!(!shown.contains(word), "{shown}");
    }
    assert!(!holds_secret(shown), "{shown}");
}

/// A refusal reveals nothing about the secret either.
fn refused(error: &CredentialError) -> &'static str {
    assert!(!holds_secret(&format!("{error} {error:?}")), "{error}");
    match error {
        CredentialError::Missing(_) => "missing",
        CredentialError::Ambiguous { .. } => "ambiguous",
        CredentialError::ManyLines | CredentialError::Malformed(_) => "malformed",
        other => panic!("{other:?} has no name here"),
    }
}

/// Positions in a request: after its first line, before the empty line and after it. Without an empty line, the last
/// two are the end.
struct End {
    first_field: usize,
    before: usize,
    after: usize,
}

fn end_of_fields(head: &[u8]) -> End {
    let mut end = End { first_field: 0, before: 0, after: 0 };
    for line in head.split_inclusive(|&byte| byte == b'\n') {
        end.after += line.len();
        // A server skips empty lines before the request line (RFC 9112 section 2.2).
        if end.first_field == 0 {
            end.first_field = if line == b"\n" || line == b"\r\n" { 0 } else { end.after };
        } else if line == b"\n" || line == b"\r\n" {
            return end;
        }
        end.before = end.after;
    }
    end
}

fn checksum(body: &str) -> String {
    let mut rest = crc32fast::hash(body.as_bytes()) as usize;
    let mut digits = [0; CHECKSUM];
    for digit in digits.iter_mut().rev() {
        *digit = BASE62[rest % 62];
        rest /= 62;
    }
    digits.into_iter().map(char::from).collect()
}

/// The 32 bytes that the digits encode.
fn decoded(digits: &str) -> [u8; 32] {
    let mut number = [0_u8; 32];
    for digit in digits.bytes() {
        let mut carry = BASE62.iter().position(|&known| known == digit).unwrap();
        for byte in number.iter_mut().rev() {
            carry += usize::from(*byte) * 62;
            *byte = (carry & 0xff) as u8;
            carry >>= 8;
        }
        assert_eq!(carry, 0, "no 32 bytes make {digits}");
    }
    number
}

/// Percent-decodes everything, as far as it is UTF-8: the values in a query are part of it.
fn percent_decoded(input: &[u8]) -> Vec<u8> {
    // Exactly one field, because the separators are escaped.
    let separators = [(b'&', "%26"), (b'=', "%3D")];
    let one_field = input.iter().fold(vec![], |mut field, byte| {
        match separators.iter().find(|(separator, _)| separator == byte) {
            Some((_, encoded)) => field.extend_from_slice(encoded.as_bytes()),
            None => field.push(*byte),
        }
        field
    });
    form_urlencoded::parse(&one_field).map(|(field, _)| field.into_owned()).collect::<String>().into_bytes()
}

fn without_spaces(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect()
}

/// Positions of steps or mistakes.
fn places(found: &Result<Vec<Step>, Vec<Mistake>>) -> Vec<usize> {
    match found {
        Ok(steps) => steps.iter().filter_map(|step| step.at).collect(),
        Err(wrongs) => wrongs.iter().map(|wrong| wrong.at).collect(),
    }
}

/// Every mistake has a position in the text.
fn placed(text: &str, wrongs: Vec<Mistake>, word: &'static str) -> &'static str {
    assert!(!wrongs.is_empty());
    for wrong in &wrongs {
        assert!(text.is_char_boundary(wrong.at), "{wrong:?} is nowhere in {text:?}");
    }
    let lines = text.matches('\n').count() + 1;
    assert!(locate(text, wrongs).iter().all(|mistake| (1..=lines).contains(&mistake.line)));
    word
}

/// An empty store with this prefix.
fn empty(prefix: &str) -> Present {
    let mut present = Present::default();
    present.settings.prefix = prefix.parse().unwrap();
    present
}

/// A store after these steps.
fn made(steps: &[Step], now: Timestamp) -> Present {
    let mut present = empty("third");
    for step in steps {
        match &step.subject {
            Subject::Entry(draft) => present.entries.push(draft.clone()),
            Subject::Key { name, settings, .. } => {
                present.keys.push(Key::new(Id::from_random([1; 8]), name.clone(), (**settings).clone(), now));
            }
        }
    }
    present
}

/// A manifest of what exists, as TOML and as JSON.
fn written(present: &Present) -> [String; 2] {
    let keys = || present.keys.iter().map(|key| (&key.name, &key.settings));
    let toml = keys().fold(to_toml(&present.entries), |toml, (name, settings)| toml + &key_to_toml(name, settings));
    let mut json = to_json(&present.entries);
    json.insert("key".to_owned(), keys().map(|(name, settings)| key_to_json(name, settings)).collect());
    [toml, Value::Object(json).to_string()]
}

/// An address as a network prints it.
fn single(address: &str) -> String {
    let address = address.parse::<IpAddr>().unwrap().to_canonical();
    format!("{address}/{}", number(address).1)
}

/// An address as a number, and how many bits it has.
fn number(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(address) => (address.to_bits().into(), 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    }
}
