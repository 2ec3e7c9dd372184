//! Routes: choose the policy by host, path and method, if the proxy cannot name it.
//!
//! What may break: proxies decide by the path that they have normalised, but pass on the one that the client sent. So a
//! path that two readers could read differently is refused, whatever the routes say.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use keyward_core::rules::http::Method;
use keyward_core::rules::names::InvalidText;

use super::tenant::without_port;
use super::{Policy, PolicyName};
use crate::Refusal;
use crate::facts::Facts;

/// The methods of RFC 9110 and RFC 5789. Methods are compared with their case, so `post` matches no request.
const KNOWN_METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"];

/// The requests that a policy is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    host: Option<String>,
    segments: Vec<String>,
    methods: Vec<Method>,
    policy: Arc<Policy>,
}

impl Route {
    /// A route for requests to `host`, to `path` and everything below it, with one of `methods`. What is omitted
    /// matches everything.
    ///
    /// # Errors
    /// If requests with this path are always refused, or the host is not valid.
    pub fn new(
        host: Option<&str>,
        path: Option<&str>,
        methods: Vec<Method>,
        policy: Arc<Policy>,
    ) -> Result<Self, InvalidText> {
        let path = path.unwrap_or("/");
        let wrong = || {
            InvalidText::new(format!(
                "{path:?}: a path begins with / and has no //, . or .. segments, ;, #, ?, \\ or escapes of them"
            ))
        };
        if path.contains('*') {
            let message = format!("{path:?}: remove the *; a path covers everything below it anyway");
            return Err(InvalidText::new(message));
        }
        for method in &methods {
            let name = method.to_string();
            let upper = name.to_ascii_uppercase();
            if name != upper && KNOWN_METHODS.contains(&upper.as_str()) {
                return Err(InvalidText::new(format!("methods are case-sensitive: write {upper} instead of {name}")));
            }
        }
        let segments = segments(path).map_err(|_| wrong())?;
        if let Some(host) = host.filter(|host| without_port(host) != Some(host)) {
            return Err(InvalidText::new(format!(
                "{host:?} is not a host; write it without a port and without a dot at the end"
            )));
        }
        let segments = segments.into_iter().map(Cow::into_owned).collect();
        Ok(Self { host: host.map(str::to_ascii_lowercase), segments, methods, policy })
    }

    /// The name of its policy.
    pub fn policy(&self) -> &PolicyName {
        &self.policy.name
    }

    /// Whether the route is for this request; `None` if that cannot be decided because a fact is unknown.
    fn is_for(&self, host: Option<&str>, path: &[Cow<'_, str>], method: Option<&Method>) -> Option<bool> {
        let starts_here =
            self.segments.len() <= path.len() && self.segments.iter().zip(path).all(|(own, segment)| own == segment);
        if !starts_here {
            return Some(false);
        }
        if let Some(own) = &self.host
            && !host?.eq_ignore_ascii_case(own)
        {
            return Some(false);
        }
        Some(self.methods.is_empty() || self.methods.contains(method?))
    }
}

/// Its methods, host and path, as far as given: `GET,HEAD api.example.org/admin`.
impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, method) in self.methods.iter().enumerate() {
            write!(f, "{}{method}", if number == 0 { "" } else { "," })?;
        }
        if !self.methods.is_empty() {
            f.write_str(" ")?;
        }
        f.write_str(self.host.as_deref().unwrap_or_default())?;
        if self.segments.is_empty() {
            return f.write_str("/");
        }
        self.segments.iter().try_for_each(|segment| write!(f, "/{segment}"))
    }
}

/// All routes, in order: the first one that matches counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Routes(Vec<Route>);

impl Routes {
    /// Collects routes in this order.
    pub fn new(routes: Vec<Route>) -> Self {
        Self(routes)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Route> {
        self.0.iter()
    }

    /// The policy for a request.
    ///
    /// # Errors
    /// [`Refusal::AmbiguousPath`] if readers could differ about its path, and [`Refusal::NoRoute`] if no route is for
    /// it, or if that cannot be decided because host, path or method is unknown.
    pub fn policy(&self, facts: &Facts<'_>) -> Result<&Arc<Policy>, Refusal> {
        let path = segments(facts.path().ok_or(Refusal::NoRoute)?)?;
        let host = facts.host.and_then(without_port);
        for route in &self.0 {
            if route.is_for(host, &path, facts.method.as_ref()).ok_or(Refusal::NoRoute)? {
                return Ok(&route.policy);
            }
        }
        Err(Refusal::NoRoute)
    }
}

/// The segments of a path, without a final `/`; every character that may stand in a path by itself is percent-decoded
/// once. Those are more than the unreserved ones of RFC 3986 section 6.2.2.2: services decode all of them, so that
/// `/%40admin` and `/@admin` are the same to them.
fn segments(path: &str) -> Result<Vec<Cow<'_, str>>, Refusal> {
    let rest = path.strip_prefix('/').ok_or(Refusal::AmbiguousPath)?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if path == "/" {
        return Ok(vec![]);
    }
    rest.split('/').map(segment).collect()
}

fn segment(text: &str) -> Result<Cow<'_, str>, Refusal> {
    let decoded = if text.contains('%') { Cow::Owned(decoded(text)?) } else { Cow::Borrowed(text) };
    // `..;` and the like are dot segments to some servers. Correct clients never send characters outside ASCII, and
    // others encode them in several ways.
    let is_plain = |c: char| c.is_ascii() && !c.is_ascii_control() && !"\\;#? ".contains(c);
    if matches!(&*decoded, "" | "." | "..") || !decoded.chars().all(is_plain) {
        return Err(Refusal::AmbiguousPath);
    }
    Ok(decoded)
}

/// The characters of a path besides letters, digits and `;` (RFC 3986: `pchar`).
const PLAIN: &[u8] = b"-._~!$&'()*+,=:@";

/// Decodes the escapes of characters of a path, and writes the others in upper case.
fn decoded(text: &str) -> Result<String, Refusal> {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    // Everything decoded: to some readers, invalid UTF-8 is an overlong encoding of a slash or a dot.
    let mut all = Vec::with_capacity(text.len());
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        all.extend_from_slice(before.as_bytes());
        let digits = after.get(..2).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).ok_or(Refusal::AmbiguousPath)?;
        match byte {
            // An escaped percent sign would be another path to a server that decodes twice.
            b'/' | b'\\' | b';' | b'#' | b'?' | b'%' => return Err(Refusal::AmbiguousPath),
            byte if byte.is_ascii_control() => return Err(Refusal::AmbiguousPath),
            byte if byte.is_ascii_alphanumeric() || PLAIN.contains(&byte) => out.push(char::from(byte)),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
        all.push(byte);
        rest = &after[2..];
    }
    out.push_str(rest);
    all.extend_from_slice(rest.as_bytes());
    if std::str::from_utf8(&all).is_ok() { Ok(out) } else { Err(Refusal::AmbiguousPath) }
}
