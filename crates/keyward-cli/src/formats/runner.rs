//! Names in a step of GitHub Actions: of variables for the following steps, and of outputs.
//!
//! The runner reserves some names, and throws away what a step writes to them. A secret delivered like that would
//! belong to a live key that nobody can use, so these names do not even parse. Names are compared case-insensitively
//! where the runner does that: `NODE_OPTIONS` and outputs everywhere, and all variables on Windows.

use std::str::FromStr;

use keyward_core::rules::names::InvalidText;

use super::dotenv::Variable;

/// Reserved names, and reserved prefixes.
const KEPT: [&str; 3] = ["NODE_OPTIONS", "PATH", "CI"];
const KEPT_BEGINNINGS: [&str; 2] = ["GITHUB_", "RUNNER_"];
/// A step may set this one itself, to anything.
const FREE: &str = "GITHUB_TOKEN";

fn check_is_free(name: &str) -> Result<(), InvalidText> {
    let begins = |start: &str| name.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start));
    let is_kept =
        KEPT.iter().any(|kept| name.eq_ignore_ascii_case(kept)) || KEPT_BEGINNINGS.iter().any(|start| begins(start));
    if is_kept && !name.eq_ignore_ascii_case(FREE) {
        return Err(InvalidText::new(format!(
            "the runner keeps the name {name} for itself and would throw the secret away; choose another, such as API_KEY"
        )));
    }
    Ok(())
}

/// The name of a variable for the following steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepVariable(Variable);

impl StepVariable {
    /// The name itself.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl FromStr for StepVariable {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        let variable = text.parse()?;
        check_is_free(text)?;
        Ok(Self(variable))
    }
}

/// The name of an output of a step in GitHub Actions: letters, digits, `_` and `-`, but no digit or `-` first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputName(String);

impl OutputName {
    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for OutputName {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        let is_name = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
        if !text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') || !text.chars().all(is_name) {
            return Err(InvalidText::new(
                "an output has letters, digits, _ and -, such as api-key, and starts with a letter or _",
            ));
        }
        check_is_free(text)?;
        Ok(Self(text.to_owned()))
    }
}
