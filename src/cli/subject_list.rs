//! A list of people in a file: one primary key a line, or a column of a CSV file with a header.
//!
//! Lists come out of spreadsheets and ticket systems: with a byte order mark, with the line ends of
//! other systems, with comments. A line that cannot be read is named by its number.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use zeroize::Zeroizing;

use super::error::CliError;
use super::exit::Exit;
use crate::crypto::SecretText;
use crate::ops::erase::Asked;

/// One person of a list.
pub struct Listed {
    /// Her key: the parts of a composite one joined by commas.
    pub key: SecretText,
    /// The line, from 1.
    pub line: usize,
}

/// The people, from the arguments or the file that they name.
pub fn asked(
    named: &[String],
    from: Option<&Path>,
    columns: &[String],
) -> Result<Vec<Asked>, CliError> {
    let Some(path) = from else {
        let given = named.iter().cloned().map(SecretText::new);
        return Ok(given.map(|key| Asked { key, line: None }).collect());
    };
    let listed = read(path, columns)?;
    Ok(listed.into_iter().map(|one| Asked { key: one.key, line: Some(one.line) }).collect())
}

/// Reads a list from a file, or from standard input (`-`). `columns` name the key's columns in a CSV
/// file; without them every line is a key.
///
/// # Errors
/// `Usage`.
pub fn read(path: &Path, columns: &[String]) -> Result<Vec<Listed>, CliError> {
    let mut bytes = Zeroizing::new(Vec::new());
    let read = if path.as_os_str() == "-" {
        std::io::stdin().read_to_end(&mut bytes).map(|_| ())
    } else {
        fs::File::open(path).and_then(|mut file| file.read_to_end(&mut bytes)).map(|_| ())
    };
    let shown = path.display().to_string();
    read.map_err(|error| {
        let message = format!("cannot read the people from {shown}: {error}");
        CliError::new(Exit::Usage, message).hint("give a file with one primary key a line")
    })?;
    let text = std::str::from_utf8(&bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()].split(|byte| *byte == b'\n').count();
        CliError::new(Exit::Usage, format!("{shown}, line {line}: it is not UTF-8"))
            .hint("save the file as UTF-8 text")
    })?;
    let is_csv = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("csv"));
    listed(text, &shown, columns, is_csv)
}

fn listed(
    text: &str,
    shown: &str,
    columns: &[String],
    is_csv: bool,
) -> Result<Vec<Listed>, CliError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    // Every usual line end: LF, CR LF, and the CR of old spreadsheets.
    let normal = Zeroizing::new(text.replace("\r\n", "\n").replace('\r', "\n"));
    let mut lines = (1..)
        .zip(normal.lines())
        .map(|(line, text)| (line, text.trim()))
        .filter(|(_, text)| !text.is_empty() && !text.starts_with('#'));
    let wrong = |line: usize, what: &str, hint: String| {
        Err(CliError::new(Exit::Usage, format!("{shown}, line {line}: {what}")).hint(hint))
    };
    let mut people = Vec::new();
    if columns.is_empty() && !is_csv {
        people.extend(lines.map(|(line, key)| Listed { key: SecretText::new(key.into()), line }));
    } else if let Some((line, header)) = lines.next() {
        let mark = [';', '\t'].into_iter().find(|mark| header.contains(*mark)).unwrap_or(',');
        let Some(names) = fields(header, mark) else {
            return wrong(line, "a quote is not closed", "check the header".to_owned());
        };
        let known = names.join(", ");
        if columns.is_empty() {
            let hint = format!("name it with --column; the columns are {known}");
            return wrong(line, "which column has the primary key is not said", hint);
        }
        let mut places = Vec::new();
        for column in columns {
            let place = names.iter().position(|name| name.eq_ignore_ascii_case(column));
            let Some(place) = place else {
                let what = format!("there is no column `{column}`");
                return wrong(line, &what, format!("the columns are {known}"));
            };
            places.push(place);
        }
        for (line, text) in lines {
            let fields = fields(text, mark).map(Zeroizing::new);
            let key = fields.as_ref().and_then(|fields| {
                let parts: Option<Vec<&str>> =
                    places.iter().map(|place| fields.get(*place).map(String::as_str)).collect();
                parts.filter(|parts| parts.iter().all(|part| !part.is_empty()))
            });
            let Some(parts) = key else {
                let what = "it has no primary key in that column";
                return wrong(line, what, "correct the line, or begin it with #".to_owned());
            };
            people.push(Listed { key: SecretText::new(parts.join(",")), line });
        }
    }
    if people.is_empty() {
        let message = format!("{shown} names nobody");
        return Err(CliError::new(Exit::Usage, message).hint("put one primary key on each line"));
    }
    Ok(people)
}

