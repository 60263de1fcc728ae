//! `strongroom.toml`: where a vault's parts are.
//!
//! It holds no secret, only where secrets are. Relative paths are relative to the file's folder. A
//! key that is not known is an error, for a misspelt key would silently do nothing.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use super::error::CliError;
use super::exit::Exit;
use crate::keys::custodians::settings::{CustodianSettings, DEFAULT_NAME};
use crate::vault::settings::StoreSettings;

pub mod custodians;
mod reader;
pub mod stores;

use reader::Section;

/// The file's name in the working folder and in the user's configuration folder.
pub const FILE_NAME: &str = "strongroom.toml";

/// The file that every command finds last, for a vault that is the machine's and not a user's.
pub const SYSTEM_FILE: &str = "/etc/strongroom/strongroom.toml";

/// A vault's configuration, its paths absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The file that it was read from.
    pub file: PathBuf,
    /// The catalog, an SQLite database.
    pub catalog: PathBuf,
    /// The master secret, encrypted with age.
    pub master: PathBuf,
    /// The folder of subject maps.
    pub maps: PathBuf,
    /// A file whose first line is the passphrase of the master secret.
    pub passphrase_file: Option<PathBuf>,
    /// A file with age identities that open the master secret.
    pub identity_file: Option<PathBuf>,
    /// The folder for what does not fit in memory (sealed); the system's temporary folder if none.
    pub spill: Option<PathBuf>,
    /// The stores of the backups, the nearest first; at least one.
    pub stores: Vec<StoreSettings>,
    /// Who holds the epoch secret; at least one.
    pub custodians: Vec<CustodianSettings>,
    /// How backups are made.
    pub backup: BackupConfig,
    /// How erasures are kept.
    pub erasure: ErasureConfig,
}

/// Section `[erasure]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErasureConfig {
    /// How many days a tombstone is kept after its person was erased, or met last, 1 to 36,500.
    pub tombstone_days: u32,
}

impl Default for ErasureConfig {
    fn default() -> Self {
        Self { tombstone_days: 365 }
    }
}

/// Section `[backup]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackupConfig {
    /// Connections that read at the same time, 1 to 64.
    pub jobs: u16,
    /// Memory for rows that wait to be sealed, in MiB, 16 to 65,536.
    pub memory_mib: u32,
}

impl Default for BackupConfig {
    fn default() -> Self {
        Self { jobs: 4, memory_mib: 128 }
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// No file in any of the places.
    #[error("there is no configuration file {}", places(searched))]
    NotFound {
        /// Where it was looked for.
        searched: Vec<PathBuf>,
    },
    /// The file is there and cannot be read.
    #[error("cannot read {}: {source}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{}, line {line}: {reason}", file.display())]
    Syntax {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What the parser said.
        reason: String,
    },
    /// A key that means nothing.
    #[error("{}, line {line}: unknown key `{key}`", file.display())]
    UnknownKey {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The key with its section.
        key: String,
        /// The known key that is most like it.
        nearest: Option<String>,
    },
    /// A key whose value cannot be right. The value itself is not repeated.
    #[error("{}, line {line}: `{key}` must be {expected}", file.display())]
    BadValue {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The key with its section.
        key: String,
        /// What it must be.
        expected: String,
    },
    /// The file is there and cannot be written.
    #[error("cannot write {}: {source}", file.display())]
    Unwritable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// No custodian has that name.
    #[error("{} has no custodian `{name}`", file.display())]
    NoCustodian {
        /// The file.
        file: PathBuf,
        /// The name.
        name: String,
    },
    /// A key that must be there.
    #[error("{}: `{key}` is missing", file.display())]
    MissingKey {
        /// The file.
        file: PathBuf,
        /// The key with its section.
        key: String,
    },
}

fn places(searched: &[PathBuf]) -> String {
    let names: Vec<_> = searched.iter().map(|path| path.display().to_string()).collect();
    names.join(" or ")
}

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> Self {
        let told = Self::from_error(Exit::Usage, &error);
        match &error {
            ConfigError::NotFound { .. } => told.hint(
                "begin a vault with `strongroom init --store DIR`, or name its file with --config",
            ),
            ConfigError::UnknownKey { nearest: Some(nearest), .. } => {
                told.hint(format!("did you mean `{nearest}`?"))
            }
            ConfigError::UnknownKey { nearest: None, .. } => {
                told.hint("remove the line, or see `strongroom init --help` for a vault's parts")
            }
            ConfigError::Unreadable { .. } => {
                told.hint("check that it is a text file (UTF-8), and its permissions")
            }
            ConfigError::Unwritable { .. } => told.hint("check its permissions and its disk"),
            ConfigError::NoCustodian { .. } => {
                told.hint("name one of the file's sections [[custodian]]")
            }
            ConfigError::Syntax { .. }
            | ConfigError::BadValue { .. }
            | ConfigError::MissingKey { .. } => told.hint("correct the file and run it again"),
        }
    }
}

