//! Names of policies.

use std::fmt;
use std::str::FromStr;

use keyward_core::rules::names::InvalidText;

/// The name of a policy: `[a-z0-9][a-z0-9-]{0,31}`. It is used in paths unchanged, and compared case-sensitively.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyName(std::sync::Arc<str>);

impl PolicyName {
    /// The name of the policy that the flags describe.
    pub const DEFAULT: &str = "default";
    /// The segment for the routes, which cannot be a policy's name.
    pub const ROUTES: &str = "routes";

    /// The text, shared.
    pub(crate) fn shared(&self) -> std::sync::Arc<str> {
        std::sync::Arc::clone(&self.0)
    }

    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for PolicyName {
    fn default() -> Self {
        Self(Self::DEFAULT.into())
    }
}

impl FromStr for PolicyName {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let is_name = text.len() <= 32
            && text.bytes().next().is_some_and(is_plain)
            && text.bytes().all(|byte| is_plain(byte) || byte == b'-');
        match () {
            () if text == Self::ROUTES => {
                Err(InvalidText::new("a policy cannot be called routes: /forward/routes asks the [[route]] tables"))
            }
            () if is_name => Ok(Self(text.into())),
            () => Err(InvalidText::new(
                "a policy's name has 1 to 32 characters of a-z, 0-9 and -, and does not begin with -",
            )),
        }
    }
}

impl fmt::Display for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
