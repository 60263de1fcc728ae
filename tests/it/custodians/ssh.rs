//! The command custodian, by the example program for ssh. `ssh` itself is a double here, which runs
//! on this machine what it should run on the other one.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use strongroom::base::ids::{Epoch, VaultId};
use strongroom::keys::KeyError;
use strongroom::keys::custodians::{Assurance, Custodian};

use super::{Place, command, command_within, contract, example, new_vault, share};

/// Drops the options, knows one host that is up, and hands the command to a shell as sshd would.
const DOUBLE: &str = r#"#!/bin/sh
while [ "$1" != -- ]; do shift; done
if [ "$2" != up ]; then
    echo "ssh: connect to host $2 port 22: Connection refused" >&2
    exit 255
fi
shift 2
exec sh -c "$*"
"#;

struct OverSsh {
    top: tempfile::TempDir,
    path: String,
}

impl OverSsh {
    fn new() -> Self {
        let top = tempfile::tempdir().unwrap();
        let folder = top.path().join("bin");
        fs::create_dir(&folder).unwrap();
        write_program(&folder.join("ssh"), DOUBLE);
        fs::create_dir(top.path().join("there")).unwrap();
        let path = format!("PATH={}:{}", folder.display(), std::env::var("PATH").unwrap());
        Self { top, path }
    }

    fn at(&self, host: &str, folder: &str) -> Box<dyn Custodian> {
        let folder = self.top.path().join(folder).display().to_string();
        command(&["env", &self.path, &example("ssh.sh"), host, &folder])
    }

    fn file(&self, vault: VaultId, epoch: u64) -> PathBuf {
        self.top.path().join(format!("there/{vault}.{epoch}"))
    }
}

fn write_program(file: &Path, text: &str) {
    fs::write(file, text).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
}

impl Place for OverSsh {
    fn open(&self) -> Box<dyn Custodian> {
        self.at("up", "there")
    }

    fn overwrite(&self, vault: VaultId, epoch: Epoch, text: &[u8]) {
        fs::write(self.file(vault, epoch.0), text).unwrap();
    }

    fn unreachable(&self) -> Vec<(&'static str, Box<dyn Custodian>)> {
        fs::create_dir(self.top.path().join("mount point")).unwrap();
        vec![
            ("the host is down", self.at("down", "there")),
            ("no folder there", self.at("up", "gone")),
            ("an empty mount point there", self.at("up", "mount point")),
            ("no such program", command(&["/nowhere/keep"])),
            ("a program that fails", command(&["false"])),
            ("a program that always says none", command(&["sh", "-c", "exit 10"])),
            ("a program that says too much", command(&["yes"])),
            ("a program that does not end", command_within(&["sh", "-c", "sleep 600"], 1)),
            ("a program that dies", command(&["sh", "-c", "kill -9 $$"])),
        ]
    }
}

#[test]
fn a_program_over_ssh_keeps_the_contract() {
    for (name, clause) in contract::CLAUSES {
        eprintln!("{name}");
        clause(&OverSsh::new());
    }
    assert_eq!(OverSsh::new().open().assurance(), Assurance::Delegated);
}

#[test]
fn what_ssh_complains_of_is_told() {
    let place = OverSsh::new();
    let told = place.at("down", "there").get(new_vault(), Epoch(1)).err().unwrap().to_string();
    assert_eq!(
        told,
        "the custodian `far` (the program env) cannot be used now: its program ended with exit code \
         255: ssh: connect to host down port 22: Connection refused"
    );
}

#[test]
fn a_share_that_comes_cut_short_is_not_kept() {
    let place = OverSsh::new();
    let vault = new_vault();
    let custodian = place.open();
    custodian.enroll(vault).unwrap();
    // The connection breaks after the first bytes.
    let double = place.top.path().join("bin/ssh");
    let breaking = DOUBLE.replace("exec sh -c", "head -c 50 | exec sh -c");
    write_program(&double, &breaking);
    let broken = custodian.put(&share(vault, 1)).err().unwrap().to_string();
    assert!(broken.ends_with("exit code 1: the share came cut short"), "{broken}");
    write_program(&double, DOUBLE);
    assert!(custodian.epochs(vault).unwrap().is_empty());
    let one = share(vault, 1);
    custodian.put(&one).unwrap();
    assert!(custodian.get(vault, Epoch(1)).unwrap().is_same(&one));
    let names = fs::read_dir(place.top.path().join("there")).unwrap().count();
    assert_eq!(names, 2, "the mark and the share");
}

