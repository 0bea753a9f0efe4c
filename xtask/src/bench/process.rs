//! What the kernel says of a process: memory and CPU time from /proc.

use std::time::{Duration, Instant};

/// Resident and anonymous memory in MiB.
#[derive(Debug, Clone, Copy, Default)]
pub struct Memory {
    pub resident: f64,
    pub anonymous: f64,
}

impl Memory {
    pub fn of(pid: u32) -> Self {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let mib = |key: &str| -> f64 {
            let kib = status.lines().find_map(|l| l.strip_prefix(key)?.trim().trim_end_matches(" kB").parse::<f64>().ok());
            kib.unwrap_or(0.0) / 1024.0
        };
        Self { resident: mib("VmRSS:"), anonymous: mib("RssAnon:") }
    }

    pub fn max(self, other: Self) -> Self {
        Self { resident: self.resident.max(other.resident), anonymous: self.anonymous.max(other.anonymous) }
    }
}

/// User and system CPU seconds of a process and its ended threads; the kernel counts them in hundredths.
pub fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after = stat.rsplit_once(')').map_or("", |p| p.1);
    after.split_whitespace().skip(11).take(2).filter_map(|t| t.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// Load averages, as the kernel prints them.
pub fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{} on {cores} cores", text.split_whitespace().take(3).collect::<Vec<_>>().join(" "))
}

#[expect(clippy::disallowed_methods, reason = "a bench measures time")]
pub fn now() -> Instant {
    Instant::now()
}

/// Seconds since 1970, as the clocks of other programs here have it.
#[expect(clippy::disallowed_methods, reason = "a bench compares clocks of several programs")]
pub fn wall() -> f64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

#[expect(clippy::disallowed_methods, reason = "a bench watches programs while time passes")]
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// The value below which a share of the sorted values lies (nearest rank).
pub fn quantile(sorted: &[f64], share: f64) -> f64 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    #[test]
    fn quantiles_are_by_nearest_rank() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!([0.5, 0.99, 1.0].map(|q| super::quantile(&values, q)), [50.0, 99.0, 100.0]);
        assert_eq!(super::quantile(&[7.0], 0.5), 7.0);
        assert!(super::quantile(&[], 0.5).is_nan());
    }
}
