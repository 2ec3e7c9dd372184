//! The recipes of the README, run as they stand there, with stand-ins for what runs them.

use std::process::{Command, Stdio};

use crate::asking::{At, Running, get};
use crate::harness::{Output, Sandbox, finish};
use crate::ports::free_port;

const README: &str = include_str!("../../README.md");

/// The one block of the README in this language.
fn block(language: &str) -> &'static str {
    const README: &str = include_str!("../../README.md");
    let start = format!("```{language}\n");
    let mut blocks = README.split(&start).skip(1).map(|rest| rest.split("```").next().unwrap());
    let block = blocks.next().unwrap();
    assert!(blocks.next().is_none(), "{language} stands there twice");
    block
}

/// The block of the README in this language that begins with a comment about this.
fn block_with(language: &str, comment: &str) -> &'static str {
    let start = format!("```{language}\n# {comment}");
    let rest = README.split_once(&start).unwrap().1;
    // The rest of the comment is one for the shell as well.
    rest.split_once('\n').unwrap().1.split("```").next().unwrap()
}

/// A command in the folder of the sandbox, with keyward in its path.
fn command(sandbox: &Sandbox, program: &str) -> Command {
    let folder = std::path::Path::new(env!("CARGO_BIN_EXE_keyward")).parent().unwrap();
    let mut command = Command::new(program);
    command.current_dir(sandbox.path("")).env_clear().env("KEYWARD_STORE", sandbox.store());
    command.env("PATH", format!("{}:{}:/usr/local/bin:/usr/bin:/bin", sandbox.path("bin").display(), folder.display()));
    command
}

fn shell(sandbox: &Sandbox, script: &str) -> Output {
    finish(command(sandbox, "bash").args(["-e", "-o", "pipefail", "-c", script]))
}

#[test]
fn a_step_of_github_actions() {
    let sandbox = Sandbox::new();
    let script = block("yaml").split("run: |\n").nth(1).unwrap();
    let mut step = command(&sandbox, "bash");
    step.args(["-e", "-o", "pipefail", "-c", script]);
    for (name, file) in [("GITHUB_ENV", "env"), ("GITHUB_OUTPUT", "output")] {
        std::fs::write(sandbox.path(file), "EARLIER=1\n").unwrap();
        step.env(name, sandbox.path(file));
    }
    let output = finish(step.env("GITHUB_RUN_ID", "42"));
    assert_eq!((output.code, output.stdout.as_str()), (0, ""), "{output}");
    // What a runner does: it masks first, then reads the file, line by line.
    let masked = output.stderr.lines().next().unwrap().strip_prefix("::add-mask::").unwrap();
    let file = std::fs::read_to_string(sandbox.path("env")).unwrap();
    let lines: Vec<_> = file.lines().collect();
    let (name, end) = lines[1].split_once("<<").unwrap();
    assert_eq!((lines[0], name, lines[2], lines[3], lines.len()), ("EARLIER=1", "DEPLOY_KEY", masked, end, 4));
    assert_eq!(std::fs::read_to_string(sandbox.path("output")).unwrap(), "EARLIER=1\n");
    assert_eq!(sandbox.reason("--scope deploy", masked), "allowed");
}

#[test]
fn a_service_of_systemd() {
    let sandbox = Sandbox::new();
    let unit = block("ini").replace("/etc/keyward", &sandbox.path("etc").display().to_string());
    let setting = |name: &str| {
        let mut lines = unit.lines().filter_map(|line| line.strip_prefix(&format!("{name}=")));
        lines.next().unwrap().to_owned()
    };
    // The service itself: it prints the key that it was given.
    std::fs::create_dir(sandbox.path("bin")).unwrap();
    std::fs::write(sandbox.path("bin/reports"), "#!/bin/sh\ntest \"$1\" = --key-file && cat \"$2\"\n").unwrap();
    assert_eq!(shell(&sandbox, "chmod +x bin/reports; mkdir etc run").code, 0);
    let mut keys = vec![];
    for _ in 0..2 {
        let before = shell(&sandbox, setting("ExecStartPre").strip_prefix('+').unwrap());
        assert_eq!(before.code, 0, "{before}");
        let (name, path) =
            setting("LoadCredential").split_once(':').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        std::fs::copy(path, sandbox.path("run").join(name)).unwrap();
        let mut service = command(&sandbox, "bash");
        let service =
            finish(service.args(["-c", &setting("ExecStart")]).env("CREDENTIALS_DIRECTORY", sandbox.path("run")));
        assert_eq!(service.code, 0, "{service}");
        assert_eq!(sandbox.reason("", service.stdout.trim()), "allowed");
        keys.push(service.stdout);
    }
    assert_eq!(keys[0], keys[1], "a restart changes nothing");
}

