//! Secrets of another system, verified by one thread and by many. All texts are made up.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::*;
use crate::rules::credential::{Reading, parse_line, parse_parts};
use crate::rules::decision::{Reason, Request, Transport};
use crate::rules::hashing::{Cost, HashedSecret, counted};
use crate::rules::imported::{ImportedText, LookupKey, Origin};
use crate::rules::key::Settings;
use crate::rules::key::tests::at;
use crate::rules::names::Prefix;
use crate::rules::token::{Id, Secret};
use crate::store::{Imported, NewKey, NewSecret, Stamp, Store, StoreError};

/// A record in a test's store.
#[derive(Debug, Clone)]
struct Record {
    name: String,
    text: String,
    origin: Origin,
    /// In the bucket of this text, as if it were its own.
    bucket_of: String,
    cost: Cost,
}

fn record(name: &str, text: &str, origin: Origin) -> Record {
    let (name, text) = (name.to_owned(), text.to_owned());
    Record { name, bucket_of: text.clone(), text, origin, cost: Cost::FLOOR }
}

struct Scene {
    folder: tempfile::TempDir,
}

fn text(text: &str) -> ImportedText {
    ImportedText::new(text.to_owned().into()).unwrap()
}

fn own(number: u8) -> Secret {
    Secret::build(&Prefix::default(), Id::from_random([number; 8]), &[number; 32])
}

fn stamp() -> Stamp<'static> {
    Stamp { now: at(0), actor: None }
}

/// A store with a key of our own, `own`, and these records.
fn scene(records: &[Record]) -> Scene {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::create(&folder.path().join("keys.db"), at(0)).unwrap();
    let mut settings = store.view().unwrap().settings().unwrap();
    settings.hash_cost = Cost::FLOOR;
    let plain = Settings::with_prefix(Prefix::default());
    let made = store.write(stamp(), |changes| {
        changes.save_settings(&settings)?;
        let hash = HashedSecret::new(&own(1), [1; 16], Cost::FLOOR).unwrap();
        let first = NewSecret { id: own(1).id().clone(), hash };
        let new =
            NewKey { id: &Id::from_random([9; 8]), name: &"own".parse().unwrap(), settings: &plain, secret: &first };
        changes.insert_key(&new)?;
        let mut importing = changes.import(&LookupKey::new([3; 32]))?;
        let key = importing.key().clone();
        for (number, record) in (0_u64..).zip(records) {
            let plain_text = text(&record.text);
            let hash = match record.origin {
                Origin::Sha256 => HashedSecret::from_sha256(&plain_text.sha256()),
                _ => HashedSecret::new(&plain_text, [number as u8; 16], record.cost).unwrap(),
            };
            let bucket = key.bucket(&text(&record.bucket_of).sha256());
            let bucket = Some(bucket).filter(|_| record.origin != Origin::Phc);
            let secret = NewSecret { id: Id::from_random((1_000 + number).to_be_bytes()), hash };
            let id = Id::from_random((2_000 + number).to_be_bytes());
            let new = NewKey { id: &id, name: &record.name.parse().unwrap(), settings: &plain, secret: &secret };
            importing.add(&new, Imported { origin: record.origin, bucket })?;
        }
        importing.end()
    });
    made.unwrap();
    Scene { folder }
}

impl Scene {
    fn path(&self) -> PathBuf {
        self.folder.path().join("keys.db")
    }

    fn verifier(&self) -> Verifier {
        Verifier::new(Store::open(&self.path()).unwrap()).unwrap()
    }

    fn gate(&self) -> Gate {
        let options = Options { threads: 1.try_into().unwrap(), queue: 4, ..Options::default() };
        Gate::new(Store::open(&self.path()).unwrap(), [7; 32], options).unwrap()
    }

    /// The hash of a key's secret.
    fn hash(&self, name: &str) -> HashedSecret {
        let store = Store::open(&self.path()).unwrap();
        let view = store.view().unwrap();
        let key = view.named(&name.parse().unwrap()).unwrap().unwrap();
        view.presented(key.current_secret().unwrap()).unwrap().unwrap().hash
    }

    fn is_renewed(&self, name: &str) -> bool {
        let store = Store::open(&self.path()).unwrap();
        let key = store.view().unwrap().named(&name.parse().unwrap()).unwrap().unwrap();
        key.secrets[0].imported.unwrap().is_renewed
    }
}

