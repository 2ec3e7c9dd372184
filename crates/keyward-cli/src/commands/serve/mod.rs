//! `keyward serve`

mod api;
mod configuration;
mod example;

use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;

use clap::{Args, Subcommand, ValueHint};
use ipnet::IpNet;
use serde_json::json;

use crate::error::{Code, Error, Exit};
use crate::platform::{self, EndingSignal, StandardStream};
use crate::session::Session;
use keyward_core::rules::credential::Presentation;
use keyward_core::rules::limits::Limit;
use keyward_core::rules::names::{Level, Name, Scope};
use keyward_core::rules::time::Duration;
use keyward_core::verifier::{Gate, Options as GateOptions};
use keyward_http::Guard;
use keyward_http::clock::Clock;
use keyward_http::policy::Route;
use keyward_http::server::{
    Address, Config, Control, Listen, ListenError, OpenLog, Options, Server, StartError, Unfit,
};

/// Guard HTTP services: a proxy asks before each request, and the answer is 200 or a refusal
///
/// Put it behind nginx, Caddy, Traefik, HAProxy, Apache or Envoy; `keyward serve example nginx` prints the configuration
/// of the proxy. The proxy names a policy in the path that it asks, such as /forward/default: what a client sends never
/// decides which policy applies. An allowed request reaches the service without its credential, and with headers that
/// say whose it is: X-Keyward-Name, X-Keyward-Scopes and others. No answer but 200 means yes.
///
/// Without a configuration there is one policy, default, which the flags describe. With --config, the file describes
/// any number of them. `keyward help serve.toml` describes all of its fields, and every endpoint, header and metric.
///
/// The store stays open to every other command. What they change counts at the next request: a key that was disabled is
/// refused. Uses are counted in memory and written once a second, ten times where the store is on a server.
///
/// SIGHUP reads the configuration again; a mistake in it leaves the former one in force. SIGTERM and SIGINT end it: what
/// is being answered is answered, and what was counted is written. A second one ends it at once.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
pub struct Serve {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// Where proxies ask: IP:PORT, unix:PATH or fd:NAME; repeatable
    ///
    /// A socket's path may be followed by ,mode=0660 and ,group=NAME; fd:NAME is a socket that systemd hands over. With
    /// ,api at the end, services may ask for themselves there: POST /v1/verify.
    /// [default: unix:$RUNTIME_DIRECTORY/guard.sock under systemd, else 127.0.0.1:9180]
    #[arg(long, value_name = "ADDR[,api]")]
    listen: Vec<Listen>,
    /// Where operators look: /livez, /readyz and /metrics
    ///
    /// An address of its own. From other machines than this one, only those may look that are in a network of --trust.
    #[arg(long, value_name = "ADDR")]
    admin: Option<Address>,
    /// The configuration, in TOML
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,
    /// A network whose machines may ask, proxies and operators, beside this one; repeatable
    #[arg(long, value_name = "CIDR")]
    trust: Vec<IpNet>,
    /// Answer only who sends the line in this file as Keyward-Proxy-Secret
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    proxy_secret_file: Option<PathBuf>,
    /// How long to go on after SIGTERM while the health answers say no, so that proxies stop asking
    #[arg(long, value_name = "DURATION")]
    drain: Option<Duration>,
    /// When the server of the store is away, go on with what is known for so long, up to 60s
    ///
    /// Without it, every request gets 503 until the server is back. With it, a key that matched before stays allowed for
    /// that long even if it is disabled on another host meanwhile. Such an answer has the header X-Keyward-Stale. Keys with
    /// a limit get 503 all the same.
    #[cfg(feature = "postgres")]
    #[arg(long, value_name = "DURATION")]
    stale_for: Option<Duration>,
    /// Write the log to this file instead of standard error; SIGHUP opens it anew
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    log_file: Option<PathBuf>,
    /// Say what would be served, and whether configuration and store are in order; serve nothing
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    policy: PolicyArgs,
}

