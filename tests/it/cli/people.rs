//! Lists of people, keys of SSH, and what `verify --all` takes in.

use std::fs;
use std::process::Command;

use crate::support::sandbox::{Sandbox, sql};
use crate::support::tools::program;

const ERASE: &str = "strongroom erase --source finance --reason 2026-118";

#[test]
fn a_list_is_read_as_spreadsheets_write_it_and_every_bad_line_is_named() {
    let (sandbox, _database) = Sandbox::with_backup();
    let write = |name: &str, text: &str| fs::write(sandbox.path(name), text).unwrap();
    write("bad.txt", "\u{feff}# from the desk\r\n2\r\n\r\nnobody\r\n99999\r\n3\r\n");
    let refused = sandbox.quietly(&format!("{ERASE} --subjects-from bad.txt --yes")).failed(2);
    for told in ["2 of the 4 people", "line 4: ", "line 5: ", "so none was"] {
        assert!(refused.stderr.contains(told), "{told}: {}", refused.stderr);
    }
    assert!(!refused.stderr.contains("99999") && !refused.stderr.contains("nobody"));
    // A line that is no key is never passed over.
    let skip = format!("{ERASE} --subjects-from bad.txt --skip-unknown --yes");
    sandbox.quietly(&skip).failed(2);
    let still = sandbox.quietly("strongroom verify --all").done();
    assert!(!still.stdout.contains("forgotten"), "{}", still.stdout);

    write(
        "desk.csv",
        "\u{feff}Ticket;Person;Mail\r\n\"A;1\";2;a@b\r\nA2;99999;\r\n\"A3\";\"3\";x\r\n",
    );
    sandbox.quietly(&format!("{ERASE} --subjects-from desk.csv --yes")).failed(2);
    let listed = format!("{ERASE} --subjects-from desk.csv --column person");
    sandbox.quietly(&format!("{listed} --yes")).failed(2);
    let erased = sandbox.quietly(&format!("{listed} --skip-unknown --yes --json")).done();
    assert!(erased.stderr.contains("line 3 was left out"), "{}", erased.stderr);
    let document = erased.json();
    assert_eq!(document["subjects"].as_array().unwrap().len(), 2);
    assert_eq!(document["skipped"][0]["line"], 3);
    // All of them are gone already: there is nobody left to go on with.
    sandbox.quietly(&format!("{listed} --skip-unknown --yes")).failed(2);
}

#[test]
fn keys_of_ssh_open_a_vault_and_an_export() {
    let sandbox = Sandbox::new();
    for kind in ["ed25519", "rsa"] {
        let made = Command::new(program("ssh-keygen"))
            .args(["-q", "-t", kind, "-N", "", "-C", "officer@machine", "-f", kind])
            .current_dir(sandbox.path("."))
            .status();
        assert!(made.unwrap().success());
        let public = fs::read_to_string(sandbox.path(&format!("{kind}.pub"))).unwrap();
        let folder = format!("vault-{kind}");
        fs::create_dir(sandbox.path(&folder)).unwrap();
        let config = format!("--config {folder}/strongroom.toml");
        let recipient = public.trim();
        let init = format!(
            "strongroom init --store {folder}/store --recipient \"{recipient}\" --identity {kind} {config}"
        );
        sandbox.quietly(&init).done();
        sandbox.quietly(&format!("strongroom verify --all {config}")).done();
        let other = format!("strongroom verify --all {config} --identity identity.txt");
        sandbox.quietly(&other).failed(9);
    }
    let refused = "strongroom init --store x --recipient \"ssh-dss AAAAB3NzaC1kc3M=\"";
    sandbox.quietly(refused).failed(2);

    // One with a passphrase of its own cannot be asked for at night: it says so.
    let locked = Command::new(program("ssh-keygen"))
        .args(["-q", "-t", "ed25519", "-N", "sesame", "-f", "locked"])
        .current_dir(sandbox.path("."))
        .status();
    assert!(locked.unwrap().success());
    let line = "strongroom verify --all --config vault-rsa/strongroom.toml --identity locked";
    let told = sandbox.quietly(line).failed(2);
    assert!(told.stderr.contains("passphrase of its own"), "{}", told.stderr);

    let (sandbox, _database) = Sandbox::with_backup();
    let made = Command::new(program("ssh-keygen"))
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "a b", "-f", "officer"])
        .current_dir(sandbox.path("."))
        .status();
    assert!(made.unwrap().success());
    let public = fs::read_to_string(sandbox.path("officer.pub")).unwrap();
    let export = format!(
        "strongroom export --source finance --subject 2 --recipient \"{}\" --output x.age",
        public.trim()
    );
    sandbox.quietly(&export).done();
    let opened = Command::new(program("age"))
        .args(["--decrypt", "--identity", "officer", "--output", "x.tar", "x.age"])
        .current_dir(sandbox.path("."))
        .status();
    assert!(opened.unwrap().success());
    assert!(fs::read(sandbox.path("x.tar")).unwrap().len() > 2000);
    sandbox.last_access("export", "done", " to=ssh-ed25519:...");
}

