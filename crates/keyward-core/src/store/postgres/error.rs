//! What an error of a server, of TLS or of the network means for a person.

use std::error::Error as _;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_postgres::Error as PgError;
use tokio_postgres::error::{DbError, Severity};
use tokio_rustls::rustls::{AlertDescription, CertificateError, Error as TlsError};

use crate::rules::text::shown;
use crate::store::error::{DISK_FULL, StoreError};

/// How much of a server's message is shown.
const MOST_SHOWN: usize = 300;

/// Why keyward refuses to continue with a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("it asks for the password in the clear, and there is no TLS")]
    ClearPassword,
    #[error("it asks for the password by MD5, which is as good as in the clear, and there is no TLS")]
    Md5Password,
    #[error("it speaks no TLS")]
    NoTls,
}

impl Refusal {
    fn remedy(self) -> &'static str {
        match self {
            Self::ClearPassword | Self::Md5Password => {
                "have the server ask by scram-sha-256 (pg_hba.conf), and set the role's password again with \
                 password_encryption = 'scram-sha-256'"
            }
            Self::NoTls => "set ssl = on in postgresql.conf, with a certificate for the name that the URL has",
        }
    }
}

/// What ended a wait for the server.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server refused.
    Said {
        /// The SQLSTATE code.
        state: String,
        /// Its message, which may be in any language.
        words: String,
        /// Whether the server then ended the session.
        is_last: bool,
    },
    /// No answer within this time.
    Silent(Duration),
    /// The network, TLS, or an invalid answer.
    Lost { detail: String, remedy: &'static str },
}

/// What to do if a server cannot be reached.
pub(super) const IS_IT_UP: &str = "see whether the server is up, and whether its host and port are right";

impl Failure {
    pub(super) fn lost(detail: impl Into<String>) -> Self {
        Self::Lost { detail: detail.into(), remedy: IS_IT_UP }
    }

