//! The places for a secret that can be named on the command line and in a manifest.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::files::{self, ExistingFile, Files, Spot};
use super::{Deposit, StepFile, command, github};
use crate::error::Error;
use crate::formats::dotenv::{self, Variable};
use crate::session::Session;
use keyward_core::rules::credential::trimmed;
use keyward_core::rules::imported::ImportedText;
use keyward_core::rules::token::{Id, Secret};
use keyward_core::store::files_beside;

/// A named place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A file that contains only the secret, on a line.
    File {
        /// The file.
        path: PathBuf,
        /// What happens to an existing file.
        existing: Existing,
    },
    /// A variable in a dotenv file.
    Dotenv {
        /// The file.
        path: PathBuf,
        /// The variable.
        name: Variable,
    },
    /// The standard input of a command, which a shell runs.
    Command(String),
    /// A step of GitHub Actions.
    Step {
        /// The file of the step.
        file: StepFile,
        /// The variable or the output.
        name: String,
    },
}

/// What happens to an existing file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Existing {
    /// It stays, and no key is made.
    Refuse,
    /// It is replaced.
    Replace,
    /// It is replaced if this is still its content.
    Only(Zeroizing<Vec<u8>>),
}

/// What a readable place holds.
#[derive(Debug)]
pub enum Proof {
    /// Nothing, or white space.
    Nothing {
        /// The whole content.
        content: Zeroizing<Vec<u8>>,
    },
    /// Something that keyward never put there: perhaps a secret that another system made.
    SomethingElse(Option<ImportedText>),
    /// A secret with something around it that readers may or may not take as part of it.
    Surrounded,
    /// A secret of this or another key, current or former.
    Secret {
        /// The secret.
        secret: Secret,
        /// The whole content.
        content: Zeroizing<Vec<u8>>,
    },
}

impl Proof {
    /// What may happen to the file: only a secret that `may_go` is replaced.
    ///
    /// # Errors
    /// The error of `may_go`.
    pub fn existing(&self, may_go: impl FnOnce(&Id) -> Result<bool, Error>) -> Result<Existing, Error> {
        Ok(match self {
            Self::Nothing { content } => Existing::Only(content.clone()),
            Self::Secret { secret, content } if may_go(secret.id())? => Existing::Only(content.clone()),
            _ => Existing::Refuse,
        })
    }
}

impl Place {
    /// Checks the place before any work: one that cannot take a secret is refused.
    ///
    /// # Errors
    /// [`crate::error::Code::NotDelivered`].
    pub fn check(&self, session: &Session) -> Result<(), Error> {
        if let (Self::File { path, .. } | Self::Dotenv { path, .. }, Some(store)) = (self, session.store_path()) {
            let file = resolved(path);
            if file == resolved(store) || files_beside(store).iter().any(|own| file == resolved(own)) {
                return Err(files::refused(path, "it is the store itself").hint("name another file"));
            }
        }
        match self {
            Self::File { path, existing } => match Files::default().find(path)?.read()? {
                Some(_) if *existing == Existing::Refuse => Err(files::is_there(path)),
                _ => Ok(()),
            },
            Self::Dotenv { path, .. } => Files::default().find(path)?.read().map(drop),
            Self::Command(_) => Ok(()),
            Self::Step { file, .. } => file.path(session).map(drop),
        }
    }

    /// What is in this place; `None` if that cannot be determined.
    ///
    /// # Errors
    /// If something there cannot be read.
    pub fn proof(&self) -> Result<Option<Proof>, Error> {
        let (path, variable) = match self {
            Self::File { path, .. } => (path, None),
            Self::Dotenv { path, name } => (path, Some(name)),
            Self::Command(_) | Self::Step { .. } => return Ok(None),
        };
        let Some(found) = Files::default().find(path)?.read()? else {
            return Ok(Some(Proof::Nothing { content: Zeroizing::default() }));
        };
        let text = match (std::str::from_utf8(&found.content), variable) {
            (Ok(text), None) => text,
            (Ok(text), Some(name)) => dotenv::get(text, name).unwrap_or_default(),
            (Err(_), _) => return Ok(Some(Proof::SomethingElse(None))),
        };
        let text = trimmed(text);
        Ok(Some(match Secret::parse(text) {
            _ if text.trim().is_empty() => Proof::Nothing { content: found.content },
            Ok(secret) => Proof::Secret { secret, content: found.content },
            Err(_) if Secret::parse(text.trim_matches(is_around)).is_ok() => Proof::Surrounded,
            Err(_) => Proof::SomethingElse(ImportedText::new(Zeroizing::new(text.to_owned())).ok()),
        }))
    }

