//! The file custodian: a folder, perhaps on another medium.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use strongroom::base::ids::{Epoch, VaultId};
use strongroom::keys::KeyError;
use strongroom::keys::custodians::file::{FileCustodian, MARKER};
use strongroom::keys::custodians::share::ShareSet;
use strongroom::keys::custodians::{Assurance, Custodian};

use super::{Place, contract, new_vault, share};

/// The version before shares wrote this.
const WHOLE_SECRET: &str = "strongroom epoch secret v1\nvault VAULT\nepoch 3\nsecret SECRET\n";

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("custodian")
    }

    fn file(&self, epoch: u64) -> PathBuf {
        self.path().join(format!("epoch-{epoch}.secret"))
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// A folder as the version before left it.
    fn of_the_version_before(vault: VaultId) -> Self {
        let folder = Self::new();
        fs::create_dir(folder.path()).unwrap();
        let text =
            WHOLE_SECRET.replace("VAULT", &vault.to_string()).replace("SECRET", &"5a".repeat(32));
        fs::write(folder.file(3), text).unwrap();
        folder
    }
}

impl Place for Folder {
    fn open(&self) -> Box<dyn Custodian> {
        Box::new(FileCustodian::new("main", &self.path()))
    }

    fn overwrite(&self, _: VaultId, epoch: Epoch, text: &[u8]) {
        fs::write(self.file(epoch.0), text).unwrap();
    }

    fn unreachable(&self) -> Vec<(&'static str, Box<dyn Custodian>)> {
        let at = |path: &Path| Box::new(FileCustodian::new("main", path)) as Box<dyn Custodian>;
        let top = self.0.path();
        fs::create_dir(top.join("mount point")).unwrap();
        fs::create_dir_all(top.join("used/lost+found")).unwrap();
        fs::write(top.join("a file"), "x").unwrap();
        vec![
            ("no folder", at(&top.join("gone"))),
            ("no folder above it", at(&top.join("gone/custodian"))),
            ("an empty mount point", at(&top.join("mount point"))),
            ("another medium", at(&top.join("used"))),
            ("no folder at all", at(&top.join("a file"))),
        ]
    }
}

#[test]
fn a_folder_keeps_the_contract() {
    for (name, clause) in contract::CLAUSES {
        eprintln!("{name}");
        clause(&Folder::new());
    }
    assert_eq!(Folder::new().open().assurance(), Assurance::Overwritten);
}

#[test]
fn a_folder_is_made_by_enrolling_only_and_where_it_has_a_place() {
    let folder = Folder::new();
    let vault = new_vault();
    assert!(folder.open().put(&share(vault, 1)).is_err());
    assert!(!folder.path().exists());
    folder.open().enroll(vault).unwrap();
    assert_eq!(folder.names(), [MARKER]);
    assert_eq!(fs::metadata(folder.path()).unwrap().permissions().mode() & 0o777, 0o700);
    let text = fs::read_to_string(folder.path().join(MARKER)).unwrap();
    assert_eq!(text, format!("strongroom custodian v1\nvault {vault}\n"));
    // Its medium is not mounted, so that even the folder above is missing.
    let deep = FileCustodian::new("main", &folder.0.path().join("media/safe/custodian"));
    assert!(matches!(deep.enroll(vault), Err(KeyError::Unreachable { .. })));
}

#[test]
fn a_folder_is_one_vaults_but_for_a_mark_without_shares() {
    let folder = Folder::new();
    let (first, second) = (new_vault(), new_vault());
    folder.open().enroll(first).unwrap();
    // An `init` that failed has left its mark.
    folder.open().enroll(second).unwrap();
    folder.open().put(&share(second, 1)).unwrap();
    assert!(matches!(folder.open().enroll(first), Err(KeyError::OtherVault { .. })));
    fs::write(folder.path().join(MARKER), "something else").unwrap();
    assert!(matches!(folder.open().get(second, Epoch(1)), Err(KeyError::Damaged { .. })));
    assert!(matches!(folder.open().destroy(second, Epoch(1)), Err(KeyError::Damaged { .. })));
}

