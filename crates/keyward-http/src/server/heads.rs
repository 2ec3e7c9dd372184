//! Follows the bytes of a connection from head to head, for what the parser of HTTP does not tell.
//!
//! It does not tell whether a head has begun that has not ended yet, and a target ends for it before `#`. Proxies pass
//! on what stands behind, and a service may take all of it for the path.
//!
//! What may break: where a body is read, and more than the body has come, nobody knows here where the next head begins.
//! Then nothing is taken for certain any more.

/// As many of the last bytes are kept.
const KEPT: usize = 8;

/// Where in the heads of a connection its last byte was.
#[derive(Debug, Default)]
pub(super) struct Heads {
    place: Place,
    has_fragment: bool,
    is_lost: bool,
    /// The last bytes.
    last: Vec<u8>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Behind a head, or before the first one. Empty lines belong to none.
    #[default]
    Between,
    /// In the line with the target.
    Request,
    /// At the beginning of a line. An empty one ends the head.
    Start,
    /// In a line.
    Line,
}

impl Heads {
    /// Takes in what has come.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        self.keep(bytes);
        let mut rest = bytes;
        while let Some((first, behind)) = rest.split_first() {
            let (place, left) = match (self.place, first) {
                (Place::Between, b'\r' | b'\n') | (Place::Start, b'\n') => (Place::Between, behind),
                (Place::Between, _) => (Place::Request, rest),
                (Place::Start, b'\r') => (Place::Start, behind),
                (Place::Start, _) => (Place::Line, rest),
                (Place::Request | Place::Line, _) => {
                    let (line, left) = line_of(rest);
                    self.has_fragment |= self.place == Place::Request && line.contains(&b'#');
                    (if line.ends_with(b"\n") { Place::Start } else { self.place }, left)
                }
            };
            (self.place, rest) = (place, left);
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.last.extend_from_slice(&bytes[bytes.len().saturating_sub(KEPT)..]);
        self.last.drain(..self.last.len().saturating_sub(KEPT));
    }

    /// A body was read, all of it. The next head begins behind it.
    pub(super) fn take_body(&mut self, body: &[u8]) {
        let end = &body[body.len().saturating_sub(KEPT)..];
        if self.last.ends_with(end) {
            // What is in a body is no target.
            self.has_fragment = false;
        } else {
            // A body in chunks ends as a head does.
            self.is_lost |= self.place != Place::Between;
        }
        self.place = Place::Between;
    }

    /// Whether a head has begun, and not ended.
    pub(super) fn is_within_one(&self) -> bool {
        self.place != Place::Between && !self.is_lost
    }

    /// Whether a target on this connection has, or may have, a `#`.
    pub(super) fn has_fragment(&self) -> bool {
        self.has_fragment || self.is_lost
    }
}

/// The bytes up to the end of the line, and those behind it.
fn line_of(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |place| place + 1);
    bytes.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_ends_with_an_empty_line_however_it_comes() {
        for (text, is_within, has_fragment) in [
            ("", false, false),
            ("\r\n\n", false, false),
            ("G", true, false),
            ("GET / HTTP/1.1\r\n", true, false),
            ("GET / HTTP/1.1\r\n\r", true, false),
            ("GET / HTTP/1.1\r\n\r\n", false, false),
            ("GET / HTTP/1.1\n\n", false, false),
            ("GET / HTTP/1.1\r\nA: b\r\n\r\n", false, false),
            ("GET / HTTP/1.1\r\nA: #\r\n\r\n", false, false),
            ("GET /#a HTTP/1.1\r\nA: b\r\n\r\n", false, true),
            ("GET / HTTP/1.1\r\n\r\nGET /a", true, false),
            ("GET / HTTP/1.1\r\n\r\nGET /#", true, true),
            ("\r\nGET /a#b", true, true),
        ] {
            for size in 1..=text.len().max(1) {
                let mut heads = Heads::default();
                text.as_bytes().chunks(size).for_each(|bytes| heads.take(bytes));
                assert_eq!((heads.is_within_one(), heads.has_fragment()), (is_within, has_fragment), "{text:?} {size}");
            }
        }
    }

    #[test]
    fn behind_a_body_the_next_head_begins() {
        let head = "POST /v1/verify HTTP/1.1\r\n\r\n";
        for (body, behind, is_within, has_fragment) in
            [("{\"a\":\n#}", "", false, false), ("{}", "", false, false), ("{}", "GET / HTTP/1.1\r\n", false, true)]
        {
            let mut heads = Heads::default();
            heads.take(format!("{head}{body}{behind}").as_bytes());
            heads.take_body(body.as_bytes());
            assert_eq!((heads.is_within_one(), heads.has_fragment()), (is_within, has_fragment), "{body:?} {behind:?}");
        }
        let mut heads = Heads::default();
        heads.take(format!("{head}2\r\n{{}}\r\n0\r\n\r\n").as_bytes());
        heads.take_body(b"{}");
        assert!(!heads.is_within_one() && !heads.has_fragment());
        heads.take(b"GET /#");
        assert!(heads.is_within_one() && heads.has_fragment());
    }
}