#[test]
fn verify_all_finds_damage_in_what_a_recovery_needs() {
    let (sandbox, database) = Sandbox::with_backup();
    sql(&database, "UPDATE public.users SET email = email || 'x'");
    let well = sandbox.quietly("strongroom verify --all").done();
    assert!(well.stdout.contains("catalog's replica in store `main`  intact"), "{}", well.stdout);
    assert!(well.stdout.contains("Not read: the"), "{}", well.stdout);
    let data = sandbox.objects("catalog/data");
    let largest = data.iter().max_by_key(|file| fs::metadata(file).unwrap().len()).unwrap();
    let whole = fs::read(largest).unwrap();
    let mut bytes = whole.clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(largest, &bytes).unwrap();
    let told = sandbox.quietly("strongroom verify --all").ended(3);
    assert!(told.stdout.contains("replica in store `main`  DAMAGED"), "{}", told.stdout);
    assert!(told.stdout.contains("  finance  intact"), "{}", told.stdout);
    // One source's backups, or one backup, say nothing of the replica.
    sandbox.quietly("strongroom verify --all --source finance").done();
    sandbox.quietly("strongroom verify latest").done();
    fs::write(largest, &whole).unwrap();
    sandbox.quietly("strongroom verify --all").done();
}

/// Words of the format, which the officer has no reason to know.
const NOT_HERS: [&str; 5] = ["segment", "subject reference", "Subject ", "epoch", "share"];

#[test]
fn the_officers_commands_speak_her_words() {
    let (sandbox, _database) = Sandbox::with_backup();
    sandbox.quietly("strongroom backup finance").done();
    let export =
        "strongroom export --source finance --subject 3 --recipient $RECIPIENT --output 3.age";
    for (line, exit) in [
        (format!("{ERASE} --subject 2 --dry-run"), 0),
        (format!("{ERASE} --subject 2 --dry-run --details"), 0),
        (format!("{ERASE} --subject 2 --yes"), 0),
        (format!("{ERASE} --subject 2 --yes"), 5),
        (format!("{ERASE} --subject 99999 --yes"), 5),
        (export.to_owned(), 0),
        (export.to_owned(), 4),
        ("strongroom subject readmit --source finance --subject 2".to_owned(), 0),
    ] {
        let ended = sandbox.quietly(&line).ended(exit);
        for word in NOT_HERS {
            assert!(!ended.told().contains(word), "{line}: {word}\n{}", ended.told());
        }
    }
    // A preview has room on a screen of 24 lines, however many tables there are.
    let brief = sandbox.quietly(&format!("{ERASE} --subject 3 --dry-run")).done();
    assert!(brief.stdout.lines().count() < 24, "{}", brief.stdout);
    assert!(!brief.stdout.contains("public.accounts"), "{}", brief.stdout);
    let long = sandbox.quietly(&format!("{ERASE} --subject 3 --dry-run --details")).done();
    assert!(long.stdout.contains("public.accounts"), "{}", long.stdout);
}