    /// Removes what a killed process left beside the place, if it is a file.
    ///
    /// # Errors
    /// If the folder cannot be locked.
    pub fn clear_up(&self) -> Result<(), Error> {
        if let Self::File { path, .. } | Self::Dotenv { path, .. } = self {
            Files::default().find(path)?.clear_up();
        }
        Ok(())
    }

    /// What a secret occupies there: the resolved path of a file, and its part of the file if others fit in too. `None`
    /// for a command, which may distinguish its secrets itself.
    pub fn takes_up(&self) -> Option<(PathBuf, Option<String>)> {
        match self {
            Self::File { path, .. } => Some((resolved(path), None)),
            Self::Dotenv { path, name } => Some((resolved(path), Some(name.as_str().to_owned()))),
            // The runner chooses the file, so its variable stands for it here. Outputs are case-insensitive there.
            Self::Step { file, name } => {
                let name = if *file == StepFile::Output { name.to_ascii_lowercase() } else { name.clone() };
                Some((PathBuf::from(file.variable()), Some(name)))
            }
            Self::Command(_) => None,
        }
    }

    /// Takes the secret.
    pub(super) fn take(&self, session: &mut Session, secret: &Secret, deposit: &mut Deposit) -> Result<(), Error> {
        match self {
            Self::File { path, existing } => take_file(&mut deposit.files, path, existing, secret)?,
            Self::Dotenv { path, name } => {
                let spot = deposit.files.find(path)?;
                let former = spot.read()?;
                if let Some(mode) = former.as_ref().and_then(ExistingFile::open_mode) {
                    let (path, tight) = (path.display(), mode & 0o700);
                    deposit.notes.push(format!("the mode of {path} was {mode:04o}; it is {tight:04o} now"));
                }
                take_line(&mut deposit.files, &spot, former.as_ref(), name, secret)?;
            }
            Self::Command(command) => {
                // Held again: the hold for the previous command would release signals after this one.
                deposit.hold = None;
                deposit.hold = Some(command::run(session, command, secret)?);
                deposit.set_final();
            }
            Self::Step { file, name } => github::add(session, &mut deposit.files, *file, name, secret)?,
        }
        Ok(())
    }
}

/// A character that is never part of a secret, and is invisible.
fn is_around(c: char) -> bool {
    c.is_whitespace() || c == '\u{feff}'
}

/// A path with its folder resolved. The file itself need not exist yet.
fn resolved(path: &Path) -> PathBuf {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = folder.canonicalize().unwrap_or(folder.to_owned());
    path.file_name().map_or_else(|| folder.clone(), |name| folder.join(name))
}

fn take_file(files: &mut Files, path: &Path, existing: &Existing, secret: &Secret) -> Result<(), Error> {
    let spot = files.find(path)?;
    let former = match existing {
        Existing::Refuse => None,
        Existing::Replace => spot.read()?,
        Existing::Only(content) => {
            let former = spot.read()?;
            if former.as_ref().is_some_and(|found| found.content != *content) {
                return Err(files::refused(path, "somebody else changed it in the meantime").hint("try again"));
            }
            former
        }
    };
    let mut line = Zeroizing::new(Vec::with_capacity(secret.expose().len() + 1));
    line.extend_from_slice(secret.expose().as_bytes());
    line.push(b'\n');
    files.put(&spot, &line, former.as_ref(), false)
}

fn take_line(
    files: &mut Files,
    spot: &Spot,
    former: Option<&ExistingFile>,
    name: &Variable,
    secret: &Secret,
) -> Result<(), Error> {
    let content = former.map_or(&[][..], |found| &found.content[..]);
    let text = std::str::from_utf8(content).map_err(|_| {
        files::refused(spot.path(), "it is not text in UTF-8").hint("name a dotenv file, with a variable a line")
    })?;
    let text = Zeroizing::new(dotenv::set(text, name, secret.expose()));
    files.put(spot, text.as_bytes(), former, true)
}
