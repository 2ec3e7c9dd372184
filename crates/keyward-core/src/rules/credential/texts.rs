//! What a request presents to a store that has secrets of other systems.
//!
//! Each place of a request (a header, a parameter, a line) holds one text. It may be a secret as it stands, whatever
//! colons and commas it holds; and where no such secret is known, it may be a secret with something around it: a name in
//! front, or the same one twice. So a place has readings, which are tried in their order. Where several places hold texts,
//! only what all of them can be read as counts.
//!
//! What may break here: that a request is let in by one text, and whoever comes after the guard looks at another one. So
//! texts that cannot be read alike are ambiguous, like two credentials of our own.

use std::fmt;

use zeroize::Zeroizing;

use super::{Accepted, Credential, CredentialError, Presentation, malformed};
use crate::rules::imported::ImportedText;

/// What counts, where secrets of other systems are known.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Texts {
    /// There is a credential of our own form: it counts, and what is none is passed over.
    Own(Result<Credential, CredentialError>),
    /// Texts that may be a secret of another system.
    Candidates {
        /// The texts, in the order in which they are looked up. There is at least one.
        texts: Vec<PresentedText>,
        /// Whether any of it stood in a URL.
        in_query: bool,
    },
    /// Several were presented that cannot be the same, or one that others may read in another way.
    Ambiguous(CredentialError),
}

/// A text that may be a secret of another system.
#[derive(Clone, PartialEq, Eq)]
pub struct PresentedText {
    /// How it was presented.
    pub presentation: Presentation,
    /// The name of a key that came along.
    pub name: Option<Zeroizing<String>>,
    /// Whether that is the user of a Basic, who may be called anything.
    pub is_user: bool,
    /// The text.
    pub text: ImportedText,
}

impl PresentedText {
    /// The name that the key has to have.
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
    /// The ways to read it, in order.
    readings: Vec<PresentedText>,
    /// Whether it holds different secrets, if it is read as a list.
    differs: bool,
    /// Whether only all of it together can be a secret.
    is_weak: bool,
    /// What is wrong with it, where a reader that is less strict would see a text in it.
    flaw: Option<&'static str>,
}

impl Place {
    fn new(presentation: Presentation, accepted: Accepted) -> Self {
        Self { presentation, accepted, readings: vec![], differs: false, is_weak: false, flaw: None }
    }

    /// A place that holds one text as it stands.
    pub(super) fn whole(text: &str, presentation: Presentation, accepted: Accepted) -> Self {
        let mut place = Self::new(presentation, accepted);
        place.add(text, presentation, None);
        place
    }

    /// A place that holds `text`, or a list of these items. What is in front of the first colon may be the name of a key
    /// where there is a presentation with a name.
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

    /// The user and the password of a Basic credential (RFC 7617). Either may be the secret, and so may both together.
    /// A part that is not UTF-8 is none, and the other one may be one all the same.
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

    /// A place that holds this text in a way that no client should write it.
    pub(super) fn flawed(text: &str, presentation: Presentation, accepted: Accepted, flaw: &'static str) -> Self {
        Self::whole(text, presentation, accepted).has_flaw(Some(flaw))
    }

    /// With a flaw, nothing of it is a credential; and where it would be one without, nobody is to pass it over.
    fn has_flaw(mut self, flaw: Option<&'static str>) -> Self {
        if flaw.is_some() {
            self.flaw = flaw.filter(|_| !self.readings.is_empty() && !self.is_weak);
            self.readings.clear();
        }
        self
    }

    /// First of all, it may be this text as it stands.
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

/// What several places say together; nothing, where there are none, or where one of them holds different secrets.
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
                // Of a key and of a user, the name of the key counts.
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
