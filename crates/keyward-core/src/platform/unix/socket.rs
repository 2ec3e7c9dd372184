//! TCP and Unix sockets to a server. No call waits except [`Socket::wait`], which takes a time limit.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, sockopt};

/// How long a server may leave data unacknowledged before the connection counts as cut.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED: Duration = Duration::from_secs(3);
/// TCP keepalive: after how long a silence the system probes the other side, how long it waits between probes, and how
/// many it sends.
const QUIET: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_secs(2);
const QUESTIONS: u32 = 3;

/// A connection to a server.
#[derive(Debug)]
pub(crate) enum Socket {
    /// By address.
    Tcp(TcpStream),
    /// By a path on this machine.
    Local(UnixStream),
}

impl Socket {
    /// Connects to the address, within this time.
    pub(crate) fn connect(address: SocketAddr, within: Duration) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, within)?;
        stream.set_nodelay(true)?;
        sockopt::set_socket_keepalive(&stream, true)?;
        // OpenBSD has these only as system-wide settings.
        #[cfg(not(target_os = "openbsd"))]
        {
            sockopt::set_tcp_keepidle(&stream, QUIET)?;
            sockopt::set_tcp_keepintvl(&stream, PAUSE)?;
            sockopt::set_tcp_keepcnt(&stream, QUESTIONS)?;
        }
        // Keepalives are not sent while data is unacknowledged. Other systems give up later.
        #[cfg(target_os = "linux")]
        sockopt::set_tcp_user_timeout(&stream, UNACKNOWLEDGED.as_millis() as u32)?;
        stream.set_nonblocking(true)?;
        Ok(Self::Tcp(stream))
    }

    /// Connects to the socket at this path at once.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if the queue of the server is full: try again.
    pub(crate) fn connect_local(path: &Path) -> io::Result<Self> {
        let address = SocketAddrUnix::new(path)?;
        #[cfg(target_os = "linux")]
        let socket =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, rustix::net::SocketFlags::CLOEXEC, None)?;
        #[cfg(not(target_os = "linux"))]
        let socket = {
            let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
            rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
            socket
        };
        rustix::io::ioctl_fionbio(&socket, true)?;
        rustix::net::connect(&socket, &address)?;
        Ok(Self::Local(UnixStream::from(socket)))
    }

    /// Reads what has arrived.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if nothing has.
    pub(crate) fn read(&self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => (&mut &*stream).read(bytes),
            Self::Local(stream) => (&mut &*stream).read(bytes),
        }
    }

    /// Writes as much as there is room for.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if the queue of the socket is full.
    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => (&mut &*stream).write(bytes),
            Self::Local(stream) => (&mut &*stream).write(bytes),
        }
    }

    /// Waits until something can be read or, with `for_room`, until there is room to write; at most `most`. It may end
    /// early.
    pub(crate) fn wait(&self, for_room: bool, most: Duration) -> io::Result<()> {
        let what = if for_room { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
        let most = Timespec::try_from(most).map_err(io::Error::other)?;
        match poll(&mut [PollFd::from_borrowed_fd(self.as_fd(), what)], Some(&most)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Local(stream) => stream.as_fd(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_connection_that_is_cut_is_noticed() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = Socket::connect(listener.local_addr().unwrap(), Duration::from_secs(1)).unwrap();
        assert!(sockopt::socket_keepalive(&socket).unwrap());
        assert_eq!(sockopt::tcp_keepidle(&socket).unwrap(), QUIET);
        #[cfg(target_os = "linux")]
        assert_eq!(sockopt::tcp_user_timeout(&socket).unwrap(), 3000);
        // Nothing can be read yet, and the call does not wait for it.
        assert_eq!(socket.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        socket.wait(false, Duration::from_millis(1)).unwrap();
    }

    #[test]
    fn a_server_that_lets_nobody_in_does_not_keep_us_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let mut waiting = vec![];
        let full = loop {
            match Socket::connect_local(&path) {
                Ok(socket) => waiting.push(socket),
                Err(error) => break error,
            }
        };
        assert!(full.kind() == io::ErrorKind::WouldBlock && !waiting.is_empty());
        drop(listener);
        assert_eq!(Socket::connect_local(&path).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }
}
