//! The package under a systemd booted for the test: the units work as promised, with all their restrictions.
//!
//! `tests/run` makes a root with systemd, once. The test boots a copy of it in its own namespaces, cgroups included, so
//! that it shares nothing with the systemd of this machine.

use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::clean_root::{Root, as_root, build};
use super::configuration_in_force;
use crate::harness::{Output, finish};

/// Moves into its own cgroup, and from there into new namespaces of every other kind.
const OUTSIDE: &str = r#"
cgroups=$(findmnt -n -t cgroup2 -o TARGET | head -n 1)
mkdir "$cgroups/$2"
echo $$ >"$cgroups/$2/cgroup.procs"
echo "$$ $cgroups/$2" >"$1.place"
exec unshare --mount --pid --uts --ipc --net --cgroup --fork --kill-child sh -ec "$3" sh "$1""#;

/// Sets up what systemd expects in a container, and boots it.
const INSIDE: &str = r#"
mount --make-rprivate /
mount --bind "$1" "$1"
cd "$1"
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
for folder in run tmp dev; do mount -t tmpfs -o mode=755 tmpfs $folder; done
chmod 1777 tmp
mkdir dev/pts dev/shm
for device in null zero full random urandom tty; do touch dev/$device; mount --bind /dev/$device dev/$device; done
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mkdir .former
pivot_root . .former
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin /bin/sh -c \
    'umount -l /.former; exec /lib/systemd/systemd --system --unit=multi-user.target'"#;

/// The time limit for something that normally takes a second, such as the boot. Longer than that of `eventually`, because
/// other tests run at the same time.
const LONG: Duration = Duration::from_secs(60);

struct Booted {
    root: Root,
    process: Child,
    /// The id of the process whose end ends all others, and the cgroup.
    place: (String, PathBuf),
    init: String,
}

impl Booted {
    fn new() -> Self {
        let root = Root::copy_of("booted");
        let path = root.path("").display().to_string();
        let path = path.trim_end_matches('/');
        let cgroup = format!("keyward-test-{}", std::process::id());
        let mut command = as_root("sh");
        command.args(["-ec", OUTSIDE, "sh", path, &cgroup, INSIDE]);
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let read = |path: &str| std::fs::read_to_string(path).ok().filter(|text| text.contains(' '));
        let place = wait_for(|| read(&format!("{path}.place")));
        let (outer, cgroup) = place.trim_end().split_once(' ').unwrap();
        let init = wait_for(|| read(&format!("/proc/{outer}/task/{outer}/children")));
        let place = (outer.to_owned(), PathBuf::from(cgroup));
        let booted = Self { root, process, place, init: init.trim_end().to_owned() };
        // Before systemd runs, `systemctl` fails, or the root is not switched yet.
        wait_for(|| (booted.run("systemctl is-system-running").stdout == "running\n").then_some(()));
        booted
    }

    /// Runs a script as root next to that systemd.
    fn run(&self, script: &str) -> Output {
        let mut command = as_root("nsenter");
        command.args(["--target", &self.init, "--mount", "--pid", "--uts", "--ipc", "--net", "--cgroup", "--"]);
        command.args(["/usr/bin/env", "-i", "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"]);
        finish(command.args(["LC_ALL=C", "DEBIAN_FRONTEND=noninteractive", "sh", "-ec", script]))
    }

    fn sh(&self, script: &str) -> String {
        let output = self.run(script);
        assert_eq!(output.code, 0, "{script}: {output}\n{}", self.run("journalctl --no-pager -n 30").stdout);
        output.stdout
    }

    /// Runs keyward as an operator does with sudo.
    fn keyward(&self, line: &str) -> String {
        self.sh(&format!("setpriv --reuid=keyward --regid=keyward --init-groups --reset-env keyward {line}"))
    }

    /// Asks this many times, one after the other, and returns the statuses.
    fn ask(&self, policy: &str, secret: &str, times: usize) -> Vec<String> {
        // The secret is in no argument.
        let script = format!(
            "cat >/tmp/head <<'END'\nAuthorization: Bearer {secret}\nEND
            for number in $(seq {times}); do
                curl -sS -m 20 -o /dev/null -w '%{{http_code}}\\n' --unix-socket /run/keyward/guard.sock -H @/tmp/head \
                    -H 'X-Forwarded-Method: GET' -H 'X-Forwarded-Uri: /' -H 'X-Forwarded-Host: api.example.org' \
                    -H 'X-Forwarded-For: 203.0.113.9' -H 'X-Forwarded-Proto: https' http://guard/forward/{policy}
            done"
        );
        self.sh(&script).lines().map(str::to_owned).collect()
    }

