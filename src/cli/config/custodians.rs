//! The sections `[[custodian]]`: read, written, and edited in place so that everything else in the
//! file, comments too, stays as it was written.

use std::fs;
use std::path::{Path, PathBuf};

use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, value};

use super::reader::Section;
use super::{Config, ConfigError, folder_of};
use crate::base::durable;
use crate::keys::custodians::settings::{
    CustodianKind, CustodianSettings, DEFAULT_NAME, DEFAULT_TIMEOUT_SECONDS, NAME_CHARACTERS_MAX,
    PinSource, is_name,
};

const KEYS: &[&str] = &[
    "name",
    "kind",
    "path",
    "program",
    "timeout_seconds",
    "env",
    "module",
    "token",
    "pin_file",
    "pin_env",
];

/// The keys that mean something to every kind.
const COMMON: &[&str] = &["name", "kind"];

const SECTION: &str = "custodian";

/// Reads all sections; there must be one at least. `folder` is what relative paths start from.
pub(super) fn read(
    root: &Section<'_>,
    folder: &Path,
) -> Result<Vec<CustodianSettings>, ConfigError> {
    let sections = root.sections(SECTION, KEYS)?;
    if sections.is_empty() {
        return Err(root.missing(SECTION));
    }
    let is_only_one = sections.len() == 1;
    let mut custodians: Vec<CustodianSettings> = Vec::new();
    for section in &sections {
        let name = match section.text("name")? {
            Some(name) => name,
            None if is_only_one => DEFAULT_NAME.to_owned(),
            None => return Err(section.missing("name")),
        };
        if !is_name(&name) {
            let expected = format!("1 to {NAME_CHARACTERS_MAX} of a-z, 0-9 and -");
            return Err(section.bad_value("name", &expected));
        }
        if custodians.iter().any(|other| other.name == name) {
            return Err(section.bad_value("name", "another: two custodians have this name"));
        }
        custodians.push(CustodianSettings { name, kind: read_kind(section, folder)? });
    }
    Ok(custodians)
}

fn read_kind(section: &Section<'_>, folder: &Path) -> Result<CustodianKind, ConfigError> {
    let path = |key: &str| Ok(section.text(key)?.map(|path| folder.join(path)));
    let kind = section.required("kind", section.text("kind")?)?;
    let (known, kind): (&[&str], _) = match kind.as_str() {
        "file" => {
            let folder = section.required("path", path("path")?)?;
            (&["path"], CustodianKind::File { folder })
        }
        "command" => {
            let mut program = section.required("program", section.texts("program")?)?;
            // Without a slash it is looked for in PATH.
            if let Some(first) = program.first_mut().filter(|first| first.contains('/')) {
                *first = folder.join(&*first).display().to_string();
            }
            let timeout_seconds = section.number("timeout_seconds", 1..=3_600)?;
            let timeout_seconds = timeout_seconds.unwrap_or(DEFAULT_TIMEOUT_SECONDS);
            let env = section.texts("env")?.unwrap_or_default();
            if env.iter().any(|name| name.contains(['=', '\0'])) {
                return Err(section.bad_value("env", "a list of names of environment variables"));
            }
            let kind = CustodianKind::Command { program, timeout_seconds, env };
            (&["program", "timeout_seconds", "env"], kind)
        }
        "pkcs11" => {
            let module = section.required("module", path("module")?)?;
            let token = section.required("token", section.text("token")?)?;
            let pin = match (path("pin_file")?, section.text("pin_env")?) {
                (Some(file), None) => PinSource::File(file),
                (None, Some(name)) => PinSource::Variable(name),
                (None, None) => return Err(section.missing("pin_file")),
                (Some(_), Some(_)) => {
                    return Err(section.bad_value("pin_env", "left out where `pin_file` is given"));
                }
            };
            let kind = CustodianKind::Pkcs11 { module, token, pin };
            (&["module", "token", "pin_file", "pin_env"], kind)
        }
        _ => return Err(section.bad_value("kind", "\"file\", \"command\" or \"pkcs11\"")),
    };
    let foreign =
        KEYS.iter().find(|key| !COMMON.contains(key) && !known.contains(key) && section.has(key));
    match foreign {
        Some(key) => {
            let expected = format!("left out where kind is \"{}\"", kind.as_str());
            Err(section.bad_value(key, &expected))
        }
        None => Ok(kind),
    }
}

