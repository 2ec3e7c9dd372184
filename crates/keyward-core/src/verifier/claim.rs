//! What a credential claims, and how that is proved, for one thread and for many.
//!
//! The id in a keyward secret names the hash that the secret must match. The text of another system names nothing: it is
//! looked up by its bucket, and each secret in the bucket is tried. So a claim has readings ([`Reading`]), each reading
//! finds rows, and the first reading with a matching row counts. A text that matches the secrets of two keys belongs to
//! neither.
//!
//! What may break is timing: a failed verification must take the same time whichever secret it found, or if it found
//! none. So a claim that is not genuine costs at least one Argon2id of every cost that the hashes in the store have.

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use zeroize::Zeroizing;

use super::Answer;
use super::answer::{Plain, Renewal};
use super::hasher::Hasher;
use super::rows::Row;
use crate::rules::credential::{
    Credential, CredentialError, Credentials, PASSWORD_OF_BASIC, Presentation, PresentedText, Texts, USER_OF_BASIC,
};
use crate::rules::decision::{Facts, Reason, Request, decide};
use crate::rules::hashing::{Cost, HashError};
use crate::rules::imported::{Bucket, LookupKey};
use crate::rules::key::SecretState;
use crate::rules::plain::PlainText;
use crate::rules::token::{Id, Secret};
use crate::store::{Imports, Presented, StoreError, StoreSettings, View};

/// Something that has the form of a credential.
pub(super) struct Claim {
    what: What,
    in_query: bool,
}

enum What {
    /// A secret in keyward's own form.
    Own { secret: Secret, name: Option<Zeroizing<String>>, presentation: Presentation },
    /// Texts that may be secrets of another system.
    Texts(Vec<PresentedText>),
}

/// One reading of what was presented.
#[derive(Clone, Copy)]
pub(super) struct Reading<'c> {
    pub(super) plain: &'c dyn PlainText,
    pub(super) name: Option<&'c str>,
    /// Whether the name may differ from the name of the key.
    pub(super) is_user: bool,
    presentation: Presentation,
}

/// The result of comparing a claim with the rows found for it.
pub(super) enum Judgement {
    /// It is the secret in this row, by this reading.
    Genuine { reading: usize, row: usize },
    /// It is the secret of several keys, in these rows.
    Clash { reading: usize, rows: Vec<usize> },
    /// It holds the secrets of two keys: one as the user and one as the password of a Basic credential.
    Two,
    /// It is none of them.
    NotGenuine,
}

/// A row found for a reading of a claim.
pub(super) struct Found {
    pub(super) reading: usize,
    pub(super) row: Row,
}

/// A list that usually has one item, and then needs no allocation.
pub(super) struct Several<T> {
    first: Option<T>,
    more: Vec<T>,
}

impl<T> Default for Several<T> {
    fn default() -> Self {
        Self { first: None, more: vec![] }
    }
}

impl<T> Several<T> {
    fn push(&mut self, one: T) {
        match self.first {
            None => self.first = Some(one),
            Some(_) => self.more.push(one),
        }
    }

    fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    fn first(&self) -> Option<&T> {
        self.first.as_ref()
    }

    fn iter(&self) -> impl Iterator<Item = &T> {
        self.first.iter().chain(&self.more)
    }

    fn into_iter(self) -> impl Iterator<Item = T> {
        self.first.into_iter().chain(self.more)
    }
}

/// A source of rows.
pub(super) trait Shelf {
    fn by_id(&mut self, secret: &Id) -> Result<Option<Row>, StoreError>;
    fn in_bucket(&mut self, bucket: Bucket) -> Result<Vec<Row>, StoreError>;
    fn of_unknown_text(&mut self, key: &str) -> Result<Vec<Row>, StoreError>;
    fn no_lookup_key(&self) -> StoreError;
}