/// The policy that is there without a configuration.
#[derive(Debug, Args)]
#[command(next_help_heading = "Policy")]
#[group(id = "policy_flags", multiple = true)]
struct PolicyArgs {
    /// A scope that every request needs; repeated: all of them
    #[arg(long, value_name = "SCOPE", value_delimiter = ',')]
    scope: Vec<Scope>,
    /// A level that every request needs; repeated: all of them
    #[arg(long, value_name = "PATH", value_delimiter = ',')]
    level: Vec<Level>,
    /// The least role that every request needs
    #[arg(long, value_name = "ROLE")]
    role: Option<Name>,
    /// The tenant whose data is behind the guard
    #[arg(long, value_name = "TENANT")]
    tenant: Option<Name>,
    /// How often a key that has no limits of its own may be used: 100/1m, 100/1m:20, 10000/1d; repeatable
    #[arg(long, value_name = "N/PERIOD[:BURST]", value_delimiter = ',')]
    limit: Vec<Limit>,
    /// Look only at these presentations of a credential; repeated: at all of them [default: all but those in a query]
    #[arg(long, value_name = "PRESENTATION", value_delimiter = ',', value_parser = super::verify::presentation_parser())]
    accept: Vec<Presentation>,
}

impl PolicyArgs {
    fn is_empty(&self) -> bool {
        let Self { scope, level, role, tenant, limit, accept } = self;
        scope.is_empty()
            && level.is_empty()
            && role.is_none()
            && tenant.is_none()
            && limit.is_empty()
            && accept.is_empty()
    }
}

#[derive(Debug, Subcommand)]
enum Verb {
    Example(example::Example),
}

const EXAMPLES: &str = "Examples:
  keyward serve  # with the policy default, at 127.0.0.1:9180
  keyward serve --scope rest --listen unix:/run/keyward/guard.sock,group=nginx
  keyward serve example nginx > /etc/nginx/sites-available/guarded
  keyward serve --config /etc/keyward/serve.toml --check

