//! `keyward serve` under load: compared with a server that does nothing, behind nginx, and while others guess.

mod ends;
pub(crate) mod load;
pub(crate) mod stub;

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use keyward_core::rules::token::{Id, Secret};

use crate::KEYWARD;
use crate::measure::median;
use crate::report::{Bound, Report};
use crate::stores::Stores;
use load::{Load, Server, load};

/// How long each load lasts.
const SECONDS: u32 = 4;
const ROUNDS: usize = 3;
/// How many keys a large store has.
const MANY: usize = 10_000;

/// Measures the guard.
pub(crate) fn measure(stores: &Stores, report: &mut Report) -> Result<()> {
    let scene = Scene { folder: stores.folder.join("serve") };
    std::fs::create_dir_all(&scene.folder)?;
    scene.beside_a_stub(stores, report)?;
    scene.with_a_limit(stores, report)?;
    scene.many_keys(report)?;
    scene.behind_nginx(stores, report)?;
    scene.beside_guessers(stores, report)?;
    scene.large_store(stores, report)?;
    scene.ended(stores, report)?;
    scene.revoked(stores, report)
}

pub(crate) struct Scene {
    pub(crate) folder: PathBuf,
}

/// An address that nothing listens on.
pub(crate) fn free() -> Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

pub(crate) fn answers(address: &str) -> bool {
    TcpStream::connect(address).is_ok()
}

fn guard(store: &str, address: &str) -> Result<Server> {
    let mut command = Command::new(KEYWARD);
    command.args(["--store", store, "serve", "--listen", address]);
    Server::start(&mut command, || answers(address))
}

impl Scene {
    /// A wrk script that presents these secrets in turn, as Caddy would.
    fn script(&self, name: &str, secrets: &[&str]) -> Result<PathBuf> {
        let mut text = "local secrets = {\n".to_owned();
        for secret in secrets {
            writeln!(text, "  \"{secret}\",")?;
        }
        text.push_str(
            "}\nlocal requests, last = {}, 0\n\
             for place, secret in ipairs(secrets) do\n\
             \x20 requests[place] = wrk.format(\"GET\", nil, {\n\
             \x20   [\"Host\"] = \"api.example.org\", [\"X-Api-Key\"] = secret,\n\
             \x20   [\"X-Forwarded-Method\"] = \"GET\", [\"X-Forwarded-Uri\"] = \"/orders?page=2\",\n\
             \x20   [\"X-Forwarded-Host\"] = \"api.example.org\", [\"X-Forwarded-Proto\"] = \"https\",\n\
             \x20   [\"X-Forwarded-For\"] = \"203.0.113.9\",\n\
             \x20 })\nend\n\
             function request()\n  last = last % #requests + 1\n  return requests[last]\nend\n",
        );
        let path = self.folder.join(format!("{name}.lua"));
        std::fs::write(&path, text)?;
        Ok(path)
    }

    pub(crate) fn one_key(&self, secret: &Path) -> Result<PathBuf> {
        self.script("one", &[std::fs::read_to_string(secret)?.trim()])
    }

    fn beside_a_stub(&self, stores: &Stores, report: &mut Report) -> Result<()> {
        let what = "`serve`: decisions of one warm key";
        if !report.wants(what) {
            return Ok(());
        }
        let script = self.one_key(&stores.secret(0))?;
        let (guarded, empty) = (free()?, free()?);
        let guard = guard(&stores.store(0), &guarded)?;
        let stub = Server::start(Command::new(std::env::current_exe()?).args(["--stub", &empty]), || answers(&empty))?;
        let url = |address: &str| format!("http://{address}/forward/default");
        load(&url(&guarded), &script, 1, &[&guard])?;
        let (mut ours, mut theirs) = (vec![], vec![]);
        for _ in 0..ROUNDS {
            ours.push(load(&url(&guarded), &script, SECONDS, &[&guard])?);
            theirs.push(load(&url(&empty), &script, SECONDS, &[&stub])?);
        }
        report.row(what, rate(&ours), " a second", Bound::Least(40_000.0), "wrk with 32 connections beside it");
        let (ours, theirs) = (cpu(&ours), cpu(&theirs));
        let how = format!("{ours:.1} µs : {theirs:.1} µs of processor time");
        report.row("a decision : an answer of a trivial hyper server", ours / theirs, "", Bound::Most(3.0), &how);
        Ok(())
    }

    /// The same key in two stores, in one of them with a limit that is never reached.
    fn with_a_limit(&self, stores: &Stores, report: &mut Report) -> Result<()> {
        let what = "`serve`: a key with a limit : one without";
        if !report.wants(what) {
            return Ok(());
        }
        let script = self.one_key(&stores.secret(0))?;
        let store = stores.limited(&self.folder.join("limited.db"))?;
        let (limited, plain) = (free()?, free()?);
        let guards = [guard(&store, &limited)?, guard(&stores.store(0), &plain)?];
        let url = |address: &str| format!("http://{address}/forward/default");
        let (mut ours, mut theirs) = (vec![], vec![]);
        for seconds in [1, SECONDS, SECONDS, SECONDS] {
            let with = load(&url(&limited), &script, seconds, &[&guards[0]])?;
            let without = load(&url(&plain), &script, seconds, &[&guards[1]])?;
            // The first run only warms both up.
            if seconds == SECONDS {
                ours.push(with);
                theirs.push(without);
            }
        }
        let (ours, theirs) = (rate(&ours), rate(&theirs));
        report.row(what, ours / theirs, "", Bound::Least(0.85), &format!("{ours:.0} : {theirs:.0} a second"));
        Ok(())
    }

