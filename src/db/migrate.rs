//! Schema migrations, embedded in the binary.
