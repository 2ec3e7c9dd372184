//! What the errors of other rooms and crates mean for the user: every `From<…> for Error`.
//!
//! The core says what happened. Here it gets its code, and the hints that name flags and commands.

mod server;

use std::path::Path;

use crate::error::{Code, Error};
use crate::text::{did_you_mean, shell_path};
use crate::words;
use keyward_core::rules::authority::Denied;
use keyward_core::rules::names::{NOT, RESERVED};
use keyward_core::store::{DISK_FULL, NO_MEMORY, StoreError, Weakness};
use keyward_core::verifier::VerifyError;

impl From<anyhow::Error> for Error {
    fn from(cause: anyhow::Error) -> Self {
        Self::bug(cause)
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        let error = match server::explained(error) {
            Ok(explained) => return explained,
            Err(error) => error,
        };
        let (code, message) = (code_of(&error), error.to_string());
        match error {
            StoreError::Missing(path) => Self::new(code, message)
                .hint(format!("a first key makes it: keyward --store {} create first-key", shell_path(&path)))
                .hint("a store elsewhere is named with --store PATH or KEYWARD_STORE"),
            StoreError::Nowhere => {
                Self::new(code, message).hint("name a store: --store PATH, or KEYWARD_STORE=PATH")
            }
            StoreError::Locked(_) => Self::new(code, message)
                .hint("it was tried for 10 seconds; see who holds it (fuser, lsof), then try again"),
            StoreError::Corrupt { .. } => Self::new(code, message)
                .hint("leave the file as it is, and put the newest backup in its place"),
            StoreError::Newer { .. } => {
                Self::new(code, message).hint("nothing was changed; use the newer keyward with this store")
            }
            StoreError::OldSchema { .. } => Self::new(code, message).hint(
                "make it writable, and let a command that changes something bring it up to date: keyward settings set",
            ),
            StoreError::Replaced(_) => Self::new(code, message)
                .hint("nothing was changed in the store that is there now; look at it, then try again"),
            StoreError::Rewound(_) => Self::new(code, message).hint(
                "if an older copy is meant to be there, start this program again; `keyward restore BACKUP` puts a backup in \
                 place and keeps what was revoked since",
            ),
            StoreError::Moved { target, is_done, .. } => moved(Self::new(code, message), &target, is_done),
            StoreError::Foreign { .. } => Self::new(code, message)
                .hint("nothing was changed; name a store, or a path where there is nothing yet, with --store"),
            StoreError::Insecure { path, weakness } => {
                Self::new(code, message).hint(close(&path, &weakness))
            }
            StoreError::Unusable { detail, .. } => {
                Self::new(code, message).hint(match detail.as_str() {
                    DISK_FULL => "nothing was changed; free some space and try again",
                    NO_MEMORY => "allow this process more memory, see `ulimit -v` and `ulimit -d`",
                    _ => "look at the permissions and the owner of the file and of its folder",
                })
            }
            StoreError::Unheard(_) => Self::new(code, message)
                .hint("when the server is up again, see with `keyward history` whether it was made; if not, run the command again"),
            StoreError::ClockSkew { .. } => Self::new(code, message)
                .hint("nothing was changed; set the clocks of both by NTP (timedatectl set-ntp true), then try again"),
            StoreError::OpenSecret { file, .. } => Self::new(code, message)
                .hint(format!("close it with `chmod 600 {}`, and change what is in it", shell_path(&file))),
            StoreError::NameTaken { kind, name } => {
                let show = if kind == "key" { String::new() } else { format!("{kind} ") };
                Self::new(code, message)
                    .hint(format!("see it with `keyward {show}show {name}`, or choose another name"))
            }
            StoreError::InUse { kind, name, users, .. } => {
                let flag = if kind == "user" { "owner" } else { kind };
                let error = Self::new(code, message);
                if users > 0 {
                    error.hint(format!("give its users another {kind} first: keyward user list"))
                } else {
                    error.hint(format!("see the keys: keyward list --{flag} {name}; delete them too: --with-keys"))
                }
            }
            StoreError::Reserved { .. } => {
                Self::new(code, message).hint("nothing was changed; try again in a minute").reserved()
            }
            StoreError::DefaultTooLong { .. } | StoreError::LivesTooLong { .. } => lives_too_long(&error, message),
            StoreError::ReservedWord { what, word } => {
                let error = Self::new(code, message);
                error.hint(if word.starts_with(NOT) {
                    format!("choose another {what}, without {NOT} in front")
                } else {
                    format!("choose another {what}; these words are kept: {}", RESERVED.join(", "))
                })
            }
            StoreError::Denied(Denied::NotPermitted(_)) => Self::new(code, message)
                .hint("act as somebody who may, or leave --as and KEYWARD_AS out to act as the owner of the store"),
            StoreError::Denied(Denied::Ceiling { .. }) => Self::new(code, message)
                .hint("choose a role at or below your own, or have somebody with a higher role do it"),
            StoreError::NoSuch { kind, name, known } => {
                let error = Self::new(code, message);
                let error = match did_you_mean(&known, name.as_str()) {
                    Some(question) => error.hint(question),
                    None => error,
                };
                error.hint(format!("make it first: keyward {kind} create {name}"))
            }
            StoreError::SecretChanged(name) => Self::new(code, message).hint(format!(
                "see who did it with `keyward history {name}`, then rotate again if that is still needed"
            )),
            StoreError::KeyChanged(name) => Self::new(code, message)
                .hint(format!("look at it with `keyward show {name}`, then try again")),
            StoreError::KeyGone(_) => {
                Self::new(code, message).hint("another process deleted it in the meantime")
            }
            StoreError::Bug(cause) => Self::bug(anyhow::Error::from_boxed(cause).context(message)),
            // New errors of the core use their own sentence.
            _ => Self::new(code, message),
        }
    }
}

