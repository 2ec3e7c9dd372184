//! TOML and JSON as one kind of tree, in which every value knows its position, so that each mistake can be reported
//! with its line and column.

use jsonc_parser::ast;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A value, and its position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its position, in bytes.
    pub at: usize,
    /// The value.
    pub value: Value,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Nothing: `null` in JSON.
    Nothing,
    /// A text, or a date, which TOML writes without quotation marks.
    Text(String),
    /// A whole number.
    Number(i64),
    /// True or false.
    Switch(bool),
    /// Several values.
    List(Vec<Node>),
    /// Values with names.
    Table(Vec<Field>),
    /// Something that is never a setting.
    Other,
}

/// A value with its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// The position of the name.
    pub at: usize,
    /// The value.
    pub node: Node,
}

/// A mistake in a text, and its position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Its position, in bytes.
    pub at: usize,
    /// What is wrong.
    pub what: String,
}

impl Mistake {
    /// A mistake at a position.
    pub fn new(at: usize, what: impl Into<String>) -> Self {
        Self { at, what: what.into() }
    }
}

/// A mistake for people: with its line and its column, both counted from 1, columns in characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocatedMistake {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
    /// What is wrong there.
    pub what: String,
}

/// The mistakes in a text, in order.
pub fn locate(text: &str, mut mistakes: Vec<Mistake>) -> Vec<LocatedMistake> {
    mistakes.sort_by_key(|mistake| mistake.at);
    // One pass over the text, however many mistakes there are in it.
    let (mut seen, mut line, mut start) = (0, 1, 0);
    let place = |mistake: Mistake| {
        let at = if text.is_char_boundary(mistake.at) { mistake.at } else { text.len() };
        for (offset, _) in text.get(seen..at).unwrap_or_default().match_indices('\n') {
            line += 1;
            start = seen + offset + 1;
        }
        seen = seen.max(at);
        LocatedMistake { line, column: text.get(start..at).unwrap_or_default().chars().count() + 1, what: mistake.what }
    };
    mistakes.into_iter().map(place).collect()
}

/// Reads TOML.
///
/// # Errors
/// Everything that is wrong with its syntax.
pub fn from_toml(text: &str) -> Result<Vec<Field>, Vec<Mistake>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        return Ok(toml_fields(table.into_inner()));
    }
    let mistake =
        |error: &toml::de::Error| Mistake::new(error.span().map_or(0, |span| span.start), plainly(error.message()));
    let mut mistakes: Vec<Mistake> = errors.iter().map(mistake).collect();
    // Later mistakes on the same line mostly result from the first.
    mistakes.dedup_by_key(|mistake| text.get(..mistake.at).unwrap_or(text).matches('\n').count());
    Err(mistakes)
}

/// The parser says what it expected; a person wants to know what to write.
fn plainly(message: &str) -> String {
    match message {
        "duplicate key" => "this is set twice".to_owned(),
        "recursion limit" => "this is nested too deeply".to_owned(),
        message if message.starts_with("string values must be quoted") => "write this in quotation marks".to_owned(),
        message => message.to_owned(),
    }
}

fn toml_fields(table: DeTable<'_>) -> Vec<Field> {
    let field = |(name, value): (Spanned<_>, Spanned<DeValue<'_>>)| Field {
        at: name.span().start,
        name: std::borrow::Cow::into_owned(name.into_inner()),
        node: toml_node(value),
    };
    table.into_iter().map(field).collect()
}

fn toml_node(value: Spanned<DeValue<'_>>) -> Node {
    let at = value.span().start;
    let value = match value.into_inner() {
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).map_or(Value::Other, Value::Number)
        }
        DeValue::Float(_) => Value::Other,
        DeValue::Boolean(on) => Value::Switch(on),
        DeValue::Datetime(time) => Value::Text(time.to_string()),
        DeValue::Array(items) => Value::List(items.into_iter().map(toml_node).collect()),
        DeValue::Table(table) => Value::Table(toml_fields(table)),
    };
    Node { at, value }
}

/// Reads JSON (RFC 8259), in which a name may occur only once in an object.
///
/// # Errors
/// What is wrong with its syntax.
pub fn from_json(text: &str) -> Result<Node, Vec<Mistake>> {
    let strict = ParseOptions {
        allow_comments: false,
        allow_loose_object_property_names: false,
        allow_trailing_commas: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    };
    if let Some(at) = strange_blank(text) {
        return Err(vec![Mistake::new(at, "JSON has no other white space than blanks, tabs and line ends")]);
    }
    let parsed = parse_to_ast(text, &CollectOptions::default(), &strict)
        .map_err(|error| vec![Mistake::new(error.range().start, error.kind().to_string().to_lowercase())])?;
    let Some(value) = parsed.value else { return Err(vec![Mistake::new(0, "there is nothing in it")]) };
    let mut mistakes = vec![];
    let node = json_node(value, &mut mistakes);
    if mistakes.is_empty() { Ok(node) } else { Err(mistakes) }
}

