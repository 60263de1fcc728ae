//! Secrets in memory: gone when a command has done its work, never given to a child, never in a
//! dump. The memory of a program that has dropped everything and waits is read through
//! `/proc/PID/mem` and searched for every key that the test can open by itself.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use crate::support::{self, TestDatabase};
use crate::vault::examine::{Needle, Waiting, credentials, keys_of};
use crate::vault::{World, erase_arguments, finished, uncreated_database};

const PASSPHRASE: &str = "seven ledgers hum under a copper moon";
const BACKUP: [&str; 2] = ["backup", "main"];

async fn people() -> TestDatabase {
    let database = support::database();
    let statements = "
        SET search_path = public;
        CREATE TABLE people (id int PRIMARY KEY, email text);
        CREATE TABLE notes (person_id int REFERENCES people, body text);
        INSERT INTO people SELECT n, 'p' || n || '@example.org' FROM generate_series(1, 40) n;
        INSERT INTO notes SELECT 1 + n % 40, 'note ' || n FROM generate_series(1, 4000) n;";
    database.session().await.batch("people", statements).await.unwrap();
    database
}

/// A vault with one backup that opens with an identity, or with a passphrase.
async fn vault(passphrase: Option<&str>) -> (World, TestDatabase) {
    let database = people().await;
    let world = World::empty();
    let ran = match passphrase {
        None => world.init(),
        Some(text) => {
            fs::write(world.path().join("passphrase"), format!("{text}\n")).unwrap();
            let store = world.path().join("store").display().to_string();
            let mut command = world.command(&["init", "--store", &store]);
            command.args(["--passphrase-file", "passphrase"]);
            finished(command)
        }
    };
    assert_eq!(ran.code, Some(0), "{}", ran.all());
    world.settle_configuration();
    world.ok(&["source", "add", "main", "--url", &database.url]);
    world.map(&["--root", "public.people"]);
    world.ok(&BACKUP);
    (world, database)
}

/// All keys, and what opens the vault.
fn needles(world: &World, passphrase: Option<&str>) -> Vec<Needle> {
    let mut needles = keys_of(world, &credentials(world, passphrase));
    let identity = fs::read_to_string(world.path().join("identity")).unwrap();
    needles.extend(Needle::identity("the vault's identity", &identity));
    if let Some(text) = passphrase {
        needles.push(Needle::text("the passphrase", text));
    }
    assert!(needles.len() > 40 + 6, "{}", needles.len());
    needles
}

fn waiting(mut command: Command, place: &str) -> Waiting {
    command.env("STRONGROOM_EXAMINED", "1");
    Waiting::at(command, place)
}

/// Everything that a finished command has left in its memory.
fn left_by(command: Command, needles: &[Needle]) -> Vec<String> {
    let waiting = waiting(command, "end");
    let found = waiting.search(needles);
    let (code, said) = waiting.end();
    assert_eq!(code, Some(0), "{said}");
    found
}

fn require_none(what: &str, found: &[String]) {
    let list: Vec<_> = found.iter().take(40).map(String::as_str).collect();
    assert!(found.is_empty(), "{} left by `{what}`:\n{}", found.len(), list.join("\n"));
}

#[tokio::test]
async fn nothing_is_left_of_a_key_when_a_command_ends() {
    let (world, _database) = vault(None).await;
    let before = needles(&world, None);
    let restore = |world: &World| {
        let mut command = world.command(&["restore", "latest", "--to", "env:TO", "--create"]);
        let database = uncreated_database();
        command.env("TO", &database.url);
        (command, database)
    };
    require_none("backup", &left_by(world.command(&BACKUP), &before));
    // Its own identity is known only now.
    let needles_now = needles(&world, None);
    let (command, _restored) = restore(&world);
    require_none("restore", &left_by(command, &needles_now));
    require_none("verify", &left_by(world.command(&["verify", "--all"]), &needles_now));
    require_none("show", &left_by(world.command(&["show", "latest"]), &needles_now));
    let kit = world.command(&["kit", "print", "--format", "html", "--output", "kit.html"]);
    require_none("kit print", &left_by(kit, &needles_now));
    require_none("erase", &left_by(world.command(&erase_arguments(None, "7")), &needles_now));
    // What the erasure made, searched for in another erasure that opens and replaces it.
    let after = needles(&world, None);
    require_none("erase", &left_by(world.command(&erase_arguments(None, "8")), &after));
    require_none("audit verify", &left_by(world.command(&["audit", "verify"]), &after));
}

#[tokio::test]
async fn nothing_is_left_of_a_passphrase_either() {
    let (world, _database) = vault(Some(PASSPHRASE)).await;
    let needles = needles(&world, Some(PASSPHRASE));
    require_none("backup", &left_by(world.command(&BACKUP), &needles));
    require_none("verify", &left_by(world.command(&["verify", "--all"]), &needles));
    require_none("erase", &left_by(world.command(&erase_arguments(None, "7")), &needles));
}

/// Nothing is left of the secrets that `init` makes, which nobody knows before it ends: a second
/// `init` cannot be searched for them, so this one waits, and they are read from its files meanwhile.
#[test]
fn nothing_is_left_of_what_init_makes() {
    let world = World::empty();
    let mut command = world.init_command();
    command.args(["--kit", "kit.html"]);
    let waiting = waiting(command, "end");
    let needles = keys_of(&world, &credentials(&world, None));
    require_none("init", &waiting.search(&needles));
    assert_eq!(waiting.end().0, Some(0));
}