/// The text of one section, its paths relative to `folder` where they are below it.
pub(super) fn to_toml(settings: &CustodianSettings, folder: &Path) -> String {
    let line = |(key, item): (&str, Item)| format!("{key} = {}\n", item.to_string().trim());
    let lines: String = entries(settings, folder).into_iter().map(line).collect();
    format!("[[{SECTION}]]\n{lines}")
}

fn entries(settings: &CustodianSettings, folder: &Path) -> Vec<(&'static str, Item)> {
    let relative =
        |path: &PathBuf| value(path.strip_prefix(folder).unwrap_or(path).display().to_string());
    let mut entries =
        vec![("name", value(&settings.name)), ("kind", value(settings.kind.as_str()))];
    match &settings.kind {
        CustodianKind::File { folder } => entries.push(("path", relative(folder))),
        CustodianKind::Command { program, timeout_seconds, env } => {
            let words: toml_edit::Array = program.iter().map(String::as_str).collect();
            entries.push(("program", value(words)));
            entries.push(("timeout_seconds", value(i64::from(*timeout_seconds))));
            if !env.is_empty() {
                let names: toml_edit::Array = env.iter().map(String::as_str).collect();
                entries.push(("env", value(names)));
            }
        }
        CustodianKind::Pkcs11 { module, token, pin } => {
            entries.push(("module", relative(module)));
            entries.push(("token", value(token)));
            entries.push(match pin {
                PinSource::File(file) => ("pin_file", relative(file)),
                PinSource::Variable(name) => ("pin_env", value(name)),
            });
        }
    }
    entries
}

/// Appends a section to the file, in one durable step.
///
/// # Errors
/// Whatever [`Config::load`] would say of the file with the section; `Unwritable`.
pub fn add(file: &Path, settings: &CustodianSettings) -> Result<(), ConfigError> {
    edit(file, |document, folder| {
        let mut table = Table::new();
        for (key, item) in entries(settings, folder) {
            table.insert(key, item);
        }
        table.decor_mut().set_prefix("\n");
        let sections = sections_of(document);
        // A section without a name is `main` only as long as it is the only one.
        for section in sections.iter_mut().filter(|section| !section.contains_key("name")) {
            section.insert("name", value(DEFAULT_NAME));
        }
        sections.push(table);
        Ok(())
    })
}

/// Removes the section of that name, in one durable step.
///
/// # Errors
/// `NoCustodian`; whatever [`Config::load`] would say of the file without the section (a vault has
/// one custodian at least); `Unwritable`.
pub fn remove(file: &Path, name: &str) -> Result<(), ConfigError> {
    edit(file, |document, _| {
        let sections = sections_of(document);
        let found = sections.iter().position(|section| {
            section.get("name").and_then(Item::as_str).unwrap_or(DEFAULT_NAME) == name
        });
        let Some(found) = found else {
            return Err(ConfigError::NoCustodian {
                file: file.to_path_buf(),
                name: name.to_owned(),
            });
        };
        sections.remove(found);
        Ok(())
    })
}

fn edit(
    file: &Path,
    change: impl FnOnce(&mut DocumentMut, &Path) -> Result<(), ConfigError>,
) -> Result<(), ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { file: file.to_path_buf(), source };
    // What is replaced is the file itself, not a link to it.
    let place = fs::canonicalize(file).map_err(unreadable)?;
    let text = fs::read_to_string(&place).map_err(unreadable)?;
    let named = std::path::absolute(file).map_err(unreadable)?;
    let edited = edited(&named, &text, change)?;
    durable::step("custodian-config", || durable::replace_file(&place, edited.as_bytes()))
        .map_err(|source| ConfigError::Unwritable { file: file.to_path_buf(), source })
}

