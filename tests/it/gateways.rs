//! What real clients and gateways make of a request: the head that `verify --request` reads was never on the wire, or
//! contains what a proxy added on the way.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use keyward_core::rules::token::Secret;
use serde_json::{Value, json};

use crate::harness::{Sandbox, finish_with};
use crate::ports::{free_port, free_port_at};
use crate::systems::capture::{Call, Client, NO_PROXY, answer, capture, curl, python};

/// A server that ends with the test.
struct Server(Child);

impl Server {
    /// Starts it, and waits until it accepts connections.
    fn start(command: &mut Command, address: &str, port: u16) -> Self {
        let server = Self(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap());
        for _ in 0..200 {
            if TcpStream::connect((address, port)).is_ok() {
                return server;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("nobody listens on {address}:{port}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The head of a curl request as a service behind nginx receives it. `lines` go into the location block.
fn through_nginx(folder: &Path, lines: &str, address: &str, args: &[&str]) -> Option<Vec<u8>> {
    let port = free_port_at(address.parse().unwrap())?;
    let service = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
    let kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let folders = kinds.map(|kind| format!("{kind}_temp_path {kind};")).join(" ");
    let config = format!(
        "daemon off; master_process off; pid nginx.pid; error_log stderr; events {{ }}\nhttp {{ access_log off; {folders}\n\
         server {{ listen {host}:{port}; location / {{ proxy_pass http://{};\n{lines}\n}} }} }}\n",
        service.local_addr().unwrap()
    );
    std::fs::write(folder.join("nginx.conf"), config).unwrap();
    let mut nginx = Command::new("nginx");
    nginx.arg("-p").arg(folder).arg("-c").arg(folder.join("nginx.conf")).args(["-e", "stderr"]).stderr(Stdio::null());
    let _server = Server::start(&mut nginx, address, port);
    let head = std::thread::spawn(move || answer(service.accept().unwrap().0));
    let mut command = Command::new("curl");
    command.args(["--disable", "--silent", "--globoff", "--noproxy", "*", "--max-time", "10"]).args(args);
    assert_eq!(finish_with(command.arg(format!("http://{host}:{port}/orders")), b"").code, 0);
    Some(head.join().unwrap())
}

/// The lines for nginx in the help.
fn lines_of_the_help(sandbox: &Sandbox) -> Vec<String> {
    let help = sandbox.run("help verify").stdout;
    let lines: Vec<_> = help.lines().map(str::trim).filter(|line| line.starts_with("proxy_set_header")).collect();
    lines.into_iter().map(str::to_owned).collect()
}

#[test]
#[ignore = "needs nginx and curl"]
fn behind_nginx_only_what_nginx_writes_counts() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("deploy --allow-ip 127.0.0.0/8 --allow-ip ::1 --allow-insecure");
    let outside = sandbox.mint("outside --allow-ip 10.0.0.0/8");
    let lines = lines_of_the_help(&sandbox);
    assert_eq!(lines.len(), 2, "{lines:?}");
    let (both, one) = (lines.join("\n"), &lines[0]);
    let forged = |secret: &str| {
        ["X-Forwarded-For: 10.1.1.1", "X-Forwarded-Proto: https", "Forwarded: for=10.1.1.1;proto=https"]
            .map(str::to_owned)
            .into_iter()
            .chain([format!("x-api-key: {secret}")])
            .flat_map(|line| ["--header".to_owned(), line])
            .collect::<Vec<_>>()
    };
    let head = |lines: &str, address: &str, secret: &str| {
        let args = forged(secret);
        through_nginx(&sandbox.path(""), lines, address, &args.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let reason = |flags: &str, head: &[u8]| {
        sandbox.run_with(&format!("verify --json --request {flags}"), head).json()["reason"].clone()
    };
    let ours = head(&both, "127.0.0.1", &secret).unwrap();
    assert_eq!(reason("--trust-forwarded=for,proto", &ours), "allowed");
    // nginx passes the client's own Forwarded on, and the two disagree.
    assert_eq!(reason("--trust-forwarded", &ours), "ip_not_allowed");
    assert_eq!(reason("", &ours), "ip_not_allowed");
    let theirs = head(&both, "127.0.0.1", &outside).unwrap();
    let failed = sandbox.reason("--request --trust-forwarded=for,proto", &String::from_utf8_lossy(&theirs));
    assert_eq!(failed, "insecure_transport ip_not_allowed");
    // Where nginx sets nothing, the bare flag trusts the client's headers; a list of headers does not.
    let theirs = String::from_utf8(head(one, "127.0.0.1", &outside).unwrap()).unwrap();
    let without_forwarded: Vec<_> = theirs.split("\r\n").filter(|line| !line.starts_with("Forwarded")).collect();
    let without_forwarded = without_forwarded.join("\r\n");
    assert_eq!(sandbox.reason("--request --trust-forwarded", &without_forwarded), "ip_not_allowed");
    assert_eq!(
        sandbox.reason("--request --trust-forwarded=for", &without_forwarded),
        "insecure_transport ip_not_allowed"
    );
    // nginx appends to a list that the client started.
    let appended = one.replace("$remote_addr", "$proxy_add_x_forwarded_for");
    let theirs = String::from_utf8(head(&appended, "127.0.0.1", &outside).unwrap()).unwrap();
    assert!(theirs.contains("X-Forwarded-For: 10.1.1.1, 127.0.0.1"), "{theirs}");
    assert_eq!(sandbox.reason("--request --trust-forwarded=for --transport https", &theirs), "ip_not_allowed");
    // Where this machine has IPv6.
    if let Some(head) = head(&both, "::1", &secret) {
        assert_eq!(reason("--trust-forwarded=for,proto", &head), "allowed");
    }
}

#[test]
#[ignore = "needs lighttpd and curl"]
fn a_cgi_script_of_lighttpd_hands_on_a_request_that_came_by_http_2() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("deploy");
    let folder = sandbox.path("");
    // As gateways do, rebuild the head from the CGI variables (RFC 3875 section 4.1).
    let script = format!(
        "printf 'Content-Type: application/json\\r\\n\\r\\n'\n\
         {{ printf '%s %s %s\\r\\n' \"$REQUEST_METHOD\" \"$REQUEST_URI\" \"$SERVER_PROTOCOL\"\n\
         env | sed -n 's/^HTTP_//p' | while IFS='=' read -r name value; do\n\
         printf '%s: %s\\r\\n' \"$(printf %s \"$name\" | tr _ -)\" \"$value\"; done; printf '\\r\\n'; }} | tee {0}/head |\n\
         {1} --store {2} verify --json --request --transport https\n:\n",
        folder.display(),
        env!("CARGO_BIN_EXE_keyward"),
        sandbox.store().display()
    );
    std::fs::write(folder.join("check.sh"), script).unwrap();
    let port = free_port();
    let config = format!(
        "server.modules = (\"mod_cgi\")\nserver.document-root = \"{}\"\nserver.bind = \"127.0.0.1\"\nserver.port = {port}\n\
         cgi.assign = (\".sh\" => \"/bin/sh\")\n",
        folder.display()
    );
    std::fs::write(folder.join("lighttpd.conf"), config).unwrap();
    let mut lighttpd = Command::new("lighttpd");
    lighttpd.arg("-D").arg("-f").arg(folder.join("lighttpd.conf")).stderr(Stdio::null());
    let _server = Server::start(&mut lighttpd, "127.0.0.1", port);
    for (version, protocol) in
        [("--http2-prior-knowledge", "HTTP/2"), ("--http1.1", "HTTP/1.1"), ("--http1.0", "HTTP/1.0")]
    {
        for (args, presentation) in [
            (vec![format!("x-api-key: {secret}")], "x_api_key"),
            // Two header lines with one name become one variable, joined with a comma.
            (vec![format!("x-api-key: {secret}"), format!("X-API-KEY: {secret}")], "x_api_key"),
            (vec![format!("authorization: Bearer deploy:{secret}"), "x-api-key:".to_owned()], "bearer_named"),
        ] {
            let mut curl = Command::new("curl");
            curl.args(["--disable", "--silent", "--noproxy", "*", "--max-time", "10", version]);
            for line in &args {
                curl.args(["--header", line]);
            }
            let output = finish_with(curl.arg(format!("http://127.0.0.1:{port}/check.sh?page=2")), b"");
            let head = std::fs::read_to_string(folder.join("head")).unwrap();
            assert!(head.lines().next().unwrap().contains(protocol), "{head}");
            let answer = output.json();
            assert_eq!(
                (&answer["reason"], &answer["presentation"]),
                (&json!("allowed"), &json!(presentation)),
                "{head}"
            );
        }
    }
}

#[test]
#[ignore = "needs curl and python3-requests"]
fn a_password_that_a_client_found_by_itself_is_in_nobodys_way() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("deploy");
    let netrc = sandbox.path(".netrc");
    std::fs::write(&netrc, "machine 127.0.0.1 login ann password hunter2\n").unwrap();
    let header = format!("x-api-key: {secret}");
    let by_curl = curl("/orders", &["--netrc-file", &netrc.display().to_string(), "--header", &header]);
    let by_requests = capture("/orders", |url| {
        let script =
            "import sys, requests; requests.get(sys.argv[1], headers={'x-api-key': sys.stdin.read()}, timeout=10)";
        let mut command = Command::new(python());
        command.args(["-c", script, url]).env("NETRC", &netrc).envs(NO_PROXY);
        finish_with(&mut command, secret.as_bytes())
    });
    for head in [by_curl, by_requests] {
        let head = String::from_utf8(head).unwrap();
        assert!(head.contains("Authorization: Basic "), "{head}");
        assert_eq!(sandbox.reason("--request --transport https", &head), "allowed", "{head}");
    }
}

#[test]
#[ignore = "needs curl and python3-requests"]
fn a_user_that_is_not_ascii_stands_beside_a_secret_in_any_charset() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("deploy");
    // requests writes Latin-1, curl the UTF-8 that it was given.
    for (client, user) in [(Client::Requests, "ü"), (Client::Curl, "ü"), (Client::Requests, ""), (Client::Curl, "日本")]
    {
        for call in [Call::get("/a").login(user, &secret), Call::get("/a").login(&secret, user)] {
            let head = String::from_utf8(client.sends(&call)).unwrap();
            let answer = sandbox.run_with("verify --json --request --transport https", &head).json();
            assert_eq!((&answer["reason"], &answer["presentation"]), (&json!("allowed"), &json!("basic")), "{head}");
        }
    }
}

#[test]
#[ignore = "needs node"]
fn fetch_joins_two_headers_of_one_name_with_a_comma() {
    const SCRIPT: &str = "
        const [url, headers] = JSON.parse(require('fs').readFileSync(0));
        fetch(url, { headers }).then(() => process.exit(0), error => { console.error(error); process.exit(1) });";
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("deploy");
    let other: String = sandbox.mint("other");
    assert!(Secret::parse(&other).is_ok());
    let bearer = |secret: &str| format!("Bearer {secret}");
    for (fields, reason) in [
        ([("x-api-key", secret.clone()), ("X-API-Key", secret.clone())], "allowed"),
        ([("Authorization", bearer(&secret)), ("authorization", bearer(&secret))], "allowed"),
        ([("x-api-key", secret.clone()), ("X-API-Key", other.clone())], "ambiguous_credential"),
        ([("Authorization", bearer(&secret)), ("authorization", bearer(&other))], "ambiguous_credential"),
    ] {
        let head = capture("/orders", |url| {
            finish_with(
                Command::new("node").args(["-e", SCRIPT]).envs(NO_PROXY),
                json!([url, fields]).to_string().as_bytes(),
            )
        });
        let head = String::from_utf8(head).unwrap();
        assert!(head.contains(", "), "{head}");
        assert_eq!(sandbox.reason("--request --transport https", &head), reason, "{head}");
    }
}

#[test]
#[ignore = "needs bash and jq"]
fn the_co_process_of_the_help_answers_for_as_long_as_it_lives() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("deploy");
    let help = sandbox.run("help verify").stdout;
    let lines: Vec<_> = help.lines().map(str::trim).skip_while(|line| !line.starts_with("coproc ")).collect();
    let (start, ask) = (lines[0], lines[1..3].join("\n"));
    let script = format!(
        "{start}\nCREDENTIAL=$1\n{ask}\nCREDENTIAL='a \"quote\", and: more'\n{ask}\nCREDENTIAL=\"Authorization: Bearer $1\"\n{ask}"
    );
    let folder = Path::new(env!("CARGO_BIN_EXE_keyward")).parent().unwrap();
    let mut bash = Command::new("bash");
    bash.args(["-c", &script, "bash", &secret]).env_clear().env("KEYWARD_STORE", sandbox.store());
    bash.env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", folder.display()));
    let output = finish_with(&mut bash, b"");
    assert_eq!(output.stdout, "allowed\nno_credential\nallowed\n", "{output}");
}

/// A request as Envoy and AWS services see it: fields as pairs, the target separate.
#[test]
fn a_gateway_that_has_no_head_hands_over_what_it_has() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("deploy --allow-ip 10.0.0.0/8");
    let question = json!({
        "headers": [[":method", "GET"], [":path", "/orders"], [":scheme", "https"], ["x-api-key", format!("{secret},{secret}")],
                    ["x-forwarded-for", "203.0.113.9, 10.1.1.1"], ["x-forwarded-proto", "https"]],
        "target": "/orders?page=2", "method": "GET", "trust_forwarded": "for,proto",
    });
    let answer: Value = sandbox.run_with("verify --batch", question.to_string()).json();
    assert_eq!((&answer["reason"], &answer["presentation"]), (&json!("allowed"), &json!("x_api_key")), "{answer}");
}
