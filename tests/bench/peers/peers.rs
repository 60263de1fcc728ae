//! The pipelines that people use today, as the shell's command lines that are really run. They are
//! printed with every result, so that anybody can check them.

use std::path::{Path, PathBuf};
use std::process::Command;

use age::secrecy::ExposeSecret as _;

use crate::machine;
use crate::measure::{self, Cost, bytes_below};
use crate::server::Server;

/// A pipeline that backs up.
pub struct Backup {
    pub name: &'static str,
    needs: &'static [&'static str],
    /// Not measured.
    pub prepare: &'static str,
    pub line: &'static str,
    /// Whether it reads the server's files instead of SQL.
    is_physical: bool,
}

/// A pipeline that restores.
pub struct Restore {
    pub name: &'static str,
    needs: &'static [&'static str],
    /// Makes what it restores from. Not measured.
    pub prepare: &'static str,
    pub line: &'static str,
}

/// The one that the targets are measured against.
pub const STANDARD: &str = "pg_dump | zstd | age";
/// The one that the restore's target is measured against.
pub const STANDARD_RESTORE: &str = "pg_restore -j of -Fd";
/// The one that stores a second backup in less.
pub const RESTIC: &str = "pg_dump | restic";

pub const BACKUPS: &[Backup] = &[
    Backup {
        name: STANDARD,
        needs: &["pg_dump", "zstd", "age"],
        prepare: "",
        line: "pg_dump $SOURCE | zstd -3 -T0 -q | age -r $RECIPIENT >$OUT/dump.zst.age",
        is_physical: false,
    },
    Backup {
        name: "pg_dump -Fc | age",
        needs: &["pg_dump", "age"],
        prepare: "",
        line: "pg_dump -Fc $SOURCE | age -r $RECIPIENT >$OUT/dump.age",
        is_physical: false,
    },
    Backup {
        name: "pg_dump -Fd -j | tar | age",
        needs: &["pg_dump", "age", "tar"],
        prepare: "",
        line: "pg_dump -Fd -j$JOBS -f $OUT/dump $SOURCE && tar -c -C $OUT dump | \
               age -r $RECIPIENT >$OUT/dump.tar.age && rm -r $OUT/dump",
        is_physical: false,
    },
    Backup {
        name: RESTIC,
        needs: &["pg_dump", "restic"],
        prepare: "restic --no-cache -q init",
        line: "pg_dump $SOURCE | restic --no-cache -q backup --stdin --stdin-filename dump",
        is_physical: false,
    },
    Backup {
        name: "pgbackrest",
        needs: &["pgbackrest", "setpriv"],
        prepare: "$AS_OWNER mkdir $CLUSTER/repository && $AS_OWNER $PGBACKREST stanza-create",
        line: "$AS_OWNER $PGBACKREST --type=full --start-fast --no-archive-check --compress-type=zst \
               --compress-level=3 --process-max=$JOBS --repo1-retention-full=1 backup",
        is_physical: true,
    },
];

pub const RESTORES: &[Restore] = &[
    Restore {
        name: STANDARD_RESTORE,
        needs: &["pg_dump", "pg_restore"],
        prepare: "pg_dump -Fd -j$JOBS -f $OUT/dump $SOURCE",
        line: "createdb -T template0 $TARGET && pg_restore -j$JOBS -d $TARGET $OUT/dump",
    },
    Restore {
        name: "age | zstd | psql",
        needs: &["pg_dump", "zstd", "age", "psql"],
        prepare: "pg_dump $SOURCE | zstd -3 -T0 -q | age -r $RECIPIENT >$OUT/dump.zst.age",
        line: "createdb -T template0 $TARGET && age -d -i $IDENTITY $OUT/dump.zst.age | \
               zstd -d -q | psql -X -q -v ON_ERROR_STOP=1 -d $TARGET",
    },
    Restore {
        name: "age | pg_restore of -Fc",
        needs: &["pg_dump", "age", "pg_restore"],
        prepare: "pg_dump -Fc $SOURCE | age -r $RECIPIENT >$OUT/dump.age",
        line: "createdb -T template0 $TARGET && age -d -i $IDENTITY $OUT/dump.age | \
               pg_restore -d $TARGET",
    },
    Restore {
        name: "restic | psql",
        needs: &["pg_dump", "restic", "psql"],
        prepare: "restic --no-cache -q init && \
                  pg_dump $SOURCE | restic --no-cache -q backup --stdin --stdin-filename dump",
        line: "createdb -T template0 $TARGET && restic --no-cache -q dump latest dump | \
               psql -X -q -v ON_ERROR_STOP=1 -d $TARGET",
    },
];

const PGBACKREST: &str = "pgbackrest --stanza=bench --pg1-path=$CLUSTER/data --pg1-port=$PGPORT \
    --pg1-socket-path=$CLUSTER --pg1-user=postgres --repo1-path=$CLUSTER/repository \
    --repo1-cipher-type=aes-256-cbc --log-level-console=warn \
    --log-level-file=off --lock-path=$CLUSTER/locks";

