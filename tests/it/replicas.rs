//! Several replicas of each role, as processes behind load balancers: they are killed, and they are updated one by one.

mod kills;
mod rolling_restart;
