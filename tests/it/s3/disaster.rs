//! The disaster drill: every command of `docs/disaster.md`, in its order, after the machine and the
//! local store are gone.

use std::fs;
use std::process::Command;

use super::{backup, folder_and_bucket};
use crate::support::s3_server::seaweed;
use crate::vault::{World, picture, uncreated_database};

/// The commands of a document: the lines of its indented blocks, joined where one goes on.
fn commands(document: &str) -> Vec<String> {
    let mut commands: Vec<String> = Vec::new();
    for line in document.lines().filter_map(|line| line.strip_prefix("    ")) {
        match commands.last_mut() {
            Some(last) if last.ends_with('\\') => {
                last.pop();
                last.push_str(line.trim_start());
            }
            _ => commands.push(line.to_owned()),
        }
    }
    commands
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_machine_and_the_local_store_are_gone() {
    let server = seaweed();
    let url = server.url(&format!("{}/drill", server.bucket(true)), "");
    let (database, world) = folder_and_bucket(&url).await;
    backup(&world, "weekly");
    assert_eq!(world.erase(None, "7")["state"], "confirmed");
    let session = database.session().await;
    session.batch("gone", "DELETE FROM public.orders WHERE user_id = 7").await.unwrap();
    session.batch("gone", "DELETE FROM public.users WHERE id = 7").await.unwrap();
    drop(session);
    let expected = picture::of(&database).await;
    let weekly = backup(&world, "weekly");
    backup(&world, "daily");
    world.ok(&["kit", "print", "--output", "kit.txt"]);

    // What is left: the bucket, the printed kit, the custodian's folder, and somebody's age key.
    let left = World::empty();
    let copy = |name: &str| fs::copy(world.path().join(name), left.path().join(name)).unwrap();
    for name in ["kit.txt", "identity", "recipient"] {
        copy(name);
    }
    let custodian = left.path().join("custodian");
    fs::rename(world.path().join("custodian"), &custodian).unwrap();
    drop(world);

    let target = uncreated_database();
    let document = include_str!("../../../docs/disaster.md");
    let commands = commands(document);
    assert!(commands.len() >= 8, "{commands:?}");
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_strongroom")).parent().unwrap();
    let path = std::env::join_paths(
        [program.to_path_buf()]
            .into_iter()
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
    )
    .unwrap();
    for command in commands {
        let ran = Command::new("/bin/sh")
            .args(["-ec", &command])
            .env("PATH", &path)
            .env("BUCKET", &url)
            .env("CUSTODIAN", &custodian)
            .env("RECIPIENT", fs::read_to_string(left.path().join("recipient")).unwrap())
            .env("BACKUP", &weekly)
            .env("TARGET_URL", &target.url)
            .current_dir(left.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert!(ran.status.success(), "{command}\n{}{said}", String::from_utf8_lossy(&ran.stdout));
    }
    picture::of(&target).await.assert_is(&expected);
}
