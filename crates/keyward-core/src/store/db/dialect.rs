//! The few things that SQLite and PostgreSQL say differently inside a statement that they otherwise share.

/// Which engine a statement is for.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) enum Dialect {
    Sqlite,
    #[cfg(feature = "postgres")]
    Postgres,
}

impl Dialect {
    /// Whether others can count at the same time, over a network.
    pub(in crate::store) fn is_server(self) -> bool {
        !matches!(self, Self::Sqlite)
    }

    /// At the end of a question: nobody else changes the rows of the answer until the transaction is over.
    pub(in crate::store) fn locking(self) -> &'static str {
        if self.is_server() { " FOR UPDATE" } else { "" }
    }

    /// The same, without the rows that somebody else changes at the moment.
    pub(in crate::store) fn locking_free_ones(self) -> &'static str {
        if self.is_server() { " FOR UPDATE SKIP LOCKED" } else { "" }
    }

    /// Whether the column fits the pattern with `*`, `?` and `[…]` that is bound to the next placeholder.
    pub(in crate::store) fn fits(self, column: &str) -> String {
        match self {
            Self::Sqlite => format!("{column} GLOB ?"),
            #[cfg(feature = "postgres")]
            Self::Postgres => format!("{column} ~ ?"),
        }
    }

    /// The pattern as it is bound there.
    pub(in crate::store) fn pattern(self, glob: &str) -> String {
        match self {
            Self::Sqlite => glob.to_owned(),
            #[cfg(feature = "postgres")]
            Self::Postgres => regular(glob),
        }
    }

    /// Whether the text in this column holds the one that is bound to the next placeholder, which is in small letters.
    pub(in crate::store) fn holds(self, column: &str) -> String {
        match self {
            Self::Sqlite => format!("instr(lower({column}), ?) > 0"),
            #[cfg(feature = "postgres")]
            Self::Postgres => format!("strpos(lower({column}), ?) > 0"),
        }
    }

    /// The condition, which holds for few rows: the planner would guess that it holds for many.
    pub(in crate::store) fn rarely(self, condition: &str) -> String {
        match self {
            Self::Sqlite => format!("unlikely({condition})"),
            #[cfg(feature = "postgres")]
            Self::Postgres => condition.to_owned(),
        }
    }
}

/// The pattern as an advanced regular expression (PostgreSQL, 9.7.3), which fits exactly what SQLite's GLOB fits: a set
/// that has no end fits nothing.
#[cfg(feature = "postgres")]
fn regular(glob: &str) -> String {
    /// Fits nothing at all.
    const NOTHING: &str = "***:(?!)";
    let mut text = "***:^".to_owned();
    let mut rest = glob.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '*' => text.push_str(".*"),
            '?' => text.push('.'),
            '[' => {
                text.push('[');
                if rest.next_if_eq(&'^').is_some() {
                    text.push('^');
                }
                // What stands first in a set is of it, also where it would end the set.
                let mut is_first = true;
                loop {
                    match rest.next() {
                        None => return NOTHING.to_owned(),
                        Some(']') if !is_first => break,
                        Some('-') => text.push('-'),
                        Some(c) => escape(&mut text, c),
                    }
                    is_first = false;
                }
                text.push(']');
            }
            c => escape(&mut text, c),
        }
    }
    text.push('$');
    text
}

#[cfg(feature = "postgres")]
fn escape(text: &mut String, c: char) {
    if c.is_ascii_punctuation() {
        text.push('\\');
    }
    text.push(c);
}