impl Config {
    /// The configuration that `init` writes to `file`: everything beside it, and one folder as its
    /// custodian.
    #[must_use]
    pub fn new(file: &Path, store_url: String, custodian: PathBuf) -> Self {
        Self::with(file, store_url, vec![CustodianSettings::file(DEFAULT_NAME, custodian)])
    }

    /// A configuration with these custodians, everything else beside `file`.
    #[must_use]
    pub fn with(file: &Path, store_url: String, custodians: Vec<CustodianSettings>) -> Self {
        let folder = folder_of(file);
        Self {
            file: file.to_path_buf(),
            catalog: folder.join("catalog.sqlite"),
            master: folder.join("master.age"),
            maps: folder.join("maps"),
            passphrase_file: None,
            identity_file: None,
            spill: None,
            stores: vec![StoreSettings::main(store_url)],
            custodians,
            backup: BackupConfig::default(),
            erasure: ErasureConfig::default(),
        }
    }

    /// The file to use: the one that was named, else the first that is there of
    /// `./strongroom.toml` and the user's own.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn find(named: Option<&Path>) -> Result<PathBuf, ConfigError> {
        let places = match named {
            Some(file) => vec![file.to_path_buf()],
            None => default_places(),
        };
        match places.iter().find(|place| place.is_file()) {
            Some(file) => Ok(file.clone()),
            None => Err(ConfigError::NotFound { searched: places }),
        }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// Any of [`ConfigError`].
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        let absolute = std::path::absolute(file).and_then(|file| {
            let text = fs::read_to_string(&file)?;
            Ok((file, text))
        });
        match absolute {
            Ok((absolute, text)) => Self::from_toml(&absolute, &text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(ConfigError::NotFound { searched: vec![file.to_path_buf()] })
            }
            Err(source) => Err(ConfigError::Unreadable { file: file.to_path_buf(), source }),
        }
    }

    /// Reads `text` as the contents of `file` (absolute).
    ///
    /// # Errors
    /// Any of [`ConfigError`] but those of the file system.
    pub fn from_toml(file: &Path, text: &str) -> Result<Self, ConfigError> {
        const KEYS: &[&str] = &[
            "catalog",
            "master",
            "maps",
            "passphrase_file",
            "identity_file",
            "spill",
            "store",
            "custodian",
            "backup",
            "erasure",
        ];
        let folder = folder_of(file);
        let root = Section::parse(file, text, KEYS)?;
        let path = |key: &str, default: &str| {
            Ok(folder.join(root.text(key)?.unwrap_or_else(|| default.to_owned())))
        };
        let optional_path = |key: &str| Ok(root.text(key)?.map(|path| folder.join(path)));

        let backup = root.section("backup", &["jobs", "memory_mib"])?;
        let defaults = BackupConfig::default();
        let erasure = root.section("erasure", &["tombstone_days"])?;
        Ok(Self {
            file: file.to_path_buf(),
            catalog: path("catalog", "catalog.sqlite")?,
            master: path("master", "master.age")?,
            maps: path("maps", "maps")?,
            passphrase_file: optional_path("passphrase_file")?,
            identity_file: optional_path("identity_file")?,
            spill: optional_path("spill")?,
            stores: stores::read(&root, folder)?,
            custodians: custodians::read(&root, folder)?,
            backup: BackupConfig {
                jobs: backup.number("jobs", 1..=64)?.unwrap_or(defaults.jobs),
                memory_mib: backup
                    .number("memory_mib", 16..=65_536)?
                    .unwrap_or(defaults.memory_mib),
            },
            erasure: ErasureConfig {
                tombstone_days: erasure
                    .number("tombstone_days", 1..=36_500)?
                    .unwrap_or(ErasureConfig::default().tombstone_days),
            },
        })
    }

    /// The file's contents, with a comment for every key.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let relative = |path: &Path| {
            let path = path.strip_prefix(folder_of(&self.file)).unwrap_or(path);
            quoted(&path.display().to_string())
        };
        let optional = |key: &str, path: Option<&PathBuf>, example: &str| match path {
            Some(path) => format!("{key} = {}\n", relative(path)),
            None => format!("# {key} = {}\n", quoted(example)),
        };
        let mut text = String::new();
        // Writing to a String cannot fail, so the outcome says nothing.
        let _ = write!(
            text,
            "# A strongroom vault. Relative paths are relative to this file's folder.\n\
             # This file holds no secret.\n\n\
             # The catalog of backups and wrapped keys (SQLite).\n\
             catalog = {catalog}\n\n\
             # The master secret, encrypted with age to the operators' recipients.\n\
             master = {master}\n\n\
             # The folder of subject maps: which row belongs to whom, one file a source.\n\
             maps = {maps}\n\n\
             # What opens the master secret without asking: a file whose first line is the\n\
             # passphrase, or a file with age identities.\n\
             {passphrase_file}{identity_file}\n\
             # Where a backup may put what does not fit in memory (sealed, and gone with the\n\
             # process). The system's temporary folder if it is not set.\n\
             {spill}\n",
            catalog = relative(&self.catalog),
            master = relative(&self.master),
            maps = relative(&self.maps),
            passphrase_file =
                optional("passphrase_file", self.passphrase_file.as_ref(), "passphrase"),
            identity_file = optional("identity_file", self.identity_file.as_ref(), "identity.txt"),
            spill = optional("spill", self.spill.as_ref(), "/var/tmp"),
        );
        text.push_str(&stores::to_toml(&self.stores));
        text.push_str(
            "\n# Who holds the epoch secret, the one thing that an erasure destroys. Keep it\n\
             # out of every backup of this machine.\n",
        );
        for custodian in &self.custodians {
            text.push_str(&custodians::to_toml(custodian, folder_of(&self.file)));
        }
        let BackupConfig { jobs, memory_mib } = self.backup;
        let _ = write!(
            text,
            "\n[backup]\n\
             # Connections to the database that read at the same time, 1 to 64.\n\
             jobs = {jobs}\n\
             # Memory for rows that wait to be sealed, in MiB.\n\
             memory_mib = {memory_mib}\n\n\
             [erasure]\n\
             # How many days the mark by which backups know an erased person is kept after she\n\
             # was erased, or met in the database last. Only `erasure forget-tombstones` ends it.\n\
             tombstone_days = {tombstone_days}\n",
            tombstone_days = self.erasure.tombstone_days,
        );
        text
    }
}

