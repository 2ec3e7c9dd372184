//! The rows of a statement that writes many rows.

/// Rows in one statement: PostgreSQL accepts at most 65,535 values.
pub(in crate::store) const AT_ONCE: usize = 1_000;

/// Placeholders for this many rows, with a column for each type: `(?1, ?2), (?3, ?4)`. The first row names the types.
pub(in crate::store) fn tuples(rows: usize, types: &[&str]) -> String {
    let row = |index: usize| {
        let first = index * types.len() + 1;
        let places = types.iter().zip(first..).map(|(kind, number)| match index {
            0 => format!("CAST(?{number} AS {kind})"),
            _ => format!("?{number}"),
        });
        format!("({})", places.collect::<Vec<_>>().join(", "))
    };
    (0..rows).map(row).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_of_each_row_has_a_number() {
        assert_eq!(tuples(3, &["BIGINT", "TEXT"]), "(CAST(?1 AS BIGINT), CAST(?2 AS TEXT)), (?3, ?4), (?5, ?6)");
    }
}
