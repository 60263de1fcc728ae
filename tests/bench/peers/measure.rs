//! What a command costs: wall time, processor time and memory of all its processes, and the
//! processor time of the database server meanwhile.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wait4::Wait4 as _;

use crate::server::Server;

/// The server counts a backend's time once it has noticed that the backend ended.
const SETTLE: Duration = Duration::from_millis(300);

/// One run of one command.
#[derive(Clone, Copy)]
pub struct Cost {
    pub wall_seconds: f64,
    /// User and system time of all processes of a pipeline together.
    pub cpu_seconds: f64,
    /// The largest of its processes.
    pub memory_bytes_max: u64,
    /// All processes of the server; none where the server is elsewhere.
    pub server_cpu_seconds: Option<f64>,
    /// What it left or wrote, as the measurement says.
    pub bytes: u64,
}

/// Runs of the same command.
#[derive(Clone, Default)]
pub struct Series(pub Vec<Cost>);

/// Runs a command to its end, which must be a good one; else what it said.
pub fn run(command: &mut Command, server: &Server, folder: &Path) -> Result<Cost, String> {
    server.settle();
    let said = folder.join("said");
    let output = File::create(&said).unwrap();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(output);
    let server_before = server.cpu_seconds();
    let begun = Instant::now();
    // The usage is that of the child and of all its own children that it waited for.
    let used = command.spawn().map_err(|error| format!("{command:?}: {error}"))?.wait4().unwrap();
    let wall_seconds = begun.elapsed().as_secs_f64();
    std::thread::sleep(SETTLE);
    if !used.status.success() {
        let said = std::fs::read_to_string(said).unwrap();
        return Err(format!("{}: {}", used.status, said.trim()));
    }
    Ok(Cost {
        wall_seconds,
        cpu_seconds: (used.rusage.utime + used.rusage.stime).as_secs_f64(),
        memory_bytes_max: used.rusage.maxrss,
        server_cpu_seconds: server.cpu_seconds().zip(server_before).map(|(now, then)| now - then),
        bytes: 0,
    })
}

impl Series {
    pub fn median(&self, of: impl Fn(&Cost) -> f64) -> f64 {
        let mut values: Vec<_> = self.0.iter().map(of).collect();
        values.sort_unstable_by(f64::total_cmp);
        let half = values.len() / 2;
        if values.len() % 2 == 1 {
            values[half]
        } else {
            f64::midpoint(values[half - 1], values[half])
        }
    }

    pub fn least(&self, of: impl Fn(&Cost) -> f64) -> f64 {
        self.0.iter().map(of).fold(f64::INFINITY, f64::min)
    }

    pub fn most(&self, of: impl Fn(&Cost) -> f64) -> f64 {
        self.0.iter().map(of).fold(0.0, f64::max)
    }

    pub fn wall(&self) -> f64 {
        self.median(|cost| cost.wall_seconds)
    }

    pub fn bytes(&self) -> f64 {
        self.median(bytes)
    }

    pub fn to_json(&self) -> Value {
        let server = self.0.iter().all(|cost| cost.server_cpu_seconds.is_some());
        let server = server.then(|| self.median(|cost| cost.server_cpu_seconds.unwrap_or(0.0)));
        let runs = self.0.iter().map(|cost| {
            json!({
                "wall_seconds": cost.wall_seconds,
                "cpu_seconds": cost.cpu_seconds,
                "server_cpu_seconds": cost.server_cpu_seconds,
                "memory_bytes_max": cost.memory_bytes_max,
                "bytes": cost.bytes,
            })
        });
        json!({
            "wall_seconds": self.wall(),
            "cpu_seconds": self.median(|cost| cost.cpu_seconds),
            "server_cpu_seconds": server,
            "memory_bytes_max": self.median(memory),
            "bytes": self.bytes(),
            "runs": runs.collect::<Vec<_>>(),
        })
    }
}

/// The bytes as a number to calculate with: exact up to 2⁵³.
#[allow(clippy::cast_precision_loss)]
pub fn bytes(cost: &Cost) -> f64 {
    cost.bytes as f64
}

#[allow(clippy::cast_precision_loss)]
pub fn memory(cost: &Cost) -> f64 {
    cost.memory_bytes_max as f64
}

/// The length of every file at or below a path together; nothing if there is nothing.
pub fn bytes_below(path: &Path) -> u64 {
    files_below(path).iter().map(|(_, length)| length).sum()
}

/// Every file at or below a path, with its length.
pub fn files_below(path: &Path) -> Vec<(std::path::PathBuf, u64)> {
    let Ok(metadata) = path.symlink_metadata() else { return Vec::new() };
    if !metadata.is_dir() {
        return vec![(path.to_owned(), metadata.len())];
    }
    let entries = std::fs::read_dir(path).unwrap();
    entries.flat_map(|entry| files_below(&entry.unwrap().path())).collect()
}