    /// From an error of the system or of TLS, or a refusal of our own.
    pub(super) fn of_io(error: &io::Error) -> Self {
        let inner = error.get_ref();
        if let Some(refusal) = inner.and_then(|inner| inner.downcast_ref::<Refusal>()) {
            return Self::Lost { detail: refusal.to_string(), remedy: refusal.remedy() };
        }
        if let Some(error) = inner.and_then(|inner| inner.downcast_ref::<TlsError>()) {
            let (detail, remedy) = of_tls(error);
            return Self::Lost { detail, remedy };
        }
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::lost("nobody listens there"),
            io::ErrorKind::NotFound => Self::lost("there is no socket"),
            io::ErrorKind::PermissionDenied => Self::Lost {
                detail: "the system does not let this process open the socket".to_owned(),
                remedy: "look at the owner and the mode of the socket and of its folder",
            },
            io::ErrorKind::TimedOut => Self::lost("it cannot be reached"),
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted => Self::lost("it closed the connection"),
            _ => Self::lost(format!("the connection failed: {error}")),
        }
    }

    pub(super) fn of(error: &PgError) -> Self {
        if let Some(said) = error.as_db_error() {
            return Self::of_server(said);
        }
        if error.is_closed() {
            return Self::lost("it closed the connection");
        }
        match error.source() {
            Some(cause) => match cause.downcast_ref::<io::Error>() {
                Some(cause) => Self::of_io(cause),
                None => Self::lost(format!("{error}: {}", shown(cause.to_string().as_bytes(), MOST_SHOWN))),
            },
            None => Self::lost(error.to_string()),
        }
    }

    fn of_server(said: &DbError) -> Self {
        let is_last = match said.parsed_severity() {
            Some(severity) => matches!(severity, Severity::Fatal | Severity::Panic),
            None => matches!(said.severity(), "FATAL" | "PANIC"),
        };
        let words = shown(said.message().as_bytes(), MOST_SHOWN);
        Self::Said { state: said.code().code().to_owned(), words, is_last }
    }

    /// Whether the connection must not be used again.
    pub(super) fn ends_session(&self) -> bool {
        match self {
            Self::Said { is_last, .. } => *is_last,
            Self::Silent(_) | Self::Lost { .. } => true,
        }
    }

    /// Whether the same transaction may succeed when tried again: it collided with another.
    pub(super) fn is_conflict(&self) -> bool {
        // A lock that took too long; and a row that refers to one deleted meanwhile.
        matches!(self, Self::Said { state, .. } if matches!(state.as_str(), "40001" | "40P01" | "55P03" | "23503"))
    }

    /// The rule of the schema, or of storable values, that a row broke, if that is the error.
    pub(super) fn broken_rule(&self) -> Option<String> {
        match self {
            Self::Said { state, words, .. } if ["22", "23"].contains(&state.get(..2).unwrap_or_default()) => {
                Some(words.clone())
            }
            _ => None,
        }
    }

    /// Whether a COMMIT that ended like this was certainly not made.
    pub(super) fn is_refused_commit(&self) -> bool {
        match self {
            // The server had waited too long for this side, so the COMMIT came too late.
            Self::Said { state, .. } if state == "25P03" => true,
            // The server itself does not know: CockroachDB reports this.
            Self::Said { state, is_last, .. } => !is_last && !matches!(state.as_str(), "40003" | "08007"),
            Self::Silent(_) | Self::Lost { .. } => false,
        }
    }

    /// Converts it to the error for the store at `place`, to which this role connects.
    pub(super) fn into_store(self, place: &Path, role: &str) -> StoreError {
        let path = place.to_owned();
        let server = |path: PathBuf, detail: String, remedy| StoreError::Server { path, detail, remedy };
        let (state, words) = match self {
            Self::Silent(limit) => {
                return server(path, format!("it did not answer within {}", seconds(limit)), IS_IT_UP);
            }
            Self::Lost { detail, remedy } => return server(path, detail, remedy),
            Self::Said { state, words, .. } => (state, words),
        };
        let said = format!("it says: {words}");
        match state.as_str() {
            // Another transaction held the lock or the row, or the server's time limit ended the wait.
            "55P03" | "57014" | "40001" | "40P01" => StoreError::Locked(path),
            // In English, at least; in other languages, the role is said to lack a right.
            "42501" if words.contains("row-level security") => server(
                path,
                said,
                "a policy hides rows, and what is hidden cannot be checked: ALTER TABLE ... DISABLE ROW LEVEL SECURITY",
            ),
            "42501" => StoreError::Forbidden { path, role: role.to_owned(), detail: words },
            "42P01" | "3F000" => StoreError::Missing(path),
            "XX001" | "XX002" => StoreError::Corrupt { path, detail: words },
            "53100" => StoreError::Unusable { path, verb: "written", detail: DISK_FULL.to_owned() },
            "25006" => server(path, "it takes no changes: it is a standby, or set to be read".to_owned(), PRIMARY),
            "3D000" => server(path, said, "make the database first: createdb; or name another one in the URL"),
            "28P01" => server(
                path,
                said,
                "see where the password comes from: PGPASSWORD, then passfile, PGPASSFILE or ~/.pgpass",
            ),
            "28000" => server(
                path,
                said,
                "see whether the role is there, and what pg_hba.conf of the server lets in: the user, the address, and how it signs in",
            ),
            "53300" | "53400" => {
                server(path, said, "wait until connections are free, or raise max_connections; a pooler helps")
            }
            "57P01" | "57P02" | "57P03" | "57P05" | "25P03" => server(path, said, "try again when the server is up"),
            // A rule of somebody else's on a table.
            "0A000" => server(path, said, "see what `keyward doctor` says of the tables"),
            state if ["08", "53", "57", "58"].contains(&state.get(..2).unwrap_or_default()) => {
                server(path, said, "see the log of the server")
            }
            _ => StoreError::Bug(format!("{state}: {words}").into()),
        }
    }
}

