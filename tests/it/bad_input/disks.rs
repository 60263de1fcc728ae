//! Disks that are full, read-only or not there. Small file systems of their own are mounted where
//! the tests run as root; elsewhere these tests are counted as skipped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::assert_session;
use crate::support::prepare::skipped;
use crate::support::sandbox::{DECIDED, Sandbox, finance, sql};

/// A small file system in memory, unmounted with the value.
struct Disk {
    place: PathBuf,
}

impl Disk {
    /// Mounts one of so many KiB, or says why not.
    fn mount(place: &Path, kib: u32) -> Option<Self> {
        fs::create_dir_all(place).unwrap();
        let options = format!("size={kib}k,mode=700");
        let mounted = mount(&["-t", "tmpfs", "-o", &options, "tmpfs"], place);
        if !mounted {
            skipped("file systems cannot be mounted here: not root, or in a container");
            return None;
        }
        Some(Self { place: place.to_owned() })
    }

    fn read_only(&self, yes: bool) {
        let options = if yes { "remount,ro" } else { "remount,rw" };
        assert!(mount(&["-o", options], &self.place));
    }

    fn resize(&self, kib: u32) {
        assert!(mount(&["-o", &format!("remount,size={kib}k")], &self.place));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.place).status();
    }
}

fn mount(arguments: &[&str], place: &Path) -> bool {
    let output = Command::new("mount").args(arguments).arg(place).output();
    output.is_ok_and(|output| output.status.success())
}

/// A vault whose part at `place` is a disk of its own, with a source and a backup.
fn with_disk(place: &str, kib: u32) -> Option<(Sandbox, crate::support::TestDatabase, Disk)> {
    let mut sandbox = Sandbox::new();
    let disk = Disk::mount(&sandbox.path(place), kib)?;
    let config = if place == "vault" { "--config vault/strongroom.toml" } else { "" };
    let init = "strongroom init --store backups --recipient $RECIPIENT --identity identity.txt";
    sandbox.quietly(&format!("{init} {config}")).done();
    let database = finance();
    sandbox.set("FINANCE_URL", &database.url);
    if place == "vault" {
        let file = sandbox.path("vault/strongroom.toml").display().to_string();
        sandbox.set("STRONGROOM_CONFIG", &file);
    }
    sandbox.quietly("strongroom source add finance --url env:FINANCE_URL").done();
    sandbox.quietly(&format!("strongroom map finance {DECIDED} --write")).done();
    sandbox.quietly("strongroom backup finance").done();
    Some((sandbox, database, disk))
}

/// Rows that do not compress.
const MANY: &str = "INSERT INTO public.entries
    SELECT 100 + n, 1 + n % 10, (SELECT string_agg(md5(n::text || i), '') FROM generate_series(1, 30) i)
    FROM generate_series(1, 20000) n";

#[test]
fn a_full_store_costs_one_attempt() {
    let Some((sandbox, database, disk)) = with_disk("backups", 1024) else { return };
    sql(&database, MANY);
    sandbox.fails("strongroom backup finance", 7);
    sandbox.last_access("backup", "failed", "error=store");
    sandbox.nothing_lost();
    let pruned = sandbox.quietly("strongroom prune --json").done().json();
    assert_eq!(pruned["objects"], serde_json::json!([]));
    sandbox.remark("an erasure needs no room in the store");
    sandbox.quietly("strongroom erase --source finance --subject 2 --reason case --yes").done();
    disk.resize(64 * 1024);
    sandbox.quietly("strongroom backup finance").done();
    sandbox.nothing_lost();

    sandbox.remark("the store is read-only");
    disk.read_only(true);
    sandbox.fails("strongroom backup finance", 7);
    sandbox.last_access("backup", "failed", "error=store");
    sandbox.nothing_lost();

    sandbox.remark("the store is not mounted");
    drop(disk);
    sandbox.fails("strongroom backup finance", 7);
    sandbox.last_access("backup", "failed", "error=store");
    sandbox.fails("strongroom verify latest", 7);
    sandbox.quietly("strongroom list").done();

    sandbox.remark("not even its folder is there");
    fs::remove_dir(sandbox.path("backups")).unwrap();
    sandbox.fails("strongroom backup finance", 7);
    sandbox.last_access("backup", "failed", "error=store");
    sandbox.fails("strongroom verify latest", 7);
    sandbox.quietly("strongroom list").done();
    sandbox.quietly("strongroom audit verify").done();
    assert_session!("a_full_store", sandbox);
}

#[test]
fn a_full_spill_folder_costs_one_attempt() {
    let (sandbox, database) = Sandbox::with_backup();
    let Some(disk) = Disk::mount(&sandbox.path("spill"), 512) else { return };
    let config = sandbox.path("strongroom.toml");
    let text = fs::read_to_string(&config).unwrap();
    let text = text.replace("# spill = \"/var/tmp\"", "spill = \"spill\"");
    fs::write(&config, text.replace("memory_mib = 128", "memory_mib = 16")).unwrap();
    sql(&database, MANY);
    sql(
        &database,
        "INSERT INTO public.entries SELECT 100000 + id, account_id, memo FROM public.entries",
    );
    sandbox.fails("strongroom backup finance --jobs 1", 8);
    sandbox.last_access("backup", "failed", "error=vault");
    sandbox.nothing_lost();
    disk.resize(128 * 1024);
    sandbox.quietly("strongroom backup finance").done();
    sandbox.remark("the spill folder is not there");
    drop(disk);
    fs::remove_dir(sandbox.path("spill")).unwrap();
    sandbox.fails("strongroom backup finance --jobs 1", 8);
    assert_session!("a_full_spill_folder", sandbox);
    sandbox.nothing_lost();
}

#[test]
fn a_full_disk_under_the_catalog_loses_nothing() {
    let Some((sandbox, _database, disk)) = with_disk("vault", 4096) else { return };
    let filler = sandbox.path("vault/filler");
    // The last free byte: what is written sparsely would not take it.
    let _ = fs::write(&filler, vec![1; 4 << 20]);
    sandbox.fails("strongroom backup finance", 8);
    sandbox.fails("strongroom verify latest", 8);
    sandbox.fails("strongroom erase --source finance --subject 2 --reason case --yes", 8);
    fs::remove_file(&filler).unwrap();
    sandbox.nothing_lost();

    sandbox.remark("the catalog is read-only: without an entry in the audit log, no access");
    disk.read_only(true);
    sandbox.fails("strongroom backup finance", 8);
    sandbox.fails("strongroom verify latest", 8);
    sandbox.fails("strongroom audit list", 8);
    disk.read_only(false);
    assert_session!("a_full_disk_under_the_catalog", sandbox);
    sandbox.nothing_lost();
    sandbox.quietly("strongroom erase --source finance --subject 2 --reason case --yes").done();
    sandbox.nothing_lost();
}
