//! Certificates, made with `openssl`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Folder, give, run};

/// A certificate authority.
pub(crate) struct Authority {
    /// Its own certificate.
    pub(crate) root: PathBuf,
    key: PathBuf,
    folder: PathBuf,
}

/// When a certificate is valid.
#[derive(Clone, Copy)]
pub(crate) enum Validity {
    Now,
    Past,
}

impl Authority {
    /// An authority with this name and its files in the folder.
    pub(crate) fn new(folder: &Folder, name: &str) -> Self {
        let [root, key] = ["pem", "key"].map(|end| folder.path().join(format!("{name}.{end}")));
        let mut request = openssl(folder.path());
        request.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]);
        request.args(["-subj", &format!("/CN={name}"), "-addext", "basicConstraints=critical,CA:TRUE"]);
        run(request.arg("-out").arg(&root).arg("-keyout").arg(&key));
        fs::set_permissions(&root, fs::Permissions::from_mode(0o644)).unwrap();
        Self { root, key, folder: folder.path().to_owned() }
    }

    /// A certificate for these names, such as `DNS:localhost`, and its key, in files with this name that the servers'
    /// user owns.
    pub(crate) fn sign(&self, file: &str, subject: &str, names: &str, validity: Validity) -> (PathBuf, PathBuf) {
        let [certificate, key, request] = ["pem", "key", "csr"].map(|end| self.folder.join(format!("{file}.{end}")));
        let mut ask = openssl(&self.folder);
        ask.args(["req", "-newkey", "rsa:2048", "-nodes", "-subj", &format!("/CN={subject}")]);
        run(ask.arg("-out").arg(&request).arg("-keyout").arg(&key));
        let (from, to) = match validity {
            Validity::Now => ("20200101000000Z", "20990101000000Z"),
            Validity::Past => ("20200101000000Z", "20200102000000Z"),
        };
        let rules = self.folder.join("rules");
        let database = self.folder.join("database");
        fs::write(&database, "").unwrap();
        fs::write(
            &rules,
            format!(
                "[ca]\ndefault_ca = own\n[own]\ndatabase = {}\nnew_certs_dir = {}\nrand_serial = yes\nunique_subject = no\n\
                 default_md = sha256\npolicy = any\nx509_extensions = names\n[any]\ncommonName = supplied\n[names]\n\
                 subjectAltName = {names}\n",
                database.display(),
                self.folder.display()
            ),
        )
        .unwrap();
        let mut sign = openssl(&self.folder);
        sign.args(["ca", "-batch", "-notext", "-startdate", from, "-enddate", to, "-config"]).arg(rules);
        sign.arg("-cert").arg(&self.root).arg("-keyfile").arg(&self.key).arg("-in").arg(request);
        run(sign.arg("-out").arg(&certificate));
        for path in [&certificate, &key] {
            give(path);
        }
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        (certificate, key)
    }
}

fn openssl(folder: &Path) -> Command {
    let mut command = Command::new("openssl");
    command.current_dir(folder);
    command
}
