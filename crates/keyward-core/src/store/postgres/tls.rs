//! TLS to a server: which authorities may vouch for it, and what binds a sign-in to that very server.

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

/// The authorities that this machine trusts. They are read once; files named by a URL are read for each connection,
/// because certificates are renewed while a process runs.
pub(super) type SystemRoots = OnceLock<Arc<RootCertStore>>;

/// What was wrong with the files for TLS.
pub(super) enum Unprepared {
    /// Another error.
    Store(StoreError),
    /// The message for a person.
    Said(String),
}

/// The TLS configuration for the server at this URL.
///
/// # Errors
/// If a file cannot be read, or does not hold what it should.
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

/// The authorities that other programs on this machine trust, wherever the system keeps them; on most systems,
/// `SSL_CERT_FILE` and `SSL_CERT_DIR` override them.
fn system_roots() -> Result<RootCertStore, Unprepared> {
    let mut roots = RootCertStore::empty();
    // A certificate that is unreadable or of an obsolete kind must not affect the others.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        let said = "this machine trusts no authority: no certificates were found (Debian has them in ca-certificates)";
        return Err(Unprepared::Said(said.to_owned()));
    }
    Ok(roots)
}

/// A file named by the URL. Its path is not shown, because no parameters are.
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
    // The parse error of a key is not repeated: it could contain a part of the key.
    PrivateKeyDer::from_pem_slice(&text).map_err(|_| named.lacks("private key in PEM that needs no password"))
}