    fn many_keys(&self, report: &mut Report) -> Result<()> {
        let what = "`serve`: 10,000 different warm keys : one";
        if !report.wants(what) {
            return Ok(());
        }
        let (store, secrets) = self.store_of_many()?;
        let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
        let (many, one) = (self.script("many", &secrets)?, self.script("first", &secrets[..1])?);
        let address = free()?;
        let guard = guard(&store, &address)?;
        let url = format!("http://{address}/forward/default");
        load(&url, &many, SECONDS, &[&guard])?;
        let (mut ours, mut theirs) = (vec![], vec![]);
        for _ in 0..ROUNDS {
            ours.push(load(&url, &many, SECONDS, &[&guard])?);
            theirs.push(load(&url, &one, SECONDS, &[&guard])?);
        }
        let (ours, theirs) = (rate(&ours), rate(&theirs));
        report.row(what, ours / theirs, "", Bound::Least(0.8), &format!("{ours:.0} : {theirs:.0} a second"));
        Ok(())
    }

    /// A store of many keys with cheap hashes, and their secrets.
    fn store_of_many(&self) -> Result<(String, Vec<String>)> {
        let (store, secrets) = (self.folder.join("many.db"), self.folder.join("secrets"));
        let path = store.display().to_string();
        if !secrets.exists() {
            let manifest = self.folder.join("many.toml");
            let keys =
                (0..MANY).map(|number| format!("[[key]]\nname = \"k{number:05}\"\n")).collect::<Vec<_>>().concat();
            std::fs::write(&manifest, keys)?;
            keyward(&path, &["create", "first", "--json"])?;
            keyward(&path, &["settings", "set", "hash-parameters", "m=1024,t=1,p=1"])?;
            let (manifest, folder) = (manifest.display().to_string(), secrets.display().to_string());
            keyward(&path, &["apply", &manifest, "--secrets-dir", &folder, "--yes", "--quiet"])?;
        }
        let secret = |number| Ok(std::fs::read_to_string(secrets.join(format!("k{number:05}")))?.trim().to_owned());
        Ok((path, (0..MANY).map(secret).collect::<Result<_>>()?))
    }

    fn beside_guessers(&self, stores: &Stores, report: &mut Report) -> Result<()> {
        let what = "`serve`: cached decisions beside 100 forged credentials a second : without them";
        if !report.wants(what) {
            return Ok(());
        }
        let script = self.one_key(&stores.secret(0))?;
        let address = free()?;
        let guard = guard(&stores.store(0), &address)?;
        let url = format!("http://{address}/forward/default");
        load(&url, &script, 1, &[&guard])?;
        let (mut ours, mut theirs) = (vec![], vec![]);
        for round in 0..ROUNDS {
            theirs.push(load(&url, &script, SECONDS, &[&guard])?);
            let stop = AtomicBool::new(false);
            ours.push(thread::scope(|scope| {
                let guessers = scope.spawn(|| guess(&address, round as u64, &stop));
                let ours = load(&url, &script, SECONDS, &[&guard]);
                stop.store(true, Ordering::Relaxed);
                guessers.join().map_err(|_| anyhow::anyhow!("the guessers panicked"))??;
                ours
            })?);
        }
        let how = format!("{:.0} : {:.0} a second", rate(&ours), rate(&theirs));
        report.row(what, rate(&ours) / rate(&theirs), "", Bound::Least(0.4), &how);
        let p99 = |loads: &[Load]| median(loads.iter().map(|load| load.p99).collect());
        let (ours, theirs) = (p99(&ours), p99(&theirs));
        let how = format!("{ours:.2} ms : {theirs:.2} ms");
        report.row("the time within which 99 of 100 are answered", ours / theirs, "", Bound::Most(5.0), &how);
        Ok(())
    }

    fn large_store(&self, stores: &Stores, report: &mut Report) -> Result<()> {
        let what = "`serve`: 1,000,000 keys in the store : 10 keys";
        if !report.wants(what) {
            return Ok(());
        }
        let (mut rates, mut memory) = ([vec![], vec![]], 0.0);
        for _ in 0..ROUNDS {
            for (place, loads) in [2, 0].into_iter().zip(&mut rates) {
                let script = self.one_key(&stores.secret(place))?;
                let address = free()?;
                let guard = guard(&stores.store(place), &address)?;
                let url = format!("http://{address}/forward/default");
                load(&url, &script, 1, &[&guard])?;
                loads.push(load(&url, &script, SECONDS, &[&guard])?);
                if place == 2 {
                    memory = guard.memory()?.max(memory);
                }
            }
        }
        let [large, small] = rates.map(|loads| rate(&loads));
        report.row(what, large / small, "", Bound::Least(0.9), &format!("{large:.0} : {small:.0} a second"));
        report.row("its memory with 1,000,000 keys", memory, " MiB", Bound::Most(64.0), "VmRSS under load");
        Ok(())
    }

