//! Where the password of PostgreSQL or Redis comes from: the URL, a file, a command, or a token of an identity in Azure. At most
//! one of them may be set.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{AzureSettings, EntraSettings, loader::Loader};

/// Where a password comes from.
#[derive(Debug, Clone)]
pub enum PasswordOrigin {
    /// The URL of the server, or what its client library finds by other means.
    Url,
    /// A file that is read for each connection.
    File(PathBuf),
    /// A program and its arguments: it prints the password.
    Command(Vec<String>),
    /// A token of the identity in `[azure]`.
    Azure(Arc<IdentitySettings>),
}

/// What a token of the identity in `[azure]` depends on.
#[derive(Debug, Clone, Default)]
pub struct IdentitySettings {
    /// `[azure]`
    pub azure: AzureSettings,
    /// `[entra]`: tenant, cloud and CA file.
    pub entra: EntraSettings,
    /// `client.client_id`, the default for `azure.client_id`.
    pub client_id: String,
}

/// The settings that name the origin of one server's password.
#[derive(Debug, Clone, Copy)]
pub(super) struct PasswordNames {
    pub(super) url: &'static str,
    pub(super) file: &'static str,
    pub(super) command: &'static str,
    pub(super) azure: &'static str,
}

/// The values of these settings.
#[derive(Debug, Clone, Copy)]
pub(super) struct PasswordValues<'a> {
    pub(super) is_in_url: bool,
    pub(super) file: Option<&'a Path>,
    pub(super) command: &'a [String],
    pub(super) azure: bool,
}

impl PasswordValues<'_> {
    /// The chosen origin. `identity` is used only for Azure.
    pub(super) fn origin(self, identity: Option<&Arc<IdentitySettings>>) -> PasswordOrigin {
        if let Some(path) = self.file {
            PasswordOrigin::File(path.to_owned())
        } else if !self.command.is_empty() {
            PasswordOrigin::Command(self.command.to_vec())
        } else if self.azure {
            PasswordOrigin::Azure(identity.cloned().unwrap_or_default())
        } else {
            PasswordOrigin::Url
        }
    }

    /// Reports every origin after the first one.
    pub(super) fn reject_second(self, loader: &mut Loader, names: PasswordNames) {
        let set = [
            (names.url, self.is_in_url),
            (names.file, self.file.is_some()),
            (names.command, !self.command.is_empty()),
            (names.azure, self.azure),
        ];
        let mut set = set.into_iter().filter(|(_, is_set)| *is_set).map(|(name, _)| name);
        let Some(first) = set.next() else { return };
        for name in set {
            if first == names.url {
                let problem = format!("is set, but {first} contains a password, too");
                loader.reject(
                    name,
                    &problem,
                    &format!("remove the password from {first}, or this setting"),
                );
            } else {
                let problem = format!("is set, but {first} is set, too");
                loader.reject(
                    name,
                    &problem,
                    "keep one of them: each names where the password comes from",
                );
            }
        }
    }
}

/// What [`password_command`] accepts.
pub(super) const A_COMMAND: &str =
    "a program and its arguments as a list, such as [\"aws\", \"rds\", \"generate-db-auth-token\"], without a shell";
/// Most arguments of a command.
const MAX_ARGUMENTS: usize = 100;

/// Whether this can be a command. One text with blanks is the line of a shell, and names no program.
pub(super) fn password_command(command: &[String]) -> bool {
    let Some(program) = command.first() else { return true };
    let is_line = command.len() == 1 && program.contains(char::is_whitespace);
    !program.is_empty() && !is_line && command.len() <= MAX_ARGUMENTS && !command.iter().any(|text| text.contains('\0'))
}
