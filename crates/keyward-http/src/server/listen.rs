//! Listening sockets: opening them, taking them from systemd, and removing them.
//!
//! What may break: two guards at one path. A socket on which a program answers is never replaced; one without an answer
//! is left over from a killed process, and is replaced. At the end, only our own socket is removed.

use std::io;
use std::net::TcpListener;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, chown};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::config::Address;

/// The most connections waiting to be accepted.
const BACKLOG: i32 = 1_024;

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another program listens there.
    #[error("another program listens at {0}")]
    InUse(Address),
    /// Something other than a socket is at its path.
    #[error("at {0} is something else than a socket")]
    NoSocket(Address),
    /// Others can replace the socket with their own.
    #[error("anybody can put another socket in the place of {0}, because anybody can write to its folder")]
    Insecure(Address),
    /// It was handed over, but can be reached from elsewhere.
    #[error("{0} can be reached from other machines, and no peer is trusted")]
    Untrusted(String),
    /// There is no group with this name.
    #[error("there is no group {0}")]
    NoGroup(String),
    /// systemd has handed over no socket with this name.
    #[error("systemd has handed over no socket with FileDescriptorName={0}")]
    NotInherited(String),
    /// The system refuses.
    #[error("{address} cannot be listened at: {source}")]
    System {
        /// The address.
        address: Address,
        /// Why.
        source: io::Error,
    },
}

/// A listening socket.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpListener),
    /// The place is kept because dropping it removes the socket.
    Unix(UnixListener, #[expect(dead_code, reason = "its end removes the socket")] Option<Place>),
}

/// The place of our own socket in the file system, which is removed when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    id: (u64, u64),
}

