//! Services behind the guard and beside it: the recipes of the README, the topic `protect` and `docs/services.md`.

use std::process::{Command, Stdio};

use super::{README, block, block_with, shell};
use crate::asking::{At, Running, get};
use crate::harness::{Output, Sandbox};
use crate::ports::{free_port, with_addresses};

const PROTECT: &str = include_str!("../../../docs/manual/protect.md");
const SERVICES: &str = include_str!("../../../docs/services.md");

/// Where `tests/run` installs the frameworks.
pub fn tools() -> std::path::PathBuf {
    // The build folder, which contains debug/keyward.
    std::path::Path::new(env!("CARGO_BIN_EXE_keyward")).ancestors().nth(2).unwrap().join("tools")
}

/// Keys, as a client presents them behind a proxy that terminates TLS.
struct Clients {
    reader: String,
    writer: String,
}

impl Clients {
    fn new(sandbox: &Sandbox) -> Self {
        let header = |secret: String| format!("Authorization: Bearer {secret}");
        let reader = header(sandbox.mint("reader --scope read --allow-ip 127.0.0.0/8"));
        Self { reader, writer: header(sandbox.mint("writer --scope write")) }
    }

    /// Calls a service that requires the scope `read`, and disables the key at the end.
    fn try_out(&self, sandbox: &Sandbox, service: At<'_>) {
        let status = |headers: &[&str]| get(service, "/", headers).0;
        let https = "X-Forwarded-Proto: https";
        let (code, answer) = get(service, "/", &[&self.reader, https]);
        assert!(code == 200 && answer.contains("Hello, reader"), "{answer}");
        assert_eq!(status(&[https]), 401);
        assert_eq!(status(&["Authorization: Bearer kw_nonsense", https]), 401);
        assert_eq!(status(&[&self.writer, https]), 403);
        assert_eq!(status(&[&self.reader]), 403, "without TLS");
        assert_eq!(sandbox.run("disable reader").code, 0);
        assert_eq!(status(&[&self.reader, https]), 401);
    }
}

/// A guard that requires the scope `read`, until the test ends.
fn guard(sandbox: &Sandbox, listen: &str, at: At<'_>) -> Running {
    Running::start_at(sandbox.binary(&format!("serve --scope read --listen {listen}")).stderr(Stdio::null()), at)
}

/// Runs a block that starts a guard in the background, and then stops the guard.
fn run_with_guard(sandbox: &Sandbox, script: &str) -> Output {
    let port = free_port();
    let script = if script.contains("--listen") {
        script.to_owned()
    } else {
        script.replace("keyward serve", "keyward serve --listen 127.0.0.1:9180")
    };
    let script = script.replace("127.0.0.1:9180", &format!("127.0.0.1:{port}")).replace("curl ", "curl --silent ");
    // A person takes longer than the guard needs to start; a script must wait.
    let wait = format!(" &\nuntil curl --silent http://127.0.0.1:{port}/healthz; do sleep 0.1; done\n");
    let output = shell(sandbox, &format!("{}kill %1; wait %1", script.replace(" &\n", &wait)));
    assert_eq!(output.code, 0, "{output}");
    output
}

#[test]
#[ignore = "needs curl"]
fn five_minutes_to_a_guard() {
    let sandbox = Sandbox::new();
    let script = block_with(README, "sh", "/forward/default");
    assert_eq!(block(PROTECT, "sh"), script);
    let output = run_with_guard(&sandbox, script);
    let lines: Vec<_> =
        output.stdout.lines().filter(|line| line.starts_with("HTTP/") || line.starts_with("x-keyward-name")).collect();
    assert_eq!(lines, ["HTTP/1.1 200 OK", "x-keyward-name: demo", "HTTP/1.1 401 Unauthorized"], "{output}");
    // With the key that exists by now.
    let script = block_with(README, "sh", "/v1/verify");
    let output = run_with_guard(&sandbox, script);
    assert!(output.stdout.contains("{\"allowed\":true,"), "{output}");
}

