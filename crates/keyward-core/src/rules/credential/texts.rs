//! What a request presents to a store that has secrets of other systems.
//!
//! Each place in a request (a header, a parameter, a line) holds one text. The whole text may be a secret, with any colons
//! and commas in it. If no such secret is known, the text may be a secret with something around it: with a name in front,
//! or written twice. So a place has several readings, which are tried in order. If several places hold texts, only a
//! reading that all of them share counts.
//!
//! What may break: the guard admits a request because of one text, and the service behind it looks at another. So texts
//! without a common reading are ambiguous, like two different keyward secrets.

use std::fmt;

use zeroize::Zeroizing;

use super::{Accepted, Credential, CredentialError, Presentation, malformed};
use crate::rules::imported::ImportedText;

/// What counts if secrets of other systems are known.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Texts {
    /// There is a credential in keyward's form: it counts, and other texts are ignored.
    Own(Result<Credential, CredentialError>),
    /// Texts that may be the secret of another system.
    Candidates {
        /// The texts in the order of look-up: at least one.
        texts: Vec<PresentedText>,
        /// Whether any of them was in a URL.
        in_query: bool,
    },
    /// Several different texts were presented, or one that another reader may read differently.
    Ambiguous(CredentialError),
}

/// A text that may be the secret of another system.
#[derive(Clone, PartialEq, Eq)]
pub struct PresentedText {
    /// How it was presented.
    pub presentation: Presentation,
    /// The name of a key that was presented with it.
    pub name: Option<Zeroizing<String>>,
    /// Whether that name is the user of a Basic credential, which may be any text.
    pub is_user: bool,
    /// The text.
    pub text: ImportedText,
}

impl PresentedText {
    /// The name that the key must have.
    fn name_of_key(&self) -> Option<&str> {
        self.name.as_ref().filter(|_| !self.is_user).map(|name| name.as_str())
    }
}

impl fmt::Debug for PresentedText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PresentedText({}, …)", self.presentation.as_str())
    }
}

/// One place of a request.
pub(super) struct Place {
    presentation: Presentation,
    accepted: Accepted,
    /// Its readings, in order.
    readings: Vec<PresentedText>,
    /// Whether it holds different secrets when read as a list.
    differs: bool,
    /// Whether only the whole text can be a secret, and none of its parts.
    is_weak: bool,
    /// What is wrong with it, if a less strict reader would find a text in it.
    flaw: Option<&'static str>,
}

impl Place {
    fn new(presentation: Presentation, accepted: Accepted) -> Self {
        Self { presentation, accepted, readings: vec![], differs: false, is_weak: false, flaw: None }
    }

    /// A place whose whole content is one text.
    pub(super) fn whole(text: &str, presentation: Presentation, accepted: Accepted) -> Self {
        let mut place = Self::new(presentation, accepted);
        place.add(text, presentation, None);
        place
    }

