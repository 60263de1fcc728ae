//! Which file uses which: the imports and paths of the code, each followed through re-exports to the
//! file that has the thing. That a module declares another is no use of it.

use std::collections::{BTreeMap, BTreeSet};

use super::Source;

/// A module's path from the crate's root.
pub type Module = Vec<String>;

/// For each module, the modules that its code uses. Code of tests is left out.
pub struct Graph {
    pub uses: BTreeMap<Module, BTreeSet<Module>>,
}

/// One path that a file names, and the name that it gives it.
struct Named {
    path: Vec<String>,
    name: String,
    is_exported: bool,
}

struct File {
    module: Module,
    named: Vec<Named>,
    /// The paths that stand in the code, other than in `use`.
    paths: Vec<Vec<String>>,
}

impl Graph {
    pub fn of(sources: &[Source]) -> Self {
        let files: Vec<File> = sources
            .iter()
            .filter(|source| source.path != "src/main.rs" && !source.is_only_for_tests())
            .map(File::read)
            .collect();
        let modules: BTreeSet<Module> = files.iter().map(|file| file.module.clone()).collect();
        let mut exports = BTreeMap::new();
        for file in &files {
            for named in file.named.iter().filter(|named| named.is_exported) {
                if let Some(target) = file.resolve(&named.path, &modules) {
                    exports
                        .insert([file.module.clone(), vec![named.name.clone()]].concat(), target);
                }
            }
        }
        let mut uses = BTreeMap::new();
        for file in &files {
            let imported = file.named.iter().filter(|named| !named.is_exported);
            let used: BTreeSet<Module> = imported
                .map(|named| &named.path)
                .chain(&file.paths)
                .filter_map(|path| file.resolve(path, &modules))
                .filter_map(|path| home(path, &modules, &exports))
                .filter(|other| *other != file.module && !other.is_empty())
                .collect();
            uses.insert(file.module.clone(), used);
        }
        Self { uses }
    }

    /// The groups of modules that use one another in a circle.
    pub fn circles(&self) -> Vec<BTreeSet<Module>> {
        let reach: BTreeMap<&Module, BTreeSet<&Module>> =
            self.uses.keys().map(|module| (module, self.reachable(module))).collect();
        let mut circles = BTreeSet::new();
        for (module, from) in &reach {
            let circle: BTreeSet<Module> = from
                .iter()
                .filter(|other| reach.get(**other).is_some_and(|back| back.contains(*module)))
                .map(|other| (*other).clone())
                .collect();
            if circle.len() > 1 {
                circles.insert(circle);
            }
        }
        circles.into_iter().collect()
    }

    fn reachable(&self, from: &Module) -> BTreeSet<&Module> {
        let mut found = BTreeSet::new();
        let mut open: Vec<&Module> = self.uses[from].iter().collect();
        while let Some(module) = open.pop() {
            if let (Some(next), true) = (self.uses.get(module), found.insert(module)) {
                open.extend(next);
            }
        }
        found
    }
}

/// The module that has what a path leads to; nothing where it leads to a module itself, whose things are
/// then named one by one.
fn home(
    mut path: Module,
    modules: &BTreeSet<Module>,
    exports: &BTreeMap<Module, Module>,
) -> Option<Module> {
    // A thing may be exported by one module after the other.
    for _ in 0..8 {
        let exported = (1..=path.len()).rev().find_map(|length| {
            let (head, rest) = path.split_at(length);
            let target = exports.get(head).filter(|_| !modules.contains(head))?;
            Some([target.as_slice(), rest].concat())
        });
        match exported {
            Some(target) => path = target,
            None => break,
        }
    }
    if modules.contains(&path) {
        return None;
    }
    (0..path.len()).rev().map(|length| path[..length].to_vec()).find(|head| modules.contains(head))
}