fn request() -> Request {
    Request::over(Transport::Https)
}

/// The name of the key, or the reason for refusal.
fn told(answer: &Answer) -> Result<String, Reason> {
    match answer.decision.reason() {
        None => Ok(answer.key().unwrap().name.to_string()),
        Some(reason) => Err(reason),
    }
}

/// Verifies on one thread and records it; returns the answer and how many hashes it took.
fn one(verifier: &mut Verifier, line: &str) -> (Result<String, Reason>, usize) {
    counted::take();
    let answer = verifier.verify(parse_line(line), &request(), at(10)).unwrap();
    let hashes = counted::take().len();
    verifier.record(&answer, &request(), || Some([8; 16]), at(10)).unwrap();
    (told(&answer), hashes)
}

const ONE: &str = "made-up-text-of-one-0001";
const OTHER: &str = "made-up:text,of-other-02";
const THIRD: &str = "made-up-text-of-third-03";

fn three() -> Scene {
    scene(&[
        record("one", ONE, Origin::Secret),
        record("other", OTHER, Origin::Sha256),
        record("third", THIRD, Origin::Phc),
    ])
}

/// Allowed, for this key.
#[expect(clippy::unnecessary_wraps, reason = "it is compared with what may be a no")]
fn ok(name: &str) -> Result<String, Reason> {
    Ok(name.to_owned())
}

