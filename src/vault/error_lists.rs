//! Lists of findings as the sentence of one error tells them.

use crate::policy::subject_map::Undecided;

/// Line by line, what is wrong.
pub(super) fn told(lines: &[(usize, String)]) -> String {
    lines.iter().map(|(line, why)| format!("line {line}: {why}")).collect::<Vec<_>>().join("; ")
}

/// `one, two, three`.
pub(super) fn join<T: std::fmt::Display>(items: &[T]) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}

pub(super) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// What the questions are about: `map` lists them in full.
pub(super) fn questions(undecided: &[Undecided]) -> String {
    const NAMED_MAX: usize = 5;
    let about = |one: &Undecided| match &one.table {
        Some(table) => table.to_string(),
        None => one.reason.clone(),
    };
    let named: Vec<_> = undecided.iter().take(NAMED_MAX).map(about).collect();
    match undecided.len() - named.len() {
        0 => join(&named),
        more => format!("{} and {more} more", join(&named)),
    }
}

/// The only problem, or how many there are and all of them.
pub(super) fn damage(problems: &[String]) -> String {
    match problems {
        [one] => one.clone(),
        many => format!("{} objects are damaged: {}", many.len(), join(many)),
    }
}