/// The folder of an absolute file name.
fn folder_of(file: &Path) -> &Path {
    file.parent().unwrap_or(file)
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn default_places() -> Vec<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let xdg = variable("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let user = xdg.or_else(|| Some(PathBuf::from(variable("HOME")?).join(".config")));
    let user = user.map(|folder| folder.join("strongroom").join(FILE_NAME));
    let system = PathBuf::from(SYSTEM_FILE);
    [PathBuf::from(FILE_NAME)].into_iter().chain(user).chain([system]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALLEST: &str = "[store]\nurl = 'b'\n[[custodian]]\nkind = 'file'\npath = 'c'\n";

    fn read(text: &str) -> Result<Config, ConfigError> {
        Config::from_toml(Path::new("/etc/vault/strongroom.toml"), text)
    }

    fn told(text: &str) -> (String, String) {
        let error = CliError::from(read(text).unwrap_err());
        assert_eq!(error.exit(), Exit::Usage);
        (error.message().to_owned(), error.what_to_do().unwrap_or_default().to_owned())
    }

    #[test]
    fn the_smallest_file_has_defaults_and_absolute_paths() {
        let config = read(SMALLEST).unwrap();
        assert_eq!(config.catalog, Path::new("/etc/vault/catalog.sqlite"));
        assert_eq!(config.stores[0].url, "/etc/vault/b");
        let custodian = CustodianSettings::file("main", "/etc/vault/c".into());
        assert_eq!(config.custodians, [custodian]);
        assert_eq!((config.spill, config.backup), (None, BackupConfig::default()));
    }

    #[test]
    fn what_is_written_is_read_back() {
        let file = Path::new("/etc/vault/strongroom.toml");
        let mut config = Config::new(file, "/mnt/a \"b\"".into(), "/safe/custodian".into());
        assert_eq!(read(&config.to_toml()).unwrap(), config);
        config.passphrase_file = Some("/etc/vault/pass".into());
        config.identity_file = Some("/root/id".into());
        config.spill = Some("/spill".into());
        config.stores[0].url = "file:///mnt".into();
        config.backup = BackupConfig { jobs: 1, memory_mib: 16 };
        config.erasure = ErasureConfig { tombstone_days: 30 };
        assert_eq!(read(&config.to_toml()).unwrap(), config);
        assert!(config.to_toml().lines().all(|line| line.len() <= 100));
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line_and_the_nearest_known_one() {
        let (message, hint) = told(&format!("catalogue = 'x'\n{SMALLEST}"));
        assert_eq!(message, "/etc/vault/strongroom.toml, line 1: unknown key `catalogue`");
        assert_eq!(hint, "did you mean `catalog`?");
        let (message, hint) = told(&format!("{SMALLEST}\n[backup]\njbos = 3\n"));
        assert_eq!(message, "/etc/vault/strongroom.toml, line 8: unknown key `backup.jbos`");
        assert_eq!(hint, "did you mean `backup.jobs`?");
        let (message, hint) = told(&format!("{SMALLEST}pathh = 'x'"));
        assert!(message.ends_with("line 6: unknown key `custodian.pathh`"), "{message}");
        assert_eq!(hint, "did you mean `custodian.path`?");
        let (_, hint) = told(&format!("zebra = 1\n{SMALLEST}"));
        assert!(!hint.contains("did you mean"), "{hint}");
    }

    #[test]
    fn a_bad_value_is_named_and_not_repeated() {
        for (text, end) in [
            ("[store]\nurl = 4711", "line 2: `store.url` must be text in quotes"),
            ("[store]\nurl = ''", "line 2: `store.url` must be text in quotes, not empty"),
            ("store = 4711", "line 1: `store` must be a section, written [store]"),
            (
                "custodian = 4711\nstore.url = 'b'",
                "line 1: `custodian` must be a section, written [[custodian]]",
            ),
            (
                "custodian = [4711]\nstore.url = 'b'",
                "line 1: `custodian` must be a section, written [[custodian]]",
            ),
        ] {
            let (message, _) = told(&format!("{text}\n"));
            assert!(message.ends_with(end), "{message}");
            assert!(!message.contains("4711"));
        }
        for (text, end) in [
            ("jobs = 0", "line 7: `backup.jobs` must be a whole number from 1 to 64"),
            ("jobs = 65", "line 7: `backup.jobs` must be a whole number from 1 to 64"),
            ("jobs = 'x'", "line 7: `backup.jobs` must be a whole number from 1 to 64"),
            (
                "memory_mib = 1",
                "line 7: `backup.memory_mib` must be a whole number from 16 to 65536",
            ),
        ] {
            let (message, _) = told(&format!("{SMALLEST}[backup]\n{text}\n"));
            assert!(message.ends_with(end), "{message}");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        for (text, key) in [
            ("", "store.url"),
            ("[store]\nurl = 'b'\n", "custodian"),
            ("[store]\nurl = 'b'\n[[custodian]]\npath = 'c'\n", "custodian.kind"),
            ("[store]\nurl = 'b'\n[[custodian]]\nkind = 'file'\n", "custodian.path"),
        ] {
            assert_eq!(told(text).0, format!("/etc/vault/strongroom.toml: `{key}` is missing"));
        }
    }

    #[test]
    fn what_is_not_toml_is_told_with_its_line() {
        let (message, _) = told("catalog = 'x'\nmaster = \n");
        assert!(message.starts_with("/etc/vault/strongroom.toml, line 2: "), "{message}");
        assert!(!message.contains('\n'), "{message}");
        assert!(told("catalog = 'x'\ncatalog = 'y'\n").0.contains("line 2: "));
    }

    #[test]
    fn the_machines_own_file_is_looked_for_last() {
        let places = default_places();
        assert_eq!(places.first().unwrap(), Path::new(FILE_NAME));
        assert_eq!(places.last().unwrap(), Path::new("/etc/strongroom/strongroom.toml"));
    }

    #[test]
    fn a_missing_file_leads_to_init() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(FILE_NAME);
        for error in [Config::find(Some(&file)).unwrap_err(), Config::load(&file).unwrap_err()] {
            let error = CliError::from(error);
            assert_eq!(error.exit(), Exit::Usage);
            assert!(error.message().contains("strongroom.toml"));
            assert!(error.what_to_do().is_some_and(|hint| hint.contains("strongroom init")));
        }
        fs::write(&file, SMALLEST).unwrap();
        assert_eq!(Config::find(Some(&file)).unwrap(), file);
        assert_eq!(Config::load(&file).unwrap().maps, folder.path().join("maps"));
    }
}
