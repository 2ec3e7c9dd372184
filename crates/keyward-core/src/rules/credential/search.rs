//! The search for the one credential of a request: every place adds what it holds, and `finish` says what was found.
//!
//! What may break here: another reader of the same request may pick another credential. So two that differ are refused
//! wherever they are, and a damaged one that looks like ours is not ignored. What cannot be ours is ignored, and does
//! no harm.

use std::borrow::Cow;

use zeroize::Zeroizing;

use super::texts::{Place, Texts, together};
use super::{Accepted, Credential, CredentialError, Credentials, Presentation, authorization, malformed};
use crate::rules::http::BLANKS;
use crate::rules::token::Secret;

/// What has been found so far.
#[derive(Default)]
pub(super) struct Search {
    accepted: Accepted,
    all: Fold,
    /// What has the form of a keyward secret, from the first text that does not; until then it equals `all`.
    own: Option<Fold>,
    /// Whether any text has that form, and whether any in the present place has.
    has_own: bool,
    is_own: bool,
    /// The places that hold nothing in that form.
    places: Vec<Place>,
    /// What is wrong with everything found so far.
    flaw_of_all: Option<&'static str>,
    /// One that is not accepted.
    passed_over: Option<Presentation>,
    /// Why something was not a credential: reported if nothing else was one.
    none: Option<Nothing>,
    /// Why nothing can be a keyward credential.
    refused: Option<CredentialError>,
}

/// The one credential that everything found so far agrees on, or why there is none.
#[derive(Clone, Default)]
struct Fold {
    first: Option<Credential>,
    /// The places of two that differ.
    differ: Option<(&'static str, &'static str)>,
    /// What is wrong with one that was found.
    flaw: Option<&'static str>,
}

/// Why something was no credential.
#[derive(Clone, Copy)]
pub(super) enum Nothing {
    /// It was meant for another system.
    NotOurs(&'static str),
    /// It may have been meant as a keyward credential.
    Malformed(&'static str),
}

/// Something in the place of a credential.
pub(super) struct Found<'f> {
    pub(super) presentation: Presentation,
    pub(super) name: Option<&'f str>,
    pub(super) secret: &'f str,
    /// Where it was, if its presentation does not say.
    pub(super) place: Option<&'static str>,
    /// What is wrong with it.
    pub(super) flaw: Option<&'static str>,
}

impl<'f> Found<'f> {
    pub(super) fn new(presentation: Presentation, secret: &'f str) -> Self {
        Self { presentation, name: None, secret, place: None, flaw: None }
    }

    /// `SECRET` as the first presentation, `NAME:SECRET` as the second.
    pub(super) fn named_or_not(without: Presentation, with: Presentation, text: &'f str) -> Self {
        match text.rsplit_once(':') {
            Some((name, secret)) => Self { name: Some(name), ..Self::new(with, secret) },
            None => Self::new(without, text),
        }
    }

    pub(super) fn with_flaw(self, flaw: &'static str) -> Self {
        Self { flaw: Some(flaw), ..self }
    }
}

impl Search {
    pub(super) fn new(accepted: Accepted) -> Self {
        Self { accepted, ..Self::default() }
    }

    /// Adds what was found.
    pub(super) fn add(&mut self, found: &Found<'_>) {
        if !self.accepted.contains(found.presentation) {
            self.passed_over.get_or_insert(found.presentation);
            return;
        }
        let flaw = found.flaw.or(self.flaw_of_all);
        if Secret::has_form(found.secret) {
            (self.has_own, self.is_own) = (true, true);
            self.own.iter_mut().for_each(|own| own.add(found, flaw));
        } else if self.own.is_none() {
            self.own = Some(self.all.clone());
        }
        self.all.add(found, flaw);
    }

    /// Adds what `own` finds in a place. If none of it has the form of a keyward secret, the place may hold what
    /// `other` finds in it.
    pub(super) fn place(&mut self, own: impl FnOnce(&mut Self), other: impl FnOnce(Accepted) -> Option<Place>) {
        self.is_own = false;
        own(self);
        if !self.is_own && self.flaw_of_all.is_none() {
            self.places.extend(other(self.accepted));
        }
    }

    /// Records that what was presented cannot be a keyward credential.
    pub(super) fn refuse(&mut self, error: CredentialError) {
        self.refused.get_or_insert(error);
    }

    /// Records that the whole line may be one text, before any part of it is added.
    pub(super) fn whole_line(&mut self, line: &str) {
        // This looks like a damaged keyward secret.
        if line.split([',', ':']).any(Secret::has_form) {
            return;
        }
        match self.places.first_mut() {
            Some(place) => place.is_first(line, Presentation::Bare, self.accepted),
            None => self.places.push(Place::whole(line, Presentation::Bare, self.accepted)),
        }
    }

    /// Records that something was there and was not a credential.
    pub(super) fn nothing(&mut self, why: Nothing) {
        self.none.get_or_insert(why);
    }

    /// Adds what a header holds. Only the headers for credentials count.
    pub(super) fn field(&mut self, name: &str, value: &[u8]) {
        let presentation = presentation_of(name);
        if presentation.is_none() && !is_authorization(name) {
            return;
        }
        match String::from_utf8_lossy(value) {
            Cow::Borrowed(text) => self.text_of_field(presentation, text),
            Cow::Owned(text) => {
                let text = Zeroizing::new(text);
                self.flaw_of_all = Some("a header with a credential is not UTF-8");
                self.text_of_field(presentation, &text);
                self.flaw_of_all = None;
            }
        }
    }