impl Claim {
    /// The result of reading the credentials alone: a claim, or a refusal.
    pub(super) fn of(credentials: Credentials, settings: &StoreSettings) -> Result<Self, Box<Answer>> {
        let Credentials { own, texts, .. } = credentials;
        let texts = texts.filter(|_| settings.imports.are_there()).map(|texts| *texts);
        let claim = match texts {
            None => Self::of_own(own),
            Some(Texts::Own(own)) => Self::of_own(own),
            Some(Texts::Ambiguous(error)) => Err(unreadable(error)),
            Some(Texts::Candidates { texts, in_query }) => Ok(Self { what: What::Texts(texts), in_query }),
        }?;
        claim.check_place(settings)?;
        Ok(claim)
    }

    fn of_own(credential: Result<Credential, CredentialError>) -> Result<Self, Box<Answer>> {
        let mut credential = credential.map_err(unreadable)?;
        let (presentation, in_query, name) = (credential.presentation, credential.in_query, credential.name.take());
        match Secret::from_text(credential.into_text()) {
            Ok(secret) => Ok(Self { what: What::Own { secret, name, presentation }, in_query }),
            Err(error) => {
                Err(Box::new(Answer::refusal(Reason::Malformed, Facts::Token(error), Some(presentation), in_query)))
            }
        }
    }

    /// Refuses a credential in the query of a URL if the store accepts none there.
    fn check_place(&self, settings: &StoreSettings) -> Result<(), Box<Answer>> {
        if self.in_query && !settings.query_credentials {
            let presentation = self.reading(0).map(|reading| reading.presentation);
            let answer = Answer::refusal(Reason::NoCredential, Facts::InQuery, presentation, self.in_query);
            return Err(Box::new(answer));
        }
        Ok(())
    }

