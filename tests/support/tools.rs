//! Programs from the Python package index that tests need: installed once, below the target folder.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A folder with a package and all that it needs, of a fixed version.
pub fn python_package(requirement: &str) -> PathBuf {
    let tools = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tools");
    fs::create_dir_all(&tools).unwrap();
    let plain: String =
        requirement.chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect();
    let folder = tools.join(plain);
    // Test processes may run side by side.
    let lock = File::create(folder.with_extension("lock")).unwrap();
    lock.lock().unwrap();
    if !folder.is_dir() {
        let unfinished = folder.with_extension("unfinished");
        let _ = fs::remove_dir_all(&unfinished);
        install(requirement, &unfinished);
        fs::rename(&unfinished, &folder).unwrap();
    }
    folder
}

/// The file of that name in `PATH`, if there is one.
pub fn in_path(tool: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join(tool)).find(|file| file.is_file())
}

#[allow(clippy::print_stderr, reason = "an installation is never silent")]
fn install(requirement: &str, folder: &Path) {
    let arguments = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    eprintln!("installing {requirement} from the Python package index, for the tests");
    let has_pip = |command: &mut Command| command.output().is_ok_and(|out| out.status.success());
    if !has_pip(Command::new("python3").args(["-m", "pip", "--version"])) {
        install_pip();
    }
    let mut pip = Command::new("python3");
    let pip = pip.args(arguments).arg("--target").arg(folder).arg(requirement);
    let output = pip.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "pip did not bring {requirement}: {said}");
}

#[allow(clippy::print_stderr, reason = "an installation is never silent")]
fn install_pip() {
    let root = rustix::process::geteuid().is_root();
    for arguments in [&["update"][..], &["install", "--yes", "python3-pip"]] {
        let mut words = if root { vec![] } else { vec!["sudo", "-n"] };
        words.push("apt-get");
        words.extend(arguments);
        eprintln!("pip is not on this machine; running `{}`", words.join(" "));
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "the tests need pip, which could not be had: {said}");
    }
}