A configuration:
  listen = [\"unix:/run/keyward/guard.sock\", { address = \"127.0.0.1:9180\", api = true }]
  admin = \"127.0.0.1:9181\"
  trust = []                         # networks of proxies on other machines
  proxies = [\"10.0.0.0/8\"]           # proxies in front of the one that asks: skipped in X-Forwarded-For
  log = \"refused\"                    # refused, all or none
  [policy.rest]                      # asked as /forward/rest, by nginx as /nginx/rest
  scopes = [\"rest\"]                  # all of them; also: levels, role, tenant, methods
  accept = [\"bearer\", \"x_api_key\"]
  limits = [\"1000/1m\"]              # for keys that have none of their own
  transport = \"https\"                # refuse others, whatever the key allows
  explain = false                    # refusals do not say why
  headers = [\"id\", \"name\", \"scopes\"]
  [policy.tenants]
  tenant_from = \"host:{tenant}.api.example.org\"
  [[route]]                          # asked as /forward/routes: the first that matches
  path = \"/admin\"
  methods = [\"GET\"]
  policy = \"rest\"";

impl Serve {
    /// Serves until a signal ends it.
    ///
    /// # Errors
    /// If it cannot start.
    pub fn run(self, session: &mut Session) -> Result<Exit, Error> {
        if let Some(Verb::Example(example)) = self.verb {
            return example.run(session);
        }
        let config = self.configuration(session)?;
        let store = session.store_to_record()?;
        config.check_against(&store).map_err(unfit)?;
        Server::check_files(&config).map_err(not_started)?;
        if self.check {
            return tell(session, &config);
        }
        let stale_for = self.stale_for(session, store.is_on_server())?;
        let mut gate = GateOptions::default();
        gate.is_background = true;
        // A question waits on an event loop, and all others on that loop wait with it.
        gate.patience = std::time::Duration::from_millis(100);
        gate.patience_to_write = std::time::Duration::from_secs(2);
        gate.reconnects_beside = true;
        // Without a random key, nothing can be cached safely, and nothing is answered.
        let key = session.random().map_err(|error| Error::new(Code::StoreUnwritable, error.message()))?;
        let gate = Gate::new(store, key, gate)?;
        let guard = Guard::with_clock(gate, clock(session), stale_for);
        let drain = self.drain.and_then(|drain| drain.seconds_after(session.now())).unwrap_or(0);
        let options = Options {
            version: env!("CARGO_PKG_VERSION"),
            workers: thread::available_parallelism().map_or(1, std::num::NonZero::get),
            drain: std::time::Duration::from_secs(drain),
            log: self.log()?,
            reopen_log: self.log_file.clone().map(|path| Box::new(move || open_log(&path)) as OpenLog),
            socket_names: session.environment("LISTEN_FDNAMES").and_then(|names| names.into_string().ok()),
            reload: self.reload(session),
        };
        // As soon as it listens, it may be told to stop, so the signal handlers come first.
        let (early, signals) = (Arc::new(AtomicBool::new(false)), Arc::new(OnceLock::<Control>::new()));
        let (is_ended, told) = (Arc::clone(&early), Arc::clone(&signals));
        let _section = session.interrupts.told(move |signal| match (signal, told.get()) {
            (EndingSignal::HangUp, Some(control)) => control.reload(),
            (EndingSignal::HangUp, None) => {}
            (EndingSignal::Other, Some(control)) => control.stop(),
            (EndingSignal::Other, None) => is_ended.store(true, Ordering::SeqCst),
        });
        let server =
            Server::bind(guard, config, Arc::new(api::Words::new(session.clock())), options).map_err(not_started)?;
        let _ = signals.set(server.control());
        if early.load(Ordering::SeqCst) {
            server.control().stop();
        }
        if session.terminal.kinds().stderr_is_terminal {
            let addresses = server.addresses().join(", ");
            session.terminal.note(&format!("guarding at {addresses}; the proxy's part: keyward serve example nginx"));
        }
        server.run().map_err(not_started)?;
        Ok(Exit::DONE)
    }

    /// How long known state is used while the server is away.
    #[cfg(feature = "postgres")]
    fn stale_for(&self, session: &mut Session, is_on_server: bool) -> Result<std::time::Duration, Error> {
        const MOST: u64 = 60;
        let Some(asked) = &self.stale_for else { return Ok(std::time::Duration::ZERO) };
        let seconds = asked.seconds_after(session.now()).unwrap_or(u64::MAX);
        if seconds > MOST {
            return Err(Error::new(Code::Usage, format!("--stale-for {asked} is more than {MOST} seconds"))
                .hint("what is revoked meanwhile stays allowed for that long; give 60s or less"));
        }
        if !is_on_server {
            return Err(Error::new(Code::Usage, "--stale-for is about a store on a server, and this one is in a file")
                .hint("leave it out"));
        }
        if seconds > 0 {
            session.terminal.warn(&format!(
                "when the server is away, keys that matched before stay allowed for {asked}, whatever is revoked meanwhile"
            ));
        }
        Ok(std::time::Duration::from_secs(seconds))
    }

    /// A store in a file is never away.
    #[cfg(not(feature = "postgres"))]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "there may be a store on a server")]
    fn stale_for(&self, _: &mut Session, _: bool) -> Result<std::time::Duration, Error> {
        Ok(std::time::Duration::ZERO)
    }

    fn log(&self) -> Result<Box<dyn Write + Send>, Error> {
        let Some(path) = &self.log_file else { return Ok(Box::new(StandardStream::stderr())) };
        open_log(path).map_err(|error| {
            Error::new(Code::OutputFailed, format!("the log {} cannot be written: {error}", path.display()))
                .hint("name a file in a folder that keyward may write to, or leave --log-file out for standard error")
        })
    }
}

fn open_log(path: &std::path::Path) -> std::io::Result<Box<dyn Write + Send>> {
    Ok(Box::new(platform::open_log(path)?))
}

/// The session's clock, and one that never goes back.
fn clock(session: &Session) -> Clock {
    let day = session.clock();
    let steady = Clock::of_the_system();
    Clock::new(move || day(), move || steady.steady())
}

/// Says what would be served.
fn tell(session: &mut Session, config: &Config) -> Result<Exit, Error> {
    let listen: Vec<_> = config.listen.iter().map(|listen| listen.address.to_string()).collect();
    let api = config.listen.iter().filter(|listen| listen.api);
    let api: Vec<_> = api.map(|listen| listen.address.to_string()).collect();
    let policies: Vec<_> = config.policies.iter().map(|policy| policy.name.to_string()).collect();
    let admin = config.admin.as_ref().map(ToString::to_string);
    if session.json() {
        let route = |route: &Route| json!({ "requests": route.to_string(), "policy": route.policy().to_string() });
        let routes: Vec<_> = config.routes.iter().map(route).collect();
        session.terminal.print_json(&json!({
            "listen": listen, "api": api, "admin": admin, "policies": policies, "routes": routes,
        }))?;
    } else if !session.quiet() {
        let api = if api.is_empty() {
            String::new()
        } else {
            format!("services ask for themselves at {}: POST /v1/verify\n", api.join(", "))
        };
        let line = |route: &Route| format!("  {route}: {}\n", route.policy());
        let routes: String = config.routes.iter().map(line).collect();
        let routes = if routes.is_empty() {
            routes
        } else {
            format!("routes at /forward/routes, the first one counts:\n{routes}")
        };
        let admin = admin.map(|admin| format!("operators look at {admin}\n")).unwrap_or_default();
        let paths = |name: &String| format!("  /forward/{name} (nginx: /nginx/{name}, Envoy: /envoy/{name})");
        let asked = policies.iter().map(paths).collect::<Vec<_>>().join("\n");
        let text = format!(
            "configuration and store are in order\nproxies ask at {}:\n{asked}\n{routes}{api}{admin}",
            listen.join(", ")
        );
        session.terminal.print(&text)?;
    }
    Ok(Exit::DONE)
}

fn unfit(error: Unfit) -> Error {
    match error {
        Unfit::Config(error) => configuration::wrong(error),
        Unfit::Store(error) => error.into(),
    }
}

fn not_started(error: StartError) -> Error {
    let message = error.to_string();
    match error {
        StartError::Listen(ListenError::InUse(_)) => Error::new(Code::AddressInUse, message)
            .hint("stop the other program, or listen elsewhere with --listen; see who it is: ss -lptn, ss -lpx"),
        StartError::Listen(ListenError::NoSocket(_)) => {
            Error::new(Code::AddressInUse, message).hint("remove it, or name another path with --listen")
        }
        StartError::Listen(ListenError::Untrusted(_)) => Error::new(Code::Usage, message)
            .hint("name the machines that may ask: --trust 10.0.0.0/8, or trust = [\"10.0.0.0/8\"] in the file"),
        StartError::Listen(ListenError::Insecure(_)) => Error::new(Code::Usage, message)
            .hint("listen in a folder that belongs to keyward, as /run/keyward; mkdir -m 750 makes one"),
        StartError::Listen(ListenError::NoGroup(_)) => {
            Error::new(Code::Usage, message).hint("name the group in which the proxy runs, such as www-data")
        }
        StartError::Listen(ListenError::NotInherited(_)) => Error::new(Code::Usage, message)
            .hint("start it with the socket unit, which names it: systemctl start keyward.socket"),
        StartError::Listen(ListenError::System { .. }) => Error::new(Code::InvalidValue, message)
            .hint("name an address of this machine, or a path in a folder that is there, with --listen"),
        StartError::File { .. } | StartError::Secret(_) | StartError::OpenSecret(_) => {
            Error::new(Code::Usage, message).hint("make one with: openssl rand -hex 32 > FILE; chmod 600 FILE")
        }
        StartError::Thread(_) => Error::new(Code::StoreUnwritable, message)
            .hint("allow this process more threads and memory, see `ulimit -u` and `ulimit -v`"),
    }
}