/// A program that keeps shares but lies: it is not believed.
#[test]
fn a_program_is_not_taken_at_its_word() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("keep");
    let script = |put: &str, destroy: &str| {
        let text = format!(
            "#!/bin/sh\ncd {}\ncase $1 in get) cat s.$3 2>/dev/null || exit 10;; \
             put) {put};; destroy) {destroy};; epochs) ls | sed -n s/s.//p;; esac\n",
            folder.path().display()
        );
        write_program(&program, &text);
    };
    let custodian = command(&[&program.display().to_string()]);
    let vault = new_vault();
    let is_unreachable = |result: Result<(), KeyError>, words: &str| {
        let Err(KeyError::Unreachable { reason, .. }) = &result else { panic!("{result:?}") };
        assert!(reason.contains(words), "{reason}");
    };
    script("cat >s.$3", "rm s.$3");
    custodian.enroll(vault).unwrap();
    custodian.put(&share(vault, 1)).unwrap();
    // It overwrites without looking; strongroom has looked.
    assert!(matches!(custodian.put(&share(vault, 1)), Err(KeyError::EpochTaken { .. })));
    script("cat >/dev/null", "exit 0");
    is_unreachable(custodian.put(&share(vault, 2)), "does not hand it back");
    is_unreachable(custodian.destroy(vault, Epoch(1)), "still hands it out");
    script("cat >s.$3", "exit 10");
    is_unreachable(custodian.destroy(vault, Epoch(1)), "still hands it out");
    script("exit 11", "exit 3");
    assert!(matches!(custodian.put(&share(vault, 2)), Err(KeyError::EpochTaken { .. })));
    is_unreachable(custodian.destroy(vault, Epoch(1)), "exit code 3");
}

#[test]
fn a_share_is_in_no_argument_and_no_variable_and_strongrooms_own_are_not_handed_on() {
    // Run once more in a process that has such a variable.
    const OWN: &str = "STRONGROOM_TEST_CHILD";
    if std::env::var_os(OWN).is_none() {
        let mut again = Command::new(std::env::current_exe().unwrap());
        let name = std::thread::current().name().unwrap().to_owned();
        let output = again.args(["--exact", &name]).env(OWN, "1").output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && told.contains("1 passed"), "{told}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("keep");
    let seen = folder.path().join("seen");
    let text = format!(
        "#!/bin/sh\n{{ tr '\\0' ' ' </proc/$$/cmdline; env; }} >>{}\n\
         cd {}\ncase $1 in get) cat s.$3 2>/dev/null || exit 10;; put) cat >s.$3;; esac\n",
        seen.display(),
        folder.path().display()
    );
    write_program(&program, &text);
    let vault = new_vault();
    let one = share(vault, 1);
    let custodian = command(&[&program.display().to_string()]);
    custodian.enroll(vault).unwrap();
    custodian.put(&one).unwrap();
    let seen = fs::read_to_string(seen).unwrap();
    let digits = one.to_text().split("share ").last().unwrap().trim().to_owned();
    assert!(seen.contains(&format!("put {vault} 1")), "{seen}");
    assert!(!seen.contains(&digits));
    assert!(!seen.contains("STRONGROOM_"));
}

#[test]
fn a_program_that_hangs_is_ended_in_time() {
    let begun = Instant::now();
    let hanging = command_within(&["sh", "-c", "trap '' TERM; sleep 600"], 1);
    let told = hanging.destroy(new_vault(), Epoch(1)).err().unwrap().to_string();
    assert!(told.ends_with("its program did not end within 1 s"), "{told}");
    assert!(begun.elapsed() < Duration::from_secs(20));
}
