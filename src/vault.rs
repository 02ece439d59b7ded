//! An emulator of Azure Key Vault and of a virtual machine's metadata service, for `blogctl dev --credential
//! key-vault`. It holds one certificate, whose key signs and cannot be exported. For loopback only. It shares no code
//! with `src/azure/`.

mod key;
mod server;
mod tokens;

pub use key::KeyError;
pub use server::{Server, StartError};
