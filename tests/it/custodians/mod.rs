//! What every custodian must do, run for each kind that there is: a folder, a program of the user's
//! own (the examples of `docs/custodians`), a PKCS #11 token.

mod contract;
mod file;
mod pkcs11;
mod quorum;
mod ssh;
mod tpm2;

use std::path::Path;

use strongroom::base::ids::{Epoch, VaultId};
use strongroom::base::random;
use strongroom::keys::custodians::Custodian;
use strongroom::keys::custodians::settings::{CustodianKind, CustodianSettings};
use strongroom::keys::custodians::share::{Share, ShareSet, ShareValue};

/// A custodian with nothing in it, and what a test does behind its back.
trait Place {
    /// A custodian of this place, opened anew.
    fn open(&self) -> Box<dyn Custodian>;
    /// Puts other bytes in the place of a share that is there.
    fn overwrite(&self, vault: VaultId, epoch: Epoch, text: &[u8]);
    /// The like of it that cannot be reached, or that is an empty place of the same name; what is
    /// the matter, for messages.
    fn unreachable(&self) -> Vec<(&'static str, Box<dyn Custodian>)>;
}

/// A vault of its own for each test: some places are shared.
fn new_vault() -> VaultId {
    VaultId(random::bytes(&mut random::system()))
}

fn share(vault: VaultId, epoch: u64) -> Share {
    let random = &mut random::system();
    Share {
        vault,
        epoch: Epoch(epoch),
        set: ShareSet(random::bytes(random)),
        threshold: 2,
        index: 1,
        value: ShareValue::generate(random),
    }
}

fn command(program: &[&str]) -> Box<dyn Custodian> {
    command_within(program, 30)
}

fn command_within(program: &[&str], timeout_seconds: u32) -> Box<dyn Custodian> {
    let program = program.iter().map(|word| (*word).to_owned()).collect();
    let kind = CustodianKind::Command { program, timeout_seconds, env: example_env() };
    CustodianSettings { name: "far".to_owned(), kind }.open().unwrap()
}

/// What the examples of the documents need of the environment.
fn example_env() -> Vec<String> {
    vec!["TPM_OWNER_AUTH".to_owned(), "TPM2TOOLS_TCTI".to_owned()]
}

/// An example program of the documents.
fn example(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/custodians");
    folder.join(name).display().to_string()
}