/// The error for a key that would live longer than the store allows.
fn lives_too_long(error: &StoreError, message: String) -> Error {
    let refused = Error::new(Code::InvalidValue, message);
    match error {
        StoreError::DefaultTooLong { max, .. } => refused
            .hint(format!("shorten it first: keyward settings set default-lifetime {max:?}"))
            .hint("or let keys live longer: keyward settings set max-lifetime DURATION"),
        StoreError::LivesTooLong { latest, name: Some(name), .. } => refused
            .hint(format!("the latest end is --expires {latest}; another secret may live on: keyward rotate {name}")),
        StoreError::LivesTooLong { max, .. } => {
            refused.hint(format!("give it an earlier end, such as --expires {max:?}"))
        }
        _ => refused,
    }
}

/// The code of an error of the store.
pub(crate) fn code_of(error: &StoreError) -> Code {
    match error {
        StoreError::Missing(_) | StoreError::Nowhere => Code::StoreMissing,
        StoreError::Locked(_) => Code::StoreLocked,
        StoreError::Unheard(_) => Code::UnknownOutcome,
        StoreError::ClockSkew { .. } => Code::ClockSkew,
        StoreError::Corrupt { .. } => Code::StoreCorrupt,
        StoreError::Newer { .. } => Code::StoreNewer,
        StoreError::Rewound(_) => Code::StoreRewound,
        StoreError::Moved { .. } => Code::StoreMoved,
        StoreError::Foreign { .. } => Code::StoreForeign,
        StoreError::Insecure { .. } | StoreError::OpenSecret { .. } => Code::StoreInsecure,
        StoreError::OldSchema { .. }
        | StoreError::NotMigrated { .. }
        | StoreError::Unusable { .. }
        | StoreError::Server { .. } => Code::StoreUnwritable,
        StoreError::NameTaken { .. } | StoreError::Exists(_) => Code::NameTaken,
        StoreError::InUse { .. } => Code::InUse,
        StoreError::Replaced(_)
        | StoreError::Reserved { .. }
        | StoreError::SecretChanged(_)
        | StoreError::KeyChanged(_) => Code::Conflict,
        StoreError::LivesTooLong { .. } | StoreError::DefaultTooLong { .. } | StoreError::ReservedWord { .. } => {
            Code::InvalidValue
        }
        StoreError::Denied(Denied::NotPermitted(_)) | StoreError::Forbidden { .. } => Code::NotPermitted,
        StoreError::Denied(Denied::Ceiling { .. }) => Code::RoleCeiling,
        StoreError::NoSuch { .. } | StoreError::KeyGone(_) => Code::NotFound,
        // New errors of the core have no code yet.
        _ => Code::Internal,
    }
}

impl From<VerifyError> for Error {
    fn from(error: VerifyError) -> Self {
        words::not_checked(error)
    }
}

/// What to do with a store that was moved.
fn moved(error: Error, target: &Path, is_done: bool) -> Error {
    let target = shell_path(target);
    if is_done {
        return error.hint(format!("use it where it is now: --store {target}"));
    }
    error
        .hint("try again when the move has ended")
        .hint(format!("if nobody moves it any more, finish that: keyward store move --to {target}"))
        .hint(format!("if {target} is lost, a copy works again: keyward store copy --to ANOTHER-FILE"))
}

/// How to fix a weakness of the store at `path`.
fn close(path: &Path, weakness: &Weakness) -> String {
    match weakness {
        Weakness::Link => "name the file that it points to".to_owned(),
        Weakness::OpenFile { .. } => format!(
            "close it with `chmod 600 {}`, then look through `keyward list` and `keyward history`",
            shell_path(path)
        ),
        Weakness::OpenFolder => format!("close the folder with: chmod o-w {}", shell_path(path)),
        Weakness::StrayFile(file) | Weakness::ForeignFile(file) => format!(
            "find out who put it there; then remove it, and move the store to a folder of your own: rm {}",
            shell_path(file)
        ),
        Weakness::SecondName => format!(
            "find the other name with `find / -xdev -samefile {}`, and remove one of the two; to copy a store: keyward \
             backup FILE",
            shell_path(path)
        ),
        Weakness::MountedFile => {
            "mount the folder that it is in, and not the file; then name the store in that folder".to_owned()
        }
        Weakness::LogReplaced => {
            "start this program again; nobody may remove the files beside a store that is in use".to_owned()
        }
        Weakness::StaleLog(log) => format!(
            "stop all programs that use the store, put the log aside with `mv {log} {log}.old`, and start them again. \
             `keyward restore` does not leave a file like this",
            log = shell_path(log)
        ),
        _ => "move the store to a folder of your own".to_owned(),
    }
}