/// The fields of a line of CSV; nothing when a quote is not closed.
fn fields(line: &str, mark: char) -> Option<Vec<String>> {
    let mut fields = vec![String::new()];
    let mut letters = line.chars().peekable();
    let mut quoted = false;
    while let Some(letter) = letters.next() {
        let field = fields.last_mut()?;
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                field.push('"');
            }
            '"' if quoted || field.trim().is_empty() => quoted = !quoted,
            other if other == mark && !quoted => fields.push(String::new()),
            other => field.push(other),
        }
    }
    (!quoted).then(|| fields.iter().map(|field| field.trim().to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(text: &str, columns: &[&str], is_csv: bool) -> Result<Vec<(usize, String)>, CliError> {
        let columns: Vec<_> = columns.iter().map(|&column| column.to_owned()).collect();
        let people = listed(text, "list", &columns, is_csv)?;
        Ok(people.iter().map(|one| (one.line, one.key.expose().to_owned())).collect())
    }

    fn told(text: &str, columns: &[&str], is_csv: bool) -> String {
        let error = keys(text, columns, is_csv).unwrap_err();
        assert_eq!(error.exit(), Exit::Usage);
        format!("{error}; {}", error.what_to_do().unwrap_or_default())
    }

    #[test]
    fn marks_line_ends_comments_and_empty_lines_are_no_people() {
        let expected = vec![(1, "7".to_owned()), (4, "8,x y".to_owned())];
        for text in
            ["7\n\n# two\n8,x y", "\u{feff}7\r\n\r\n# two\r\n8,x y\r\n", "7\r\r# two\r  8,x y \r"]
        {
            assert_eq!(keys(text, &[], false).unwrap(), expected, "{text:?}");
        }
        assert!(told("# nobody\n", &[], false).starts_with("list names nobody"));
    }

    #[test]
    fn a_column_of_a_csv_file_is_taken_by_its_name() {
        let comma =
            "\u{feff}# from the desk\r\nName,ID,Mail\r\n\"Doe, J\",7,a@b\r\n\"x\"\"y\", 8 ,\r\n";
        let expected = vec![(3, "7".to_owned()), (4, "8".to_owned())];
        assert_eq!(keys(comma, &["id"], true).unwrap(), expected);
        assert_eq!(keys("a;b\n1;2\n", &["b", "a"], false).unwrap(), [(2, "2,1".to_owned())]);
        assert_eq!(keys("a\tb\n1\t2\n", &["b"], false).unwrap(), [(2, "2".to_owned())]);
        assert!(
            told(comma, &[], true).contains("line 2: which column"),
            "{}",
            told(comma, &[], true)
        );
        assert!(told(comma, &[], true).contains("the columns are Name, ID, Mail"));
        assert!(told(comma, &["user"], true).contains("no column `user`"));
        assert!(told("id,n\n,2\n", &["id"], true).contains("line 2: it has no primary key"));
        assert!(told("id,n\n\"7,2\n", &["id"], true).contains("line 2: "));
    }

    #[test]
    fn no_complaint_repeats_a_line() {
        assert!(!told("id,n\n,anna@example\n", &["id"], true).contains("anna"));
    }
}