impl Drop for Place {
    fn drop(&mut self) {
        if id_of(&self.path).ok() == Some(self.id) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn id_of(path: &Path) -> io::Result<(u64, u64)> {
    let found = std::fs::symlink_metadata(path)?;
    Ok((found.dev(), found.ino()))
}

/// The sockets that systemd has handed over, by their names.
pub(super) struct Inherited(Vec<(String, Socket)>);

impl Inherited {
    /// Takes them over; `names` is `LISTEN_FDNAMES`.
    pub(super) fn take(names: Option<&str>) -> Self {
        let mut given = listenfd::ListenFd::from_env();
        // A name for each, in order (sd_listen_fds_with_names(3)).
        let names: Vec<_> = names.unwrap_or_default().split(':').collect();
        let mut sockets = vec![];
        for place in 0..given.len() {
            let name = names.get(place).copied().filter(|name| !name.is_empty()).unwrap_or("unknown").to_owned();
            if let Ok(Some(socket)) = given.take_unix_listener(place) {
                sockets.push((name, Socket::Unix(socket, None)));
            } else if let Ok(Some(socket)) = given.take_tcp_listener(place) {
                sockets.push((name, Socket::Tcp(socket)));
            }
        }
        Self(sockets)
    }

    fn give(&mut self, name: &str) -> Option<Socket> {
        let place = self.0.iter().position(|(own, _)| own == name)?;
        Some(self.0.swap_remove(place).1)
    }

    /// The names of those that nothing listens on.
    pub(super) fn unused(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// Takes one back that is no longer used.
    pub(super) fn take_back(&mut self, name: String, socket: Socket) {
        self.0.push((name, socket));
    }
}

impl Socket {
    /// Listens on an address.
    pub(super) fn open(address: &Address, inherited: &mut Inherited) -> Result<Self, ListenError> {
        let system = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => ListenError::InUse(address.clone()),
            _ => ListenError::System { address: address.clone(), source },
        };
        let socket = match address {
            Address::Inherited(name) => inherited.give(name).ok_or_else(|| ListenError::NotInherited(name.clone()))?,
            Address::Tcp(place) => {
                let socket = TcpListener::bind(place).map_err(system)?;
                // More than the standard library requests: after a restart, all proxies connect at once.
                rustix::net::listen(&socket, BACKLOG).map_err(|error| system(error.into()))?;
                Self::Tcp(socket)
            }
            Address::Unix { path, mode, group } => {
                check_folder(address, path)?;
                make_room(address, path)?;
                let group = group.as_deref().map(group_id).transpose()?;
                Self::bind(path, *mode, group).map_err(system)?
            }
        };
        match &socket {
            Self::Tcp(socket) => socket.set_nonblocking(true),
            Self::Unix(socket, _) => socket.set_nonblocking(true),
        }
        .map_err(system)?;
        Ok(socket)
    }

    /// No one can connect before the socket is listening, so its permissions are right by then.
    fn bind(path: &Path, mode: u32, group: Option<u32>) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
        let place = Place { path: path.to_owned(), id: id_of(path)? };
        rustix::fs::chmod(path, Mode::from_raw_mode(mode))?;
        if group.is_some() {
            chown(path, None, group)?;
        }
        rustix::net::listen(&socket, BACKLOG)?;
        // Another guard that started at the same time may have taken it for an abandoned one.
        if id_of(path).ok() != Some(place.id) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        Ok(Self::Unix(UnixListener::from(socket), Some(place)))
    }

    /// The same socket, for another thread.
    pub(super) fn try_clone(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(socket) => Self::Tcp(socket.try_clone()?),
            Self::Unix(socket, _) => Self::Unix(socket.try_clone()?, None),
        })
    }

    /// The address from the system: with the chosen port, if none was named.
    pub(super) fn shown(&self, address: &Address) -> String {
        match self {
            Self::Tcp(socket) => socket.local_addr().map_or_else(|_| address.to_string(), |local| local.to_string()),
            Self::Unix(..) => address.to_string(),
        }
    }

    /// Whether only programs on this machine can reach it.
    pub(super) fn is_local(&self) -> bool {
        match self {
            Self::Tcp(socket) => socket.local_addr().is_ok_and(|local| local.ip().to_canonical().is_loopback()),
            Self::Unix(..) => true,
        }
    }

    /// Gives the socket at the path of `present` the permissions of `wanted`, which has the same path.
    pub(super) fn permit(present: &Address, wanted: &Address) -> Result<(), ListenError> {
        let Address::Unix { path, mode, group } = wanted else { return Ok(()) };
        let system = |source: io::Error| ListenError::System { address: wanted.clone(), source };
        let group = match (group, present) {
            (Some(name), _) => Some(group_id(name)?),
            // It had another group, and must get the group of the process again.
            (None, Address::Unix { group: Some(_), .. }) => Some(rustix::process::getegid().as_raw()),
            (None, _) => None,
        };
        if group.is_some() {
            chown(path, None, group).map_err(system)?;
        }
        rustix::fs::chmod(path, Mode::from_raw_mode(*mode)).map_err(|error| system(error.into()))
    }
}

/// Checks that no other user can put a socket into the folder.
fn check_folder(address: &Address, path: &Path) -> Result<(), ListenError> {
    const OTHERS_WRITE: u32 = 0o002;
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    match std::fs::metadata(folder) {
        Ok(found) if found.mode() & OTHERS_WRITE != 0 => Err(ListenError::Insecure(address.clone())),
        Ok(_) => Ok(()),
        Err(source) => Err(ListenError::System { address: address.clone(), source }),
    }
}

/// Removes a socket on which no program answers.
fn make_room(address: &Address, path: &Path) -> Result<(), ListenError> {
    let Ok(found) = std::fs::symlink_metadata(path) else { return Ok(()) };
    if !found.file_type().is_socket() {
        return Err(ListenError::NoSocket(address.clone()));
    }
    match knock(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(|source| ListenError::System { address: address.clone(), source })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        _ => Err(ListenError::InUse(address.clone())),
    }
}

/// Connects without waiting: a program that listens but accepts no connections counts too.
fn knock(path: &Path) -> io::Result<()> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    Ok(rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?)
}

/// The number of a group, as the system's directory of users knows it.
fn group_id(name: &str) -> Result<u32, ListenError> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    match nix::unistd::Group::from_name(name) {
        Ok(Some(group)) => Ok(group.gid.as_raw()),
        _ => Err(ListenError::NoGroup(name.to_owned())),
    }
}