/// The search can fail: while a command is at work, what it works with is found.
#[tokio::test]
async fn at_work_the_keys_are_found() {
    let (world, _database) = vault(None).await;
    let needles = needles(&world, None);
    let waiting = waiting(world.command(&BACKUP), "backup.manifest:before");
    let found = waiting.search(&needles);
    for name in ["the master secret", "the vault key `commons`"] {
        assert!(found.iter().any(|one| one.starts_with(name)), "{name}: {found:#?}");
    }
    let (code, said) = waiting.end();
    assert_eq!(code, Some(0), "{said}");

    // Keys are in locked memory, where the system lets them.
    let status = strongroom::base::memory::status();
    assert!(status.locked_bytes > 0 || status.refused.is_some(), "{status:?}");
}

/// What `pg_dump` and `pg_restore` are given, and what the program itself was started with, as every
/// process of the account can read it.
#[tokio::test]
async fn no_key_is_in_arguments_or_environments() {
    let (world, _database) = vault(Some(PASSPHRASE)).await;
    let needles = needles(&world, Some(PASSPHRASE));
    let folder = world.path().join("tools");
    fs::create_dir(&folder).unwrap();
    let tools = strongroom::postgres::tools::Tools::newest(13).unwrap();
    for tool in ["pg_dump", "pg_restore"] {
        let script = format!(
            "#!/bin/sh\nif [ \"$1\" != --version ]; then\n\
             cat /proc/$$/cmdline /proc/$$/environ /proc/$PPID/cmdline /proc/$PPID/environ \
             >> {0}/{tool}.seen\nfi\nexec {1}/{tool} \"$@\"\n",
            folder.display(),
            tools.folder().display()
        );
        fs::write(folder.join(tool), script).unwrap();
        fs::set_permissions(folder.join(tool), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let restored = uncreated_database();
    for arguments in [&BACKUP[..], &["restore", "latest", "--to", "env:TO", "--create"]] {
        let mut command = world.command(arguments);
        command.env("STRONGROOM_PG_BIN", &folder).env("STRONGROOM_EXAMINED", "1");
        command.env("TO", &restored.url);
        let ran = finished(command);
        assert_eq!(ran.code, Some(0), "{}", ran.all());
    }
    for tool in ["pg_dump", "pg_restore"] {
        let seen = fs::read(folder.join(format!("{tool}.seen"))).unwrap();
        let text = String::from_utf8_lossy(&seen);
        assert!(
            text.contains(tool) && text.contains("PGHOST") && text.contains("--json"),
            "{text}"
        );
        for needle in &needles {
            assert!(!needle.is_in(&seen), "{} is given to {tool}", needle.name);
        }
    }
}

/// No other process of the account may look into the program, and it leaves no core dump.
#[test]
fn the_program_cannot_be_dumped_or_looked_into() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = folder.path().join("strongroom");
    fs::copy(env!("CARGO_BIN_EXE_strongroom"), &program).unwrap();
    let mut command = Command::new(&program);
    command.args(["completions", "bash"]).current_dir("/");
    // Whatever root's processes have belongs to root.
    let nobody = 65_534;
    let owner = if rustix::process::geteuid().is_root() {
        command.uid(nobody).gid(nobody);
        nobody
    } else {
        rustix::process::geteuid().as_raw()
    };
    let log =
        tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o666)).tempfile().unwrap();
    command.env("STRONGROOM_STEP_LOG", log.path()).env("STRONGROOM_WAIT_AT", "end");
    command.stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = command.spawn().unwrap();
    for _ in 0..500 {
        if fs::read_to_string(log.path()).unwrap().contains("end") {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let of = |name: &str| format!("/proc/{}/{name}", child.id());
    let status = fs::read_to_string(of("status")).unwrap();
    let uid = status.lines().find_map(|line| line.strip_prefix("Uid:\t")).unwrap();
    assert_eq!(uid.split('\t').next(), Some(owner.to_string().as_str()));
    // The kernel gives a process that cannot be dumped to root, so its owner cannot attach to it.
    assert_eq!(fs::metadata(of("mem")).unwrap().uid(), 0);
    assert_eq!(fs::metadata(of("environ")).unwrap().uid(), 0);
    let limits = fs::read_to_string(of("limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

/// A panic's own words may hold a row's value or a key: they are never printed.
#[tokio::test]
async fn a_defect_says_where_it_is_and_nothing_else() {
    let (world, _database) = vault(None).await;
    for (arguments, place) in [
        (&BACKUP[..], "backup.manifest:before"),
        // On a thread of the store's writer.
        (&BACKUP[..], "store-write:before"),
        (&["verify", "--all"], "audit-commit:after"),
    ] {
        let mut command = world.command(arguments);
        command.env("STRONGROOM_PANIC_AT", place).env("RUST_BACKTRACE", "full");
        let ran = finished(command);
        assert_eq!(ran.code, Some(1), "{place}: {}", ran.all());
        let message = ran.error_message();
        assert!(message.starts_with("strongroom has a defect, at src/"), "{}", ran.all());
        assert!(!ran.all().contains("words of a panic"), "{}", ran.all());
    }
}
