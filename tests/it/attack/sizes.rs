//! A store that lies about sizes: objects of twenty gigabytes, without a byte in them.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

use wait4::Wait4 as _;

use super::Scene;
use crate::vault::{Ran, World, files_below};

/// Far more than this machine has, and nothing on the disk.
const BYTES: u64 = 20 << 30;
/// What a command may take in memory, whatever the store says: bytes.
const MEMORY_MAX: u64 = 400 << 20;

fn run(world: &World, arguments: &[&str]) -> Ran {
    let mut command = world.command(arguments);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (mut stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let reading = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut stderr, &mut bytes).unwrap();
        bytes
    });
    let mut out = Vec::new();
    std::io::Read::read_to_end(&mut stdout, &mut out).unwrap();
    let stderr = reading.join().unwrap();
    let ended = child.wait4().unwrap();
    let ran = Ran::new(&std::process::Output { status: ended.status, stdout: out, stderr });
    let peak = ended.rusage.maxrss;
    assert!(peak < MEMORY_MAX, "{arguments:?} took {peak} bytes: {}", ran.all());
    ran
}

/// The objects of the store, the kinds that a name tells.
fn objects(world: &World, part: &str) -> Vec<PathBuf> {
    let store = world.path().join("store");
    let mut found = files_below(&store);
    found.retain(|file| file.strip_prefix(&store).unwrap().to_str().unwrap().contains(part));
    found.sort();
    assert!(!found.is_empty(), "{part}");
    found
}

fn make_huge(file: &Path) {
    let _ = std::process::Command::new("chmod").arg("u+w").arg(file).status();
    OpenOptions::new().write(true).open(file).unwrap().set_len(BYTES).unwrap();
}

#[tokio::test]
async fn objects_that_are_too_large_are_refused_by_name_and_take_no_memory() {
    let scene = Scene::set(1, 1).await;
    for (part, name) in [
        ("strongroom-vault.json", "strongroom-vault.json"),
        ("manifest.age", "manifest.age"),
        ("schema.age", "schema.age"),
        ("/index", "/index"),
        ("packs/", ".pack"),
    ] {
        let world = scene.world.copy();
        for file in objects(&world, part) {
            make_huge(&file);
        }
        let ran = run(&world, &["verify", "--all"]);
        assert_eq!(ran.code, Some(3), "{part}: {}", ran.all());
        assert!(ran.all().contains(name), "{part}: {}", ran.all());
        let target = crate::vault::uncreated_database();
        let url = target.url.clone();
        let ran = run(&world, &["restore", "latest", "--to", &url, "--create"]);
        assert_eq!(ran.code, Some(3), "{part}: {}", ran.all());
        let ran = run(&world, &["backup", "main"]);
        assert!(matches!(ran.code, Some(0 | 3)), "{part}: {}", ran.all());
    }

    // The newest head of the catalog's replica, and one that nobody wrote.
    let world = scene.world.copy();
    let head = objects(&world, "catalog/head/").pop().unwrap();
    make_huge(&head);
    let ran = run(&world, &["backup", "main"]);
    assert!(matches!(ran.code, Some(0 | 3)), "{}", ran.all());
    let ran = run(&world.emptied(), &["doctor"]);
    assert_ne!(ran.code, Some(0), "{}", ran.all());
    let (_, ran) = world.recover(&[]);
    assert_ne!(ran.signal, Some(6), "{}", ran.all());

    let world = scene.world.copy();
    let newest = objects(&world, "catalog/head/").pop().unwrap();
    let number: u64 = newest.file_name().unwrap().to_str().unwrap().parse().unwrap();
    let file = newest.with_file_name(format!("{:010}", number + 1));
    fs::write(&file, "").unwrap();
    make_huge(&file);
    let erasing = crate::vault::erase_arguments(None, "k3");
    for command in [&["backup", "main"][..], &erasing, &["prune"], &["keys", "rotate"]] {
        let ran = run(&world, command);
        assert_eq!(ran.code, Some(3), "{command:?}: {}", ran.all());
        let name = format!("catalog/head/{:010}", number + 1);
        assert!(ran.error_message().contains(&name), "{command:?}: {}", ran.all());
        assert!(ran.error_message().contains("such an object has at most"), "{}", ran.all());
    }
    fs::remove_file(&file).unwrap();
    world.ok(&["verify", "--all"]);
    drop(scene.database);
}
