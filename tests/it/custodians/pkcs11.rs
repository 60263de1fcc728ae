//! The PKCS #11 custodian against `SoftHSM` 2: an implementation of the interface in software, so a
//! double of a device. It proves the calls, not that a device destroys what it says it destroyed.
//!
//! `SoftHSM` reads where its tokens are from the environment, once a process: each test makes its
//! tokens and then runs the function of the same name in a process of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cryptoki::context::Pkcs11;
use cryptoki::object::Attribute;
use cryptoki::session::UserType;
use cryptoki::types::AuthPin;
use strongroom::base::ids::{Epoch, VaultId};
use strongroom::keys::KeyError;
use strongroom::keys::custodians::settings::{CustodianKind, CustodianSettings, PinSource};
use strongroom::keys::custodians::{Assurance, Custodian};

use super::{Place, contract, new_vault, share};
use crate::support::tools::program;

/// Set for the process that has tokens.
const CHILD: &str = "SOFTHSM2_CONF";
const PIN: &str = "only for tests";
const PIN_VARIABLE: &str = "TEST_HSM_PIN";

fn module() -> PathBuf {
    let places = [
        "/usr/lib/softhsm/libsofthsm2.so",
        "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
        "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    ];
    places.iter().map(PathBuf::from).find(|place| place.exists()).unwrap()
}

/// Whether this is the process with tokens; makes them and starts it otherwise.
fn inside(test: &str, tokens: &[&str]) -> bool {
    if std::env::var_os(CHILD).is_some() {
        return true;
    }
    let softhsm = program("softhsm2-util");
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("tokens")).unwrap();
    let settings = folder.path().join("softhsm2.conf");
    let text = format!("directories.tokendir = {}/tokens\n", folder.path().display());
    fs::write(&settings, format!("{text}objectstore.backend = file\nlog.level = ERROR\n")).unwrap();
    for token in tokens {
        let mut command = Command::new(&softhsm);
        command.args(["--init-token", "--free", "--label", token, "--so-pin", "12345678"]);
        let output = command.args(["--pin", PIN]).env(CHILD, &settings).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "--nocapture"]).arg(format!("custodians::pkcs11::{test}"));
    let output = command.env(CHILD, &settings).env(PIN_VARIABLE, PIN).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && told.contains("1 passed"), "{told}\n{complaint}");
    false
}

fn token(module: &Path, label: &str, pin: PinSource) -> Box<dyn Custodian> {
    let kind = CustodianKind::Pkcs11 { module: module.to_owned(), token: label.to_owned(), pin };
    CustodianSettings { name: "hsm".to_owned(), kind }.open().unwrap()
}

fn pin() -> PinSource {
    PinSource::Variable(PIN_VARIABLE.to_owned())
}

struct Token(tempfile::TempDir);

impl Place for Token {
    fn open(&self) -> Box<dyn Custodian> {
        token(&module(), "backup", pin())
    }

    fn overwrite(&self, vault: VaultId, epoch: Epoch, text: &[u8]) {
        let loaded = Pkcs11::new(module()).unwrap();
        let slots = loaded.get_slots_with_token().unwrap();
        let has_label = |slot: &&_| loaded.get_token_info(**slot).unwrap().label() == "backup";
        let slot = slots.iter().find(has_label).unwrap();
        let session = loaded.open_rw_session(*slot).unwrap();
        session.login(UserType::User, Some(&AuthPin::from(PIN.to_owned()))).unwrap();
        let label = Attribute::Label(format!("{vault} epoch {epoch}").into_bytes());
        let found = session.find_objects(&[label]).unwrap();
        let [held] = found[..] else { panic!("{} objects", found.len()) };
        let class = cryptoki::object::AttributeType::Class;
        let kinds = [class, cryptoki::object::AttributeType::Label];
        let mut like_it = session.get_attributes(held, &kinds).unwrap();
        session.destroy_object(held).unwrap();
        like_it.extend([
            Attribute::Token(true),
            Attribute::Private(true),
            Attribute::Application(b"strongroom".to_vec()),
            Attribute::Value(text.to_vec()),
        ]);
        session.create_object(&like_it).unwrap();
    }

    fn unreachable(&self) -> Vec<(&'static str, Box<dyn Custodian>)> {
        let file = |text: &str| {
            let file = self.0.path().join(format!("pin {}", text.len()));
            fs::write(&file, text).unwrap();
            PinSource::File(file)
        };
        let gone = PinSource::File(self.0.path().join("gone"));
        let not_set = PinSource::Variable("NOT_SET_ANYWHERE".to_owned());
        vec![
            ("no such token", token(&module(), "other", pin())),
            ("two of its label", token(&module(), "twin", pin())),
            ("a token without the mark", token(&module(), "empty", pin())),
            ("a wrong PIN", token(&module(), "backup", file("wrong\n"))),
            ("no PIN", token(&module(), "backup", gone)),
            ("no variable", token(&module(), "backup", not_set)),
            ("no module", token(Path::new("/nowhere/lib.so"), "backup", pin())),
            ("no library", token(Path::new("/etc/passwd"), "backup", pin())),
        ]
    }
}

#[test]
fn a_token_keeps_the_contract() {
    let tokens = ["backup", "empty", "twin", "twin"];
    if !inside("a_token_keeps_the_contract", &tokens) {
        return;
    }
    for (name, clause) in contract::CLAUSES {
        eprintln!("{name}");
        clause(&Token(tempfile::tempdir().unwrap()));
    }
    let place = Token(tempfile::tempdir().unwrap());
    assert_eq!(place.open().assurance(), Assurance::Device);
    assert_eq!(place.open().place(), "the token `backup`");
}

#[test]
fn a_share_is_private_and_gone_with_its_object() {
    if !inside("a_share_is_private_and_gone_with_its_object", &["backup"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pin");
    fs::write(&file, format!("{PIN}\nanother line\n")).unwrap();
    let custodian = token(&module(), "backup", PinSource::File(file));
    let vault = new_vault();
    custodian.enroll(vault).unwrap();
    custodian.put(&share(vault, 1)).unwrap();

    let objects = |with_login: bool| {
        let loaded = Pkcs11::new(module()).unwrap();
        let slot = loaded.get_slots_with_initialized_token().unwrap()[0];
        let session = loaded.open_ro_session(slot).unwrap();
        if with_login {
            session.login(UserType::User, Some(&AuthPin::from(PIN.to_owned()))).unwrap();
        }
        session.find_objects(&[]).unwrap().len()
    };
    assert_eq!(
        (objects(false), objects(true)),
        (0, 2),
        "the mark and the share, for the user only"
    );
    custodian.destroy(vault, Epoch(1)).unwrap();
    assert_eq!(objects(true), 1);
}

#[test]
fn a_refused_pin_is_given_once() {
    if !inside("a_refused_pin_is_given_once", &["backup"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pin");
    fs::write(&file, "wrong").unwrap();
    let custodian = token(&module(), "backup", PinSource::File(file.clone()));
    let vault = new_vault();
    let told = custodian.enroll(vault).err().unwrap().to_string();
    assert_eq!(
        told,
        "the custodian `hsm` (the token `backup`) cannot be used now: the token refused the PIN"
    );
    // Right now, but a token that is asked again and again with a wrong PIN locks itself.
    fs::write(&file, PIN).unwrap();
    assert!(matches!(custodian.enroll(vault), Err(KeyError::Unreachable { .. })));
    token(&module(), "backup", PinSource::File(file)).enroll(vault).unwrap();
}
