//! What the system knows of this process, under the names that Prometheus' own clients use. Linux only.

use std::sync::LazyLock;

use super::{
    catalog::Catalog,
    counter::Counter,
    family::Family,
    observed::{Observation, Observed},
};

type Value = fn() -> Option<f64>;

/// Name, help, and how to read the value.
const GAUGES: [(&str, &str, Value); 6] = [
    (
        "process_resident_memory_bytes",
        "Memory of this process that is in RAM",
        system::resident_memory,
    ),
    (
        "process_virtual_memory_bytes",
        "Address space of this process",
        system::virtual_memory,
    ),
    (
        "process_open_fds",
        "Open file descriptors, connections included",
        system::open_files,
    ),
    (
        "process_max_fds",
        "Most file descriptors that this process may open",
        system::most_open_files,
    ),
    ("process_threads", "Threads of this process", system::threads),
    (
        "process_start_time_seconds",
        "When this process started, as Unix time",
        system::start_time,
    ),
];

static CPU: LazyLock<Observed<0>> = LazyLock::new(|| {
    Observed::counters(
        "process_cpu_seconds",
        "CPU time that this process has used in user and system mode",
        [],
    )
});

/// Values of the process end with it.
static OBSERVATIONS: LazyLock<(Vec<Observed<0>>, Vec<Observation>)> = LazyLock::new(|| {
    let gauges: Vec<_> = GAUGES
        .iter()
        .map(|(name, help, _)| Observed::gauges(name, help, []))
        .collect();
    let observations = gauges
        .iter()
        .zip(GAUGES)
        .map(|(gauge, (_, _, read))| gauge.observe([], read))
        .chain([CPU.observe([], system::cpu_seconds)])
        .collect();
    (gauges, observations)
});

static PANICS: LazyLock<Family<Counter, 1>> = LazyLock::new(|| {
    Family::counters(
        "blogctl_background_thread_panics",
        "Panics of background threads, by thread",
        ["thread"],
    )
});

/// Counts a panic of a background thread with this name.
pub fn thread_panicked(name: &'static str) {
    PANICS.with([name.into()]).increment();
}

pub(super) fn describe(catalog: &mut Catalog) {
    let (gauges, _) = &*OBSERVATIONS;
    CPU.describe(catalog);
    for gauge in gauges {
        gauge.describe(catalog);
    }
    PANICS.describe(catalog);
}

#[cfg(target_os = "linux")]
mod system {
    use procfs::{
        CurrentSI as _, KernelStats, page_size,
        process::{LimitValue, Process, Stat},
        ticks_per_second,
    };

    fn stat() -> Option<Stat> {
        Process::myself().ok()?.stat().ok()
    }

    pub fn cpu_seconds() -> Option<f64> {
        let stat = stat()?;
        Some(float(stat.utime + stat.stime) / float(ticks_per_second()))
    }

    pub fn resident_memory() -> Option<f64> {
        Some(float(stat()?.rss * page_size()))
    }

    pub fn virtual_memory() -> Option<f64> {
        Some(float(stat()?.vsize))
    }

    pub fn open_files() -> Option<f64> {
        Some(float(Process::myself().ok()?.fd_count().ok()? as u64))
    }

    pub fn most_open_files() -> Option<f64> {
        match Process::myself().ok()?.limits().ok()?.max_open_files.soft_limit {
            LimitValue::Value(value) => Some(float(value)),
            LimitValue::Unlimited => Some(f64::INFINITY),
        }
    }

    pub fn threads() -> Option<f64> {
        Some(float(stat()?.num_threads.try_into().ok()?))
    }

    pub fn start_time() -> Option<f64> {
        let since_boot = float(stat()?.starttime) / float(ticks_per_second());
        Some(float(KernelStats::current().ok()?.btime) + since_boot)
    }

    #[expect(clippy::cast_precision_loss, reason = "bytes and ticks far below 2^52")]
    fn float(value: u64) -> f64 {
        value as f64
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    pub fn cpu_seconds() -> Option<f64> {
        None
    }
    pub use cpu_seconds as resident_memory;
    pub use cpu_seconds as virtual_memory;
    pub use cpu_seconds as open_files;
    pub use cpu_seconds as most_open_files;
    pub use cpu_seconds as threads;
    pub use cpu_seconds as start_time;
}
