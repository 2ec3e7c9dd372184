//! What all plain secrets share, whichever system made them.

/// The plain text of a secret.
pub trait PlainText {
    /// The plain text. The caller is responsible for where it goes.
    fn expose(&self) -> &str;
}
