//! The first reading of an import. It counts the keys, and finds mistakes in the form of the records, names and secrets
//! that occur twice, and secrets that a key in the store already has.

use std::hash::{BuildHasher as _, RandomState};

use super::input::Input;
use super::mistakes::Mistakes;
use crate::error::{Code, Error};
use crate::formats::import::{Given, Record};
use crate::session::Session;
use crate::text::count;
use crate::words::no_memory;
use keyward_core::rules::hashing::{Cost, HashError, Memory};
use keyward_core::rules::imported::{LookupKey, Origin, is_guessable};
use keyward_core::rules::plain::PlainText as _;
use keyward_core::store::{CompareError, Head, Imports, KnownSecret, Store, View};

/// The most keys in one import.
const MOST: u64 = 10_000_000;
/// How many different parameters the hashes of a store may have after an import: a refusal computes one hash of each.
const MOST_COSTS: usize = 8;
/// The most lines with a guessable secret that are reported.
const SHOWN: usize = 10;

/// What is in the input.
pub(super) struct Survey {
    /// How many keys have each origin, in the order of the origins.
    counts: [u64; 3],
    /// How many secrets are guessable, and the lines of the first ones.
    guessable: (u64, Vec<u64>),
    /// The costs of imported hashes that the store does not have yet.
    costs: Vec<Cost>,
    /// The end of the history at that time.
    pub(super) head: Head,
}

/// What was met before, as 64 bits of a hash with a random key. Two different values are confused once in 10^19 times, and
/// another run, with another key, does not repeat that.
#[derive(Default)]
struct Met(Vec<(u64, u32)>);

impl Survey {
    /// Reads all of the input.
    ///
    /// # Errors
    /// If the input or the store cannot be read.
    pub(super) fn make(
        session: &mut Session,
        input: &mut Input,
        store: &Store,
        mistakes: &mut Mistakes,
    ) -> Result<Self, Error> {
        let view = store.view()?;
        let settings = view.settings()?;
        let present = [settings.former_costs.as_slice(), &[settings.hash_cost]].concat();
        let known = match settings.imports {
            Imports::Some { key, .. } => Some(key.ok_or_else(|| view.no_lookup_key())?),
            _ => None,
        };
        let mut survey = Self { counts: [0; 3], guessable: (0, vec![]), costs: vec![], head: view.head()? };
        let (keys, mut memory) = (RandomState::new(), Memory::default());
        let (mut names, mut secrets) = (Met::default(), Met::default());
        let _working = session.terminal.working("looking through the records");
        input.each(&mut |line| {
            let number = line.number;
            let Some(record) = mistakes.take(line) else { return Ok(()) };
            survey.count(&record, number)?;
            if let Err(what) = survey.take_cost(&record, &present) {
                mistakes.add(number, Code::InvalidValue, what);
            }
            names.0.push((keys.hash_one(record.name.as_str()), number as u32));
            secrets.0.push((keys.hash_one(record.secret.fingerprint()), number as u32));
            if let Some(name) = other_key(&view, &record.secret, known.as_ref(), &mut memory)? {
                mistakes.add(number, Code::NameTaken, format!("the key {name} has this secret already"));
            }
            Ok(())
        })?;
        for (met, what) in [(names, "name"), (secrets, "secret")] {
            met.twice(|first, again| {
                mistakes.add(again, Code::InvalidValue, format!("this {what} stands on line {first} already"));
            });
        }
        Ok(survey)
    }

    /// Notes the cost of an imported hash.
    fn take_cost(&mut self, record: &Record, present: &[Cost]) -> Result<(), String> {
        let Given::Phc(hash) = &record.secret else { return Ok(()) };
        let Some(cost) = hash.cost().filter(|cost| !present.contains(cost) && !self.costs.contains(cost)) else {
            return Ok(());
        };
        if present.len() + self.costs.len() >= MOST_COSTS {
            return Err(format!(
                "the parameters {cost} are one set too many: every refusal computes a hash of each set, so a store has at \
                 most {MOST_COSTS}; give the text or its SHA-256"
            ));
        }
        self.costs.push(cost);
        Ok(())
    }

