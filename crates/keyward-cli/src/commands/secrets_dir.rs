//! `--secrets-dir DIR`: a folder with a file for each secret, named after its key.

use std::path::Path;

use crate::error::{Code, Error};
use keyward_core::rules::names::Name;

/// Makes the folder for secrets, unless it exists.
///
/// # Errors
/// [`Code::NotDelivered`] if it cannot be made.
pub(super) fn make_folder(folder: &Path) -> Result<(), Error> {
    match crate::platform::private_folder(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(Error::new(
            Code::NotDelivered,
            format!("the folder {} cannot be made: {error}; nothing was changed", folder.display()),
        )
        .hint("name a folder that is there, or one in a folder that you may write")),
        _ => Ok(()),
    }
}

/// A name as a file name: a key may be named `ci/deploy` or `..`. No name contains a `%`.
pub(super) fn file_name(name: &Name) -> String {
    let escaped = name.as_str().replace('/', "%2F");
    match escaped.strip_prefix('.') {
        Some(rest) => format!("%2E{rest}"),
        None => escaped,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leaves_the_folder() {
        for (name, file) in [("a", "a"), ("ci/deploy", "ci%2Fdeploy"), ("..", "%2E."), (".hidden", "%2Ehidden")] {
            assert_eq!(file_name(&name.parse().unwrap()), file);
        }
    }
}