#[test]
fn each_is_found_and_a_failure_costs_what_a_success_does() {
    let scene = three();
    let mut verifier = scene.verifier();
    let no = Err(Reason::NotGenuine);
    for (line, expected, hashes) in [
        (ONE.to_owned(), ok("one"), 1),
        (format!("one:{ONE}"), ok("one"), 1),
        (format!("other:{ONE}"), no.clone(), 1),
        (format!("Authorization: Bearer {ONE}"), ok("one"), 1),
        (own(1).expose().to_owned(), ok("own"), 1),
        (own(2).expose().to_owned(), no.clone(), 1),
        ("made-up-text-of-nobody-00".to_owned(), no.clone(), 1),
        (format!("third:{ONE}"), no.clone(), 2),
        ("third:made-up-text-of-nobody-00".to_owned(), no.clone(), 1),
        (THIRD.to_owned(), no.clone(), 1),
        (format!("{ONE},"), no, 1),
        ("short".to_owned(), Err(Reason::Malformed), 0),
        ("aaaaaaaaaaaaaaaaaaaaaaa".to_owned(), Err(Reason::Malformed), 0),
        (format!("x-api-key: {ONE}, {THIRD}"), Err(Reason::AmbiguousCredential), 0),
    ] {
        assert_eq!(one(&mut verifier, &line), (expected, hashes), "{line}");
    }
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// In both header orders, by a verifier and by a gate, which may or may not have seen the credentials before.
fn assert_asked(scene: &Scene, fields: [(&str, String); 2], expected: Result<String, Reason>) {
    let gate = scene.gate();
    for fields in [&fields, &[fields[1].clone(), fields[0].clone()]] {
        let presented = || {
            let fields = &mut fields.iter().map(|(name, value)| (*name, value.as_bytes()));
            parse_parts(fields, "/", Reading::default()).unwrap().credentials
        };
        let answer = scene.verifier().verify(presented(), &request(), at(10)).unwrap();
        assert_eq!(told(&answer), expected, "{fields:?}");
        for _ in 0..2 {
            let answer = gate.ask(presented(), &request(), at(10)).wait().unwrap();
            assert_eq!(told(&answer), expected, "{fields:?}");
        }
    }
}

#[test]
fn a_name_counts_beside_a_basic_and_its_user_does_not() {
    let scene = three();
    let own = own(1).expose().to_owned();
    for (secret, name) in [(ONE, "one"), (OTHER, "other"), (&own, "own")] {
        let authorization = || ("authorization", basic("somebody", secret));
        assert_asked(&scene, [("x-api-key", secret.to_owned()), authorization()], ok(name));
        let named = |name: &str| ("x-ignition-api-token", format!("{name}:{secret}"));
        assert_asked(&scene, [named(name), authorization()], ok(name));
        assert_asked(&scene, [named("nobody"), authorization()], Err(Reason::NotGenuine));
    }
}

#[test]
fn a_basic_with_the_secrets_of_two_keys_is_ambiguous() {
    let scene = three();
    let (mut verifier, gate) = (scene.verifier(), scene.gate());
    for (line, expected) in [
        (basic(ONE, OTHER), Err(Reason::AmbiguousCredential)),
        (basic(ONE, ONE), ok("one")),
        (basic(ONE, "made-up-text-of-nobody-00"), ok("one")),
        (basic("made-up-text-of-nobody-00", ONE), ok("one")),
    ] {
        assert_eq!(one(&mut verifier, &line).0, expected, "{line}");
        for _ in 0..2 {
            let answer = gate.ask(parse_line(&line), &request(), at(10)).wait().unwrap();
            assert_eq!(told(&answer), expected, "{line}");
        }
    }
}

#[test]
fn without_imports_nothing_is_hashed_that_is_not_of_our_form() {
    let scene = scene(&[]);
    let mut verifier = scene.verifier();
    assert_eq!(one(&mut verifier, ONE), (Err(Reason::Malformed), 0));
    assert_eq!(one(&mut verifier, own(2).expose()), (Err(Reason::NotGenuine), 1));
}

#[test]
fn what_came_as_a_hash_is_renewed_at_its_first_success() {
    let scene = three();
    let mut verifier = scene.verifier();
    assert!(scene.hash("other").is_fast() && !scene.is_renewed("other") && !scene.is_renewed("third"));
    assert_eq!(one(&mut verifier, OTHER), (ok("other"), 0), "the hash that renews it is the one it owes");
    assert!(!scene.hash("other").is_fast() && scene.is_renewed("other"));
    assert_eq!(one(&mut verifier, OTHER), (ok("other"), 1));
    let before = scene.hash("third");
    assert_eq!(one(&mut verifier, &format!("third:{THIRD}")), (ok("third"), 1));
    assert!(scene.is_renewed("third") && scene.hash("third") != before);
    let mut verifier = scene.verifier();
    for line in [format!("third:{THIRD}"), THIRD.to_owned()] {
        assert_eq!(one(&mut verifier, &line), (ok("third"), 1), "{line}");
    }
    assert!(scene.is_renewed("one"));
}

#[test]
fn a_further_key_in_the_bucket_costs_one_more() {
    let mut colliding = record("colliding", THIRD, Origin::Secret);
    colliding.bucket_of = ONE.to_owned();
    let mut fast = record("fast", OTHER, Origin::Sha256);
    fast.bucket_of = ONE.to_owned();
    let scene = scene(&[record("one", ONE, Origin::Secret), colliding, fast]);
    let mut verifier = scene.verifier();
    assert_eq!(one(&mut verifier, ONE), (ok("one"), 2));
    let gate = scene.gate();
    let ask = || gate.ask(parse_line(ONE), &request(), at(10));
    let Verdict::Hashing(hashing) = ask() else { panic!("it is known already") };
    assert_eq!(told(&hashing.wait().unwrap()), ok("one"));
    assert!(matches!(ask(), Verdict::Ready(Ok(answer)) if told(&answer) == ok("one")), "what does not match is known");
}

#[test]
fn a_failure_costs_every_cost_that_there_is() {
    let other = Cost { passes: 2, ..Cost::FLOOR };
    let mut first = record("one", ONE, Origin::Phc);
    first.cost = other;
    let scene = scene(&[first]);
    let mut verifier = scene.verifier();
    for line in [own(2).expose(), THIRD, &format!("one:{THIRD}")] {
        assert_eq!(one(&mut verifier, line), (Err(Reason::NotGenuine), 2), "{line}");
    }
    assert_eq!(one(&mut verifier, &format!("one:{ONE}")), (ok("one"), 1));
    assert_eq!(one(&mut scene.verifier(), THIRD), (Err(Reason::NotGenuine), 1), "it was the last of that cost");
}

#[test]
fn a_text_of_two_keys_is_nobodys_and_both_are_told() {
    for with_gate in [false, true] {
        let scene = scene(&[record("one", ONE, Origin::Sha256), record("other", ONE, Origin::Secret)]);
        let same = || Store::open(&scene.path()).unwrap().view().unwrap().keys_with_same_secret(at(10)).unwrap();
        assert!(same().is_empty());
        if with_gate {
            let gate = scene.gate();
            let mut recorder = gate.recorder(at(10)).unwrap();
            for _ in 0..2 {
                let answer = gate.ask(parse_line(ONE), &request(), at(10)).wait().unwrap();
                assert!(told(&answer) == Err(Reason::NotGenuine) && answer.key().is_none() && answer.wants_renewal());
                recorder.renew(&answer, [8; 16], at(10)).unwrap();
            }
        } else {
            // Only the first one is recorded.
            for hashes in [1, 0] {
                assert_eq!(one(&mut scene.verifier(), ONE).0, Err(Reason::NotGenuine));
                assert_eq!(counted::take().len(), hashes);
            }
        }
        assert_eq!(same(), [("one".parse().unwrap(), "other".parse().unwrap())]);
        assert!(!scene.hash("one").is_fast());
        assert_eq!(one(&mut scene.verifier(), &format!("one:{ONE}")).0, Err(Reason::NotGenuine));
        // Until one of them gets another secret.
        let mut store = Store::open(&scene.path()).unwrap();
        let rotate = |store: &mut Store, name: &str, secret: u8| {
            let hash = HashedSecret::new(&own(secret), [1; 16], Cost::FLOOR).unwrap();
            let new = NewSecret { id: own(secret).id().clone(), hash };
            let key = store.view().unwrap().find(name).unwrap().unwrap();
            store.write(stamp(), |changes| changes.replace_secret(&key, &new, at(5)).map(drop)).unwrap();
        };
        rotate(&mut store, "one", 3);
        assert!(same().is_empty());
        let asked = |line: &str| {
            let answer = scene.gate().ask(parse_line(line), &request(), at(10)).wait().unwrap();
            let alone = one(&mut scene.verifier(), line).0;
            assert_eq!(told(&answer), alone, "{line}");
            alone
        };
        assert_eq!(asked(ONE), ok("other"));
        assert_eq!(asked(&format!("one:{ONE}")), Err(Reason::NotGenuine));
        rotate(&mut store, "other", 4);
        assert_eq!(asked(ONE), Err(Reason::NotGenuine));
    }
}

#[test]
fn a_gate_decides_at_once_what_it_knows() {
    let scene = three();
    let gate = scene.gate();
    let mut recorder = gate.recorder(at(10)).unwrap();
    let named = format!("third:{THIRD}");
    for (line, name, is_hashed) in [(ONE, "one", true), (OTHER, "other", false), (named.as_str(), "third", true)] {
        let verdict = gate.ask(parse_line(line), &request(), at(10));
        assert_eq!(matches!(verdict, Verdict::Hashing(_)), is_hashed, "{line}");
        let answer = verdict.wait().unwrap();
        assert_eq!(told(&answer), ok(name));
        recorder.count(&answer, None, at(10));
        if answer.wants_renewal() {
            recorder.renew(&answer, [8; 16], at(10)).unwrap();
        }
        recorder.flush(at(12)).unwrap();
        assert_eq!(told(&gate.ask(parse_line(line), &request(), at(10)).wait().unwrap()), ok(name));
        let verdict = gate.ask(parse_line(line), &request(), at(13));
        assert!(matches!(verdict, Verdict::Ready(Ok(answer)) if told(&answer) == ok(name)), "{line}");
    }
    let wrong = parse_line("made-up-text-of-nobody-00");
    assert_eq!(told(&gate.ask(wrong.clone(), &request(), at(10)).wait().unwrap()), Err(Reason::NotGenuine));
    assert!(matches!(gate.ask(wrong, &request(), at(10)), Verdict::Ready(Ok(_))), "the second time");
    assert_eq!(told(&gate.ask(parse_line(THIRD), &request(), at(10)).wait().unwrap()), ok("third"));
    // Changes by others count at the next question.
    let mut store = Store::open(&scene.path()).unwrap();
    let key = store.view().unwrap().named(&"one".parse().unwrap()).unwrap().unwrap();
    store.write(stamp(), |changes| changes.switch_key(&key, false)).unwrap();
    assert_eq!(told(&gate.ask(parse_line(ONE), &request(), at(10)).wait().unwrap()), Err(Reason::KeyDisabled));
    store.write(stamp(), |changes| changes.delete_key(&key)).unwrap();
    assert_eq!(told(&gate.ask(parse_line(ONE), &request(), at(10)).wait().unwrap()), Err(Reason::NotGenuine));
}

#[test]
fn what_finds_them_is_missed_where_it_is_gone() {
    let scene = three();
    let gate = scene.gate();
    rusqlite::Connection::open(scene.path())
        .unwrap()
        .execute("DELETE FROM setting WHERE name = 'lookup_key'", [])
        .unwrap();
    let is_damage = |error: VerifyError| matches!(error, VerifyError::Store(StoreError::Corrupt { .. }));
    for line in [ONE, own(2).expose()] {
        let asked = scene.verifier().verify(parse_line(line), &request(), at(10));
        assert!(asked.is_err_and(is_damage), "{line}");
        assert!(gate.ask(parse_line(line), &request(), at(10)).wait().is_err_and(is_damage), "{line}");
    }
    assert_eq!(one(&mut scene.verifier(), own(1).expose()).0, ok("own"));
}

#[test]
fn a_damaged_hash_is_not_a_wrong_secret() {
    let scene = three();
    let damage = "UPDATE secret SET hash = 'damaged' WHERE imported = 'secret'";
    rusqlite::Connection::open(scene.path()).unwrap().execute(damage, []).unwrap();
    counted::take();
    let asked = scene.verifier().verify(parse_line(ONE), &request(), at(10));
    assert!(matches!(asked, Err(VerifyError::Hash(_))));
    assert_eq!(counted::take().len(), 1);
}

/// Texts that can be mistaken for each other with a name in front, and such names.
fn texts() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec!["a", "b", "k1", "made-up-text-0001", "other-text-0002X"]);
    prop::collection::vec(part, 1..4)
        .prop_map(|parts| parts.join(":"))
        .prop_filter("a form", |text| ImportedText::has_form(text))
}