    fn count(&mut self, record: &Record, line: u64) -> Result<(), Error> {
        self.counts[record.secret.origin() as usize] += 1;
        if self.total() > MOST {
            return Err(Error::new(Code::InvalidValue, format!("there are more than {MOST} keys in it"))
                .hint("nothing was imported; import them in parts"));
        }
        if let Given::Text(text) = &record.secret
            && is_guessable(text.expose())
        {
            self.guessable.0 += 1;
            if self.guessable.1.len() < SHOWN {
                self.guessable.1.push(line);
            }
        }
        Ok(())
    }

    /// How many keys have this origin.
    pub(super) fn of(&self, origin: Origin) -> u64 {
        self.counts[origin as usize]
    }

    /// How many texts must be hashed.
    pub(super) fn texts(&self) -> u64 {
        self.of(Origin::Secret)
    }

    /// How many keys there are.
    pub(super) fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// How many secrets are guessable.
    pub(super) fn guessable(&self) -> u64 {
        self.guessable.0
    }

    /// Whether there are hashes with a cost that the store does not have yet.
    pub(super) fn has_other_costs(&self) -> bool {
        !self.costs.is_empty()
    }

    /// Warns about what a person should know before the import.
    pub(super) fn warn(&self, session: &mut Session, input: &Input) {
        self.warn_of_costs(session);
        let (total, lines) = &self.guessable;
        if *total == 0 {
            return;
        }
        let lines: Vec<_> = lines.iter().map(|line| format!("{}:{line}", input.name())).collect();
        let more = if lines.len() as u64 == *total { "" } else { ", …" };
        session.terminal.warn(&format!(
            "{} can perhaps be guessed, and who has the store can try guesses fast; rotate these keys soon: {}{more}",
            count(*total, "secret"),
            lines.join(", ")
        ));
    }

    /// A refusal takes as long as one hash of each cost in the store.
    fn warn_of_costs(&self, session: &mut Session) {
        const SHOWN: usize = 3;
        let Self { costs, .. } = self;
        if costs.is_empty() {
            return;
        }
        let shown: Vec<_> = costs.iter().take(SHOWN).map(ToString::to_string).collect();
        let more = if costs.len() > SHOWN { ", …" } else { "" };
        session.terminal.warn(&format!(
            "the imported hashes have {} that the store does not use ({}{more}); each adds its time to every refusal \
             until its keys are used or rotated",
            count(costs.len() as u64, "parameter set"),
            shown.join("; ")
        ));
    }

    /// What will still happen to the keys.
    pub(super) fn in_words(&self) -> String {
        let to_renew = self.of(Origin::Sha256) + self.of(Origin::Phc);
        let renewed = match to_renew {
            0 => return String::new(),
            1 => "1 came as a hash and is renewed at its first use".to_owned(),
            more => format!("{more} came as a hash and are renewed at their first use"),
        };
        match self.of(Origin::Phc) {
            0 => format!("; {renewed}"),
            1 => format!("; {renewed}; 1 has to be sent as NAME:TEXT until then"),
            phc => format!("; {renewed}; {phc} have to be sent as NAME:TEXT until then"),
        }
    }
}

/// The key that already has this secret.
pub(super) fn other_key(
    view: &View<'_>,
    secret: &Given,
    key: Option<&LookupKey>,
    memory: &mut Memory,
) -> Result<Option<String>, Error> {
    let known = match secret {
        Given::Text(text) => KnownSecret::Text(text),
        Given::Sha256(sha256) => KnownSecret::Sha256(sha256),
        Given::Phc(hash) => KnownSecret::Hash(hash),
    };
    match view.key_with_secret(known, key, memory) {
        Ok(name) => Ok(name.map(|name| name.to_string())),
        Err(CompareError::Store(error)) => Err(error.into()),
        Err(CompareError::Hash(error @ HashError::NoMemory(_))) => Err(no_memory(&error)),
        Err(error) => Err(Error::new(Code::StoreCorrupt, error.to_string()).hint("see: keyward doctor")),
    }
}

impl Met {
    /// Calls `f` with each line that repeats something, and the line where it first occurs.
    fn twice(mut self, mut f: impl FnMut(u64, u64)) {
        self.0.sort_unstable();
        for same in self.0.chunk_by(|one, other| one.0 == other.0) {
            same[1..].iter().for_each(|(_, line)| f(same[0].1.into(), (*line).into()));
        }
    }
}
