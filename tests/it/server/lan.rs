//! Machines in a network of their own: network namespaces (ip-netns(8)), joined by a bridge.
//!
//! Servers are in the hub, at [`SERVER`]; the hosts are around it, and each can be cut off.

use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::harness::words;

/// Where a server listens: an address of the hub.
pub const SERVER: &str = "198.18.0.1";

/// Machines, which are removed when it is dropped.
pub struct Lan {
    hub: String,
    pub hosts: Vec<Host>,
}

/// A machine.
pub struct Host {
    /// Its network namespace.
    pub name: String,
    hub: String,
    /// The hub's end of its cable.
    cable: String,
}

impl Lan {
    /// Makes a hub with this many hosts.
    pub fn new(hosts: u32) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        assert!(rustix::process::geteuid().is_root(), "only root can make network namespaces");
        sweep();
        let own = format!("kw{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let mut lan = Self { hub: format!("{own}-hub"), hosts: vec![] };
        let hub = &lan.hub;
        ip(&format!("netns add {hub}"));
        ip(&format!("-n {hub} link set lo up"));
        ip(&format!("-n {hub} link add lan type bridge"));
        ip(&format!("-n {hub} address add {SERVER}/24 dev lan"));
        ip(&format!("-n {hub} link set lan up"));
        for number in 1..=hosts {
            let host = Host { name: format!("{own}-{number}"), hub: hub.clone(), cable: format!("to{number}") };
            ip(&format!("netns add {}", host.name));
            // From here on, it is removed with the `Lan`.
            let Host { name, hub, cable } = &host;
            ip(&format!("-n {name} link set lo up"));
            ip(&format!("-n {hub} link add {cable} type veth peer name eth0 netns {name}"));
            ip(&format!("-n {hub} link set {cable} master lan up"));
            ip(&format!("-n {name} address add 198.18.0.{}/24 dev eth0", 10 + number));
            ip(&format!("-n {name} link set eth0 up"));
            lan.hosts.push(host);
        }
        lan
    }

    /// The network namespace of the servers.
    pub fn hub(&self) -> &str {
        &self.hub
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        for name in self.hosts.iter().map(|host| &host.name).chain([&self.hub]) {
            let _ = Command::new("ip").args(["netns", "delete", name]).status();
        }
    }
}

impl Host {
    /// Runs a program on this machine, with an empty environment. The started process becomes the program.
    pub fn run(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command
    }

    /// Unplugs its cable: the machine sees that the link is down.
    pub fn cut(&self) {
        ip(&format!("-n {} link set {} down", self.hub, self.cable));
    }

    /// Plugs it in again.
    pub fn join(&self) {
        ip(&format!("-n {} link set {} up", self.hub, self.cable));
    }

    /// Sends everything for the server to a machine that does not exist: it is lost without an error.
    pub fn lose(&self) {
        ip(&format!("-n {} neigh replace {SERVER} lladdr 02:00:00:00:00:01 dev eth0 nud permanent", self.name));
    }

    /// Finds the server again.
    pub fn find(&self) {
        ip(&format!("-n {} neigh delete {SERVER} dev eth0", self.name));
    }
}

/// Runs `ip`, which must succeed.
fn ip(line: &str) {
    let output = Command::new("ip").args(words(line)).output().unwrap_or_else(|error| panic!("ip: {error}"));
    assert!(output.status.success(), "ip {line}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Removes what killed tests left behind.
fn sweep() {
    for entry in fs::read_dir("/run/netns").into_iter().flatten().flatten() {
        let name = entry.file_name().into_string().unwrap_or_default();
        let process = name.strip_prefix("kw").and_then(|rest| rest.split('-').next());
        let process = process.and_then(|number| number.parse::<u32>().ok());
        if process.is_some_and(|process| !fs::exists(format!("/proc/{process}")).unwrap_or(true)) {
            let _ = Command::new("ip").args(["netns", "delete", &name]).status();
        }
    }
}