    fn behind_nginx(&self, stores: &Stores, report: &mut Report) -> Result<()> {
        let what = "`serve` behind nginx : nginx alone";
        if !report.wants(what) {
            return Ok(());
        }
        let script = self.one_key(&stores.secret(0))?;
        let socket = self.folder.join("guard.sock").display().to_string();
        let listen = format!("unix:{socket}");
        let mut command = Command::new(KEYWARD);
        command.args(["--store", &stores.store(0), "serve", "--listen", &listen]);
        let guard = Server::start(&mut command, || std::os::unix::net::UnixStream::connect(&socket).is_ok())?;
        let (guarded, bare, service) = (free()?, free()?, free()?);
        let example = Command::new(KEYWARD).args(["serve", "example", "nginx", "--listen", &listen]).output()?;
        let example = String::from_utf8(example.stdout)?
            .replace("listen 80;", &format!("listen {guarded};"))
            .replace("127.0.0.1:3000", &service)
            // There is no TLS here, and the key requires it.
            .replace("X-Forwarded-Proto $scheme", "X-Forwarded-Proto https");
        let nginx = self.nginx("guarded", &example, &guarded)?;
        let alone = format!(
            "upstream service {{ server {service}; keepalive 32; }}\nserver {{ listen {bare}; location / {{ proxy_pass \
             http://service; proxy_http_version 1.1; proxy_set_header Connection \"\"; }} }}\n"
        );
        let alone = self.nginx("alone", &alone, &bare)?;
        let stub =
            Server::start(Command::new(std::env::current_exe()?).args(["--stub", &service]), || answers(&service))?;
        let (mut ours, mut theirs) = (vec![], vec![]);
        load(&format!("http://{guarded}/"), &script, 1, &[&nginx])?;
        for _ in 0..ROUNDS {
            ours.push(load(&format!("http://{guarded}/"), &script, SECONDS, &[&nginx, &guard])?);
            theirs.push(load(&format!("http://{bare}/"), &script, SECONDS, &[&alone])?);
        }
        drop(stub);
        let (ours, theirs) = (cpu(&ours), cpu(&theirs));
        let how = format!("{ours:.1} µs of nginx and guard : {theirs:.1} µs of nginx");
        report.row(what, ours / theirs, "", Bound::Most(6.0), &how);
        Ok(())
    }

    fn nginx(&self, name: &str, sites: &str, address: &str) -> Result<Server> {
        let folder = self.folder.join(name);
        std::fs::create_dir_all(&folder)?;
        let config = folder.join("nginx.conf");
        let place = folder.display();
        // Started by root, nginx would run its workers as a user who may not open the guard's socket.
        let user = if rustix::process::geteuid().is_root() { "user root;\n" } else { "" };
        std::fs::write(
            &config,
            format!(
                "daemon off;\n{user}worker_processes 1;\npid {place}/pid;\nerror_log {place}/error.log;\nevents {{}}\nhttp {{\n\
                 access_log off;\nclient_body_temp_path {place}/body;\nproxy_temp_path {place}/proxy;\n\
                 fastcgi_temp_path {place}/fastcgi;\nuwsgi_temp_path {place}/uwsgi;\nscgi_temp_path {place}/scgi;\n{sites}}}\n"
            ),
        )?;
        Server::start(Command::new("nginx").arg("-c").arg(&config).arg("-p").arg(&folder), || answers(address))
    }
}

fn rate(loads: &[Load]) -> f64 {
    median(loads.iter().map(|load| load.rate).collect())
}

fn cpu(loads: &[Load]) -> f64 {
    median(loads.iter().map(|load| load.cpu).collect())
}

fn keyward(store: &str, words: &[&str]) -> Result<()> {
    let output = Command::new(KEYWARD).args(["--store", store]).args(words).output()?;
    if !output.status.success() {
        bail!("{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// Presents a hundred different forged credentials a second, each from another address.
fn guess(address: &str, round: u64, stop: &AtomicBool) -> Result<()> {
    let start = Instant::now();
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    for number in 0_u64.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let id = Id::from_random((round << 32 | number).to_be_bytes());
        let secret = Secret::build(&"kw".parse()?, id, &[7; 32]);
        let [.., a, b] = number.to_be_bytes();
        write!(
            stream,
            "GET /forward/default HTTP/1.1\r\nHost: x\r\nX-Api-Key: {}\r\nX-Forwarded-For: 198.{round}.{a}.{b}\r\n\r\n",
            secret.expose()
        )?;
        // The answers do not matter, but are read so that more can be asked.
        stream.set_nonblocking(true)?;
        let mut answers = [0; 4_096];
        let _ = stream.read(&mut answers);
        stream.set_nonblocking(false)?;
        let next = start + Duration::from_millis(10 * (number + 1));
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    stream.flush().context("the guard is gone")
}
