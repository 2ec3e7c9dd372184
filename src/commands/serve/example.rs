//! `keyward serve example`

use clap::Args;
use clap::builder::PossibleValuesParser;

use crate::error::{Code, Error, Exit};
use crate::session::Session;
use keyward_http::PolicyName;
use keyward_http::server::Address;

/// Print the configuration of a proxy that asks the guard
///
/// It hides the credential from the service, tells it whose the request is, refuses where the guard cannot be asked, and
/// names the policy in the path. Only addresses are to be changed: the proxy listens on port 80, the service on
/// 127.0.0.1:3000. A line "# file: NAME" (in Lua "-- file: NAME") begins each further file.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  keyward serve example nginx > /etc/nginx/sites-available/guarded
  keyward serve example caddy --listen unix:/run/keyward/guard.sock --policy rest")]
pub(super) struct Example {
    /// The proxy
    #[arg(value_parser = PossibleValuesParser::new(NAMES))]
    proxy: String,
    /// The policy that is asked
    #[arg(long, value_name = "POLICY", default_value = PolicyName::DEFAULT)]
    policy: PolicyName,
    /// Where the guard listens
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9180")]
    listen: Address,
}

const NAMES: [&str; 1] = ["nginx"];

impl Example {
    /// Prints it.
    ///
    /// # Errors
    /// Where the proxy cannot ask at such an address.
    pub(super) fn run(self, session: &mut Session) -> Result<Exit, Error> {
        let _ = (&self.proxy, &self.policy, &self.listen, session);
        Err(Error::new(Code::Internal, "not there"))
    }
}
