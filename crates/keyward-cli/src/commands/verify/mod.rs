//! `keyward verify`

#[cfg(feature = "serve")]
pub(super) use answer::document;
#[cfg(feature = "serve")]
pub(super) use batch::parse as parse_question;

mod answer;
mod batch;
mod facts;
mod input;

use std::net::IpAddr;
use std::path::PathBuf;

use clap::builder::TypedValueParser;
use clap::{ArgGroup, Args, ValueHint};
use jiff::Timestamp;

use super::hash_memory::for_one_hash;
use super::one_of;
use crate::error::{Error, Exit};
use crate::session::Session;
use keyward_core::rules::address::parse_address;
use keyward_core::rules::credential::{Accepted, Presentation};
use keyward_core::rules::decision::{Method, Request, Transport, WantedRole};
use keyward_core::rules::forwarded::Trust;
use keyward_core::rules::hashing::Cost;
use keyward_core::rules::names::{InvalidText, Level, Name, Scope};
use keyward_core::rules::time::parse_time;
use keyward_core::verifier::{Answer, Verifier};

/// More input than this is neither a credential nor a request head.
const MOST_INPUT: u64 = 64 * 1024;

/// A test runs each of these as written: the nginx lines with nginx, the co-process with bash.
const EXAMPLES: &str = "Examples:
  keyward verify --from-env HTTP_AUTHORIZATION --method GET --ip \"$REMOTE_ADDR\"
  keyward verify --request --ip 203.0.113.9 --scope rest < head
  keyward verify --from-env API_KEY --json | jq -r .reason
  # Behind nginx, which passes other headers of the client on as they are:
  proxy_set_header X-Forwarded-For $remote_addr;
  proxy_set_header X-Forwarded-Proto $scheme;
  keyward verify --request --trust-forwarded=for,proto < head
  # Without the second line, where the service can only be reached over TLS:
  keyward verify --request --trust-forwarded=for --transport https < head
  # A co-process of bash, which answers as long as it lives:
  coproc GUARD { keyward verify --batch; }
  jq -Rc '{credential: .}' <<< \"$CREDENTIAL\" >&${GUARD[1]}
  read -r ANSWER <&${GUARD[0]}; jq -r .reason <<< \"$ANSWER\"";