    /// Its readings, in the order of trial.
    pub(super) fn readings(&self) -> impl Iterator<Item = Reading<'_>> {
        (0..).map_while(|place| self.reading(place))
    }

    fn reading(&self, place: usize) -> Option<Reading<'_>> {
        match &self.what {
            What::Own { secret, name, presentation } => {
                let name = name.as_ref().map(|name| name.as_str());
                (place == 0).then_some(Reading { plain: secret, name, is_user: false, presentation: *presentation })
            }
            What::Texts(texts) => {
                let PresentedText { presentation, name, is_user, text } = texts.get(place)?;
                let name = name.as_ref().map(|name| name.as_str());
                Some(Reading { plain: text, name, is_user: *is_user, presentation: *presentation })
            }
        }
    }

    /// The rows that it may match, by its readings.
    ///
    /// # Errors
    /// If the rows cannot be read.
    pub(super) fn find(&self, imports: &Imports, source: &mut dyn Shelf) -> Result<Several<Found>, StoreError> {
        let mut found = Several::default();
        if let What::Own { secret, .. } = &self.what
            && let Some(row) = source.by_id(secret.id())?
        {
            found.push(Found { reading: 0, row });
        }
        let Imports::Some { key, has_unknown } = imports else { return Ok(found) };
        // The keys of another keyward store may have been imported with their secrets.
        if !found.is_empty() {
            return Ok(found);
        }
        let Some(key) = key else { return Err(source.no_lookup_key()) };
        for (place, reading) in self.readings().enumerate() {
            let mut rows = source.in_bucket(bucket_of(reading.plain, key))?;
            if let Some(name) = reading.name.filter(|_| *has_unknown) {
                rows.extend(source.of_unknown_text(name)?);
            }
            for row in rows {
                found.push(Found { reading: place, row });
            }
        }
        Ok(found)
    }

    /// Compares the claim with the rows. `matches` says whether a reading is the secret in a row; the result is `None` if
    /// it does not know that of every row that matters. Of two keys with the same secret, one whose secret has ended at
    /// `now` does not count.
    pub(super) fn judge(
        &self,
        found: &Several<Found>,
        now: Timestamp,
        matches: &mut dyn FnMut(Reading<'_>, &Row) -> Option<bool>,
    ) -> Option<Judgement> {
        for (place, reading) in self.readings().enumerate() {
            let (mut live, mut over) = (Several::default(), Several::default());
            for (number, own) in found.iter().enumerate().filter(|(_, own)| own.reading == place) {
                if matches(reading, &own.row)? {
                    let is_over = own.row.presented.secret.state(now) == SecretState::Retired;
                    (if is_over { &mut over } else { &mut live }).push((number, &*own.row.presented));
                }
            }
            let rows = if live.is_empty() { over } else { live };
            let Some(&(number, first)) = rows.first() else { continue };
            if rows.iter().any(|(_, other)| other.key.id != first.key.id) {
                let rows = rows.iter().map(|(number, _)| *number).collect();
                return Some(Judgement::Clash { reading: place, rows });
            }
            // A wrong name costs what a wrong secret does.
            let is_named = reading.name.is_none_or(|name| reading.is_user || name == first.key.name.as_str());
            if !is_named {
                return Some(Judgement::NotGenuine);
            }
            // A service that reads the user may find a different key from one that reads the password.
            for other in found.iter().filter(|_| reading.is_user) {
                if other.reading > place
                    && other.row.presented.key.id != first.key.id
                    && matches(self.reading(other.reading)?, &other.row)?
                {
                    return Some(Judgement::Two);
                }
            }
            return Some(Judgement::Genuine { reading: place, row: number });
        }
        Some(Judgement::NotGenuine)
    }

    /// Proves the claim: with one Argon2id for each row if it is genuine, and with one of every cost if it is not. `tell`
    /// is called with each row that was tried, and whether it matched.
    pub(super) fn prove(
        &self,
        found: &Several<Found>,
        settings: &StoreSettings,
        now: Timestamp,
        hasher: &mut dyn Hasher,
        tell: &mut dyn FnMut(Reading<'_>, &Row, bool),
    ) -> Result<Judgement, HashError> {
        let (mut done, mut failed) = (vec![], None);
        let judgement = self.judge(found, now, &mut |reading, row| {
            let hash = &row.presented.hash;
            let matched = match row.matches(reading.plain, hasher) {
                Ok(matched) => matched,
                Err(error) => {
                    failed = Some(error);
                    return Some(false);
                }
            };
            done.extend(hash.cost());
            tell(reading, row, matched);
            Some(matched)
        });
        let judgement = judgement.unwrap_or(Judgement::NotGenuine);
        if matches!(judgement, Judgement::Genuine { .. }) {
            return Ok(judgement);
        }
        // A damaged hash takes as long as any other.
        let plain = self.readings().next().map(|reading| reading.plain);
        let all = settings.former_costs.iter().copied().chain([settings.hash_cost]);
        for cost in all.filter(|cost: &Cost| !done.contains(cost)) {
            plain.map_or(Ok(()), |plain| hasher.spend(cost, plain))?;
        }
        match (failed, judgement) {
            // The damaged hash may be the hash of this secret.
            (Some(error), Judgement::NotGenuine) => Err(error),
            (_, judgement) => Ok(judgement),
        }
    }

    /// The answer to a judged claim, for the store at `path`.
    ///
    /// # Errors
    /// If the key is damaged.
    pub(super) fn rule(
        self,
        found: Several<Found>,
        judgement: Judgement,
        (path, settings): (&Path, &StoreSettings),
        request: &Request,
        now: Timestamp,
    ) -> Result<Answer, StoreError> {
        let imports = &settings.imports;
        match judgement {
            Judgement::NotGenuine => Ok(self.refuse()),
            Judgement::Two => Ok(Self::refuse_two()),
            Judgement::Clash { reading, rows } => {
                let is_one = |(number, _): &(usize, &Found)| rows.contains(number);
                let all = found.iter().enumerate().filter(is_one);
                let secrets = all.map(|(_, found)| found.row.presented.secret.id.clone()).collect();
                Ok(self.refuse_clash(reading, secrets, imports))
            }
            Judgement::Genuine { reading, row } => {
                let Some(Found { row, .. }) = found.into_iter().nth(row) else { return Ok(self.refuse()) };
                let is_old = row.is_old(settings.hash_cost);
                self.decide((path, imports), (reading, row.presented), is_old, request, now)
            }
        }
    }

    /// The answer to a claim that is genuine by this reading. `is_old` says whether the hash must be renewed.
    ///
    /// # Errors
    /// If the key is damaged. Nothing about a key is revealed before its secret has matched.
    fn decide(
        self,
        (path, imports): (&Path, &Imports),
        (reading, presented): (usize, Arc<Presented>),
        is_old: bool,
        request: &Request,
        now: Timestamp,
    ) -> Result<Answer, StoreError> {
        StoreError::check_whole(path, &presented.key)?;
        let decision = decide(&presented.key, &presented.secret, request, now);
        let presentation = self.reading(reading).map(|reading| reading.presentation);
        let in_query = self.in_query;
        let renewal = (is_old && decision.is_allowed()).then(|| {
            self.renewal(reading, vec![presented.secret.id.clone()], presented.secret.imported.is_some(), imports)
        });
        Ok(Answer::about(decision, presentation, in_query, presented, renewal.flatten()))
    }

    /// The answer to a claim that is not genuine.
    pub(super) fn refuse(&self) -> Answer {
        let presentation = self.reading(0).map(|reading| reading.presentation);
        Answer::refusal(Reason::NotGenuine, Facts::None, presentation, self.in_query)
    }

    /// The answer to a claim with the secrets of two keys.
    fn refuse_two() -> Answer {
        let both = CredentialError::Ambiguous { one: PASSWORD_OF_BASIC, other: USER_OF_BASIC };
        *unreadable(both)
    }

    /// The answer to a claim on the secret of several keys. These keys get the same hash, by which the clash is known from
    /// then on.
    fn refuse_clash(self, reading: usize, secrets: Vec<Id>, imports: &Imports) -> Answer {
        let mut answer = self.refuse();
        answer.renew_with(self.renewal(reading, secrets, true, imports));
        answer
    }

    fn renewal(self, reading: usize, secrets: Vec<Id>, is_imported: bool, imports: &Imports) -> Option<Renewal> {
        let plain = match self.what {
            What::Own { secret, .. } => Plain::Own(secret),
            What::Texts(mut texts) if reading < texts.len() => Plain::Imported(texts.swap_remove(reading).text),
            What::Texts(_) => return None,
        };
        let bucket = match imports {
            Imports::Some { key: Some(key), .. } if is_imported => Some(bucket_of(&plain, key)),
            _ => None,
        };
        Some(Renewal { plain, secrets, bucket })
    }
}

fn bucket_of(plain: &dyn PlainText, key: &LookupKey) -> Bucket {
    key.bucket(&crate::rules::fingerprint::sha256(plain.expose()))
}

/// The refusal of something that cannot be read as one credential.
fn unreadable(error: CredentialError) -> Box<Answer> {
    let reason = match &error {
        CredentialError::Missing(_) | CredentialError::NotAccepted(_) => Reason::NoCredential,
        CredentialError::Ambiguous { .. } => Reason::AmbiguousCredential,
        CredentialError::ManyLines | CredentialError::Malformed(_) => Reason::Malformed,
    };
    Box::new(Answer::refusal(reason, Facts::Credential(Box::new(error)), None, false))
}

/// A view, which remembers nothing.
impl Shelf for View<'_> {
    fn by_id(&mut self, secret: &Id) -> Result<Option<Row>, StoreError> {
        Ok(self.presented_or_damaged(secret)?.map(Row::unsealed))
    }

    fn in_bucket(&mut self, bucket: Bucket) -> Result<Vec<Row>, StoreError> {
        Ok(View::in_bucket(self, bucket)?.into_iter().map(Row::unsealed).collect())
    }

    fn of_unknown_text(&mut self, key: &str) -> Result<Vec<Row>, StoreError> {
        Ok(View::of_unknown_text(self, key)?.into_iter().map(Row::unsealed).collect())
    }

    fn no_lookup_key(&self) -> StoreError {
        View::no_lookup_key(self)
    }
}
