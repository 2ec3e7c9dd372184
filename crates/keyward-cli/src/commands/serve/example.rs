//! `keyward serve example`

use std::path::Path;

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser as _};

use crate::error::{Code, Error, Exit};
use crate::session::Session;
use keyward_http::PolicyName;
use keyward_http::server::Address;

/// Print the configuration of a proxy that asks the guard
///
/// The proxy asks before each request, and lets through only what the guard allows: nothing while the guard cannot be
/// asked. It keeps the credential from the service, and tells it whose the request is, in headers that a client cannot
/// write. It names the policy in the path, where no client can choose another.
///
/// Change the addresses and nothing else: the proxy listens on port 80, and the service on 127.0.0.1:3000. Each further
/// file begins with a line "# file: NAME", in Lua "-- file: NAME".
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  keyward serve example nginx > /etc/nginx/sites-available/guarded
  keyward serve example caddy --listen unix:/run/keyward/guard.sock")]
pub(super) struct Example {
    /// The proxy
    #[arg(value_parser = proxy_parser())]
    proxy: Proxy,
    /// The policy to ask
    #[arg(long, value_name = "POLICY", default_value = PolicyName::DEFAULT)]
    policy: PolicyName,
    /// Where the guard listens: IP:PORT or unix:PATH
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9180")]
    listen: Address,
}

/// A proxy with an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Proxy {
    name: &'static str,
    help: &'static str,
    text: &'static str,
    /// How it writes the address of the guard.
    writes: Writes,
}

/// How a proxy writes an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writes {
    /// `IP:PORT`, or a path after this text.
    Text(&'static str),
    /// As Envoy does.
    Envoy,
    /// `IP:PORT` only.
    Tcp,
    /// The port of a Kubernetes service.
    Port,
}

const PROXIES: [Proxy; 8] = [
    Proxy {
        name: "nginx",
        help: "nginx 1.13 or later, with auth_request",
        text: include_str!("examples/nginx.conf"),
        writes: Writes::Text("unix:"),
    },
    Proxy {
        name: "caddy",
        help: "Caddy 2.5.1 or later",
        text: include_str!("examples/Caddyfile"),
        writes: Writes::Text("unix/"),
    },
    Proxy {
        name: "traefik",
        help: "Traefik 3, with forwardAuth",
        text: include_str!("examples/traefik.yaml"),
        writes: Writes::Tcp,
    },
    Proxy {
        name: "envoy",
        help: "Envoy 1.40, with ext_authz",
        text: include_str!("examples/envoy.yaml"),
        writes: Writes::Envoy,
    },
    Proxy {
        name: "haproxy",
        help: "HAProxy 2.6 or later, with Lua",
        text: include_str!("examples/haproxy.cfg"),
        writes: Writes::Text("unix@"),
    },
    Proxy {
        name: "apache",
        help: "Apache 2.4.47 or later, with mod_lua and LuaSocket",
        text: include_str!("examples/apache.conf"),
        writes: Writes::Text("unix:"),
    },
    Proxy {
        name: "ingress-nginx",
        help: "The Ingress controller of Kubernetes that is made of nginx",
        text: include_str!("examples/ingress-nginx.yaml"),
        writes: Writes::Port,
    },
    Proxy {
        name: "gateway-api",
        help: "An implementation of the Gateway API with ExternalAuth",
        text: include_str!("examples/gateway-api.yaml"),
        writes: Writes::Port,
    },
];

fn proxy_parser() -> impl clap::builder::TypedValueParser<Value = Proxy> {
    let values = PROXIES.map(|proxy| PossibleValue::new(proxy.name).help(proxy.help));
    PossibleValuesParser::new(values).try_map(|name| {
        // clap has already checked this.
        PROXIES.into_iter().find(|proxy| proxy.name == name).ok_or("not a proxy with an example")
    })
}

impl Example {
    /// Prints it.
    ///
    /// # Errors
    /// If the proxy cannot ask at such an address.
    pub(super) fn run(self, session: &mut Session) -> Result<Exit, Error> {
        let guard = self.proxy.address(&self.listen)?;
        let text = self.proxy.text.replace("@POLICY@", self.policy.as_str()).replace("@GUARD@", &guard);
        session.terminal.print(&text)?;
        Ok(Exit::DONE)
    }
}

impl Proxy {
    /// The address of the guard, in the proxy's syntax.
    fn address(self, address: &Address) -> Result<String, Error> {
        match (address, self.writes) {
            (Address::Inherited(name), _) => {
                Err(Error::new(Code::InvalidValue, format!("a proxy cannot ask at fd:{name}"))
                    .hint("name the address in the socket unit: --listen unix:PATH or --listen IP:PORT"))
            }
            (Address::Unix { path, .. }, Writes::Text(before)) => Ok(format!("{before}{}", plain(path)?)),
            (Address::Unix { path, .. }, Writes::Envoy) => Ok(format!("pipe: {{ path: \"{}\" }}", plain(path)?)),
            (Address::Unix { .. }, Writes::Tcp | Writes::Port) => {
                Err(Error::new(Code::InvalidValue, format!("{} cannot ask at a Unix socket", self.name))
                    .hint("let the guard listen at a port as well: --listen 127.0.0.1:9180"))
            }
            (Address::Tcp(address), Writes::Text(_) | Writes::Tcp) => Ok(address.to_string()),
            (Address::Tcp(address), Writes::Port) => Ok(address.port().to_string()),
            (Address::Tcp(address), Writes::Envoy) => {
                let (ip, port) = (address.ip(), address.port());
                Ok(format!("socket_address: {{ address: \"{ip}\", port_value: {port} }}"))
            }
        }
    }
}

/// A path that means the same in each of these languages.
fn plain(path: &Path) -> Result<&str, Error> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    match path.to_str() {
        Some(text) if text.starts_with('/') && text.bytes().all(is_plain) => Ok(text),
        _ => Err(Error::new(Code::InvalidValue, format!("{} cannot be written into an example", path.display()))
            .hint("name an absolute path of letters, digits and /._-, as unix:/run/keyward/guard.sock")),
    }
}
