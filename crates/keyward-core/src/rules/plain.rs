//! What all plain secrets have in common, whoever made them.

/// The plain text of a secret.
pub trait PlainText {
    /// The plain text. Whoever calls this answers for where it goes.
    fn expose(&self) -> &str;
}
