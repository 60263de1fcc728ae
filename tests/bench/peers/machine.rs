//! What the benchmark runs on: the machine and the versions of all tools.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

const TOOLS: [(&str, &str); 7] = [
    ("pg_dump", "--version"),
    ("pg_restore", "--version"),
    ("zstd", "--version"),
    ("age", "--version"),
    ("restic", "version"),
    ("pgbackrest", "version"),
    ("bash", "--version"),
];

/// Whether a program is in `PATH`.
pub fn has(tool: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(tool).is_file())
}

/// Processors, memory, system, and the tools' versions (null for one that is missing).
pub fn describe() -> Value {
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    let model = first_after(&read("/proc/cpuinfo"), "model name");
    let memory = first_after(&read("/proc/meminfo"), "MemTotal");
    let load = read("/proc/loadavg");
    let tools = TOOLS.iter().map(|(tool, argument)| ((*tool).to_owned(), version(tool, argument)));
    json!({
        "processors": processors,
        "processor": model,
        "memory": memory,
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "load_at_start": load.split_whitespace().next(),
        "tools": tools.collect::<serde_json::Map<_, _>>(),
    })
}

fn read(file: &str) -> String {
    fs::read_to_string(file).unwrap_or_default()
}

fn first_after(text: &str, name: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn version(tool: &str, argument: &str) -> Value {
    let Ok(output) = Command::new(tool).arg(argument).output() else { return Value::Null };
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    said.lines().find(|line| !line.trim().is_empty()).map_or(Value::Null, |line| json!(line.trim()))
}
