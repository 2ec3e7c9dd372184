//! The head of a whole request, as HTTP/1.0 and HTTP/1.1 send it (RFC 9112), or as a gateway writes it for a request
//! that came over HTTP/2 or HTTP/3.

use zeroize::Zeroizing;

use super::parts::{Reading, RequestParts, parse_parts};
use super::{CredentialError, Credentials, malformed};
use crate::rules::forwarded::{Forwarded, Trust};
use crate::rules::http::{Method, Transport};

/// A head that ends in the middle of a line may have lost the lines that matter.
const CUT_SHORT: &str = "this is not the head of an HTTP request: it is cut short";
/// More header fields than this are refused.
const MOST_FIELDS: usize = 128;

/// What the head of a request says: the transport, the method and the credential.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestHead {
    /// The method of the request line.
    pub method: Method,
    /// `https` if the target is an `https://…` URL, else `http`: a proxy that terminates TLS knows better and says so
    /// in a header.
    pub transport: Transport,
    /// What was presented.
    pub credentials: Credentials,
    /// What a proxy says; it counts only if there is a proxy.
    pub forwarded: Forwarded,
}

/// Reads the head of a request: up to the empty line, or all there is. Lines may end in CRLF or in LF, and a folded
/// field (RFC 9112 section 5.2) is unfolded. All presentations are accepted, and all forwarding headers are read.
///
/// # Errors
/// [`CredentialError`] for what is not HTTP.
pub fn parse_request(bytes: &[u8]) -> Result<RequestHead, CredentialError> {
    parse_request_for(bytes, Reading { trust: Trust::ALL, ..Reading::default() })
}

/// The same, but believes only what `reading` names.
///
/// # Errors
/// As [`parse_request`].
pub fn parse_request_for(bytes: &[u8], reading: Reading) -> Result<RequestHead, CredentialError> {
    let head = unfolded_head(bytes).ok_or_else(|| malformed(CUT_SHORT))?;
    let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(&head) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => {
            return Err(malformed(CUT_SHORT));
        }
        Err(httparse::Error::TooManyHeaders) => {
            return Err(malformed(format!("the request has more than {MOST_FIELDS} header fields")));
        }
        Err(error) => return Err(malformed(format!("this is not the head of an HTTP request: {error}"))),
    }
    let (Some(method), Some(target)) = (request.method, request.path) else {
        return Err(malformed("this is not the head of an HTTP request"));
    };
    // The first line of an HTTP/2 connection (RFC 9113 section 3.4) was designed to look like a request without being
    // one.
    if (method, target) == ("PRI", "*") {
        return Err(malformed("this is how an HTTP/2 connection begins, and not the head of a request"));
    }
    let method = method.parse().map_err(|_| malformed("the request's method is not an HTTP method"))?;
    let fields = &mut request.headers.iter().map(|field| (field.name, field.value));
    let RequestParts { transport, credentials, forwarded } = parse_parts(fields, target, reading)?;
    Ok(RequestHead { method, transport, credentials, forwarded })
}

/// The request line with a version that the parser knows. A gateway that writes the head in HTTP/1.1 form still names
/// the version by which the request came.
fn with_known_version(line: &[u8]) -> (&[u8], &[u8]) {
    for version in [&b" HTTP/2"[..], b" HTTP/2.0", b" HTTP/3", b" HTTP/3.0"] {
        if let Some(start) = line.strip_suffix(version) {
            return (start, b" HTTP/1.1");
        }
    }
    (line, b"")
}

/// The line without spaces and tabs at its ends. The parser refuses any other white space.
fn trim_blanks(line: &[u8]) -> &[u8] {
    let is_blank = |b: &u8| matches!(b, b' ' | b'\t');
    let start = line.iter().position(|b| !is_blank(b)).unwrap_or(line.len());
    let end = line.iter().rposition(|b| !is_blank(b)).map_or(start, |last| last + 1);
    &line[start..end]
}

/// The head without the body, its folded fields on one line each, with an empty line at the end; `None` if the last
/// line has no end.
fn unfolded_head(bytes: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    // Enough room from the start: a buffer that grows leaves copies of a secret behind.
    let line_ends = bytes.split(|&byte| byte == b'\n').count();
    let mut head = Zeroizing::new(Vec::with_capacity(bytes.len() + line_ends + 8));
    let mut lines = 0;
    for line in bytes.split_inclusive(|&b| b == b'\n') {
        let line = line.strip_suffix(b"\n")?;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match (line.is_empty(), lines) {
            // Empty lines before the request line are skipped (RFC 9112 section 2.2).
            (true, 0) => continue,
            (true, _) => break,
            (false, _) => lines += 1,
        }
        // Only a field can be folded. White space at the start of the line after the request line must not be guessed
        // about (RFC 9112 section 2.2), and the parser refuses it.
        let is_folded = lines > 2 && (line.starts_with(b" ") || line.starts_with(b"\t"));
        if is_folded {
            let end_of_field = head.len().saturating_sub(2);
            head.truncate(end_of_field);
            head.push(b' ');
            head.extend_from_slice(trim_blanks(line));
        } else {
            let (line, version) = if lines == 1 { with_known_version(line) } else { (line, &[][..]) };
            head.extend_from_slice(line);
            head.extend_from_slice(version);
        }
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    Some(head)
}
