//! CPU time and memory of processes, from /proc.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result};

/// Linux reports CPU time in these, whatever the kernel's own tick is.
const TICKS_PER_SECOND: f64 = 100.0;

/// A command that runs `program` and that the kernel ends when this program ends, however that
/// happens. Spawn it from the main thread only: the end of the spawning thread is what counts.
pub(crate) fn bound_to_us(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM", program]);
    command
}

/// The process and its children.
pub(crate) fn family(pid: u32) -> Result<Vec<u32>> {
    let mut family = vec![pid];
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(child) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        if stat(child).is_some_and(|fields| fields.get(1) == Some(&pid.to_string())) {
            family.push(child);
        }
    }
    Ok(family)
}

/// User and system seconds that these processes have used.
pub(crate) fn cpu(pids: &[u32]) -> f64 {
    pids.iter().map(|pid| ticks(*pid, 11..13)).sum()
}

/// User and system seconds of this program and of the children it has waited for.
pub(crate) fn own_cpu() -> f64 {
    ticks(std::process::id(), 11..15)
}

/// Seconds that the machine's cores have been busy.
pub(crate) fn machine_cpu() -> Result<f64> {
    let text = fs::read_to_string("/proc/stat")?;
    let first = text.lines().next().context("/proc/stat is empty")?;
    let fields: Vec<f64> = first.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal; guest time is in user already.
    let busy = fields.iter().take(8).sum::<f64>() - fields.iter().skip(3).take(2).sum::<f64>();
    Ok(busy / TICKS_PER_SECOND)
}

/// Anonymous memory of these processes, bytes.
pub(crate) fn anonymous_memory(pids: &[u32]) -> Result<f64> {
    let mut sum = 0.0;
    for pid in pids {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).context("no RssAnon")?;
        sum += line.trim().trim_end_matches(" kB").parse::<f64>()? * 1024.0;
    }
    Ok(sum)
}

/// Fields of /proc/PID/stat from the third (state) on.
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(") ")?;
    Some(fields.split_whitespace().map(str::to_owned).collect())
}

fn ticks(pid: u32, fields: std::ops::Range<usize>) -> f64 {
    let stat = stat(pid).unwrap_or_default();
    let ticks = stat.get(fields).unwrap_or_default().iter().filter_map(|field| field.parse::<f64>().ok());
    ticks.sum::<f64>() / TICKS_PER_SECOND
}
