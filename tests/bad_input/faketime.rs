//! A clock that is wrong, or runs too fast, for one process.

use std::path::PathBuf;

use crate::tools::python_package;

/// The library that shifts the clock of a process that is started with it (`LD_PRELOAD`).
pub fn faketime() -> PathBuf {
    let package = python_package("libfaketime==3.0.1");
    let library = package.join("libfaketime/vendor/libfaketime/src/libfaketime.so.1");
    assert!(library.is_file(), "{}", library.display());
    library
}
