//! TLS to a server: whose word is taken for who it is, and what binds a sign-in to that very server.

mod binding;
mod stream;

use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

pub(super) use stream::Connector;

use super::passfile::{Unread, read};
use super::place::{Roots, ServerUrl};
use crate::store::error::StoreError;

/// The authorities that this machine trusts. They are read once; files that a URL names are read at each connection,
/// because certificates are renewed while a process runs.
pub(super) type SystemRoots = OnceLock<Arc<RootCertStore>>;

/// What was wrong with the files that TLS needs.
pub(super) enum Unprepared {
    /// It is another error.
    Store(StoreError),
    /// What it is, for a person.
    Said(String),
}

/// How to speak TLS with the server of this URL.
///
/// # Errors
/// Where a file cannot be read, or does not hold what it should.
pub(super) fn config(url: &ServerUrl, system: &SystemRoots) -> Result<Arc<ClientConfig>, Unprepared> {
    let roots = match url.roots() {
        Roots::File(file) => Arc::new(roots_of(&Named { parameter: "sslrootcert", file })?),
        Roots::System => match system.get() {
            Some(known) => Arc::clone(known),
            None => Arc::clone(system.get_or_init({
                let roots = Arc::new(system_roots()?);
                || roots
            })),
        },
    };
    let broken = |error| Unprepared::Said(format!("TLS cannot be prepared: {error}"));
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(broken)?
        .with_root_certificates(roots);
    let config = match url.identity() {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let certificates = certificates(&Named { parameter: "sslcert", file: certificate })?;
            let key = private_key(&Named { parameter: "sslkey", file: key })?;
            builder.with_client_auth_cert(certificates, key).map_err(broken)?
        }
    };
    Ok(Arc::new(config))
}

/// Those that other programs of this machine trust, wherever the system keeps them; on most, `SSL_CERT_FILE` and
/// `SSL_CERT_DIR` name others.
fn system_roots() -> Result<RootCertStore, Unprepared> {
    let mut roots = RootCertStore::empty();
    // Some that cannot be read, or are of a kind from long ago, do not stand in the way of the others.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        let said = "this machine trusts no authority: no certificates were found (Debian has them in ca-certificates)";
        return Err(Unprepared::Said(said.to_owned()));
    }
    Ok(roots)
}

/// A file that the URL names. Its path is not shown: nothing of the parameters is.
struct Named<'n> {
    parameter: &'static str,
    file: &'n Path,
}

impl Named<'_> {
    fn unread(&self, error: &dyn fmt::Display) -> Unprepared {
        Unprepared::Said(format!("the file that {} names cannot be read: {error}", self.parameter))
    }

    fn lacks(&self, what: &str) -> Unprepared {
        Unprepared::Said(format!("the file that {} names holds no {what}", self.parameter))
    }
}

fn roots_of(named: &Named<'_>) -> Result<RootCertStore, Unprepared> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(named)? {
        roots.add(certificate).map_err(|error| named.unread(&error))?;
    }
    Ok(roots)
}

fn certificates(named: &Named<'_>) -> Result<Vec<CertificateDer<'static>>, Unprepared> {
    let text = fs::read(named.file).map_err(|error| named.unread(&error))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(|error| named.unread(&error))?;
    if found.is_empty() { Err(named.lacks("certificate in PEM")) } else { Ok(found) }
}

fn private_key(named: &Named<'_>) -> Result<PrivateKeyDer<'static>, Unprepared> {
    let text = read(named.file).map_err(|error| match error {
        Unread::Open(mode) => Unprepared::Store(StoreError::OpenSecret { file: named.file.to_owned(), mode }),
        Unread::Io(error) => named.unread(&error),
    })?;
    // What is wrong with a key is not repeated: it could be a part of it.
    PrivateKeyDer::from_pem_slice(&text).map_err(|_| named.lacks("private key in PEM that needs no password"))
}
