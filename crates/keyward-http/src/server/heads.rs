//! Follows the bytes of a connection from head to head, for what the HTTP parser does not report.
//!
//! The parser does not report whether a head has begun but not ended, and it ends a target before `#`. Proxies pass on
//! what follows, and a service may take all of it for the path.
//!
//! What may break: if a body is read and more than the body has arrived, this module cannot know where the next head
//! begins. From then on, nothing counts as certain.

/// How many of the last bytes are kept.
const KEPT: usize = 8;

/// Where in its heads a connection's last byte was.
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
    /// After a head, or before the first one. Empty lines belong to none.
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
    /// Takes the bytes that have arrived.
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

    /// A whole body was read. The next head begins after it.
    pub(super) fn take_body(&mut self, body: &[u8]) {
        let end = &body[body.len().saturating_sub(KEPT)..];
        if self.last.ends_with(end) {
            // The content of a body is not a target.
            self.has_fragment = false;
        } else {
            // A body in chunks ends as a head does.
            self.is_lost |= self.place != Place::Between;
        }
        self.place = Place::Between;
    }

    /// Whether a head has begun but not ended.
    pub(super) fn is_within_one(&self) -> bool {
        self.place != Place::Between && !self.is_lost
    }

    /// Whether a target on this connection contains, or may contain, a `#`.
    pub(super) fn has_fragment(&self) -> bool {
        self.has_fragment || self.is_lost
    }
}

/// The bytes up to the end of the line, and those after it.
fn line_of(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = memchr::memchr(b'\n', bytes).map_or(bytes.len(), |place| place + 1);
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