#[test]
#[ignore = "needs make"]
fn a_target_of_a_makefile() {
    let sandbox = Sandbox::new();
    std::fs::write(sandbox.path("Makefile"), block("make")).unwrap();
    std::fs::write(sandbox.path("keys.toml"), "[[group]]\nname = \"dev\"\n").unwrap();
    std::fs::write(sandbox.path(".env"), "# settings\nDEBUG=1\n").unwrap();
    assert_eq!(shell(&sandbox, "touch -d 2000-01-01 .env").code, 0);
    for _ in 0..2 {
        let output = finish(command(&sandbox, "make").args(["-B", ".env"]));
        assert_eq!(output.code, 0, "{output}");
        let file = std::fs::read_to_string(sandbox.path(".env")).unwrap();
        let secret = file.strip_prefix("# settings\nDEBUG=1\nAPI_KEY=").unwrap();
        assert_eq!(sandbox.reason("--scope rest", secret), "allowed");
    }
    assert_eq!(sandbox.run("show dev --json").json()["secrets"].as_array().unwrap().len(), 1);
}

#[test]
fn a_line_for_cron_is_silent_until_there_is_something_to_say() {
    let sandbox = Sandbox::new();
    let line = block("cron").trim().splitn(6, ' ').nth(5).unwrap();
    // The real binary knows the real time.
    finish(&mut sandbox.binary("create far --expires 90d"));
    assert_eq!(shell(&sandbox, line), Output { code: 0, stdout: String::new(), stderr: String::new() });
    finish(&mut sandbox.binary("create near --expires 9d"));
    assert_eq!(shell(&sandbox, line), Output { code: 0, stdout: "near\n".to_owned(), stderr: String::new() });
}

#[test]
fn a_gate_for_ci() {
    let sandbox = Sandbox::new();
    let gate = README.lines().find(|line| line.contains("--expires-within 14d --fail-if-any &&")).unwrap();
    std::fs::write(sandbox.path("keys.toml"), "[[group]]\nname = \"dev\"\n").unwrap();
    assert_eq!(shell(&sandbox, gate).code, 8, "the manifest is not applied");
    assert_eq!(shell(&sandbox, "keyward apply keys.toml").code, 0);
    assert_eq!(shell(&sandbox, gate).code, 0);
    finish(&mut sandbox.binary("create near --expires 9d"));
    assert_eq!(shell(&sandbox, gate).code, 8, "a key expires soon");
}

/// Where `tests/run` puts the frameworks.
fn tools() -> std::path::PathBuf {
    // The folder of the build: target/debug/keyward lies in it.
    std::path::Path::new(env!("CARGO_BIN_EXE_keyward")).ancestors().nth(2).unwrap().join("tools")
}

/// Keys, and how a client behind a proxy that ends TLS presents them.
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

    /// Asks a service that guards itself with the scope `read`, and disables the key at the end.
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

/// A guard with the scope `read`, until the end of the test.
fn guard(sandbox: &Sandbox, listen: &str, at: At<'_>) -> Running {
    Running::start_at(sandbox.binary(&format!("serve --scope read --listen {listen}")).stderr(Stdio::null()), at)
}

#[test]
#[ignore = "needs curl"]
fn five_minutes_to_a_guard() {
    let sandbox = Sandbox::new();
    let port = free_port();
    let script =
        block_with("sh", "five minutes").replace("keyward serve", &format!("keyward serve --listen 127.0.0.1:{port}"));
    let script = script.replace("127.0.0.1:9180", &format!("127.0.0.1:{port}")).replace("curl -i", "curl --silent -i");
    // A person reads between the lines.
    let script = script.replace(" &\n", " &\nuntil curl --silent http://127.0.0.1:PORT/healthz; do sleep 0.1; done\n");
    let output = shell(&sandbox, &format!("{}kill %1; wait %1", script.replace("PORT", &port.to_string())));
    assert_eq!(output.code, 0, "{output}");
    let lines: Vec<_> =
        output.stdout.lines().filter(|line| line.starts_with("HTTP/") || line.starts_with("x-keyward-name")).collect();
    assert_eq!(lines, ["HTTP/1.1 200 OK", "x-keyward-name: demo", "HTTP/1.1 401 Unauthorized"], "{output}");
}

#[test]
#[ignore = "needs nginx"]
fn nginx_asks_in_ten_lines() {
    let sandbox = Sandbox::new();
    let clients = Clients::new(&sandbox);
    let (asked, port, plain, service) = (free_port(), free_port(), free_port(), free_port());
    let lines = block("nginx");
    assert!(lines.lines().count() <= 10);
    let lines = lines.replace("127.0.0.1:9180", &format!("127.0.0.1:{asked}")).replace(":3000", &format!(":{service}"));
    // As if TLS ended here where the client says so, beside the recipe as it is; the service repeats what it is told.
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

/// The example is run by a test of its crate; this is its middle.
#[test]
fn axum_is_guarded_in_ten_lines() {
    const EXAMPLE: &str = include_str!("../../crates/keyward-http/examples/axum.rs");
    let block = block("rust").replace("\"/var/lib/keyward/keys.db\"", "store");
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
    let program = block("python");
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
    let program = block("js");
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
