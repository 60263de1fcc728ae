//! TOML read key by key, so that every complaint names its file, line and key.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::ConfigError;

/// How like a known key an unknown one must be to be taken for it, from 0 to 1.
const LIKENESS_MIN: f64 = 0.75;

/// One section of a file, its keys already known to be known.
pub(super) struct Section<'t> {
    file: &'t Path,
    text: &'t str,
    /// `store.` in section `[store]`, nothing at the top.
    prefix: String,
    table: Cow<'t, DeTable<'t>>,
}

impl<'t> Section<'t> {
    /// Reads a whole file's text.
    pub(super) fn parse(
        file: &'t Path,
        text: &'t str,
        known: &[&str],
    ) -> Result<Self, ConfigError> {
        let table = DeTable::parse(text).map_err(|error| ConfigError::Syntax {
            file: file.to_path_buf(),
            line: error.span().map_or(1, |span| line_of(text, span.start)),
            reason: error.message().replace('\n', ", "),
        })?;
        let table = Cow::Owned(table.into_inner());
        Self::checked(Section { file, text, prefix: String::new(), table }, known)
    }

    fn checked(self, known: &[&str]) -> Result<Self, ConfigError> {
        for key in self.table.keys() {
            let name = key.get_ref().as_ref();
            if !known.contains(&name) {
                return Err(ConfigError::UnknownKey {
                    file: self.file.to_path_buf(),
                    line: line_of(self.text, key.span().start),
                    key: self.full(name),
                    nearest: nearest(name, known).map(|key| self.full(key)),
                });
            }
        }
        Ok(self)
    }

    /// A key's text, if it is there.
    pub(super) fn text(&self, key: &str) -> Result<Option<String>, ConfigError> {
        let Some(value) = self.table.get(key) else { return Ok(None) };
        match value.get_ref().as_str() {
            Some("") => Err(self.bad_value(key, "text in quotes, not empty")),
            Some(text) => Ok(Some(text.to_owned())),
            None => Err(self.bad_value(key, "text in quotes")),
        }
    }

    /// A key's list of texts, if it is there; not empty, and none of them empty.
    pub(super) fn texts(&self, key: &str) -> Result<Option<Vec<String>>, ConfigError> {
        let Some(value) = self.table.get(key) else { return Ok(None) };
        let text = |value: &Spanned<DeValue<'_>>| {
            let text = value.get_ref().as_str().filter(|text| !text.is_empty());
            text.map(str::to_owned)
        };
        let texts: Option<Vec<_>> =
            value.get_ref().as_array().and_then(|list| list.iter().map(text).collect());
        let texts = texts.filter(|texts| !texts.is_empty());
        let wrong = || self.bad_value(key, "a list of texts in quotes, not empty");
        texts.map(Some).ok_or_else(wrong)
    }

    /// Whether the key is there.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// A key's whole number, if it is there.
    pub(super) fn number<N>(
        &self,
        key: &str,
        allowed: RangeInclusive<N>,
    ) -> Result<Option<N>, ConfigError>
    where
        N: Copy + PartialOrd + std::str::FromStr + std::fmt::Display,
    {
        let Some(value) = self.table.get(key) else { return Ok(None) };
        let number = value.get_ref().as_integer().filter(|number| number.radix() == 10);
        let number = number.and_then(|number| number.as_str().parse().ok());
        let (least, most) = (allowed.start(), allowed.end());
        number
            .filter(|number| allowed.contains(number))
            .map(Some)
            .ok_or_else(|| self.bad_value(key, &format!("a whole number from {least} to {most}")))
    }

    /// The section of that name; an empty one if it is not there.
    pub(super) fn section(&self, key: &str, known: &[&str]) -> Result<Section<'_>, ConfigError> {
        let table = match self.table.get(key).map(Spanned::get_ref) {
            None => Cow::Owned(DeTable::default()),
            Some(DeValue::Table(table)) => Cow::Borrowed(table),
            Some(_) => {
                return Err(self.bad_value(key, &format!("a section, written [{key}]")));
            }
        };
        self.inner(key, table, known)
    }

    /// Whether the key holds a list: `[[store]]` and not `[store]`.
    pub(super) fn is_list(&self, key: &str) -> bool {
        self.table.get(key).is_some_and(|value| value.get_ref().is_array())
    }

    /// All sections of that name.
    pub(super) fn sections(
        &self,
        key: &str,
        known: &[&str],
    ) -> Result<Vec<Section<'_>>, ConfigError> {
        let wrong = || self.bad_value(key, &format!("a section, written [[{key}]]"));
        let Some(value) = self.table.get(key) else { return Ok(Vec::new()) };
        let array = value.get_ref().as_array().ok_or_else(wrong)?;
        array
            .iter()
            .map(|value| {
                let table = value.get_ref().as_table().ok_or_else(wrong)?;
                self.inner(key, Cow::Borrowed(table), known)
            })
            .collect()
    }

    fn inner<'s>(
        &'s self,
        key: &str,
        table: Cow<'s, DeTable<'s>>,
        known: &[&str],
    ) -> Result<Section<'s>, ConfigError> {
        let prefix = format!("{}.", self.full(key));
        Section { file: self.file, text: self.text, prefix, table }.checked(known)
    }

    /// The value of a key that must be there.
    pub(super) fn required<T>(&self, key: &str, value: Option<T>) -> Result<T, ConfigError> {
        value.ok_or_else(|| self.missing(key))
    }

    /// The error that a key is missing.
    pub(super) fn missing(&self, key: &str) -> ConfigError {
        ConfigError::MissingKey { file: self.file.to_path_buf(), key: self.full(key) }
    }

    /// The error that a key's value cannot be right.
    pub(super) fn bad_value(&self, key: &str, expected: &str) -> ConfigError {
        let value = self.table.get(key);
        ConfigError::BadValue {
            file: self.file.to_path_buf(),
            line: value.map_or(1, |value| line_of(self.text, value.span().start)),
            key: self.full(key),
            expected: expected.to_owned(),
        }
    }

    fn full(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.get(..offset).unwrap_or(text).matches('\n').count()
}

fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let likeness = |key: &&str| strsim::jaro_winkler(name, key);
    let best = known.iter().copied().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    // One slip of the keyboard is much of a short word.
    let slip = strsim::osa_distance(name, best) == 1;
    (slip || likeness(&best) >= LIKENESS_MIN).then_some(best)
}
