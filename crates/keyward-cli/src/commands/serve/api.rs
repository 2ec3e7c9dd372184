//! `/v1/verify` in the words of `verify --batch`.

use crate::commands::verify::{document, parse_question};
use crate::error::{Code, Error};
use crate::errors::code_of;
use crate::session::Clock;
use keyward_core::rules::credential::Accepted;
use keyward_core::rules::decision::Request;
use keyward_core::rules::time::whole_seconds;
use keyward_core::store::StoreError;
use keyward_core::verifier::Answer;
use keyward_http::server::{Api, Question};

/// Reads questions and writes answers.
pub(super) struct Words {
    clock: Clock,
}

impl Words {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock }
    }
}

impl Api for Words {
    fn question(&self, body: &[u8], accepted: &dyn Fn(&str) -> Option<Accepted>) -> Result<Question, String> {
        let wrong = |message: String| Error::new(Code::InvalidValue, message);
        let parsed = parse_question(body, |policy| match policy {
            None => Err(wrong("policy: name the policy that is asked, as \"policy\":\"default\"".to_owned())),
            Some(name) => accepted(name).ok_or_else(|| wrong(format!("policy: there is no policy {name:?}"))),
        });
        let parsed = parsed.map_err(|error| error.message().to_owned())?;
        let policy = parsed.policy.unwrap_or_default();
        let (credentials, request, role) = (parsed.credentials, parsed.request, parsed.role);
        Ok(Question { policy, credentials, request, role, tells_transport: parsed.tells_transport })
    }

    fn document(&self, answer: &Answer, request: &Request) -> Vec<u8> {
        document(answer, request, whole_seconds((self.clock)()))
    }

    fn code_of(&self, error: &StoreError) -> &'static str {
        code_of(error).as_str()
    }
}