    fn property(&self, name: &str) -> String {
        self.sh(&format!("systemctl show --property={name} --value keyward.service")).trim().to_owned()
    }
}

impl Drop for Booted {
    fn drop(&mut self) {
        let (outer, cgroup) = &self.place;
        let _ = as_root("kill").args(["-KILL", outer]).status();
        let _ = self.process.wait();
        for _ in 0..100 {
            let _ = as_root("find")
                .arg(cgroup)
                .args(["-depth", "-type", "d", "-exec", "rmdir", "{}", "+"])
                .stderr(Stdio::null())
                .status();
            if !cgroup.exists() {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

#[track_caller]
fn wait_for<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < LONG, "not within {LONG:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
#[ignore = "needs debootstrap, root and cgroup2"]
fn the_units_do_under_a_booted_systemd_what_they_promise() {
    let booted = Booted::new();
    let packages = tempfile::tempdir().unwrap();
    booted.root.bring(&build(packages.path()), "/keyward.deb");
    booted.sh("dpkg -i /keyward.deb");
    let secret = booted.keyward("create deploy --scope api").trim().to_owned();
    let ask = |policy: &str| booted.ask(policy, &secret, 1).concat();

    // Without a policy it does not start, and systemd does not retry.
    assert_ne!(booted.run("systemctl start keyward.service").code, 0);
    assert_eq!((booted.property("ExecMainStatus"), booted.property("NRestarts")), ("2".to_owned(), "0".to_owned()));
    booted.sh("systemctl reset-failed keyward.service keyward.socket");

    let configuration = configuration_in_force().replace("listen =", "#listen =").replace("admin =", "#admin =");
    booted.sh(&format!("cat >/etc/keyward/serve.toml <<'END'\n{configuration}END"));
    booted.sh("systemctl enable --now keyward.service");
    assert_eq!((ask("default").as_str(), booted.property("StatusText").as_str()), ("200", "listening at fd:guard"));
    booted.keyward("disable deploy");
    assert_eq!(ask("default"), "401", "at the next request");
    booted.keyward("enable deploy");

    // A new configuration is read on request; a broken one is rejected.
    let again = "systemctl kill --signal=HUP keyward.service";
    assert_eq!(ask("second"), "500");
    booted.sh(&format!("printf '[policy.second]\\n' >>/etc/keyward/serve.toml; {again}"));
    wait_for(|| (ask("second") == "200").then_some(()));
    booted.sh(&format!("cp /etc/keyward/serve.toml /tmp/good; echo nonsense >>/etc/keyward/serve.toml; {again}"));
    wait_for(|| booted.sh("journalctl -u keyward -o cat").contains("\"event\":\"reload\",\"message\":").then_some(()));
    assert_eq!(ask("second"), "200");
    wait_for(|| booted.property("StatusText").contains("the former configuration").then_some(()));
    booted.sh("cp /tmp/good /etc/keyward/serve.toml");

    // Killed, it comes back; restarted, it drops no request; stopped, its socket starts it.
    let killed = booted.property("MainPID");
    booted.sh(&format!("kill -KILL {killed}"));
    wait_for(|| (!["0", &killed].contains(&booted.property("MainPID").as_str())).then_some(()));
    assert_eq!((ask("default").as_str(), booted.property("NRestarts").as_str()), ("200", "1"));
    let told = std::thread::scope(|scope| {
        let client = scope.spawn(|| booted.ask("default", &secret, 100));
        booted.sh("systemctl restart keyward.service");
        client.join().unwrap()
    });
    assert_eq!(told, vec!["200"; 100]);
    booted.sh("systemctl stop keyward.service");
    assert_eq!((ask("default").as_str(), booted.property("ActiveState").as_str()), ("200", "active"));
    // An upgrade restarts it.
    let before = booted.property("MainPID");
    booted.sh("dpkg -i /keyward.deb");
    assert_ne!(booted.property("MainPID"), before);
    assert_eq!(ask("default"), "200");

    // The timer's unit fails while a key is about to expire, and the journal names the key.
    booted.sh("systemctl start keyward-expiring.service");
    booted.keyward("create soon --expires 3d");
    assert_ne!(booted.run("systemctl start keyward-expiring.service").code, 0);
    let told = booted.sh("journalctl -u keyward-expiring -o cat");
    assert!(told.lines().any(|line| line.starts_with("soon ") && line.ends_with("in 3 days")), "{told}");
    let journal = booted.sh("journalctl -o cat");
    assert!(!journal.contains(secret.rsplit('_').next().unwrap()), "a secret in the journal");

    booted.sh("dpkg -P keyward; test -s /var/lib/keyward/keys.db; test ! -e /run/keyward/guard.sock");
}
