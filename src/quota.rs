//! Rate limits that all replicas share, in Redis. They use the generic cell rate algorithm (GCRA), as the limits of one process
//! do: Redis stores one time for each key, the clock is that of Redis, and a key whose budget is full again has no entry.
//!
//! A [`SharedQuota`] takes from the budget of a key. [`Leases`] takes several requests at once, so that most requests need
//! no round trip.
//!
//! While Redis cannot be reached, nothing is shared: each process goes on with its limits alone.

mod leases;
mod shared_quota;

pub use self::{
    leases::{Admission, Leases},
    shared_quota::{QuotaKey, SharedQuota, Taken, Unavailable},
};