/// What to do if a server accepts no changes.
pub(super) const PRIMARY: &str = "name the primary server in the URL, or all of them: postgres://HOST1,HOST2/DB";

/// A time for a message, without the half second of grace.
fn seconds(limit: Duration) -> String {
    match limit.as_secs() {
        0 => format!("{} ms", limit.as_millis()),
        seconds => format!("{seconds} s"),
    }
}

fn of_tls(error: &TlsError) -> (String, &'static str) {
    const NAME: &str = "name the host in the URL as its certificate does, or give it a certificate for this name";
    const ROOT: &str = "name the authority that signed it: sslrootcert=FILE in the URL";
    const RENEW: &str = "renew the server's certificate; and see whether the clock of this machine is right";
    const OTHER: &str = "see which certificate the server has: openssl s_client -starttls postgres -connect HOST:PORT";
    match error {
        TlsError::InvalidCertificate(found) => match found {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                ("its certificate has expired".to_owned(), RENEW)
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                ("its certificate is not valid yet".to_owned(), RENEW)
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                ("its certificate is for another name".to_owned(), NAME)
            }
            CertificateError::UnknownIssuer => ("nobody who is trusted has signed its certificate".to_owned(), ROOT),
            other => (format!("its certificate cannot be trusted: {other}"), OTHER),
        },
        TlsError::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired,
        ) => (
            format!("it does not take this client's certificate: {error}"),
            "name a certificate that it trusts, and its key: sslcert=FILE&sslkey=FILE in the URL",
        ),
        other => (format!("TLS with it failed: {other}"), OTHER),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(state: &str) -> Failure {
        Failure::Said { state: state.to_owned(), words: "no".to_owned(), is_last: false }
    }

    #[test]
    fn what_states_of_the_server_mean() {
        let store = |state| said(state).into_store(Path::new("postgres://h/d"), "ann");
        for state in ["55P03", "57014", "40001", "40P01"] {
            assert!(matches!(store(state), StoreError::Locked(_)), "{state}");
        }
        for state in ["42P01", "3F000"] {
            assert!(matches!(store(state), StoreError::Missing(_)), "{state}");
        }
        for state in ["XX001", "XX002"] {
            assert!(matches!(store(state), StoreError::Corrupt { .. }), "{state}");
        }
        for state in ["3D000", "28P01", "28000", "53300", "53200", "57P01", "57P03", "25006", "58030", "08006", "25P03"]
        {
            assert!(matches!(store(state), StoreError::Server { remedy, .. } if !remedy.is_empty()), "{state}");
        }
        for state in ["23505", "42703", "22021", "", "5", "üü"] {
            assert!(matches!(store(state), StoreError::Bug(_)), "{state}");
        }
        assert!(matches!(store("42501"), StoreError::Forbidden { role, .. } if role == "ann"));
        assert!(matches!(store("53100"), StoreError::Unusable { detail, .. } if detail == DISK_FULL));
    }

    #[test]
    fn which_commits_are_known_to_have_failed() {
        for (state, is_last, is_refused) in [
            ("23503", false, true),
            ("40001", false, true),
            ("40003", false, false),
            ("08007", false, false),
            ("57P01", true, false),
            ("25P03", true, true),
        ] {
            let failure = Failure::Said { state: state.to_owned(), words: String::new(), is_last };
            assert_eq!(failure.is_refused_commit(), is_refused, "{state}");
        }
        assert!(!Failure::Silent(Duration::from_secs(15)).is_refused_commit());
        assert!(!Failure::lost("it closed the connection").is_refused_commit());
    }

    #[test]
    fn a_time_is_told_without_the_grace() {
        let told = |milliseconds| seconds(Duration::from_millis(milliseconds));
        assert_eq!([told(800), told(5000), told(10_500)], ["800 ms", "5 s", "10 s"]);
    }
}