/// The text after a change, which must be a configuration before and after it.
fn edited(
    file: &Path,
    text: &str,
    change: impl FnOnce(&mut DocumentMut, &Path) -> Result<(), ConfigError>,
) -> Result<String, ConfigError> {
    Config::from_toml(file, text)?;
    let mut document: DocumentMut =
        text.parse().map_err(|error: toml_edit::TomlError| ConfigError::Syntax {
            file: file.to_path_buf(),
            line: 1,
            reason: error.message().replace('\n', ", "),
        })?;
    change(&mut document, folder_of(file))?;
    let edited = document.to_string();
    Config::from_toml(file, &edited)?;
    Ok(edited)
}

/// The sections, also where they were written as an array in one line.
fn sections_of(document: &mut DocumentMut) -> &mut ArrayOfTables {
    let item = document.as_table_mut().entry(SECTION).or_insert(Item::None);
    let sections = match std::mem::take(item).into_array_of_tables() {
        Ok(sections) => sections,
        Err(_) => ArrayOfTables::new(),
    };
    *item = Item::ArrayOfTables(sections);
    let sections = item.as_array_of_tables_mut();
    // Cannot fail: it was made one just now.
    #[allow(clippy::expect_used)]
    sections.expect("an array of tables")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::error::CliError;

    const FILE: &str = "/etc/vault/strongroom.toml";
    const HEAD: &str = "[store]\nurl = 'b'\n";

    fn custodians(text: &str) -> Result<Vec<CustodianSettings>, ConfigError> {
        Config::from_toml(Path::new(FILE), &format!("{HEAD}{text}")).map(|config| config.custodians)
    }

    fn message(text: &str) -> String {
        CliError::from(custodians(text).unwrap_err()).message().to_owned()
    }

    fn every_kind() -> [CustodianSettings; 4] {
        let pkcs11 = |pin| CustodianKind::Pkcs11 {
            module: "/usr/lib/libhsm.so".into(),
            token: "backup \"1\"".into(),
            pin,
        };
        let program = vec!["/usr/local/bin/keep".into(), "--at".into(), "a b".into()];
        [
            CustodianSettings::file("safe", "/etc/vault/safe".into()),
            CustodianSettings {
                name: "far".into(),
                kind: CustodianKind::Command {
                    program,
                    timeout_seconds: 9,
                    env: vec!["TPM_OWNER_AUTH".into()],
                },
            },
            CustodianSettings {
                name: "hsm-1".into(),
                kind: pkcs11(PinSource::File("/etc/vault/pin".into())),
            },
            CustodianSettings {
                name: "hsm-2".into(),
                kind: pkcs11(PinSource::Variable("HSM_PIN".into())),
            },
        ]
    }

    #[test]
    fn every_kind_is_written_and_read_back() {
        let kinds = every_kind();
        let folder = Path::new("/etc/vault");
        let text: String = kinds.iter().map(|settings| to_toml(settings, folder)).collect();
        assert_eq!(custodians(&text).unwrap(), kinds);
        assert!(text.contains("path = \"safe\"\n"), "{text}");
    }

    #[test]
    fn one_custodian_needs_no_name_and_a_program_is_found_in_path() {
        let text = "[[custodian]]\nkind = 'command'\nprogram = ['keep', 'x']\n";
        let only = custodians(text).unwrap().remove(0);
        assert_eq!(only.name, "main");
        let kind = |first: &str, timeout_seconds| CustodianKind::Command {
            program: vec![first.into(), "x".into()],
            timeout_seconds,
            env: Vec::new(),
        };
        assert_eq!(only.kind, kind("keep", 30));
        let text = "[[custodian]]\nkind = 'command'\nprogram = ['./keep', 'x']\n";
        assert_eq!(custodians(text).unwrap()[0].kind, kind("/etc/vault/./keep", 30));
    }

    #[test]
    fn what_cannot_be_right_is_named_with_its_line() {
        let file = "kind = 'file'\npath = 'c'\n";
        for (text, end) in [
            (format!("[[custodian]]\n{file}[[custodian]]\n{file}"), "`custodian.name` is missing"),
            (
                format!("[[custodian]]\nname = 'Safe'\n{file}"),
                "line 4: `custodian.name` must be 1 to 31 of a-z, 0-9 and -",
            ),
            (
                format!("[[custodian]]\nname = 'a'\n{file}[[custodian]]\nname = 'a'\n{file}"),
                "line 8: `custodian.name` must be another: two custodians have this name",
            ),
            (
                format!("[[custodian]]\n{file}token = 'x'\n"),
                "line 6: `custodian.token` must be left out where kind is \"file\"",
            ),
            (
                "[[custodian]]\nkind = 'hsm'\n".into(),
                "line 4: `custodian.kind` must be \"file\", \"command\" or \"pkcs11\"",
            ),
            ("[[custodian]]\nkind = 'command'\n".into(), "`custodian.program` is missing"),
            (
                "[[custodian]]\nkind = 'command'\nprogram = 'keep'\n".into(),
                "line 5: `custodian.program` must be a list of texts in quotes, not empty",
            ),
            (
                "[[custodian]]\nkind = 'command'\nprogram = []\n".into(),
                "line 5: `custodian.program` must be a list of texts in quotes, not empty",
            ),
            (
                "[[custodian]]\nkind = 'command'\nprogram = ['k']\ntimeout_seconds = 0\n".into(),
                "line 6: `custodian.timeout_seconds` must be a whole number from 1 to 3600",
            ),
            (
                "[[custodian]]\nkind = 'pkcs11'\nmodule = 'm'\n".into(),
                "`custodian.token` is missing",
            ),
            (
                "[[custodian]]\nkind = 'pkcs11'\nmodule = 'm'\ntoken = 't'\n".into(),
                "`custodian.pin_file` is missing",
            ),
            (
                "[[custodian]]\nkind = 'pkcs11'\nmodule = 'm'\ntoken = 't'\npin_file = 'p'\n\
                 pin_env = 'P'\n"
                    .into(),
                "line 8: `custodian.pin_env` must be left out where `pin_file` is given",
            ),
            (
                "[[custodian]]\nkind = 'pkcs11'\npin = '1234'\n".into(),
                "line 5: unknown key `custodian.pin`",
            ),
        ] {
            assert!(message(&text).ends_with(end), "{}", message(&text));
        }
    }

    #[test]
    fn adding_and_removing_leave_the_rest_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("strongroom.toml");
        let before = "# mine\n[store]  # there\nurl = 'b'\n\n# the safe\n[[custodian]]\n\
                      kind = 'file' # a folder\npath = 'c'\n\n[backup]\njobs = 3\n";
        fs::write(&file, before).unwrap();
        let [_, far, hsm, _] = every_kind();
        add(&file, &far).unwrap();
        add(&file, &hsm).unwrap();
        let after = fs::read_to_string(&file).unwrap();
        let config = Config::load(&file).unwrap();
        let names: Vec<_> = config.custodians.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["main", "far", "hsm-1"], "{after}");
        assert_eq!(config.custodians[1..], [far.clone(), hsm]);
        assert_eq!(config.backup.jobs, 3);
        for line in before.lines() {
            assert!(after.contains(line), "{line:?} is gone from\n{after}");
        }

        let taken = add(&file, &far).unwrap_err().to_string();
        assert!(taken.ends_with("two custodians have this name"), "{taken}");
        remove(&file, "far").unwrap();
        let gone = remove(&file, "far").unwrap_err().to_string();
        assert!(gone.ends_with("has no custodian `far`"), "{gone}");
        remove(&file, "main").unwrap();
        assert_eq!(Config::load(&file).unwrap().custodians[0].name, "hsm-1");
        let last = remove(&file, "hsm-1").unwrap_err().to_string();
        assert!(last.ends_with("`custodian` is missing"), "{last}");
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("# mine\n[store]  # there\n"), "{text}");
        assert!(text.contains("[backup]\njobs = 3\n"), "{text}");
    }

    #[test]
    fn sections_in_one_line_are_edited_too() {
        let text = "store.url = 'b'\ncustodian = [{ kind = 'file', path = 'c' }]\n";
        let file = Path::new(FILE);
        let [_, far, ..] = every_kind();
        let edited = edited(file, text, |document, folder| {
            let mut table = Table::new();
            for (key, item) in entries(&far, folder) {
                table.insert(key, item);
            }
            for section in sections_of(document).iter_mut() {
                section.insert("name", value("near"));
            }
            sections_of(document).push(table);
            Ok(())
        });
        assert_eq!(Config::from_toml(file, &edited.unwrap()).unwrap().custodians[1], far);
    }
}
