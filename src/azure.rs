//! What Azure gives a program that runs there, as far as a credential needs it: tokens for the identity of the machine or pod
//! (managed identity, workload identity), and Key Vault. Calls reach the network, block, and retry transient failures.
//!
//! Sources: Microsoft Learn "How to use managed identities for Azure resources on an Azure VM to acquire an access token",
//! "How to use managed identities for App Service", "Key Vault REST API reference" (7.4), "Authentication, requests and
//! responses" of Key Vault.

mod challenge;
mod cli;
mod error;
mod key_vault;
mod managed_identity;
mod retry;
mod token_source;
mod workload_identity;

pub use error::AzureError;
pub use key_vault::{KeyVault, VaultCertificate, VaultSecret};
pub use retry::RetryBudget;
pub use token_source::{Azure, TokenSource};
pub use workload_identity::FederatedTokenFile;
pub(crate) use workload_identity::unverified_claims;
