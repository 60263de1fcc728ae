//! What a command prints: text for people, or one JSON document.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, presets};
use serde::Serialize;
use serde_json::Value;

use super::error::{CliError, plain};
use super::exit::Exit;

/// What a command found or did, in both forms, and how it ends.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    text: String,
    document: Value,
    exit: Exit,
    is_product: bool,
}

impl Report {
    /// A report of success. `text` ends with a newline, or is empty.
    ///
    /// # Errors
    /// Internal, when `document` cannot be JSON.
    pub fn new(document: &impl Serialize, text: impl Into<String>) -> Result<Self, CliError> {
        let document = serde_json::to_value(document)
            .map_err(|error| CliError::from_error(Exit::Internal, &error))?;
        Ok(Self { text: text.into(), document, exit: Exit::Done, is_product: false })
    }

    /// The same report with another end: what `verify` tells of a damaged backup is a report too.
    #[must_use]
    pub fn with_exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// The same report of a command whose text is what was asked for (a list, a script): it is printed
    /// even with `--quiet`.
    #[must_use]
    pub fn as_product(mut self) -> Self {
        self.is_product = true;
        self
    }

    /// How the command ends.
    #[must_use]
    pub fn exit(&self) -> Exit {
        self.exit
    }
}

/// Where and how a command prints.
#[derive(Debug, Clone)]
pub struct Output {
    json: bool,
    quiet: bool,
    colour: bool,
    width: Option<u16>,
    needs_attention: Arc<AtomicBool>,
}

impl Output {
    /// As the flags, the terminals and `NO_COLOR` (<https://no-color.org>) have it.
    #[must_use]
    pub fn new(json: bool, quiet: bool) -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let width = Table::new().width();
        let colour = !plain && io::stderr().is_terminal();
        Self { json, quiet, colour, width, needs_attention: Arc::default() }
    }

    /// Whether standard output is to be one JSON document.
    #[must_use]
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Whether progress is to be drawn: for a person who looks at it.
    #[must_use]
    pub fn draws_progress(&self) -> bool {
        !self.json && !self.quiet && io::stderr().is_terminal()
    }

    /// Prints a command's report on standard output. With `--quiet`, text is left out unless it is
    /// what was asked for.
    ///
    /// # Errors
    /// Whatever writing reports. A reader that has gone (`| head`) is none.
    pub fn report(&self, report: &Report) -> io::Result<()> {
        if self.json {
            return to_reader(format!("{:#}\n", report.document).as_bytes());
        }
        if self.quiet && !report.is_product {
            return Ok(());
        }
        to_reader(printable(&report.text).as_bytes())
    }

    /// Prints an error: text on standard error, or the JSON document on standard output.
    pub fn error(&self, error: &CliError) {
        if self.json {
            // Nothing is left to tell a reader that has gone.
            let _ = to_reader(format!("{:#}\n", error.to_json()).as_bytes());
            return;
        }
        let message = self.labelled("error", "1;31", error.message());
        let hint = error.what_to_do().map(|hint| self.labelled("hint", "1;36", hint));
        to_stderr(&(message + &hint.unwrap_or_default()));
    }

    /// Prints what a person must not miss, on standard error, even with `--quiet`. What `--json`
    /// users must not miss belongs into the document as well.
    pub fn warning(&self, text: &str) {
        to_stderr(&self.labelled("warning", "1;33", text));
    }

    /// Prints a warning that somebody must look at: the command ends with [`Exit::Attention`], unless
    /// it ends worse.
    pub fn alert(&self, text: &str) {
        self.needs_attention.store(true, Ordering::Relaxed);
        self.warning(text);
    }

    /// Whether there was an alert.
    #[must_use]
    pub fn needs_attention(&self) -> bool {
        self.needs_attention.load(Ordering::Relaxed)
    }

    /// Prints what is good to know, on standard error.
    pub fn note(&self, text: &str) {
        if !self.quiet && !self.json {
            to_stderr(&format!("{}\n", shown(text)));
        }
    }

    fn labelled(&self, label: &str, colour: &str, text: &str) -> String {
        let text = shown(text);
        if self.colour {
            format!("\x1b[{colour}m{label}:\x1b[0m {text}\n")
        } else {
            format!("{label}: {text}\n")
        }
    }

    /// The width of the terminal on standard output; nothing where it is none.
    #[must_use]
    pub fn terminal_columns(&self) -> Option<usize> {
        self.width.map(usize::from)
    }

    /// The same output without a width.
    #[must_use]
    pub fn unbounded(&self) -> Self {
        Self { width: None, ..self.clone() }
    }

    /// A table as text. On a terminal it is as wide as that at most, and the first column is never
    /// wrapped; where standard output is no terminal, nothing is. Columns named in `numbers` are
    /// aligned to the right.
    #[must_use]
    pub fn table(&self, headers: &[&str], numbers: &[&str], rows: &[Vec<String>]) -> String {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).force_no_tty();
        match self.width {
            Some(width) => {
                table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
            }
            None => {
                table.set_content_arrangement(ContentArrangement::Disabled);
            }
        }
        table.set_header(headers.iter().map(|header| header.to_uppercase()));
        for row in rows {
            table.add_row(row.iter().map(|cell| shown(cell)));
        }
        for (index, column) in table.column_iter_mut().enumerate() {
            // Two spaces between columns, none at the left edge.
            column.set_padding((0, 2));
            if index == 0 {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
            if headers.get(index).is_some_and(|header| numbers.contains(header)) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        format!("{}\n", table.trim_fmt())
    }
}

