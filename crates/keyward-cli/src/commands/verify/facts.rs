//! What is known about a request: from the flags, and from its head.

use std::net::IpAddr;

use super::{MOST_INPUT, Verify};
use crate::error::{Code, Error};
use keyward_core::rules::credential::{CredentialError, Credentials, Reading, parse_line_for, parse_request_for};
use keyward_core::rules::decision::{Method, Request, Transport};
use keyward_core::rules::forwarded::{Forwarded, Origin, Trust};

/// What was presented, and for which request.
pub(super) type Asked = (Credentials, Request);

/// What the flags say about how a request came.
pub(super) struct Said {
    pub(super) ip: Option<IpAddr>,
    pub(super) transport: Option<Transport>,
    pub(super) trust: Trust,
}

impl Said {
    /// A fact cannot be both given and taken from a header: returns the one that is.
    pub(super) fn contradiction(&self) -> Option<&'static str> {
        match () {
            () if self.trust.tells_address() && self.ip.is_some() => Some("ip"),
            () if self.trust.tells_transport() && self.transport.is_some() => Some("transport"),
            () => None,
        }
    }

    /// A request with no other known facts, which came in the way `otherwise` unless the flags say so.
    pub(super) fn request(&self, otherwise: Transport) -> Request {
        let mut request = Request::over(self.transport.unwrap_or(otherwise));
        request.ip = self.ip;
        request
    }

    /// Adds what its head says.
    pub(super) fn learn(&self, request: &mut Request, transport: Transport, forwarded: Forwarded) {
        request.transport = self.transport.unwrap_or(transport);
        request.learn(forwarded, self.trust);
        // If the flags say how the request came, no header is missed.
        if self.transport.is_some() {
            request.transport_from = Origin::Elsewhere;
        }
    }
}

/// The error for input that is too long to be read.
pub(super) fn too_long() -> CredentialError {
    CredentialError::Malformed(format!("more than {} KiB were presented", MOST_INPUT / 1024))
}

impl Verify {
    /// What the flags say about how the request came.
    ///
    /// # Errors
    /// If they contradict each other.
    pub(super) fn said(&self) -> Result<Said, Error> {
        let trust = self.trust_forwarded.map_or(Trust::NONE, |named| named.unwrap_or(Trust::ALL));
        let said = Said { ip: self.ip, transport: self.transport, trust };
        match said.contradiction() {
            Some(flag) => {
                let headers = if flag == "ip" { "proto" } else { "for" };
                Err(Error::new(
                    Code::Usage,
                    format!("--{flag} cannot be used where --trust-forwarded takes it from a header"),
                )
                .hint(format!(
                    "leave one of them out, or take only the other fact from a header: --trust-forwarded={headers}"
                )))
            }
            None => Ok(said),
        }
    }

    /// What was presented, and what is known about the request.
    ///
    /// # Errors
    /// If the command line and the request contradict each other.
    pub(super) fn examine(&self, said: &Said, input: &[u8]) -> Result<Asked, Error> {
        // A call on this machine, unless it is said to be a request.
        let mut request = said.request(if self.request { Transport::Http } else { Transport::Local });
        request.method.clone_from(&self.method);
        request.tenant.clone_from(&self.tenant);
        request.scopes.clone_from(&self.scope);
        request.levels.clone_from(&self.level);
        if input.len() as u64 > MOST_INPUT {
            return Ok((too_long().into(), request));
        }
        let accepted = self.accepted();
        if !self.request {
            return Ok((parse_line_for(input, accepted), request));
        }
        let head = match parse_request_for(input, Reading { accepted, trust: said.trust }) {
            Ok(head) => head,
            Err(error) => return Ok((error.into(), request)),
        };
        if let Some(message) = another_method("--method", self.method.as_ref(), &head.method) {
            return Err(Error::new(Code::Usage, message)
                .hint("leave --method out: with --request, the request line tells the method"));
        }
        request.method = Some(head.method);
        said.learn(&mut request, head.transport, head.forwarded);
        Ok((head.credentials, request))
    }
}

/// The error if a method was given and the request line has another one.
pub(super) fn another_method(name: &str, said: Option<&Method>, of_head: &Method) -> Option<String> {
    said.filter(|said| *said != of_head).map(|said| format!("{name} says {said}, and the request line {of_head}"))
}
