//! Encrypted key files: Ethereum keystores, version 3.

use super::{ConfigError, value};
use std::path::Path;
use zeroize::Zeroizing;

/// The 32 secret bytes in a keystore, whose password is in a variable of the environment; `setting` is what names the file.
pub(super) fn open(
    path: &Path,
    setting: &str,
    variable: &str,
    env: &impl Fn(&str) -> Option<String>,
) -> Result<Zeroizing<[u8; 32]>, ConfigError> {
    let password = Zeroizing::new(env(variable).ok_or_else(|| value(setting, format!("{variable} is not set")))?);
    let file = || path.display().to_string();
    // The library's own errors may quote the file.
    let opened = eth_keystore::decrypt_key(path, password.as_bytes());
    let secret = Zeroizing::new(opened.map_err(|_| value(file(), "is no keystore, or the password is wrong"))?);
    let secret = <&[u8; 32]>::try_from(secret.as_slice()).map_err(|_| value(file(), "holds no 32-byte key"))?;
    Ok(Zeroizing::new(*secret))
}
