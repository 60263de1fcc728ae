//! The rules of the house that a machine can hold: the layers of `src/lib.rs`, and tidiness.

#![allow(clippy::unwrap_used)]

mod graph;
mod rooms;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

const LINES_MAX: usize = 600;
const COLUMNS_MAX: usize = 120;
/// Siblings that may not even use the layer of keys: they handle sealed bytes or plain values only.
const KEYLESS: [&str; 5] = ["audit", "catalog", "policy", "postgres", "store"];

/// One file of the project.
struct Source {
    /// Relative to the project, `src/store/mod.rs`.
    path: String,
    text: String,
}

fn sources(folders: &[&str]) -> Vec<Source> {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in folders {
        collect(&project.join(folder), &mut files);
    }
    files.sort();
    let sources: Vec<_> = files
        .into_iter()
        .map(|file| Source {
            path: file.strip_prefix(project).unwrap().to_str().unwrap().to_owned(),
            text: fs::read_to_string(&file).unwrap(),
        })
        .collect();
    assert!(!sources.is_empty());
    sources
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// Fails with all findings at once.
fn require_none(findings: &[String]) {
    let mut list = String::new();
    for finding in findings {
        let _ = writeln!(list, "  {finding}");
    }
    assert!(findings.is_empty(), "{} finding(s):\n{list}", findings.len());
}

impl Source {
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// The modules that the file is, from the crate's root: `["store", "name"]`.
    fn module(&self) -> Vec<&str> {
        let path = self.path.strip_prefix("src/").unwrap().strip_suffix(".rs").unwrap();
        let mut module: Vec<_> = path.split('/').collect();
        if matches!(module.last(), Some(&("mod" | "lib" | "main"))) {
            module.pop();
        }
        module
    }

    /// Whether the file is a module that exists in tests only, by its name.
    fn is_only_for_tests(&self) -> bool {
        let stem = self.module().last().copied().unwrap_or_default().to_owned();
        matches!(stem.as_str(), "tests" | "testing" | "fixture" | "properties")
            || stem.ends_with("_tests")
    }

    /// Line by line: the code without comments, the depth of modules inside the file, and whether
    /// the line belongs to tests.
    fn code(&self) -> Vec<(usize, &str, usize, bool)> {
        let mut open: Vec<(&str, bool)> = Vec::new();
        let only_tests = self.is_only_for_tests();
        let mut after_cfg_test = false;
        let mut code = Vec::new();
        for (number, line) in self.lines() {
            let trimmed = line.trim_start();
            let indent = &line[..line.len() - trimmed.len()];
            if open.last().is_some_and(|(at, _)| trimmed == "}" && *at == indent) {
                open.pop();
            }
            let tested = only_tests || open.iter().any(|(_, test)| *test);
            if !trimmed.starts_with("//") {
                code.push((number, trimmed, open.len(), tested));
            }
            let declared = trimmed.trim_start_matches("pub ").trim_start_matches("pub(crate) ");
            if declared.starts_with("mod ") && declared.ends_with('{') {
                open.push((indent, tested || after_cfg_test));
            }
            after_cfg_test = trimmed.starts_with("#[cfg(test)]")
                || (after_cfg_test && trimmed.starts_with("#["));
        }
        code
    }
}

/// The layers of the table in `src/lib.rs`, the highest first.
fn layers() -> Vec<Vec<String>> {
    let map = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    let rows = map.lines().filter_map(|line| line.strip_prefix("//! | "));
    let layers: Vec<Vec<String>> = rows
        .map(|row| {
            let modules = row.split(" | ").nth(1).unwrap_or_default();
            modules
                .split("[`")
                .skip(1)
                .map(|rest| rest.split('`').next().unwrap().to_owned())
                .collect()
        })
        .filter(|layer: &Vec<String>| !layer.is_empty())
        .collect();
    let declared = map.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    let mut declared: Vec<_> = declared.map(str::to_owned).collect();
    let mut mapped = layers.concat();
    declared.sort();
    mapped.sort();
    assert_eq!(mapped, declared, "the map in src/lib.rs must have each module exactly once");
    layers
}

/// Why a module may not use another, if it may not.
fn forbidden(layers: &[Vec<String>], user: &str, other: &str) -> Option<&'static str> {
    let place = |module: &str| {
        layers.iter().enumerate().find_map(|(layer, modules)| {
            let index = modules.iter().position(|name| name == module)?;
            Some((layer, index))
        })
    };
    let (Some((here, position)), Some((there, position_there))) = (place(user), place(other))
    else {
        return Some("it is not in the map");
    };
    let ground = layers.len() - 1;
    let to_keys = layers[there].iter().any(|name| name == "keys");
    if user == other {
        None
    } else if there < here {
        Some("it is above")
    } else if KEYLESS.contains(&user) && to_keys {
        Some("it knows nothing of keys")
    } else if there == here && here != ground {
        // In the layer of keys, the hierarchy stands on the primitives that are named after it.
        let stands_on = to_keys && position_there > position;
        (!stands_on).then_some("it is beside")
    } else {
        None
    }
}