#[test]
#[ignore = "needs nginx"]
fn nginx_asks_in_ten_lines() {
    let sandbox = Sandbox::new();
    let clients = Clients::new(&sandbox);
    let (asked, port, plain, service) = (free_port(), free_port(), free_port(), free_port());
    let lines = block(README, "nginx");
    assert!(lines.lines().count() <= 10);
    let addresses = [("127.0.0.1:9180", format!("127.0.0.1:{asked}")), (":3000", format!(":{service}"))];
    let lines = with_addresses(lines, &addresses);
    // TLS seems to end here if the client says so; a second server has the unchanged recipe. The service echoes.
    let secure = lines.replace("$scheme", "$http_x_forwarded_proto");
    let kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let folders = kinds.map(|kind| format!("{kind}_temp_path {kind};")).join(" ");
    let config = format!(
        "daemon off; master_process off; pid nginx.pid; error_log stderr; events {{ }}\nhttp {{ access_log off; {folders}\n\
         server {{ listen 127.0.0.1:{port};\n{secure}\n}}\nserver {{ listen 127.0.0.1:{plain};\n{lines}\n}}\n\
         server {{ listen 127.0.0.1:{service}; location / {{ return 200 \"Hello, $http_x_keyward_name, \
         '$http_authorization$http_x_api_key'\"; }} }} }}\n"
    );
    std::fs::write(sandbox.path("nginx.conf"), config).unwrap();
    let _guard = guard(&sandbox, &format!("127.0.0.1:{asked}"), At::Port(asked));
    let mut nginx = Command::new("nginx");
    nginx.arg("-p").arg(sandbox.path("")).arg("-c").arg(sandbox.path("nginx.conf")).args(["-e", "stderr"]);
    let _nginx = Running::start_at(nginx.stderr(Stdio::null()), At::Port(port));
    let https = "X-Forwarded-Proto: https";
    let told = get(At::Port(port), "/", &[&clients.reader, "X-Api-Key:", https]).1;
    assert!(told.contains("Hello, reader, ''"), "{told}");
    let forged = get(At::Port(port), "/", &[&clients.reader, "X-Keyward-Name: root", https]).0;
    assert_eq!(forged, 403);
    let lied = get(At::Port(plain), "/", &[&clients.reader, https]).0;
    assert_eq!(lied, 403, "the scheme is nginx's to tell");
    assert_eq!(get(At::Port(port), "/guard", &[&clients.reader, https]).0, 404, "it is nginx's own");
    clients.try_out(&sandbox, At::Port(port));
}

/// A test of its crate runs the example; the recipe is the middle of it.
#[test]
fn axum_is_guarded_in_ten_lines() {
    const EXAMPLE: &str = include_str!("../../../crates/keyward-http/examples/axum.rs");
    let block = block(README, "rust").replace("\"/var/lib/keyward/keys.db\"", "store");
    assert!(block.lines().count() <= 10);
    let mut lines = EXAMPLE.lines().map(str::trim);
    for line in block.lines().map(str::trim) {
        assert!(lines.any(|own| own == line), "the example has no line {line:?} there");
    }
}

#[test]
#[ignore = "needs python3 with FastAPI"]
fn fastapi_asks_for_itself() {
    let sandbox = Sandbox::new();
    let clients = Clients::new(&sandbox);
    let (asked, port) = (free_port(), free_port());
    let program = block(SERVICES, "python");
    assert!(program.lines().count() <= 15);
    let program = program.replace("127.0.0.1:9180", &format!("127.0.0.1:{asked}"));
    std::fs::write(sandbox.path("app.py"), program).unwrap();
    let guard = guard(&sandbox, &format!("127.0.0.1:{asked},api"), At::Port(asked));
    let mut uvicorn = Command::new(tools().join("python/bin/python"));
    uvicorn.args(["-m", "uvicorn", "app:app", "--port", &port.to_string()]).current_dir(sandbox.path(""));
    let _service = Running::start_at(uvicorn.stderr(Stdio::null()), At::Port(port));
    clients.try_out(&sandbox, At::Port(port));
    drop(guard);
    assert_eq!(get(At::Port(port), "/", &[&clients.reader, "X-Forwarded-Proto: https"]).0, 500);
}

#[test]
#[ignore = "needs node with Express"]
fn express_asks_for_itself() {
    let sandbox = Sandbox::new();
    let clients = Clients::new(&sandbox);
    let (socket, port) = (sandbox.path("guard.sock"), free_port());
    let program = block(SERVICES, "js");
    assert!(program.lines().count() <= 15);
    let program = program.replace("/run/keyward/guard.sock", &socket.display().to_string());
    std::fs::write(sandbox.path("app.mjs"), program.replace("listen(3000", &format!("listen({port}"))).unwrap();
    std::os::unix::fs::symlink(tools().join("node/node_modules"), sandbox.path("node_modules")).unwrap();
    let guard = guard(&sandbox, &format!("unix:{},api", socket.display()), At::Path(&socket));
    let mut node = Command::new("node");
    node.arg("app.mjs").current_dir(sandbox.path(""));
    let _service = Running::start_at(node.stderr(Stdio::null()), At::Port(port));
    clients.try_out(&sandbox, At::Port(port));
    drop(guard);
    assert_eq!(get(At::Port(port), "/", &[&clients.reader, "X-Forwarded-Proto: https"]).0, 500);
}
