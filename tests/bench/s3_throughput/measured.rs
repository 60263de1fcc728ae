//! A process that was run to its end, and what it cost.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::s3_server::S3Server;

/// Runs a command and tells what the system counted of it. The standard library has no `wait4`.
const ACCOUNTANT: &str = "
import json, os, sys, time
begun = time.monotonic()
child = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ,
                        file_actions=[(os.POSIX_SPAWN_DUP2, 2, 1)])
_, status, usage = os.wait4(child, 0)
print(json.dumps({'seconds': time.monotonic() - begun, 'code': os.waitstatus_to_exitcode(status),
                  'cpu_seconds': usage.ru_utime + usage.ru_stime,
                  'peak_bytes': usage.ru_maxrss * 1024}))
";

/// What one run of a command cost.
pub struct Measured {
    /// By the clock.
    pub seconds: f64,
    /// Of the processor, in the process and its children.
    pub cpu_seconds: f64,
    /// The most memory that one process of it held.
    pub peak_bytes: u64,
    /// What the server was asked, by its name for it.
    pub requests: BTreeMap<String, u64>,
}

/// Runs a command, which must succeed.
pub fn run(server: &S3Server, command: &Command) -> Measured {
    let mut accountant = Command::new("python3");
    accountant.args(["-c", ACCOUNTANT]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => accountant.env(name, value),
            None => accountant.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        accountant.current_dir(folder);
    }
    let before = server.requests();
    let output = accountant.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let counted: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{said}"));
    assert_eq!(counted["code"], 0, "{command:?}: {said}");
    let mut requests = server.requests();
    for (kind, count) in before {
        requests.entry(kind).and_modify(|after| *after -= count);
    }
    requests.retain(|_, count| *count > 0);
    Measured {
        seconds: counted["seconds"].as_f64().unwrap(),
        cpu_seconds: counted["cpu_seconds"].as_f64().unwrap(),
        peak_bytes: counted["peak_bytes"].as_u64().unwrap(),
        requests,
    }
}

/// The middle one of some figures.
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    if figures.len() % 2 == 1 {
        figures[middle]
    } else {
        f64::midpoint(figures[middle - 1], figures[middle])
    }
}