/// Say whether a presented credential may make a request, and why not
///
/// The credential is read from standard input (in a terminal from a hidden prompt), from a file or
/// from an environment variable, never from the command line. It may be the bare secret, NAME:SECRET,
/// a header line, a header's value, a URL, or with --request a whole HTTP request head. A byte order mark
/// at the start and line ends at the end are not part of it; blanks around it are refused.
///
/// Headers that carry credentials: Authorization (Bearer, rest_api_key=, or Basic with the secret as user
/// or as password and anything beside it), X-API-Key, X-Auth-Key, X-Api-Auth, apiKey and
/// X-Ignition-API-Token. In the query of a URL: _auth_key and _api_auth. The same secret may stand in several
/// places, also joined with commas; two different credentials are refused. An empty header, another scheme
/// and a Basic without a secret in it are not credentials.
///
/// With --request, the method and an https:// target are what the client wrote: where TLS ends in
/// front of your service, say how the request came with --transport or --trust-forwarded. A gateway may have
/// written the head: HTTP/2 and HTTP/3 are taken as versions. A line
/// that begins like a header (x-api-key:, apiKey:) is read as that header, so do not name keys so.
///
/// A restriction that cannot be checked refuses: a key with allowed IPs needs --ip, a tenant-bound
/// key --tenant, a read-only key --method.
///
/// A request that everything else allows counts against each limit of the key, its owner and its tenant, or against
/// none: a refused one takes nothing. With --no-record and --at, nothing is taken, and the answer says what is left. A
/// limit that cannot be written down cannot be checked: the store could not be used then.
///
/// Exit codes: 0 allowed; 3 no live, genuine credential (401); 4 genuine, but not allowed to do
/// this (403); 9 genuine and allowed, but over a limit (429); 6 the store could not be used, so there is no answer.
#[derive(Debug, Args)]
#[command(
    group(ArgGroup::new("source").args(["from_file", "from_env"])),
    after_help = EXAMPLES
)]
pub struct Verify {
    /// The input is the head of a whole HTTP request
    #[arg(long, help_heading = "Credential")]
    request: bool,
    /// Read the credential from this file
    #[arg(long, value_name = "PATH", help_heading = "Credential", value_hint = ValueHint::FilePath)]
    from_file: Option<PathBuf>,
    /// Read the credential from this environment variable
    #[arg(long, value_name = "NAME", help_heading = "Credential", value_parser = variable)]
    from_env: Option<String>,
    /// Look only at these presentations of a credential; repeated: at all of them
    ///
    /// What stands anywhere else is no credential then, whatever it holds: the token of your own application in
    /// Authorization, for example, beside a key in X-API-Key. The names are those of `presentation` in the answer.
    #[arg(long, value_name = "PRESENTATION", value_delimiter = ',', help_heading = "Credential", value_parser = presentation_parser())]
    accept: Vec<Presentation>,
    /// The HTTP method; with --request, that of the request line
    #[arg(long, value_name = "METHOD", help_heading = "Context")]
    method: Option<Method>,
    /// The address of the caller
    #[arg(long, value_name = "ADDRESS", help_heading = "Context", value_parser = parse_address)]
    ip: Option<IpAddr>,
    /// The tenant whose data is asked for
    #[arg(long, value_name = "TENANT", help_heading = "Context")]
    tenant: Option<Name>,
    /// A scope that the request needs; repeated: all of them
    #[arg(long, value_name = "SCOPE", value_delimiter = ',', help_heading = "Context")]
    scope: Vec<Scope>,
    /// A level that the request needs; repeated: all of them
    #[arg(long, value_name = "PATH", value_delimiter = ',', help_heading = "Context")]
    level: Vec<Level>,
    /// The least role that the request needs
    #[arg(long, value_name = "ROLE", help_heading = "Context")]
    role: Option<Name>,
    /// How the request came [default: local; with --request: http, or https for an https:// target]
    #[arg(long, help_heading = "Context", value_parser = one_of::<Transport>(["local", "https", "http"]))]
    transport: Option<Transport>,
    /// Take address and transport from the headers that your proxy writes
    ///
    /// Name the headers that it writes, whatever the client sends: for (X-Forwarded-For), proto
    /// (X-Forwarded-Proto), for,proto, or forwarded alone (Forwarded). No other one is read. for goes with
    /// --transport, proto with --ip. The last entry of a list counts; where it means nothing, it is not taken.
    /// Without a value, all three are read, and where a request has both families, they have to agree: only behind
    /// a proxy that writes or removes all three. Without such a proxy, anybody can write them.
    #[arg(
        long,
        value_name = "HEADERS",
        num_args = 0..=1,
        require_equals = true,
        value_parser = str::parse::<Trust>,
        help_heading = "Context",
        requires = "request"
    )]
    #[expect(clippy::option_option, reason = "clap's form for a flag that may stand without its value")]
    trust_forwarded: Option<Option<Trust>>,
    /// What would the answer be at this time? A date or an RFC 3339 time. Records nothing
    #[arg(long, value_name = "TIME", help_heading = "Context", value_parser = time)]
    at: Option<Timestamp>,
    /// Do not count this use of the key
    #[arg(long)]
    no_record: bool,
    /// Show every check, not only those that failed; --json always does
    #[arg(long, conflicts_with = "batch")]
    all: bool,
    /// One JSON question per line on standard input, one JSON decision per line on standard output, in order
    ///
    /// A question is an object: {"credential":"…","method":"GET","ip":"203.0.113.9","tenant":"acme",
    /// "scopes":["rest"],"levels":["A/B"],"role":"editor","transport":"https","accept":["bearer"]}, of which all but
    /// the credential may be left out. In its place there may be "request", with the head of a request, or "headers",
    /// a list of [name, value], and "target"; both may bring "trust_forwarded": true, or "for,proto" and whatever
    /// else --trust-forwarded takes. A line that is not a question gets an error instead of a decision, and the run
    /// goes on; an empty line gets nothing. Each line is answered as soon as it can be. The exit code is 0 if all
    /// were allowed, else the first that occurs of 70, 6, 4, 9, 3 and 1. All processors are used; a credential that has
    /// matched once costs no second Argon2id, and everything else about its key is looked up each time. --accept is
    /// for the lines that bring no "accept".
    #[arg(long, conflicts_with_all = ["from_file", "from_env", "request", "method", "ip", "tenant", "scope", "level", "role", "transport", "at"])]
    batch: bool,
}

