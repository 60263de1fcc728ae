//! A vector's file: a comment, header lines `name: value`, an empty line, bytes in hexadecimal.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::str::FromStr;

/// One vector.
#[derive(Clone)]
pub struct Vector {
    comment: String,
    header: Vec<(String, String)>,
    /// The bytes that a reader is given.
    pub bytes: Vec<u8>,
}

impl Vector {
    /// A vector of that kind and outcome.
    pub fn new(kind: &str, outcome: &str, comment: &str, bytes: Vec<u8>) -> Self {
        let header = vec![("kind".into(), kind.into()), ("outcome".into(), outcome.into())];
        Self { comment: comment.into(), header, bytes }
    }

    /// Adds a header line, or replaces it.
    pub fn with(mut self, name: &str, value: &impl ToString) -> Self {
        let value = value.to_string();
        match self.header.iter_mut().find(|(known, _)| known == name) {
            Some(line) => line.1 = value,
            None => self.header.push((name.into(), value)),
        }
        self
    }

    /// The same vector with another outcome, comment and bytes.
    pub fn but(&self, outcome: &str, comment: &str, bytes: Vec<u8>) -> Self {
        let mut header = self.header.clone();
        // What should come out makes no sense for what is refused.
        header.retain(|(name, _)| !matches!(name.as_str(), "plain" | "secret" | "text"));
        Self { comment: comment.into(), header, bytes }.with("outcome", &outcome)
    }

    /// The header line of that name.
    pub fn text(&self, name: &str) -> &str {
        self.optional(name).unwrap_or_else(|| panic!("the header lacks `{name}`"))
    }

    /// The header line of that name, if it is there.
    pub fn optional(&self, name: &str) -> Option<&str> {
        self.header.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The header line of that name, read as a value.
    pub fn value<T: FromStr<Err: std::fmt::Debug>>(&self, name: &str) -> T {
        self.text(name).parse().unwrap()
    }

    /// The header line of that name, read as hexadecimal.
    pub fn hex(&self, name: &str) -> Vec<u8> {
        hex::decode(self.text(name)).unwrap()
    }

    /// The header line of that name, read as 32 bytes in hexadecimal.
    pub fn key(&self, name: &str) -> [u8; 32] {
        self.hex(name).try_into().unwrap()
    }

    /// All vectors below a folder with their names.
    pub fn all(folder: &Path) -> Vec<(String, Self)> {
        let mut all = Vec::new();
        for kind in fs::read_dir(folder).unwrap() {
            let kind = kind.unwrap().path();
            if !kind.is_dir() {
                continue;
            }
            for file in fs::read_dir(&kind).unwrap() {
                let path = file.unwrap().path();
                let vector = Self::parse(&fs::read_to_string(&path).unwrap());
                assert_eq!(vector.text("kind"), kind.file_name().unwrap().to_str().unwrap());
                all.push((path.strip_prefix(folder).unwrap().display().to_string(), vector));
            }
        }
        all.sort_by(|(one, _), (other, _)| one.cmp(other));
        all
    }

    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\n\n").unwrap();
        let mut comment = String::new();
        let mut header = Vec::new();
        for line in head.lines() {
            if let Some(text) = line.strip_prefix("# ") {
                comment.push_str(text);
            } else {
                let (name, value) = line.split_once(": ").unwrap();
                header.push((name.to_owned(), value.to_owned()));
            }
        }
        let digits: String = body.split_whitespace().collect();
        Self { comment, header, bytes: hex::decode(digits).unwrap() }
    }

    /// Writes the vector's file.
    pub fn write(&self, path: &Path) {
        let mut text = format!("# {}\n", self.comment);
        for (name, value) in &self.header {
            let _ = writeln!(text, "{name}: {value}");
        }
        text.push('\n');
        let digits = hex::encode(&self.bytes);
        for line in digits.as_bytes().chunks(80) {
            text.push_str(std::str::from_utf8(line).unwrap());
            text.push('\n');
        }
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}
