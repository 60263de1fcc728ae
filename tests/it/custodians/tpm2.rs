//! The command custodian, by the example program for a TPM 2.0, against `swtpm`: a TPM in software.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use strongroom::base::ids::{Epoch, VaultId};
use strongroom::keys::KeyError;
use strongroom::keys::custodians::Custodian;

use super::{Place, command, contract, example};
use crate::support::tools::program;

struct Tpm {
    process: Child,
    port: u16,
    _state: tempfile::TempDir,
}

impl Tpm {
    fn start() -> Self {
        let swtpm = program("swtpm");
        program("tpm2_nvdefine");
        let state = tempfile::tempdir().unwrap();
        // tpm2-tools look for the control port at the next number.
        let port = free_pair_of_ports();
        let process = Command::new(swtpm)
            .args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear"])
            .arg("--tpmstate")
            .arg(format!("dir={}", state.path().display()))
            .args(["--server", &format!("type=tcp,port={port}")])
            .args(["--ctrl", &format!("type=tcp,port={}", port + 1)])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let tpm = Self { process, port, _state: state };
        let begun = Instant::now();
        while !tpm.tool("tpm2_getcap", &["handles-nv-index"]) {
            assert!(begun.elapsed() < Duration::from_secs(20), "swtpm does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
        tpm
    }

    fn variable(port: u16) -> String {
        format!("TPM2TOOLS_TCTI=swtpm:host=127.0.0.1,port={port}")
    }

    fn at(port: u16, base: &str) -> Box<dyn Custodian> {
        command(&["env", &Self::variable(port), &example("tpm2.sh"), base])
    }

    fn tool(&self, tool: &str, arguments: &[&str]) -> bool {
        let mut command = Command::new("env");
        command.arg(Self::variable(self.port)).arg(tool).args(arguments);
        command.output().unwrap().status.success()
    }

    /// The example's place of an epoch.
    fn index(epoch: Epoch) -> String {
        format!("{:#x}", 0x150_0000 + 1 + epoch.0 % 63)
    }
}

impl Drop for Tpm {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_pair_of_ports() -> u16 {
    loop {
        let first = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = first.local_addr().unwrap().port();
        if port < u16::MAX && TcpListener::bind(("127.0.0.1", port + 1)).is_ok() {
            return port;
        }
    }
}

impl Place for Tpm {
    fn open(&self) -> Box<dyn Custodian> {
        Self::at(self.port, "0x1500000")
    }

    fn overwrite(&self, _: VaultId, epoch: Epoch, text: &[u8]) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("text");
        std::fs::write(&file, text).unwrap();
        let index = Self::index(epoch);
        assert!(self.tool("tpm2_nvundefine", &["-C", "o", &index]));
        let (size, file) = (text.len().to_string(), file.display().to_string());
        let attributes = "ownerread|ownerwrite";
        assert!(self.tool("tpm2_nvdefine", &["-C", "o", &index, "-s", &size, "-a", attributes]));
        assert!(self.tool("tpm2_nvwrite", &["-C", "o", &index, "-i", &file]));
    }

    fn unreachable(&self) -> Vec<(&'static str, Box<dyn Custodian>)> {
        vec![
            ("no TPM answers", Self::at(1, "0x1500000")),
            ("another TPM, or another place in it", Self::at(self.port, "0x1600000")),
        ]
    }
}

/// An index has no name, so a damaged one cannot be listed by its epoch: see the test below. And
/// this TPM's socket, unlike a kernel's `/dev/tpmrm0`, has one user at a time.
const NOT_HERE: [&str; 2] = ["damage_is_told_and_can_be_destroyed", "two_epochs_are_put_at_once"];

#[test]
fn a_tpm_keeps_the_contract() {
    for (name, clause) in contract::CLAUSES {
        if !NOT_HERE.contains(name) {
            eprintln!("{name}");
            clause(&Tpm::start());
        }
    }
}

#[test]
fn an_index_that_a_crash_left_unwritten_is_used_again() {
    let tpm = Tpm::start();
    let vault = super::new_vault();
    let custodian = tpm.open();
    custodian.enroll(vault).unwrap();
    let attributes = "ownerread|ownerwrite";
    let define = ["-C", "o", "0x1500002", "-s", "300", "-a", attributes];
    assert!(tpm.tool("tpm2_nvdefine", &define));
    assert!(custodian.epochs(vault).unwrap().is_empty());
    custodian.destroy(vault, Epoch(1)).unwrap();
    assert!(tpm.tool("tpm2_nvdefine", &define));
    let one = super::share(vault, 1);
    custodian.put(&one).unwrap();
    assert!(custodian.get(vault, Epoch(1)).unwrap().is_same(&one));
}

#[test]
fn a_damaged_index_is_told_and_can_be_destroyed() {
    let tpm = Tpm::start();
    let vault = super::new_vault();
    let custodian = tpm.open();
    custodian.enroll(vault).unwrap();
    let one = super::share(vault, 1);
    custodian.put(&one).unwrap();
    for damage in [b"x".to_vec(), one.to_text().as_bytes()[..150].to_vec()] {
        tpm.overwrite(vault, Epoch(1), &damage);
        let damaged = custodian.get(vault, Epoch(1));
        assert!(matches!(damaged, Err(KeyError::Damaged { .. })));
        assert!(custodian.put(&one).is_err());
    }
    tpm.overwrite(vault, Epoch(1), b"x");
    let told = custodian.epochs(vault).err().unwrap().to_string();
    assert!(told.ends_with("index 0x1500002 is damaged"), "{told}");
    custodian.destroy(vault, Epoch(1)).unwrap();
    custodian.put(&one).unwrap();
    assert!(custodian.get(vault, Epoch(1)).unwrap().is_same(&one));
}
