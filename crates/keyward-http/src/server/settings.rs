//! The configuration, with the content of the files that it names.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::StartError;
use super::config::Config;

/// The configuration, with the content of the files that it names.
pub(super) struct Settings {
    pub(super) config: Config,
    pub(super) secret: Option<Vec<u8>>,
}

/// Reads the files that the configuration names.
pub(super) fn read_settings(config: Config) -> Result<Settings, StartError> {
    let secret = config.proxy_secret_file.as_deref().map(read_secret).transpose()?;
    Ok(Settings { config, secret })
}

pub(super) fn read_secret(path: &Path) -> Result<Vec<u8>, StartError> {
    const SHORTEST: usize = 16;
    const OTHERS_WRITE: u32 = 0o002;
    let failed = |source| StartError::File { path: path.to_owned(), source };
    let found = std::fs::metadata(path).map_err(failed)?;
    // Opening a pipe would wait for a writer.
    if !found.is_file() || found.mode() & OTHERS_WRITE != 0 {
        return Err(StartError::OpenSecret(path.to_owned()));
    }
    let text = std::fs::read(path).map_err(failed)?;
    let secret = text.trim_ascii();
    let is_visible = secret.iter().all(u8::is_ascii_graphic);
    if secret.len() < SHORTEST || !is_visible { Err(StartError::Secret(path.to_owned())) } else { Ok(secret.to_vec()) }
}