#[test]
fn a_folder_of_the_version_before_is_taken_and_marked_at_the_next_write() {
    let vault = new_vault();
    let folder = Folder::of_the_version_before(vault);
    let custodian = folder.open();
    let held = custodian.get(vault, Epoch(3)).unwrap();
    assert_eq!((held.threshold, held.index, held.set), (1, 1, ShareSet::BEFORE_SHARES));
    assert_eq!(held.value.expose(), &[0x5a; 32]);
    assert_eq!(custodian.epochs(vault).unwrap(), [Epoch(3)]);
    assert!(matches!(custodian.get(new_vault(), Epoch(3)), Err(KeyError::OtherVault { .. })));
    assert!(custodian.destroy(new_vault(), Epoch(3)).is_err());
    assert!(custodian.enroll(new_vault()).is_err());
    assert_eq!(folder.names(), ["epoch-3.secret"]);

    custodian.put(&share(vault, 4)).unwrap();
    assert_eq!(folder.names(), ["epoch-3.secret", "epoch-4.secret", MARKER]);
    custodian.destroy(vault, Epoch(3)).unwrap();
    custodian.destroy(vault, Epoch(4)).unwrap();
    assert!(custodian.epochs(vault).unwrap().is_empty());

    let folder = Folder::of_the_version_before(vault);
    folder.open().destroy(vault, Epoch(3)).unwrap();
    folder.open().destroy(vault, Epoch(3)).unwrap();
    assert_eq!(folder.names(), [MARKER]);
}

#[test]
fn a_destroyed_share_is_overwritten_before_it_is_unlinked() {
    let folder = Folder::new();
    let vault = new_vault();
    folder.open().enroll(vault).unwrap();
    folder.open().put(&share(vault, 1)).unwrap();
    let mut file = File::open(folder.file(1)).unwrap();
    folder.open().destroy(vault, Epoch(1)).unwrap();
    let mut left = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut left).unwrap();
    assert!(left.len() > 200 && left.iter().all(|byte| *byte == 0));
}

#[test]
fn what_a_crashed_put_left_is_destroyed_by_the_next_write() {
    for write in [
        (|custodian, vault| custodian.put(&share(vault, 2))) as fn(&dyn Custodian, _) -> _,
        |custodian, vault| custodian.destroy(vault, Epoch(9)),
    ] {
        let folder = Folder::new();
        let vault = new_vault();
        let custodian = folder.open();
        custodian.enroll(vault).unwrap();
        let one = share(vault, 1);
        custodian.put(&one).unwrap();
        let half = folder.path().join(".strongroom-tmp-a1b2");
        fs::write(&half, share(vault, 2).to_text().as_bytes()).unwrap();
        // The crash may have come when the file had both its names.
        fs::hard_link(folder.file(1), folder.path().join(".strongroom-tmp-c3d4")).unwrap();
        let mut opened = File::open(&half).unwrap();
        write(&*custodian, vault).unwrap();
        let mut left = Vec::new();
        opened.read_to_end(&mut left).unwrap();
        assert!(left.iter().all(|byte| *byte == 0));
        assert!(folder.names().iter().all(|name| !name.starts_with('.')), "{:?}", folder.names());
        assert!(custodian.get(vault, Epoch(1)).unwrap().is_same(&one));
    }
}

#[test]
fn a_file_without_end_is_read_to_the_limit_only() {
    let folder = Folder::new();
    let vault = new_vault();
    folder.open().enroll(vault).unwrap();
    std::os::unix::fs::symlink("/dev/zero", folder.file(1)).unwrap();
    assert!(matches!(folder.open().get(vault, Epoch(1)), Err(KeyError::Damaged { .. })));
}