impl File {
    fn read(source: &Source) -> Self {
        let module: Module = source.module().into_iter().map(str::to_owned).collect();
        let mut code = String::new();
        for (_, line, _, tested) in source.code() {
            if !tested {
                code.push_str(line);
                code.push('\n');
            }
        }
        let (mut named, mut rest) = (Vec::new(), String::new());
        for statement in code.split_inclusive(';') {
            let begins = statement.trim_start();
            let at = statement.rfind("use ").filter(|at| {
                let before = statement[..*at].rsplit('\n').next().unwrap_or_default();
                let before = before.trim();
                before.is_empty() || before.starts_with("pub")
            });
            match at {
                Some(at) if !begins.is_empty() => {
                    let line = statement[..at].rsplit('\n').next().unwrap_or_default();
                    let tree = statement[at + 4..].trim_end_matches(';');
                    for (path, name) in leaves(tree) {
                        let is_exported = line.trim().starts_with("pub");
                        named.push(Named { path, name, is_exported });
                    }
                    rest.push_str(&statement[..at - line.len()]);
                }
                _ => rest.push_str(statement),
            }
        }
        Self { module, named, paths: paths_in(&rest) }
    }

    /// A path from the crate's root, where it is one of this crate.
    fn resolve(&self, path: &[String], modules: &BTreeSet<Module>) -> Option<Module> {
        let absolute = |path: &[String]| -> Option<Module> {
            match path.first()?.as_str() {
                "crate" => Some(path[1..].to_vec()),
                "self" => Some([&self.module, &path[1..]].concat()),
                "super" => {
                    let up = path.iter().take_while(|name| *name == "super").count();
                    let kept = self.module.len().checked_sub(up)?;
                    Some([&self.module[..kept], &path[up..]].concat())
                }
                _ => None,
            }
        };
        let first = path.first()?;
        let child = [&self.module[..], std::slice::from_ref(first)].concat();
        absolute(path).or_else(|| {
            if modules.contains(&child) {
                return Some([&self.module, path].concat());
            }
            let import = self.named.iter().find(|named| named.name == *first)?;
            let base = absolute(&import.path).or_else(|| {
                let child = [&self.module[..], &import.path[..1]].concat();
                modules.contains(&child).then(|| [&self.module[..], &import.path].concat())
            })?;
            Some([&base[..], &path[1..]].concat())
        })
    }
}

/// The paths of a `use` tree, each with the name that it is known by.
fn leaves(tree: &str) -> Vec<(Vec<String>, String)> {
    let tree = tree.trim();
    if let Some((head, group)) = tree.split_once('{') {
        let head = names(head.trim_end().trim_end_matches("::"));
        let group = group.trim_end().trim_end_matches('}');
        let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
        for (at, character) in group.char_indices() {
            match character {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    parts.push(&group[start..at]);
                    start = at + 1;
                }
                _ => {}
            }
        }
        parts.push(&group[start..]);
        let inner = parts.into_iter().filter(|part| !part.trim().is_empty()).flat_map(leaves);
        return inner
            .map(|(path, name)| {
                let is_self = path.first().is_some_and(|first| first == "self");
                let last = head.last().cloned().unwrap_or_default();
                match (is_self, name == "self") {
                    (true, true) => (head.clone(), last),
                    (true, false) => (head.clone(), name),
                    _ => ([head.clone(), path].concat(), name),
                }
            })
            .collect();
    }
    let (path, name) =
        tree.split_once(" as ").map_or((tree, None), |(path, name)| (path, Some(name)));
    let path = names(path);
    let name =
        name.map_or_else(|| path.last().cloned().unwrap_or_default(), |name| name.trim().into());
    vec![(path, name)]
}

fn names(path: &str) -> Vec<String> {
    path.split("::").map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
}

/// The paths of several names in code.
fn paths_in(code: &str) -> Vec<Vec<String>> {
    let is_of_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    code.split(|c: char| !is_of_path(c))
        .filter(|word| word.contains("::") && !word.starts_with(':'))
        .map(names)
        .filter(|path| path.len() > 1)
        .collect()
}
