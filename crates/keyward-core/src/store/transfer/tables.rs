//! The tables in a copy of a store, with their columns: the same on every engine.

use crate::store::db::Kind;

/// A table to be copied.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct Table {
    pub(in crate::store) name: &'static str,
    /// Separated by commas. The first ones are the primary key.
    pub(in crate::store) columns: &'static str,
    /// The type of each column: `n` a number, `t` a text, `b` bytes.
    kinds: &'static str,
    /// How many columns the primary key has.
    width: usize,
    /// Whether rows without a given number get one from a counter of the engine.
    pub(in crate::store) is_counted: bool,
}

/// The table of the history, whose rows are a chain.
pub(super) const HISTORY: &str = "history";

/// In this order, nothing refers to a row that is not there yet.
///
/// What belongs to one place is left out: the row of `history_head` (its parts are written one by one, without the
/// binding of a file to its log), the versions of a server's schema, the mark of a moved store, and **reservations**: a
/// lease belongs to a process that mints in the former place. If a move closes that place, the process cannot keep its
/// key, and its lease would only block a name for a minute. **Announced secrets** are copied: leftovers of a crash in a
/// file are recognised by them as long as the store exists.
pub(super) const TABLES: [Table; 17] = [
    table("setting", "name, value", "tt", 1),
    counted("role", "id, name, description, rank, manages_keys, created_at, updated_at", "nttnnnn"),
    counted("tenant", "id, name, description, enabled, limits, created_at, updated_at", "nttntnn"),
    counted("key_group", "id, name, description, created_at, updated_at", "nttnn"),
    counted("\"user\"", "id, name, description, role, tenant, enabled, limits, created_at, updated_at", "nttnnntnn"),
    counted(
        "key",
        "id, public_id, name, description, key_group, owner, role, tenant, read_only, require_secure, enabled, expires_at, \
         prefix, limits, created_at, created_by, updated_at, expiry_set_at, revision, scope_count, level_count, \
         address_count, label_count",
        "ntttnnnnnnnnttntnnnnnnn",
    ),
    table("key_scope", "key, scope", "nt", 2),
    table("key_level", "key, level", "nt", 2),
    table("key_address", "key, network", "nt", 2),
    table("key_label", "key, label, value", "ntt", 2),
    counted(
        "secret",
        "id, public_id, key, hash, created_at, expires_at, staged, retired, imported, bucket",
        "ntntnnnntn",
    ),
    table("key_use", "key, last_used_at, use_count, last_used_from", "nnnt", 1),
    table("usage", "key, hour, allowed, forbidden, limited", "nnnnn", 2),
    table("meter", "kind, subject, length, mark, used", "tnnnn", 3),
    table("last_row", "kind, number", "tn", 1),
    // In the order in which a check of the history reads it.
    table(
        HISTORY,
        "seq, at, actor, action, subject_kind, subject_id, subject_name, detail, hash, secret_id",
        "nnttttttbt",
        1,
    ),
    table("announced_secret", "public_id, at", "tn", 1),
];

const fn table(name: &'static str, columns: &'static str, kinds: &'static str, width: usize) -> Table {
    Table { name, columns, kinds, width, is_counted: false }
}

const fn counted(name: &'static str, columns: &'static str, kinds: &'static str) -> Table {
    Table { name, columns, kinds, width: 1, is_counted: true }
}

impl Table {
    /// The types of its columns, in order.
    pub(in crate::store) fn kinds(&self) -> impl ExactSizeIterator<Item = Kind> {
        self.kinds.bytes().map(|kind| match kind {
            b'n' => Kind::Number,
            b'b' => Kind::Bytes,
            _ => Kind::Text,
        })
    }

    /// The statement that reads all of it in the order of the primary key, compared byte by byte, so that the order is
    /// the same on every engine.
    pub(super) fn select(&self) -> String {
        let Self { name, columns, width, .. } = self;
        let order: Vec<_> = columns.split(", ").take(*width).collect();
        format!("SELECT {columns} FROM {name} ORDER BY {}", order.join(", "))
    }

    /// Its name in messages.
    pub(super) fn title(&self) -> &'static str {
        self.name.trim_matches('"')
    }
}