    fn text_of_field(&mut self, presentation: Option<Presentation>, value: &str) {
        let value = value.trim_matches(BLANKS);
        let Some(presentation) = presentation else {
            self.place(
                |search| authorization::read(search, value, authorization::Scheme::None),
                |accepted| authorization::other(value, authorization::Scheme::None, accepted),
            );
            return;
        };
        let named = Some(presentation).filter(|presentation| *presentation == Presentation::XIgnitionApiToken);
        let found = |item| match presentation {
            Presentation::XIgnitionApiToken => match str::rsplit_once(item, ':') {
                Some((name, secret)) => Found { name: Some(name), ..Found::new(presentation, secret) },
                None => Found::new(presentation, item).with_flaw("X-Ignition-API-Token takes NAME:SECRET"),
            },
            _ => Found::new(presentation, item),
        };
        self.place(
            |search| items(value).for_each(|item| search.add(&found(item))),
            |accepted| Some(Place::of(value, items(value), presentation, named, accepted)),
        );
    }

    /// Adds what the query of a URL or of a request target holds.
    pub(super) fn query(&mut self, url: &str) {
        // What follows # is only for the browser, question marks included (RFC 3986 section 3.5).
        let url = url.split('#').next().unwrap_or_default();
        let Some((_, query)) = url.split_once('?') else { return };
        for (field, value) in form_urlencoded::parse(query.as_bytes()) {
            let value = Zeroizing::new(value.into_owned());
            let presentation = match &*field {
                "_auth_key" => Presentation::QueryAuthKey,
                "_api_auth" => Presentation::QueryApiAuth,
                _ => continue,
            };
            if !value.is_empty() {
                self.place(
                    |search| search.add(&Found::new(presentation, &value)),
                    |accepted| Some(Place::whole(&value, presentation, accepted)),
                );
            }
        }
    }

    /// What was found. `otherwise` is the message for nothing at all.
    pub(super) fn finish(self, otherwise: &str) -> Credentials {
        let texts = match (self.own, self.has_own) {
            (own, true) => own.and_then(Fold::finish).map(Texts::Own),
            (_, false) => together(self.places),
        };
        let own = self.refused.map(Err).or_else(|| self.all.finish()).unwrap_or_else(|| {
            Err(match (self.passed_over, self.none) {
                (Some(presentation), _) => CredentialError::NotAccepted(presentation),
                (None, Some(Nothing::Malformed(why))) => malformed(why),
                (None, Some(Nothing::NotOurs(why))) => CredentialError::Missing(why.to_owned()),
                (None, None) => CredentialError::Missing(otherwise.to_owned()),
            })
        });
        Credentials { own, texts: texts.map(Box::new) }
    }
}

impl Fold {
    /// Adds what was found. The same secret may be in several places: if one of them names a key, the name counts, and
    /// if one of them is a URL, that counts.
    fn add(&mut self, found: &Found<'_>, flaw: Option<&'static str>) {
        let place = found.place.unwrap_or(found.presentation.place());
        self.flaw = self.flaw.or(flaw);
        let Some(first) = &mut self.first else {
            self.first = Some(Credential::new(found.presentation, place, found.name, found.secret));
            return;
        };
        let names_differ = matches!((&first.name, found.name), (Some(one), Some(other)) if **one != *other);
        if names_differ || *first.secret != *found.secret {
            self.differ.get_or_insert((first.place, place));
        }
        if first.name.is_none() {
            first.name = found.name.map(|name| Zeroizing::new(name.to_owned()));
        }
        first.in_query |= found.presentation.is_query();
    }

    /// The one credential, if any was found.
    ///
    /// # Errors
    /// [`CredentialError`] for two that differ, and for one that cannot be one.
    fn finish(self) -> Option<Result<Credential, CredentialError>> {
        if let Some((one, other)) = self.differ {
            return Some(Err(CredentialError::Ambiguous { one, other }));
        }
        if let Some(flaw) = self.flaw {
            return Some(Err(malformed(flaw)));
        }
        self.first.map(Ok)
    }
}

/// The values of a header: proxies and clients join several lines of one name with commas (RFC 9110 section 5.3), which
/// neither names nor secrets contain. Empty values are skipped.
fn items(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(|item| item.trim_matches(BLANKS)).filter(|item| !item.is_empty())
}

/// Whether a header of this name carries credentials.
pub(super) fn is_credential_field(name: &str) -> bool {
    is_authorization(name) || presentation_of(name).is_some()
}

fn is_authorization(name: &str) -> bool {
    name.eq_ignore_ascii_case("authorization")
}

fn presentation_of(name: &str) -> Option<Presentation> {
    [
        ("x-ignition-api-token", Presentation::XIgnitionApiToken),
        ("x-auth-key", Presentation::XAuthKey),
        ("x-api-auth", Presentation::XApiAuth),
        ("x-api-key", Presentation::XApiKey),
        ("apikey", Presentation::ApiKey),
    ]
    .into_iter()
    .find_map(|(known, presentation)| name.eq_ignore_ascii_case(known).then_some(presentation))
}