/// Where white space stands outside of a string that JSON does not know (RFC 8259 section 2), and the parser does.
fn strange_blank(text: &str) -> Option<usize> {
    if text.is_ascii() {
        return None;
    }
    let (mut is_in_string, mut is_escaped) = (false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if is_in_string => is_escaped = true,
            '"' => is_in_string = !is_in_string,
            c if !is_in_string && !c.is_ascii() && (c.is_whitespace() || c == '\u{feff}') => return Some(at),
            _ => {}
        }
    }
    None
}

fn json_node(value: ast::Value<'_>, mistakes: &mut Vec<Mistake>) -> Node {
    let (at, value) = match value {
        ast::Value::StringLit(text) => (text.range.start, Value::Text(text.value.into_owned())),
        ast::Value::NumberLit(number) => (number.range.start, number.value.parse().map_or(Value::Other, Value::Number)),
        ast::Value::BooleanLit(on) => (on.range.start, Value::Switch(on.value)),
        ast::Value::NullKeyword(null) => (null.range.start, Value::Nothing),
        ast::Value::Array(items) => {
            let nodes = items.elements.into_iter().map(|item| json_node(item, mistakes)).collect();
            (items.range.start, Value::List(nodes))
        }
        ast::Value::Object(object) => {
            let mut fields: Vec<Field> = vec![];
            for property in object.properties {
                let (at, name) = (property.range.start, property.name.into_string());
                if fields.iter().any(|field| field.name == name) {
                    mistakes.push(Mistake::new(at, format!("{name} is set twice")));
                }
                fields.push(Field { name, at, node: json_node(property.value, mistakes) });
            }
            (object.range.start, Value::Table(fields))
        }
    };
    Node { at, value }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(at: usize, text: &str) -> Node {
        Node { at, value: Value::Text(text.to_owned()) }
    }

    #[test]
    fn toml_and_json_are_one_tree() {
        let toml = from_toml("a = \"x\"\n[[b]]\nc = [1, true, 2030-01-31]\n").unwrap();
        assert_eq!(toml[0], Field { name: "a".to_owned(), at: 0, node: text(4, "x") });
        let Value::List(items) = &toml[1].node.value else { panic!("{toml:?}") };
        let Value::Table(fields) = &items[0].value else { panic!("{toml:?}") };
        let list = vec![
            Node { at: 19, value: Value::Number(1) },
            Node { at: 22, value: Value::Switch(true) },
            text(28, "2030-01-31"),
        ];
        assert_eq!(fields[0].node.value, Value::List(list));

        let json = from_json(r#"{"a": "x", "b": [1, true, null, 1.5]}"#).unwrap();
        let Value::Table(fields) = json.value else { panic!() };
        assert_eq!(fields[0], Field { name: "a".to_owned(), at: 1, node: text(6, "x") });
        let Value::List(items) = &fields[1].node.value else { panic!() };
        let values: Vec<_> = items.iter().map(|item| item.value.clone()).collect();
        assert_eq!(values, [Value::Number(1), Value::Switch(true), Value::Nothing, Value::Other]);
    }

    #[test]
    fn what_is_wrong_has_its_place() {
        let located = |mistakes: Vec<Mistake>, source: &str| {
            let found = locate(source, mistakes);
            found.into_iter().map(|m| format!("{}:{} {}", m.line, m.column, m.what)).collect::<Vec<_>>()
        };
        for (source, says) in [
            ("a = 1\na = 2\n", "2:1 this is set twice"),
            ("é = 1\n", "1:1 "),
            ("a = \"ü\" x\n", "1:9 "),
            ("a = x\n", "1:5 write this in quotation marks"),
        ] {
            let found = located(from_toml(source).unwrap_err(), source);
            assert!(found[0].starts_with(says), "{source}: {found:?}");
        }
        // Not only the first.
        assert_eq!(from_toml("a = x\nb = y\n").unwrap_err().len(), 2);
        for (source, says) in [
            ("", "1:1 there is nothing"),
            ("{\"a\": 1,\n \"a\": 2}", "2:2 a is set twice"),
            ("{\"a\": 1,}", "1:8 "),
            ("{'a': 1}", "1:2 "),
            ("{\"a\": 1} // x", "1:10 "),
            ("{\"a\": +1}", "1:7 "),
            ("{} {}", "1:4 "),
            ("{\u{85}}", "1:2 JSON has no other white space"),
            ("{\"ü\\\"\u{a0}\":\u{2003}1}", "1:9 JSON has no other white space"),
        ] {
            let found = located(from_json(source).unwrap_err(), source);
            assert!(found[0].starts_with(says), "{source}: {found:?}");
        }
        assert!(from_json(&"[".repeat(100_000)).is_err());
        assert!(from_toml(&format!("a = {}", "[".repeat(100_000))).is_err());
    }
}