    /// A place that holds `text`, or a list of these items. If there is a presentation with a name, the part before the
    /// first colon may be the name of a key.
    pub(super) fn of<'t>(
        text: &str,
        mut items: impl Iterator<Item = &'t str>,
        plain: Presentation,
        named: Option<Presentation>,
        accepted: Accepted,
    ) -> Self {
        let mut place = Self::new(plain, accepted);
        place.read(text, plain, named);
        if let Some(first) = items.next().filter(|first| *first != text) {
            place.differs = items.any(|item| item != first);
            if !place.differs {
                place.read(first, plain, named);
            }
        }
        place
    }

    /// The user and the password of a Basic credential (RFC 7617). Either part, or both together, may be the secret.
    /// A part that is not UTF-8 cannot be a secret; the other part still can.
    pub(super) fn of_basic(user: &[u8], password: &[u8], accepted: Accepted, flaw: Option<&'static str>) -> Self {
        let mut place = Self::new(Presentation::Basic, accepted);
        let [user, password] = [user, password].map(|part| std::str::from_utf8(part).ok());
        if let (Some(user), Some(password)) = (user, password) {
            place.add(&Zeroizing::new(format!("{user}:{password}")), Presentation::Basic, None);
        }
        let wholes = place.readings.len();
        if let Some(password) = password {
            place.add(password, Presentation::Basic, user.filter(|user| !user.is_empty()));
        }
        if let Some(user) = user {
            place.add(user, Presentation::Basic, None);
        }
        place.is_weak = place.readings.len() == wholes;
        place.has_flaw(flaw)
    }

    /// A place that holds this text in a spelling that no client should use.
    pub(super) fn flawed(text: &str, presentation: Presentation, accepted: Accepted, flaw: &'static str) -> Self {
        Self::whole(text, presentation, accepted).has_flaw(Some(flaw))
    }

    /// A flawed text is no credential, but it must not be ignored if it would be one without the flaw.
    fn has_flaw(mut self, flaw: Option<&'static str>) -> Self {
        if flaw.is_some() {
            self.flaw = flaw.filter(|_| !self.readings.is_empty() && !self.is_weak);
            self.readings.clear();
        }
        self
    }

    /// Adds a first reading: this whole text.
    pub(super) fn is_first(&mut self, text: &str, presentation: Presentation, accepted: Accepted) {
        let whole = Self::whole(text, presentation, accepted);
        if self.readings.iter().all(|reading| whole.readings.iter().all(|whole| whole.text != reading.text)) {
            self.readings.splice(0..0, whole.readings);
        }
    }

    fn read(&mut self, text: &str, plain: Presentation, named: Option<Presentation>) {
        self.add(text, plain, None);
        if let (Some(named), Some((name, rest))) = (named, text.split_once(':')) {
            self.add(rest, named, Some(name));
        }
    }

    fn add(&mut self, text: &str, presentation: Presentation, name: Option<&str>) {
        if !self.accepted.contains(presentation) || !ImportedText::has_form(text) {
            return;
        }
        if let Ok(text) = ImportedText::new(Zeroizing::new(text.to_owned())) {
            let name = name.map(|name| Zeroizing::new(name.to_owned()));
            let is_user = name.is_some() && presentation == Presentation::Basic;
            self.readings.push(PresentedText { presentation, name, is_user, text });
        }
    }
}

/// What several places present together: nothing if there are none, or if one of them holds different secrets.
pub(super) fn together(mut places: Vec<Place>) -> Option<Texts> {
    if places.iter().any(|place| place.differs && place.readings.is_empty()) {
        return None;
    }
    if let Some(flaw) = places.iter().find_map(|place| place.flaw) {
        return Some(Texts::Ambiguous(malformed(flaw)));
    }
    places.retain(|place| !place.readings.is_empty());
    if places.iter().any(|place| !place.is_weak) {
        places.retain(|place| !place.is_weak);
    }
    let (first, others) = places.split_first()?;
    let differ = |other: &Place| CredentialError::Ambiguous {
        one: first.presentation.place(),
        other: other.presentation.place(),
    };
    let mut texts = first.readings.clone();
    for other in others {
        texts.retain_mut(|reading| {
            let fits = |own: &&PresentedText| {
                let names_differ =
                    matches!((own.name_of_key(), reading.name_of_key()), (Some(one), Some(other)) if one != other);
                own.text == reading.text && !names_differ
            };
            let found = other.readings.iter().find(fits);
            if let Some(PresentedText { name: Some(name), is_user, .. }) = found {
                // The name of a key counts more than the user of a Basic credential.
                if reading.name.is_none() || reading.is_user && !is_user {
                    (reading.name, reading.is_user) = (Some(name.clone()), *is_user);
                }
            }
            found.is_some()
        });
        if texts.is_empty() {
            return Some(Texts::Ambiguous(differ(other)));
        }
    }
    let in_query = places.iter().any(|place| place.presentation.is_query());
    Some(Texts::Candidates { texts, in_query })
}
