//! What the tests need besides this project: `tests/prepare` installs it, once, and tests that cannot
//! run here say so.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, Once, PoisonError};

/// Installs what is missing, before the first test of this process that needs any of it. A failure is
/// no failure of every test: the one whose tool is missing says so by [`needed`].
pub fn prepared() {
    static PREPARED: Once = Once::new();
    PREPARED.call_once(|| {
        use_memory();
        bring(&[]);
    });
}

/// Installs what is missing, and these packages of the Python package index with it.
pub fn bring(packages: &[&str]) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/prepare");
    let mut command = Command::new(script);
    command.args(packages).env("STRONGROOM_TEST_TOOLS", super::tools::folder());
    // Its output is this process's own: an installation is never silent.
    let status = command.stdin(Stdio::null()).status();
    if !status.as_ref().is_ok_and(std::process::ExitStatus::success) {
        eprintln!("tests/prepare did not bring everything: {status:?}");
    }
}

/// How much room the folder in memory must have, in bytes.
const MEMORY_BYTES_MIN: u64 = 2 << 30;

/// Databases, vaults and servers go into memory where there is room and nobody asked for another place:
/// a killed process loses nothing that it wrote, whether a disk has it or not, and no test waits for a
/// disk.
fn use_memory() {
    let memory = Path::new("/dev/shm");
    if std::env::var_os("TMPDIR").is_some() {
        return;
    }
    let Ok(system) = rustix::fs::statvfs(memory) else { return };
    // Tests run scripts that they wrote.
    let can_run = !system.f_flag.contains(rustix::fs::StatVfsMountFlags::NOEXEC);
    if can_run && system.f_bavail * system.f_frsize >= MEMORY_BYTES_MIN {
        let _ = tempfile::env::override_temp_dir(memory);
    }
}

/// What a test needs, or its failure with how to get it.
pub fn needed<T>(what: &str, found: Option<T>) -> T {
    found.unwrap_or_else(|| {
        panic!("this test needs {what}; `tests/prepare --list` says what all of them need")
    })
}

/// Tests that cannot run here, with the reason.
static SKIPPED: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Counts a test that cannot run here. The last line of this process has all of them.
pub fn skipped(why: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let mut all = SKIPPED.lock().unwrap_or_else(PoisonError::into_inner);
    if all.is_empty() {
        at_exit();
    }
    let line = format!("{test} ({why})");
    if !all.contains(&line) {
        all.push(line);
    }
}

/// The test harness has no place for a last line, so the C library's end of a process is it.
#[allow(unsafe_code, reason = "the C library offers no other way")]
fn at_exit() {
    extern "C" fn say() {
        let all = SKIPPED.lock().unwrap_or_else(PoisonError::into_inner);
        eprintln!("SKIPPED {} test(s) that cannot run here: {}", all.len(), all.join("; "));
    }
    // SAFETY: `say` is a plain function of this program, and is called once, at the end.
    let registered = unsafe { libc::atexit(say) };
    assert_eq!(registered, 0);
}
