//! The head of a whole HTTP/1.0 or HTTP/1.1 request (RFC 9112).

use zeroize::Zeroizing;

use super::line::{BLANKS, from_field, from_url, is_credential_field};
use super::{Credential, CredentialError, malformed, only_one};
use crate::rules::forwarded::Forwarded;
use crate::rules::http::{Method, Transport};

/// A head that ends in the middle of a line may have lost the lines that matter.
const CUT_SHORT: &str = "this is not the head of an HTTP request: it is cut short";
/// More header fields than this are refused.
const MOST_FIELDS: usize = 128;

/// What a request head says: how, and with which credential.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestHead {
    /// The method of the request line.
    pub method: Method,
    /// `https` where the target is an `https://…` URL, else `http`: whoever ends TLS in front of
    /// the service knows better and says so.
    pub transport: Transport,
    /// The one credential that was found.
    pub credential: Credential,
    /// What a proxy says, which counts only where there is one.
    pub forwarded: Forwarded,
}

/// Reads the head of a request: up to the empty line, or all there is. Lines may end in CRLF or
/// in LF, and a folded field (RFC 9112 section 5.2) is unfolded.
///
/// # Errors
/// [`CredentialError`] for no credential, for two different ones, and for what is not HTTP.
pub fn parse_request(bytes: &[u8]) -> Result<RequestHead, CredentialError> {
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
    if target.contains('#') {
        return Err(malformed("the target of the request has a fragment, which no client sends"));
    }
    let method = method.parse().map_err(|_| malformed("the request's method is not an HTTP method"))?;
    let is_https = target.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("https://"));

    let mut found = vec![];
    for field in request.headers.iter().filter(|field| is_credential_field(field.name)) {
        let value = std::str::from_utf8(field.value)
            .map_err(|_| malformed(format!("the header {} is not UTF-8", field.name)))?;
        found.extend(from_field(field.name, value.trim_matches(BLANKS))?);
    }
    found.extend(from_url(target));
    let credential = only_one(found)?
        .ok_or_else(|| CredentialError::Missing("the request carries no credential that keyward knows".to_owned()))?;
    let forwarded = Forwarded::from_fields(request.headers.iter().map(|field| (field.name, field.value)));
    let transport = if is_https { Transport::Https } else { Transport::Http };
    Ok(RequestHead { method, transport, credential, forwarded })
}

/// The line without spaces and tabs at its ends. Every other white space is for the parser to refuse.
fn trim_blanks(line: &[u8]) -> &[u8] {
    let is_blank = |b: &u8| matches!(b, b' ' | b'\t');
    let start = line.iter().position(|b| !is_blank(b)).unwrap_or(line.len());
    let end = line.iter().rposition(|b| !is_blank(b)).map_or(start, |last| last + 1);
    &line[start..end]
}

/// The head without the body, its folded fields on one line each, with an empty line at the end; `None` where
/// the last line has no end.
fn unfolded_head(bytes: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut head = Zeroizing::new(Vec::with_capacity(bytes.len() + 4));
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
        // Only a field can be folded: white space behind the request line is for nobody to guess about
        // (RFC 9112 section 2.2), and the parser refuses it.
        let is_folded = lines > 2 && (line.starts_with(b" ") || line.starts_with(b"\t"));
        if is_folded {
            let end_of_field = head.len().saturating_sub(2);
            head.truncate(end_of_field);
            head.push(b' ');
            head.extend_from_slice(trim_blanks(line));
        } else {
            head.extend_from_slice(line);
        }
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    Some(head)
}