/// The top modules that a piece of code names, given the module and the depth that it stands in.
fn used_modules(code: &str, depth: usize) -> Vec<String> {
    let mut used = Vec::new();
    let mut rest = code;
    while let Some(at) = rest.find("crate::") {
        let whole_word = !rest[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        rest = &rest[at + "crate::".len()..];
        if whole_word {
            used.extend(first_names(rest));
        }
    }
    let mut rest = code;
    while let Some(at) = rest.find("super::") {
        rest = &rest[at..];
        let mut climbed = 0;
        while let Some(after) = rest.strip_prefix("super::") {
            rest = after;
            climbed += 1;
        }
        if climbed >= depth {
            used.extend(first_names(rest));
        }
    }
    used
}

/// The first name of a path, or of each path of a group in braces.
fn first_names(path: &str) -> Vec<String> {
    let name = |path: &str| -> String {
        let path = path.trim_start();
        path.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let Some(group) = path.strip_prefix('{') else {
        // A macro stands at the crate's root, whatever module it is written in.
        let name = name(path);
        let is_macro = path[name.len()..].starts_with('!');
        return if is_macro { Vec::new() } else { vec![name] };
    };
    let mut names = Vec::new();
    let (mut depth, mut start) = (0, 0);
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' if depth == 0 => {
                names.push(name(&group[start..at]));
                start = at + 1;
            }
            '}' => {
                names.push(name(&group[start..at]));
                break;
            }
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

#[test]
fn modules_use_only_what_is_below_them() {
    let layers = layers();
    let mut findings = Vec::new();
    for source in sources(&["src"]) {
        let module = source.module();
        let Some(user) = module.first() else { continue };
        // Groups in braces may span lines, so code of one depth is read as one text.
        let mut texts: BTreeMap<usize, String> = BTreeMap::new();
        for (_, line, inner, _) in source.code() {
            let text = texts.entry(inner).or_default();
            text.push_str(line);
            text.push('\n');
        }
        for (inner, text) in texts {
            for used in used_modules(&text, module.len() + inner) {
                if let Some(why) = forbidden(&layers, user, &used) {
                    findings.push(format!("{}: uses `{used}`: {why}", source.path));
                }
            }
        }
    }
    findings.dedup();
    require_none(&findings);
}

#[test]
fn every_file_says_at_its_head_what_it_is() {
    let headless = sources(&["src", "tests"]).into_iter().filter(|source| {
        let head = source.text.lines().next().unwrap_or_default();
        head.strip_prefix("//! ").is_none_or(|text| text.trim().len() < 10)
    });
    require_none(&headless.map(|source| source.path).collect::<Vec<_>>());
}

#[test]
fn files_can_be_read_in_a_sitting() {
    let mut findings = Vec::new();
    for source in sources(&["src", "tests"]) {
        let lines = source.text.lines().count();
        if lines > LINES_MAX {
            findings.push(format!("{}: {lines} lines, at most {LINES_MAX}", source.path));
        }
    }
    require_none(&findings);
}

#[test]
fn lines_fit_and_end_where_their_text_ends() {
    let mut findings = Vec::new();
    for source in sources(&["src"]) {
        for (number, line) in source.lines() {
            // A row of a table cannot be broken, and a sentence of a message is easier to find whole.
            let is_whole = line.starts_with("//! |") || line.trim_start().starts_with('"');
            if line.chars().count() > COLUMNS_MAX && !is_whole {
                findings.push(format!("{}:{number}: over {COLUMNS_MAX} columns", source.path));
            }
            if line.trim_end() != line {
                findings.push(format!("{}:{number}: space at the end", source.path));
            }
        }
    }
    require_none(&findings);
}

#[test]
fn nothing_is_left_for_later() {
    // Put together here, so that this file does not find itself.
    let marks =
        [["TO", "DO"], ["FIX", "ME"], ["XX", "X"], ["dbg", "!"]].map(|parts| parts.concat());
    let mut findings = Vec::new();
    for source in sources(&["src", "tests"]) {
        for (number, line) in source.lines() {
            for mark in &marks {
                if line.contains(mark.as_str()) {
                    findings.push(format!("{}:{number}: {mark}", source.path));
                }
            }
        }
    }
    require_none(&findings);
}

#[test]
fn what_could_panic_says_why_it_cannot() {
    let mut findings = Vec::new();
    for source in sources(&["src"]) {
        let lines: Vec<_> = source.text.lines().collect();
        for (number, code, _, tested) in source.code() {
            if tested || !(code.contains(".unwrap()") || code.contains(".expect(")) {
                continue;
            }
            let above = &lines[number.saturating_sub(6)..number - 1];
            if !above.iter().any(|line| line.trim_start().starts_with("// Cannot fail:")) {
                findings.push(format!("{}:{number}: {code}", source.path));
            }
        }
    }
    require_none(&findings);
}

#[test]
fn secrets_cannot_be_printed_copied_or_made_from_nothing() {
    const FORBIDDEN: [&str; 5] = ["Debug", "Clone", "Copy", "Default", "Serialize"];
    let is_secret =
        |name: &str| ["Key", "Secret", "Passphrase"].iter().any(|end| name.ends_with(end));
    let name_of = |rest: &str| -> String {
        rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let mut findings = Vec::new();
    for source in sources(&["src/keys", "src/crypto"]) {
        let mut attributes = String::new();
        for (number, code, _, _) in source.code() {
            let item = code.split_once("struct ").or_else(|| code.split_once("enum "));
            if let Some((before, rest)) = item
                && (before.is_empty() || before.starts_with("pub"))
            {
                let name = name_of(rest);
                for word in attributes.split(|c: char| !c.is_alphanumeric()) {
                    if is_secret(&name) && FORBIDDEN.contains(&word) {
                        findings.push(format!("{}:{number}: {name} is {word}", source.path));
                    }
                }
            }
            if let Some((implemented, rest)) = code.split_once(" for ")
                && implemented.starts_with("impl")
            {
                let name = name_of(rest.rsplit("::").next().unwrap_or(rest));
                for word in implemented.split(|c: char| !c.is_alphanumeric()) {
                    if is_secret(&name) && FORBIDDEN.contains(&word) {
                        findings.push(format!("{}:{number}: {name} is {word}", source.path));
                    }
                }
            }
            // Attributes may span lines; anything else ends them.
            let continued = !attributes.is_empty() && !attributes.trim_end().ends_with(']');
            if code.starts_with("#[") || continued {
                attributes.push_str(code);
                attributes.push(' ');
            } else {
                attributes.clear();
            }
        }
    }
    require_none(&findings);
}

#[test]
fn the_rules_find_what_they_are_for() {
    let layers = layers();
    for (user, used) in [
        ("store", "catalog"),
        ("base", "store"),
        ("store", "keys"),
        ("crypto", "keys"),
        ("ops", "cli"),
    ] {
        assert!(forbidden(&layers, user, used).is_some(), "{user} -> {used}");
    }
    for (user, used) in [
        ("cli", "ops"),
        ("container", "keys"),
        ("keys", "crypto"),
        ("vault", "store"),
        ("ops", "ops"),
    ] {
        assert_eq!(forbidden(&layers, user, used), None, "{user} -> {used}");
    }
    let code = "use crate::{ids::{A, B}, store};\nuse super::super::cli::X; super::y; mycrate::z";
    assert_eq!(used_modules(code, 2), ["ids", "store", "cli"]);
    assert_eq!(used_modules("use super::ids;", 1), ["ids"]);

    let text = "fn a() {}\n// note\n#[cfg(test)]\nmod tests {\n    b.unwrap();\n}\nfn c() {}\n";
    let source = Source { path: "src/x/y.rs".into(), text: text.into() };
    assert_eq!(source.module(), ["x", "y"]);
    let tested: Vec<_> = source.code().into_iter().filter(|line| line.3).collect();
    assert_eq!(tested, [(5, "b.unwrap();", 1, true)]);
}
