//! Names for the processes of this machine, by which another process can tell whether they still run.
//!
//! A number is not enough: numbers are reused, and differ inside a container. So a name holds the time when the machine
//! was started, the namespace of the number, the number, and when the process was started. Nothing is known about a
//! name from another machine or namespace.

use std::fs;
use std::io::ErrorKind;

/// The name of this process; empty if the system does not report one.
pub(crate) fn own_name() -> String {
    let start = || Some((machine()?, start_of("self")?));
    start().map(|(machine, start)| format!("{machine}/{}/{start}", std::process::id())).unwrap_or_default()
}

/// Whether the process of this name has certainly ended. If that cannot be known, it has not.
pub(crate) fn has_ended(name: &str) -> bool {
    let process = machine().and_then(|machine| name.strip_prefix(&machine)?.strip_prefix('/'));
    let Some((number, start)) = process.and_then(|process| process.split_once('/')) else { return false };
    match fs::read_to_string(format!("/proc/{number}/stat")) {
        Ok(text) => fields(&text).is_some_and(|(state, since)| since != start || "ZX".contains(state)),
        Err(error) => error.kind() == ErrorKind::NotFound,
    }
}

/// Whether a process with this number runs here. If the system does not say, it does.
pub(crate) fn is_running(number: u32) -> bool {
    !fs::exists("/proc/self").unwrap_or(false) || fs::exists(format!("/proc/{number}")).unwrap_or(true)
}

/// This start of this machine, and this namespace of process numbers.
fn machine() -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{}/{}", boot.trim_end(), namespace.display()))
}

/// When a process was started, in ticks since the machine started.
fn start_of(process: &str) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    fields(&stat).map(|(_, start)| start.to_owned())
}

/// The state of a process and its start time, from proc_pid_stat(5). The name of its program, which stands in
/// parentheses before them, may hold anything.
fn fields(stat: &str) -> Option<(&str, &str)> {
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    Some((fields.next()?, fields.nth(18)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_there_until_it_has_ended() {
        let own = own_name();
        assert!(own.is_empty() || !has_ended(&own), "{own}");
        if cfg!(target_os = "linux") {
            let (machine, id) = (machine().unwrap(), std::process::id());
            assert!(has_ended(&format!("{machine}/{id}/1")), "another process had this number");
            assert!(has_ended(&format!("{machine}/4194305/1")), "no process has a number that large");
            for unknown in ["", "x", "other/machine/1/1", &machine, &format!("{machine}/{id}")] {
                assert!(!has_ended(unknown), "{unknown}");
            }
        }
    }

    #[test]
    fn the_name_of_a_program_moves_no_field() {
        let stat = "7 (a) b) c) S 1 7 7 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 12345 99";
        assert_eq!(fields(stat), Some(("S", "12345")));
        assert_eq!(fields("7 (x) S 1"), None);
    }
}