/// Reads the name of a presentation.
pub(super) fn presentation_parser() -> impl TypedValueParser<Value = Presentation> {
    one_of(Presentation::ALL.map(Presentation::as_str))
}

/// Names of variables, as shells allow them: anything else may be the credential itself.
fn variable(text: &str) -> Result<String, InvalidText> {
    let is_name = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if is_name { Ok(text.to_owned()) } else { Err(InvalidText::new("write the name of a variable, not its value")) }
}

fn time(text: &str) -> Result<Timestamp, InvalidText> {
    parse_time(text)
        .ok_or_else(|| InvalidText::new("write a date (2030-01-31) or an RFC 3339 time (2030-01-31T12:00:00Z)"))
}

impl Verify {
    /// Verifies the credential.
    ///
    /// # Errors
    /// If it could not be verified; a refusal is not an error but an exit code.
    pub fn run(self, session: &mut Session) -> Result<Exit, Error> {
        // A missing right of the database role says nothing about the credential.
        self.answer(session).map_err(Error::neither_yes_nor_no)
    }

    fn answer(self, session: &mut Session) -> Result<Exit, Error> {
        if self.batch {
            return batch::run(session, self.accepted(), !self.no_record);
        }
        let said = self.said()?;
        let memory = for_one_hash(Cost::default());
        let input = self.read(session)?;
        // Reading may have taken any time, and keys may have expired meanwhile.
        session.look_at_the_clock();
        let (credential, mut request) = self.examine(&said, &input)?;
        drop(input);
        let at = self.at.unwrap_or(session.now());
        let records = !self.no_record && self.at.is_none();
        let store = if records { session.store_to_record()? } else { session.existing_store()? };
        let mut verifier = Verifier::new(store)?.with_memory(memory);
        if let Some(name) = &self.role {
            request.role = Some(WantedRole { name: name.clone(), rank: verifier.store().view()?.rank_of(name)? });
        }
        let mut answer = verifier.verify(credential, &request, at)?;
        let is_limited = verifier.is_limited(&answer, &request);
        if is_limited && records {
            // Rates need fractions of a second.
            let exact = (session.clock())();
            verifier.admit(&mut answer, &request, || session.random().ok(), exact)?;
        } else if is_limited {
            let exact = self.at.unwrap_or_else(|| (session.clock())());
            verifier.reckon(&mut answer, &request, exact)?;
        }
        if verifier.store().exposure().is_some() {
            answer.warnings.push("store_permissions");
        }
        if records && !is_limited {
            record(session, &mut verifier, &mut answer, &request);
        }
        // From here on, the answer is only reported.
        answer.forget_secret();
        if let Err(error) =
            answer::print(session, &answer, &request, at, self.all).and_then(|()| session.terminal.flush())
        {
            // The exit code is the answer, even if the text could not be printed.
            session.terminal.report(&error, session.json());
        }
        Ok(answer::exit_of(&answer.decision))
    }

    /// The accepted presentations.
    fn accepted(&self) -> Accepted {
        if self.accept.is_empty() { Accepted::ALL } else { self.accept.iter().copied().collect() }
    }
}

/// A use that cannot be recorded is reported, but does not change the answer: the store may be read-only.
fn record(session: &mut Session, verifier: &mut Verifier, answer: &mut Answer, request: &Request) {
    let is_use = answer.call().is_some();
    if !is_use && !answer.wants_renewal() {
        return;
    }
    let recorded = verifier.store().check_writable().map_err(Error::from).and_then(|()| {
        let now = session.now();
        verifier.record(answer, request, || session.random().ok(), now).map_err(Error::from)
    });
    if let Err(error) = recorded
        && is_use
    {
        answer.warnings.push("use_not_recorded");
        session.terminal.warn(&format!("the use was not recorded: {}", error.message()));
    }
}
