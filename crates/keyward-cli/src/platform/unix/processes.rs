//! This process, and the ones that it starts.

use std::io::{self, PipeReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;
use rustix::process::{Pid, Signal, getpid, kill_process};

/// Prevents core dumps of this process, whatever the limits are, and keeps other processes of the same user from
/// reading its memory. If the system cannot do that, at least the limit for core dumps is set to zero.
pub fn keep_memory_private() {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    #[cfg(not(target_os = "linux"))]
    let _ = rustix::process::setrlimit(
        rustix::process::Resource::Core,
        rustix::process::Rlimit { current: Some(0), maximum: Some(0) },
    );
}

/// From now on, the end of the terminal does not end this process.
pub fn leave_terminal() {
    let _ = rustix::process::setsid();
}

/// A process that this one has started.
#[derive(Debug, Clone, Copy)]
pub struct Process(Pid);

impl Process {
    /// The process of this child.
    pub fn of(child: &Child) -> Self {
        Self(Pid::from_child(child))
    }

    /// Asks it and everything that it started to end (`at_once`: kills them): the shell that runs a command may be
    /// waiting for it, and could end without it. They stay in keyward's process group, because only that group may use
    /// the terminal. If the system does not list a process's children, only the process itself is asked.
    pub fn end(self, at_once: bool) {
        for child in self.children() {
            child.end(at_once);
        }
        let _ = kill_process(self.0, if at_once { Signal::KILL } else { Signal::TERM });
    }

    /// Its children, as listed by Linux.
    fn children(self) -> Vec<Self> {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.0.as_raw_nonzero()));
        let lists = threads.into_iter().flatten().flatten();
        let lists = lists.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
        let pids =
            lists.flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<i32>>());
        pids.filter_map(Pid::from_raw).map(Self).collect()
    }
}

/// The signal that ended the process, if one did.
pub fn ending_signal(status: ExitStatus) -> Option<i32> {
    std::os::unix::process::ExitStatusExt::signal(&status)
}

/// A shell command line as a person writes it.
pub fn shell(line: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", line]);
    shell
}

/// A command with arguments, as a person writes it for the shell, with `file` added as the last argument.
pub fn shell_with_file(line: &str, file: &Path) -> Command {
    let mut shell = shell(&format!("exec {line} \"$1\""));
    shell.arg("sh").arg(file);
    shell
}

/// How many unread bytes are in the pipe.
///
/// # Errors
/// If the system refuses.
pub fn unread(pipe: &PipeReader) -> io::Result<u64> {
    Ok(rustix::io::ioctl_fionread(pipe)?)
}

/// Whether there is input, or its end, within this time.
///
/// # Errors
/// If the system refuses.
pub fn has_input(stream: &ChildStdout, within: Duration) -> io::Result<bool> {
    let within = Timespec::try_from(within).map_err(io::Error::other)?;
    let ready = retry_on_intr(|| poll(&mut [PollFd::new(stream, PollFlags::IN)], Some(&within)))?;
    Ok(ready > 0)
}

/// Does what Ctrl-Z does, when its key sends no signal: the shell takes over until this program is resumed.
pub fn stop_this_process() {
    let _ = kill_process(getpid(), Signal::TSTP);
}
