//! The few things that SQLite and PostgreSQL say differently inside a statement that they otherwise share.

/// Which engine a statement is for.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) enum Dialect {
    Sqlite,
}

impl Dialect {
    /// Whether the column fits the pattern with `*`, `?` and `[…]` that is bound to the next placeholder.
    pub(in crate::store) fn fits(self, column: &str) -> String {
        match self {
            Self::Sqlite => format!("{column} GLOB ?"),
        }
    }

    /// The condition, which holds for few rows: the planner would guess that it holds for many.
    pub(in crate::store) fn rarely(self, condition: &str) -> String {
        match self {
            Self::Sqlite => format!("unlikely({condition})"),
        }
    }
}
