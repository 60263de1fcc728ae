//! The working folder as it was at each passage of a durable step, for the tests. Debug builds only.
//!
//! With `STRONGROOM_IMAGES=FOLDER`, each passage appends a line `NAME:EDGE NUMBER` to `FOLDER/passages`, and
//! `FOLDER/NUMBER` is the working folder as it was there: what a crash at this passage would leave behind.
//! Where nothing has changed since the passage before, its number stands again.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

const VARIABLE: &str = "STRONGROOM_IMAGES";
/// How often a folder is read again that changes while it is read.
const READS_MAX: usize = 1_000;

/// Folders have no contents. With the mode, by the path below the working folder.
type Tree = BTreeMap<PathBuf, (u32, Option<Vec<u8>>)>;

/// The last image of this process.
pub(super) struct Images {
    last: Tree,
    count: usize,
}

impl Images {
    pub(super) const fn new() -> Self {
        Self { last: Tree::new(), count: 0 }
    }

    /// Takes the image of a passage, where a test asks for images. Other threads must not pass a durable
    /// step meanwhile: the caller holds the lock that all passages take.
    pub(super) fn take(&mut self, here: &str) {
        let Some(folder) = std::env::var_os(VARIABLE) else { return };
        if let Err(error) = self.keep(Path::new(&folder), here) {
            // A test that misses an image must fail, and says why.
            let _ = writeln!(io::stderr(), "no image of {here}: {error}");
            std::process::abort();
        }
    }

    fn keep(&mut self, folder: &Path, here: &str) -> io::Result<()> {
        let now = still(Path::new("."))?;
        if self.count == 0 || !is_same(&now, &self.last) {
            self.count += 1;
            write(&now, &folder.join(self.count.to_string()))?;
            self.last = now;
        }
        let mut log = OpenOptions::new().create(true).append(true).open(folder.join("passages"))?;
        log.write_all(format!("{here} {}\n", self.count).as_bytes())
    }
}

/// The folder at one moment: read until nothing has changed between two reads.
fn still(folder: &Path) -> io::Result<Tree> {
    let mut before = None;
    for _ in 0..READS_MAX {
        let mut tree = Tree::new();
        let read = read(folder, Path::new(""), &mut tree);
        match read {
            Ok(()) if before.as_ref() == Some(&tree) => return Ok(tree),
            Ok(()) => before = Some(tree),
            // It went while it was read.
            Err(error) if error.kind() == io::ErrorKind::NotFound => before = None,
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("the working folder never stands still"))
}

fn read(root: &Path, below: &Path, tree: &mut Tree) -> io::Result<()> {
    for entry in fs::read_dir(root.join(below))? {
        let name = below.join(entry?.file_name());
        let metadata = fs::symlink_metadata(root.join(&name))?;
        let mode = metadata.permissions().mode();
        if metadata.is_dir() {
            tree.insert(name.clone(), (mode, None));
            read(root, &name, tree)?;
        } else {
            tree.insert(name.clone(), (mode, Some(fs::read(root.join(name))?)));
        }
    }
    Ok(())
}

/// SQLite's shared memory says nothing after a crash: it is made again from the log beside it.
fn is_same(one: &Tree, other: &Tree) -> bool {
    let counts = |(name, _): &(&PathBuf, _)| !name.to_string_lossy().ends_with("-shm");
    one.iter().filter(counts).eq(other.iter().filter(counts))
}

fn write(tree: &Tree, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for (name, (mode, bytes)) in tree {
        let path = folder.join(name);
        match bytes {
            None => fs::create_dir(&path)?,
            Some(bytes) => fs::write(&path, bytes)?,
        }
        fs::set_permissions(&path, Permissions::from_mode(*mode))?;
    }
    Ok(())
}
