//! Two machines with the same vault, though there should be one: what one takes for garbage may be what
//! the other is writing.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::Scene;
use crate::vault::{Ran, World, files_below};

/// The second machine: a twin whose configuration leads to the first one's store.
fn second_machine(first: &World) -> World {
    let second = first.copy();
    fs::remove_dir_all(second.path().join("store")).unwrap();
    let file = second.path().join("strongroom.toml");
    let text = fs::read_to_string(&file).unwrap();
    let store = first.path().join("store").display().to_string();
    let edited = text.replace("url = \"store\"", &format!("url = \"{store}\""));
    assert_ne!(edited, text, "{text}");
    fs::write(file, edited).unwrap();
    second
}

#[tokio::test]
async fn a_backup_whose_objects_another_machine_removed_does_not_count() {
    let scene = Scene::set(1, 1).await;
    let first = &scene.world;
    let more = "INSERT INTO public.notes SELECT 'k' || n, 'later' FROM generate_series(1, 30) n";
    scene.database.session().await.batch("more", more).await.unwrap();
    for full in [false, true] {
        let backups = first.backups();
        let second = second_machine(first);
        let packs = || files_below(&first.path().join("store/packs")).len();
        let before = packs();

        // The first machine has its packs written, and is held up.
        let log = tempfile::NamedTempFile::new().unwrap();
        let mut command = first.command(&["backup", "main"]);
        if full {
            command.arg("--full");
        }
        command
            .env("STRONGROOM_WAIT_AT", "backup.manifest:before#1")
            .env("STRONGROOM_STEP_LOG", log.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut held = command.spawn().unwrap();
        let begun = Instant::now();
        loop {
            let steps = BufReader::new(fs::File::open(log.path()).unwrap());
            if steps.lines().any(|line| line.unwrap() == "backup.manifest:before") {
                break;
            }
            assert!(begun.elapsed() < Duration::from_mins(2), "it is held up at its manifest");
            std::thread::sleep(Duration::from_millis(50));
        }
        assert!(packs() > before, "packs are written");

        // The second one knows nothing of them.
        let pruned = second.ok(&["prune"]);
        assert!(!pruned["objects"].as_array().unwrap().is_empty(), "{pruned:#}");
        assert_eq!(packs(), before);

        drop(held.stdin.take());
        let ran = Ran::new(&held.wait_with_output().unwrap());
        assert_eq!(ran.code, Some(3), "{}", ran.all());
        assert!(ran.error_message().contains("removed while it ran"), "{}", ran.all());
        assert_eq!(first.backups(), backups, "it does not count");
        first.ok(&["verify", "--all"]);
    }
    // The next one stores anew what is gone.
    first.ok(&["backup", "main"]);
    let verified = first.ok(&["verify", "--all"]);
    assert_eq!(verified["intact"], true, "{verified:#}");
}