/// What the command lines name: a key, a folder of a peer's own, the connections.
pub struct Places<'a> {
    server: &'a Server,
    work: PathBuf,
    recipient: String,
    jobs: u16,
}

impl<'a> Places<'a> {
    pub fn new(server: &'a Server, work: &Path, jobs: u16) -> Self {
        let identity = age::x25519::Identity::generate();
        std::fs::write(work.join("identity"), identity.to_string().expose_secret()).unwrap();
        Self { server, work: work.to_owned(), recipient: identity.to_public().to_string(), jobs }
    }

    /// Why a pipeline cannot run here, if it cannot.
    pub fn obstacle(&self, backup: &Backup) -> Option<String> {
        if let Some(reason) = missing(backup.needs) {
            return Some(reason);
        }
        if backup.is_physical && self.server.folder().is_none() {
            return Some("it reads the server's files, and the server is not of this run".into());
        }
        None
    }

    pub fn obstacle_to_restore(restore: &Restore) -> Option<String> {
        missing(restore.needs)
    }

    /// Backs up into an empty place; the bytes are those that are left there.
    pub fn backup(&self, backup: &Backup, database: &str) -> Result<Cost, String> {
        let out = self.empty(backup.name);
        self.unmeasured(backup.prepare, &out, database)?;
        self.again(backup, database)
    }

    /// Backs up into the place where the one before is; the bytes are those that came to it.
    pub fn again(&self, backup: &Backup, database: &str) -> Result<Cost, String> {
        let out = self.out(backup.name);
        let place = if backup.is_physical {
            self.server.folder().unwrap().join("repository")
        } else {
            out.clone()
        };
        let before = bytes_below(&place);
        let mut cost = measure::run(
            &mut self.shell(backup.line, &out, database, ""),
            self.server,
            &self.work,
        )?;
        cost.bytes = bytes_below(&place).saturating_sub(before);
        Ok(cost)
    }

    /// Makes what is restored from.
    pub fn prepare(&self, restore: &Restore, database: &str) -> Result<(), String> {
        let out = self.empty(restore.name);
        self.unmeasured(restore.prepare, &out, database)
    }

    pub fn restore(&self, restore: &Restore, from: &str, to: &str) -> Result<Cost, String> {
        let out = self.out(restore.name);
        measure::run(&mut self.shell(restore.line, &out, from, to), self.server, &self.work)
    }

    fn out(&self, name: &str) -> PathBuf {
        let plain = name.replace(|c: char| !c.is_alphanumeric(), "_");
        self.work.join(format!("peer-{plain}"))
    }

    fn empty(&self, name: &str) -> PathBuf {
        let out = self.out(name);
        let _ = std::fs::remove_dir_all(&out);
        std::fs::create_dir_all(&out).unwrap();
        // A physical peer works as the server's owner, in the server's folder.
        if let Some(cluster) = self.server.folder() {
            let _ = std::fs::remove_dir_all(cluster.join("repository"));
        }
        out
    }

    fn unmeasured(&self, line: &str, out: &Path, database: &str) -> Result<(), String> {
        if line.is_empty() {
            return Ok(());
        }
        let output = self.shell(line, out, database, "").output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        if output.status.success() { Ok(()) } else { Err(format!("{line}: {}", said.trim())) }
    }

    /// A line as the shell runs it; any part of a pipeline that fails fails it.
    fn shell(&self, line: &str, out: &Path, source: &str, target: &str) -> Command {
        let mut shell = Command::new("bash");
        self.server.reached_by(&mut shell);
        let cluster = self.server.folder();
        if let Some(cluster) = cluster {
            use std::os::unix::fs::MetadataExt as _;
            let owner = cluster.metadata().unwrap();
            let (user, group) = (owner.uid(), owner.gid());
            let own = rustix::process::geteuid().as_raw() == user;
            let become_owner = format!("setpriv --reuid={user} --regid={group} --clear-groups");
            shell.env("AS_OWNER", if own { String::new() } else { become_owner });
            shell.env("CLUSTER", cluster).env("PGBACKREST_REPO1_CIPHER_PASS", "only a benchmark");
        }
        let line = line.replace("$PGBACKREST", PGBACKREST);
        shell
            .args(["-e", "-o", "pipefail", "-c", &line])
            .env("SOURCE", source)
            .env("TARGET", target)
            .env("OUT", out)
            .env("RECIPIENT", &self.recipient)
            .env("IDENTITY", self.work.join("identity"))
            .env("JOBS", self.jobs.to_string())
            .env("RESTIC_REPOSITORY", out.join("repository"))
            .env("RESTIC_PASSWORD", "only a benchmark")
            .current_dir("/")
            .stdin(std::process::Stdio::null());
        shell
    }
}

/// The long part of pgbackrest's line.
pub fn explained(line: &str) -> String {
    line.replace("$PGBACKREST", PGBACKREST)
}

fn missing(needs: &[&str]) -> Option<String> {
    let missing: Vec<_> = needs.iter().copied().filter(|tool| !machine::has(tool)).collect();
    (!missing.is_empty()).then(|| format!("not on this machine: {}", missing.join(", ")))
}
