//! The few places where SQLite and PostgreSQL need different text inside a shared statement.

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

    /// Goes at the end of a query: no one else can change the rows of the answer until the transaction ends.
    pub(in crate::store) fn locking(self) -> &'static str {
        if self.is_server() { " FOR UPDATE" } else { "" }
    }

    /// The same, but skips rows that others are changing at the moment.
    pub(in crate::store) fn locking_free_ones(self) -> &'static str {
        if self.is_server() { " FOR UPDATE SKIP LOCKED" } else { "" }
    }

    /// A condition that the column matches the pattern with `*`, `?` and `[…]` that is bound to the next placeholder.
    pub(in crate::store) fn fits(self, column: &str) -> String {
        match self {
            Self::Sqlite => format!("{column} GLOB ?"),
            #[cfg(feature = "postgres")]
            Self::Postgres => format!("{column} ~ ?"),
        }
    }

    /// The pattern in the form to bind there.
    pub(in crate::store) fn pattern(self, glob: &str) -> String {
        match self {
            Self::Sqlite => glob.to_owned(),
            #[cfg(feature = "postgres")]
            Self::Postgres => regular(glob),
        }
    }

    /// A condition that the text in this column contains the text bound to the next placeholder, which is in lower
    /// case.
    pub(in crate::store) fn holds(self, column: &str) -> String {
        match self {
            Self::Sqlite => format!("instr(lower({column}), ?) > 0"),
            #[cfg(feature = "postgres")]
            Self::Postgres => format!("strpos(lower({column}), ?) > 0"),
        }
    }

    /// The condition, marked as true for few rows: the planner would guess many.
    pub(in crate::store) fn rarely(self, condition: &str) -> String {
        match self {
            Self::Sqlite => format!("unlikely({condition})"),
            #[cfg(feature = "postgres")]
            Self::Postgres => condition.to_owned(),
        }
    }
}

/// The pattern as an advanced regular expression (PostgreSQL, 9.7.3), which matches exactly what SQLite's GLOB matches:
/// an unclosed set matches nothing.
#[cfg(feature = "postgres")]
fn regular(glob: &str) -> String {
    /// Matches nothing.
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
                // The first character in a set belongs to it, even if it would otherwise close the set.
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
