//! The recovery kit through the real program: what it says, where it goes, and where it never goes.

use crate::support;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use crate::vault::{World, finished};
use strongroom::base::ids::VaultId;
use strongroom::crypto::SecretText;
use strongroom::keys::master::kit::{self, Kit};
use strongroom::keys::master::{self, Credentials};

/// The master secret as the vault's own file has it.
fn master_of(world: &World) -> (VaultId, Vec<u8>) {
    let id: Vec<u8> =
        world.catalog().query_row("SELECT vault_id FROM vault", [], |row| row.get(0)).unwrap();
    let id = VaultId(id.try_into().unwrap());
    let identity = fs::read_to_string(world.path().join("identity")).unwrap();
    let identities = Some((SecretText::new(identity), "identity".to_owned()));
    let credentials = Credentials { passphrase: None, identities };
    let sealed = fs::read(world.path().join("master.age")).unwrap();
    let master = master::open(&sealed, id, &credentials, "master.age").unwrap();
    (id, master.expose().to_vec())
}

fn assert_is_of(kit: &Kit, world: &World) {
    let (id, master) = master_of(world);
    assert_eq!(kit.vault, id);
    assert!(kit.master.expose().as_slice() == master, "another master secret");
}

/// `kit print` as a person runs it, without `--json`.
fn print(world: &World, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_strongroom"));
    command.args(["kit", "print", "--identity", "identity"]).args(arguments);
    command.current_dir(world.path()).env_remove("STRONGROOM_CONFIG");
    command
}

fn actions(world: &World) -> Vec<(String, String, String)> {
    let log = world.ok(&["audit", "list", "--action", "kit"]);
    let text = |entry: &serde_json::Value, name: &str| entry[name].as_str().unwrap().to_owned();
    let entries = log["entries"].as_array().unwrap().iter();
    entries.map(|one| (text(one, "object"), text(one, "outcome"), text(one, "detail"))).collect()
}

#[test]
fn it_goes_to_standard_output_unless_a_file_is_named() {
    let world = World::new();
    let output = print(&world, &[]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_is_of(&kit::read(&output.stdout).unwrap(), &world);
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("/store\n") && text.contains("\ncustodian  main: the folder "));

    let quiet = print(&world, &["--quiet", "--format", "html"]).output().unwrap();
    assert_is_of(&kit::read(&quiet.stdout).unwrap(), &world);
    let begun = ("vault".to_owned(), "begun".to_owned(), "format=text".to_owned());
    assert_eq!(actions(&world)[0], begun);
    assert_eq!(actions(&world).len(), 4);
}

#[test]
fn a_file_is_its_owners_only_and_never_written_over() {
    let world = World::new();
    let document = world.ok(&["kit", "print", "--output", "kit.txt"]);
    let (_, master) = master_of(&world);
    assert!(!document.to_string().contains(&hex::encode(&master)[..8]));
    let file = world.path().join("kit.txt");
    assert_eq!(
        document["output"].as_str().map(PathBuf::from).unwrap().file_name(),
        file.file_name()
    );
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_is_of(&kit::read(&fs::read(&file).unwrap()).unwrap(), &world);

    let refused = world.ends(4, &["kit", "print", "--format", "html", "--output", "kit.txt"]);
    assert!(refused.error_message().contains("already exists"), "{}", refused.all());
    std::os::unix::fs::symlink("nowhere", world.path().join("link")).unwrap();
    world.ends(4, &["kit", "print", "--output", "link"]);
    assert!(!world.path().join("nowhere").exists());
    let refused = world.ends(8, &["kit", "print", "--output", "no/such/folder"]);
    assert!(!refused.all().contains(&hex::encode(&master)[..8]));
}

#[test]
fn nothing_is_printed_without_a_key_or_as_json() {
    let world = World::new();
    world.ends(2, &["kit", "print"]);
    fs::write(world.path().join("identity"), {
        use age::secrecy::ExposeSecret as _;
        age::x25519::Identity::generate().to_string().expose_secret().to_owned()
    })
    .unwrap();
    let output = print(&world, &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(9));
    assert!(output.stdout.is_empty());
    let outcomes: Vec<_> = actions(&world).into_iter().map(|(_, outcome, _)| outcome).collect();
    assert_eq!(outcomes, ["begun", "failed"], "an attempt is on record");
}

#[test]
fn init_writes_the_first_one() {
    for (name, is_html) in [("kit.txt", false), ("kit.html", true)] {
        let world = World::empty();
        let mut command = world.init_command();
        command.args(["--kit", name]);
        let ran = finished(command);
        assert_eq!(ran.code, Some(0), "{}", ran.all());
        let text = fs::read(world.path().join(name)).unwrap();
        assert_eq!(text.starts_with(b"<!DOCTYPE html>"), is_html);
        assert_is_of(&kit::read(&text).unwrap(), &world);
        assert_eq!(fs::metadata(world.path().join(name)).unwrap().permissions().mode() & 0o77, 0);
        assert_eq!(actions(&world).len(), 2);
        assert_eq!(world.ok(&["audit", "verify"])["intact"], true);
    }
    // A name that is taken is found before anything is made.
    let world = World::empty();
    fs::write(world.path().join("kit.txt"), "mine").unwrap();
    let mut command = world.init_command();
    command.args(["--kit", "kit.txt"]);
    let ran = finished(command);
    assert_eq!(ran.code, Some(4), "{}", ran.all());
    assert!(!world.path().join("master.age").exists());
    // A folder that is not there is found when the vault is: then there is no vault either.
    let mut command = world.init_command();
    command.args(["--kit", "no/such/kit.txt"]);
    let ran = finished(command);
    assert_eq!(ran.code, Some(8), "{}", ran.all());
    assert!(ran.error_message().starts_with("no vault was begun"), "{}", ran.all());
    assert!(!world.path().join("master.age").exists());
    world.init();
    world.ok(&["kit", "print", "--output", "kit2.txt"]);
    assert_is_of(&kit::read(&fs::read(world.path().join("kit2.txt")).unwrap()).unwrap(), &world);
}

#[tokio::test]
async fn an_erasure_leaves_it_right() {
    let database = support::database();
    let session = database.session().await;
    session.batch("a schema", "SET search_path = public").await.unwrap();
    let tables = "CREATE TABLE people (id int PRIMARY KEY); INSERT INTO people VALUES (1), (2)";
    session.batch("tables", tables).await.unwrap();
    let world = World::with_source(&database);
    world.map(&["--root", "public.people"]);
    world.ok(&["kit", "print", "--output", "before.txt"]);
    world.ok(&["backup", "main"]);
    world.erase(None, "1");
    world.ok(&["kit", "print", "--output", "after.txt"]);
    let lines = |name: &str| -> Vec<String> {
        let text = fs::read_to_string(world.path().join(name)).unwrap();
        let lines = text.lines().skip_while(|line| !line.starts_with("vault  "));
        lines.take_while(|line| !line.is_empty()).map(str::to_owned).collect()
    };
    assert_eq!(lines("before.txt"), lines("after.txt"));
    assert_eq!(lines("before.txt").len(), 6);
}