/// A sentence in lines of 80 columns at most, each after `indent`. A word that is longer stands in a line of its own.
#[must_use]
pub fn wrapped(indent: &str, sentence: &str) -> String {
    let mut text = String::new();
    let mut line = indent.to_owned();
    for word in plain(sentence).split_whitespace() {
        let is_begun = line.len() > indent.len();
        if is_begun && line.chars().count() + 1 + word.chars().count() > 80 {
            text.push_str(line.trim_end());
            text.push('\n');
            indent.clone_into(&mut line);
        } else if is_begun {
            line.push(' ');
        }
        line.push_str(word);
    }
    text.push_str(&line);
    text.push('\n');
    text
}

/// A text that others wrote (a table's name, a note) without any control character: it must be able
/// neither to command a terminal nor to begin a line of its own, which could say anything. Nor may it
/// turn the direction of writing round.
#[must_use]
pub fn shown(text: &str) -> String {
    let turns = |character| matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut clean = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() || turns(character) {
            clean.extend(character.escape_unicode());
        } else {
            clean.push(character);
        }
    }
    clean
}

/// A report's lines without control characters.
fn printable(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() && character != '\n' {
            clean.extend(character.escape_debug());
        } else {
            clean.push(character);
        }
    }
    clean
}

fn to_reader(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome,
    }
}

fn to_stderr(text: &str) {
    // Without standard error there is no one to tell that it is gone.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// A count as people read it: `1,234,567`.
#[must_use]
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of bytes as people read it, in powers of 1,024: `1.5 MiB`.
#[must_use]
pub fn bytes(number: u64) -> String {
    indicatif::BinaryBytes(number).to_string()
}

/// A moment of a document (RFC 3339 in UTC) as people read it: `2026-11-22 02:00:00`.
#[must_use]
pub fn when(moment: &str) -> String {
    moment.get(..19).unwrap_or(moment).replace('T', " ")
}

/// A word with its number: `1 row`, `2,000 rows`.
#[must_use]
pub fn counted(number: u64, singular: &str, plural: &str) -> String {
    format!("{} {}", count(number), if number == 1 { singular } else { plural })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn narrow() -> Output {
        let needs_attention = Arc::default();
        Output { json: false, quiet: false, colour: false, width: Some(40), needs_attention }
    }

    #[test]
    fn a_table_fits_its_width_and_has_no_space_at_line_ends() {
        let rows = [
            vec!["users".to_owned(), "12".to_owned(), "word ".repeat(20)],
            vec!["a".to_owned(), "1,000".to_owned(), String::new()],
        ];
        let table = narrow().table(&["table", "rows", "note"], &["rows"], &rows);
        for line in table.lines() {
            assert!(line.chars().count() <= 40, "{line}");
            assert_eq!(line.trim_end(), line);
        }
        assert!(table.starts_with("TABLE   ROWS  NOTE\nusers     12  word"), "{table}");
    }

    #[test]
    fn ids_are_never_broken_and_a_pipe_gets_a_line_a_row() {
        let id = "20261122T020000Z-3fa9c1";
        let rows: Vec<_> =
            (0..3).map(|_| vec![id.to_owned(), "word ".repeat(30), "x".repeat(50)]).collect();
        let headers = ["backup", "note", "more"];
        let small = narrow().table(&headers, &[], &rows);
        assert_eq!(small.matches(id).count(), 3, "{small}");
        let piped = narrow().unbounded().table(&headers, &[], &rows);
        assert_eq!(piped.lines().count(), 4, "{piped}");
        assert!(!piped.contains('|') && !piped.contains('│'), "{piped}");
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(printable("a\x1b[2J\nb\u{9b}"), "a\\u{1b}[2J\nb\\u{9b}");
        assert_eq!(shown("a\x1b[2J\r\nb\u{202e}"), "a\\u{1b}[2J\\u{d}\\u{a}b\\u{202e}");
        let table = narrow().unbounded().table(&["t"], &[], &[vec!["x\x07".to_owned()]]);
        assert!(!table.contains('\x07'));
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!((count(0), count(999), count(1000)), ("0".into(), "999".into(), "1,000".into()));
        assert_eq!(count(u64::MAX), "18,446,744,073,709,551,615");
        assert_eq!(bytes(1536 * 1024), "1.50 MiB");
        assert_eq!(counted(1, "row", "rows"), "1 row");
        let lines = wrapped("  ", &"word ".repeat(30));
        assert_eq!(lines.lines().map(str::len).collect::<Vec<_>>(), [76, 76]);
        assert_eq!(when("2026-11-22T02:00:00.123456Z"), "2026-11-22 02:00:00");
    }
}
