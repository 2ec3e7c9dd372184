//! Where the guard listens.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use keyward_core::rules::names::InvalidText;

/// An address to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A socket in the file system.
    Unix {
        /// Its path.
        path: PathBuf,
        /// Its permissions: who may connect.
        mode: u32,
        /// The name of its group, if it is not the group of the process.
        group: Option<String>,
    },
    /// A port.
    Tcp(SocketAddr),
    /// A socket of this name that systemd hands over.
    Inherited(String),
}

/// The permissions of a socket by default: its user and its group.
const MODE: u32 = 0o660;

impl Address {
    /// Whether only programs on this machine can reach it.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Unix { .. } | Self::Inherited(_) => true,
            Self::Tcp(address) => address.ip().to_canonical().is_loopback(),
        }
    }
}

impl Address {
    /// Whether both need the same socket: their permissions may differ.
    pub(in crate::server) fn is_at_the_place_of(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Unix { path, .. }, Self::Unix { path: other, .. }) => path == other,
            (own, other) => own == other,
        }
    }
}

impl FromStr for Address {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        let wrong = |what: String| InvalidText::new(format!("{what}: write unix:PATH, IP:PORT or fd:NAME"));
        if let Some(name) = text.strip_prefix("fd:") {
            return if name.is_empty() {
                Err(wrong(format!("{text:?} names no socket")))
            } else {
                Ok(Self::Inherited(name.to_owned()))
            };
        }
        let Some(rest) = text.strip_prefix("unix:") else {
            return text.parse().map(Self::Tcp).map_err(|_| wrong(format!("{text:?} is not an address to listen at")));
        };
        let mut words = rest.split(',');
        let path =
            words.next().filter(|path| !path.is_empty()).ok_or_else(|| wrong(format!("{text:?} names no path")))?;
        let (mut mode, mut group) = (MODE, None);
        for word in words {
            match word.split_once('=') {
                Some(("mode", octal)) => {
                    mode = u32::from_str_radix(octal, 8).ok().filter(|mode| *mode <= 0o777).ok_or_else(|| {
                        InvalidText::new(format!("{octal:?} is not the mode of a socket; write one as mode=0660"))
                    })?;
                }
                Some(("group", name)) if !name.is_empty() => group = Some(name.to_owned()),
                _ => {
                    return Err(InvalidText::new(format!(
                        "{word:?}: after a socket's path stand mode=0660 and group=NAME"
                    )));
                }
            }
        }
        Ok(Self::Unix { path: PathBuf::from(path), mode, group })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix { path, .. } => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Inherited(name) => write!(f, "fd:{name}"),
        }
    }
}

/// An address to listen on, and what is answered there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// The address.
    pub address: Address,
    /// Whether services may ask directly, at `/v1/verify`.
    pub api: bool,
}

impl FromStr for Listen {
    type Err = InvalidText;

    /// An address, optionally followed by `,api`.
    fn from_str(text: &str) -> Result<Self, InvalidText> {
        let (address, api) = match text.strip_suffix(",api") {
            Some(address) => (address, true),
            None => (text, false),
        };
        // The word may also precede the mode of a socket.
        let (address, api) = match address.replacen(",api,", ",", 1) {
            without if without.len() < address.len() => (without, true),
            same => (same, api),
        };
        Ok(Self { address: address.parse()?, api })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_they_are_written() {
        for (text, shown, api, local) in [
            ("127.0.0.1:9180", "127.0.0.1:9180", false, true),
            ("[::1]:9180,api", "[::1]:9180", true, true),
            ("0.0.0.0:80", "0.0.0.0:80", false, false),
            ("unix:/run/k.sock", "unix:/run/k.sock", false, true),
            ("unix:/run/k.sock,mode=0600,group=www-data,api", "unix:/run/k.sock", true, true),
            ("unix:/run/k.sock,api,mode=0600", "unix:/run/k.sock", true, true),
            ("fd:guard", "fd:guard", false, true),
        ] {
            let listen: Listen = text.parse().unwrap();
            assert_eq!(
                (listen.address.to_string().as_str(), listen.api, listen.address.is_local()),
                (shown, api, local)
            );
        }
        let mode = |text: &str| match text.parse().unwrap() {
            Address::Unix { mode, group, .. } => (mode, group),
            other => panic!("{other}"),
        };
        assert_eq!(mode("unix:/k"), (0o660, None));
        assert_eq!(mode("unix:/k,mode=600,group=a"), (0o600, Some("a".to_owned())));
        for wrong in
            ["", "unix:", "9180", "localhost:9180", "fd:", "unix:/k,mode=888", "unix:/k,mode=1777", "unix:/k,x=1"]
        {
            assert!(wrong.parse::<Listen>().is_err(), "{wrong}");
        }
    }
}