fn records() -> impl Strategy<Value = Vec<Record>> {
    let origin = prop::sample::select(Origin::ALL.to_vec());
    prop::collection::vec((texts(), origin), 0..5).prop_map(|all| {
        let named = |(number, (text, origin)): (usize, (String, Origin))| {
            record(["a", "b", "k1", "k2", "k3"][number], &text, origin)
        };
        all.into_iter().enumerate().map(named).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn what_verifies_is_what_was_imported(records in records(), asked in prop::collection::vec(texts(), 1..6)) {
        let scene = scene(&records);
        let gate = scene.gate();
        let mut recorder = gate.recorder(at(10)).unwrap();
        let mut known: Vec<bool> = records.iter().map(|record| record.origin != Origin::Phc).collect();
        for line in asked.iter().chain(records.iter().map(|record| &record.text)) {
            let expected = model(&records, &mut known, line);
            let answer = gate.ask(parse_line(line), &request(), at(10)).wait().unwrap();
            prop_assert_eq!(told(&answer).ok(), expected.clone(), "{}", line);
            let single = scene.verifier().verify(parse_line(line), &request(), at(10)).unwrap();
            prop_assert_eq!(told(&single).ok(), expected, "{}", line);
            if answer.wants_renewal() {
                recorder.renew(&answer, [8; 16], at(10)).unwrap();
            }
        }
    }
}

/// The key that a line opens. `known` marks the records that can be found by text, without a name.
fn model(records: &[Record], known: &mut [bool], line: &str) -> Option<String> {
    let split = line.split_once(':').filter(|(_, rest)| ImportedText::has_form(rest));
    let readings = [Some((None, line)), split.map(|(name, rest)| (Some(name), rest))];
    for (name, text) in readings.into_iter().flatten() {
        let fits = |(number, record): &(usize, &Record)| {
            record.text == text && (known[*number] || name == Some(record.name.as_str()))
        };
        let found: Vec<_> = records.iter().enumerate().filter(fits).map(|(number, _)| number).collect();
        match found[..] {
            [] => {}
            [one] if name.is_none_or(|name| name == records[one].name) => {
                known[one] = true;
                return Some(records[one].name.clone());
            }
            [_] => return None,
            _ => {
                for number in found {
                    known[number] = true;
                }
                return None;
            }
        }
    }
    None
}
