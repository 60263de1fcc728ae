//! Wrong keys: passphrases, identities, and secrets of another vault.

use std::fs;

use crate::assert_session;
use crate::support::sandbox::Sandbox;
use crate::support::tools::faketime;

#[test]
fn a_wrong_passphrase_opens_nothing() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.path("passphrase"), "correct horse battery staple\n").unwrap();
    fs::write(sandbox.path("wrong"), "incorrect sparrow\n").unwrap();
    fs::write(sandbox.path("empty"), "\n").unwrap();
    sandbox.quietly("strongroom init --store backups --passphrase-file passphrase").done();
    sandbox.fails("strongroom verify --all --passphrase-file wrong", 9);
    sandbox.last_access("verify", "failed", "error=identity");
    sandbox.fails("strongroom verify --all --passphrase-file empty", 9);
    sandbox.fails("strongroom verify --all --passphrase-file nowhere", 9);
    sandbox.fails("strongroom audit verify --passphrase-file wrong", 9);
    fs::write(sandbox.path("passphrase"), "").unwrap();
    sandbox.fails("strongroom verify --all", 9);
    fs::remove_file(sandbox.path("passphrase")).unwrap();
    sandbox.fails("strongroom verify --all", 9);
    assert_session!("a_wrong_passphrase", sandbox);
    fs::write(sandbox.path("passphrase"), "correct horse battery staple\n").unwrap();
    sandbox.nothing_lost();
}

/// What opens a passphrase's file must not depend on how fast the machine is at the moment: here its
/// clock runs a thousand times too fast, so that every measurement finds a machine that is a
/// thousand times too slow.
#[test]
fn a_busy_machine_opens_a_passphrase_vault() {
    let mut sandbox = Sandbox::new();
    fs::write(sandbox.path("passphrase"), "correct horse battery staple\n").unwrap();
    sandbox.quietly("strongroom init --store backups --passphrase-file passphrase").done();
    sandbox.remark("the work factor is higher than the limit");
    let master = sandbox.path("master.age");
    let sealed = fs::read(&master).unwrap();
    let at = sealed.windows(4).position(|bytes| bytes == b" 18\n").unwrap();
    fs::write(&master, [&sealed[..at], b" 23\n", &sealed[at + 4..]].concat()).unwrap();
    sandbox.fails("strongroom verify --all", 8);
    fs::write(&master, &sealed).unwrap();

    sandbox.remark("the clock runs a thousand times too fast");
    sandbox.set("LD_PRELOAD", &faketime().display().to_string());
    sandbox.set("FAKETIME", "+0 x1000");
    sandbox.set("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    sandbox.run("strongroom audit verify").done();
    sandbox.unset("LD_PRELOAD");
    assert_session!("a_busy_machine", sandbox);
}

#[test]
fn a_wrong_identity_opens_nothing() {
    let (sandbox, _database) = Sandbox::with_backup();
    let other = age::x25519::Identity::generate().to_string();
    let other = age::secrecy::ExposeSecret::expose_secret(&other).to_owned();
    fs::write(sandbox.path("other.txt"), &other).unwrap();
    fs::write(sandbox.path("garbage.txt"), "sparrow, no identity\n").unwrap();
    fs::write(sandbox.path("bytes.txt"), b"\xff\xfe\x00").unwrap();
    fs::write(sandbox.path("none.txt"), "# created: today\n").unwrap();
    for file in ["other.txt", "garbage.txt", "bytes.txt", "none.txt", "nowhere.txt"] {
        let line = format!("strongroom verify latest --identity {file}");
        let ended = sandbox.run(&line);
        assert!(matches!(ended.exit, 2 | 9), "{}", ended.told());
        let exit = ended.exit;
        ended.failed(exit);
    }
    sandbox.fails("strongroom backup finance --identity other.txt", 9);
    sandbox.last_access("backup", "failed", "error=identity");
    sandbox.remark("the configuration names no identity, and nobody can be asked");
    let config = fs::read_to_string(sandbox.path("strongroom.toml")).unwrap();
    let without = config.replace("identity_file =", "# identity_file =");
    fs::write(sandbox.path("strongroom.toml"), &without).unwrap();
    sandbox.fails("strongroom verify latest", 9);
    sandbox.last_access("verify", "failed", "error=identity");
    sandbox.run("strongroom audit verify").done();
    fs::write(sandbox.path("strongroom.toml"), &config).unwrap();

    sandbox.remark("recipients that are none");
    let init = "strongroom init --config other.toml --store other";
    sandbox.fails(&format!("{init} --recipient age1nonsense"), 2);
    sandbox.fails(&format!("{init} --recipient $RECIPIENT --passphrase-file other.txt"), 2);
    assert_session!("a_wrong_identity", sandbox);
    sandbox.nothing_lost();
}

#[test]
fn a_lost_or_damaged_secret_is_named() {
    let (sandbox, _database) = Sandbox::with_backup();
    let custodian = sandbox.path("custodian");
    let secret = custodian.join("epoch-1.secret");
    let good = fs::read(&secret).unwrap();

    sandbox.remark("the custodian is not mounted");
    fs::rename(&custodian, sandbox.path("away")).unwrap();
    sandbox.fails("strongroom verify latest", 8);
    sandbox.last_access("verify", "failed", "error=vault");
    sandbox.fails("strongroom erase --source finance --subject 2 --reason case --yes", 8);
    fs::rename(sandbox.path("away"), &custodian).unwrap();

    sandbox.remark("the epoch secret is cut short");
    fs::write(&secret, &good[..good.len() / 2]).unwrap();
    sandbox.fails("strongroom verify latest", 3);
    fs::write(&secret, &good).unwrap();

    sandbox.remark("the master secret is gone, empty, damaged");
    let master = sandbox.path("master.age");
    let sealed = fs::read(&master).unwrap();
    fs::remove_file(&master).unwrap();
    sandbox.fails("strongroom verify latest", 8);
    fs::write(&master, "").unwrap();
    sandbox.fails("strongroom verify latest", 3);
    let mut flipped = sealed.clone();
    *flipped.last_mut().unwrap() ^= 1;
    fs::write(&master, &flipped).unwrap();
    sandbox.fails("strongroom verify latest", 3);
    fs::write(&master, &sealed).unwrap();
    assert_session!("a_lost_or_damaged_secret", sandbox);
    sandbox.nothing_lost();
}
