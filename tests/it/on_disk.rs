//! What a power cut may not take: every file has its bytes on the disk before it has its name, and the name
//! is on the disk before the command says so. No killed process can show that, for the page cache outlives
//! it; so the system calls of real commands are read, with `strace`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use crate::support::prepare::skipped;
use crate::support::{self, tools};
use crate::vault::{World, erase_arguments, finished};

const CALLS: &str = "write,pwrite64,fsync,fdatasync,rename,renameat,renameat2,link,linkat";

/// What one command did to the files below a folder.
#[derive(Default)]
struct Traced {
    /// Files whose bytes are all on the disk.
    synced: BTreeSet<String>,
    /// Names that are not on the disk yet.
    named: BTreeSet<String>,
    /// All names that were given.
    names: Vec<String>,
    /// What was wrong.
    found: Vec<String>,
}

impl Traced {
    fn note(&mut self, call: &str, arguments: &str) {
        // An open file stands with its path in angle brackets; a name is quoted.
        let opened = arguments.split(['<', '>']).nth(1).unwrap_or_default();
        let quoted: Vec<&str> = arguments.split('"').skip(1).step_by(2).collect();
        match (call, &quoted[..]) {
            ("write" | "pwrite64", _) => {
                self.synced.remove(opened);
            }
            ("fsync" | "fdatasync", _) => {
                let path = opened;
                self.synced.insert(path.to_owned());
                let within =
                    |name: &String| name.rsplit_once('/').is_some_and(|(at, _)| at == path);
                self.named.retain(|name| !within(name));
            }
            (_, [old, new]) => {
                assert!(old.starts_with('/') && new.starts_with('/'), "{call}: {old}, {new}");
                if !self.synced.contains(*old) {
                    self.found
                        .push(format!("{new} had its name before its bytes were on the disk"));
                }
                self.named.insert((*new).to_owned());
                self.names.push((*new).to_owned());
            }
            _ => {}
        }
    }
}

/// Runs a command of a vault and reads its calls. `None` where processes cannot be traced.
fn traced(world: &World, arguments: &[&str]) -> Option<Traced> {
    let plain = world.command(arguments);
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut strace = Command::new(tools::program("strace"));
    strace.args(["-f", "-y", "-s", "4096", "-o"]).arg(log.path());
    strace.args(["-e", &format!("trace={CALLS}"), "--"]);
    strace.arg(plain.get_program()).args(plain.get_args()).current_dir(world.path());
    let ran = finished(strace);
    if ran.said.contains("PTRACE") || ran.said.contains("ptrace") {
        skipped("processes cannot be traced here");
        return None;
    }
    assert_eq!(ran.code, Some(0), "{}", ran.all());
    let mut all = Traced::default();
    let mut open: BTreeMap<&str, (&str, &str)> = BTreeMap::new();
    let log = fs::read(log.path()).unwrap();
    let log = String::from_utf8_lossy(&log);
    for line in log.lines() {
        let Some((process, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        if rest.starts_with("<...") {
            // What another thread's call had interrupted is over now.
            if let Some((call, arguments)) = open.remove(process) {
                all.note(call, arguments);
            }
        } else if let Some((call, arguments)) = rest.split_once('(') {
            if arguments.ends_with("<unfinished ...>") {
                open.insert(process, (call, arguments));
            } else {
                all.note(call, arguments);
            }
        }
    }
    Some(all)
}

#[tokio::test]
async fn a_file_is_on_the_disk_before_its_name_and_the_name_before_the_end() {
    let database = support::database();
    let statements = "
        CREATE TABLE public.people (id int PRIMARY KEY, name text);
        INSERT INTO public.people SELECT n, md5(n::text) FROM generate_series(1, 300) n;";
    database.session().await.batch("people", statements).await.unwrap();
    let world = World::with_source(&database);
    let flags = world.copy().map(&["--root", "public.people"]);
    let mut map = vec!["map", "main", "--write"];
    map.extend(flags.iter().map(String::as_str));
    let erase = erase_arguments(None, "7");
    // The store's folders that must hold something new, or a part of the vault's own.
    let commands: [(&[&str], &[&str]); 4] = [
        (&map, &["maps/main.toml"]),
        (&["backup", "main"], &["store/packs/", "store/backups/", "store/catalog/head/"]),
        (&erase, &["custodian/", "store/catalog/head/"]),
        (&["keys", "rotate"], &["custodian/", "store/catalog/data/"]),
    ];
    let folder = world.path().display().to_string();
    for (command, expected) in commands {
        let Some(traced) = traced(&world, command) else { return };
        assert_eq!(traced.found, [""; 0], "{command:?}");
        let is_ours = |name: &&String| name.starts_with(&folder);
        let left: Vec<_> = traced.named.iter().filter(is_ours).collect();
        assert!(left.is_empty(), "{command:?}: these names may be lost: {left:?}");
        for part in expected {
            let there = traced.names.iter().any(|name| name.contains(part));
            assert!(there, "{command:?} gave no name in {part}: {:?}", traced.names);
        }
    }
}
