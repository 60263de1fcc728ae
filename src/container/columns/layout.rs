//! What the columns of a table are, and the patterns that its texts share.

use serde::{Deserialize, Serialize};

use super::patterns::Patterns;
use crate::base::digest;
use crate::base::ids::Digest;

/// How a column's values are laid out. Part of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ColumnKind {
    /// Any bytes.
    Bytes,
    /// Texts, by their patterns.
    Text,
    /// PostgreSQL's `numeric`.
    Numeric,
    /// A signed number of one byte, such as a boolean.
    #[serde(rename = "integer-1")]
    Integer1,
    /// A signed number of two bytes.
    #[serde(rename = "integer-2")]
    Integer2,
    /// A signed number of four bytes.
    #[serde(rename = "integer-4")]
    Integer4,
    /// A signed number of eight bytes, such as a moment.
    #[serde(rename = "integer-8")]
    Integer8,
    /// Four bytes.
    #[serde(rename = "fixed-4")]
    Fixed4,
    /// Eight bytes.
    #[serde(rename = "fixed-8")]
    Fixed8,
    /// Sixteen bytes, such as a UUID.
    #[serde(rename = "fixed-16")]
    Fixed16,
}

impl ColumnKind {
    /// The width in bytes of a whole number.
    #[must_use]
    pub fn integer_bytes(self) -> Option<usize> {
        match self {
            Self::Integer1 => Some(1),
            Self::Integer2 => Some(2),
            Self::Integer4 => Some(4),
            Self::Integer8 => Some(8),
            _ => None,
        }
    }

    /// The width of values that all have the same, and are no numbers.
    #[must_use]
    pub fn fixed_bytes(self) -> Option<usize> {
        match self {
            Self::Fixed4 => Some(4),
            Self::Fixed8 => Some(8),
            Self::Fixed16 => Some(16),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Text => "text",
            Self::Numeric => "numeric",
            Self::Integer1 => "integer-1",
            Self::Integer2 => "integer-2",
            Self::Integer4 => "integer-4",
            Self::Integer8 => "integer-8",
            Self::Fixed4 => "fixed-4",
            Self::Fixed8 => "fixed-8",
            Self::Fixed16 => "fixed-16",
        }
    }
}

/// One column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnLayout {
    /// How its values are laid out.
    pub kind: ColumnKind,
    /// Of texts, the patterns that they share, in the order of their numbers.
    #[serde(default, skip_serializing_if = "Patterns::is_empty")]
    pub patterns: Patterns,
}

/// The columns of a table. A segment is bound to its layout's digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<ColumnLayout>", into = "Vec<ColumnLayout>")]
pub struct Layout {
    columns: Vec<ColumnLayout>,
    digest: Digest,
}

impl Layout {
    /// A layout of these columns.
    #[must_use]
    pub fn new(columns: Vec<ColumnLayout>) -> Self {
        let mut bytes = Vec::new();
        let mut field = |text: &[u8]| {
            // A pattern is at most 255 bytes, a kind's name shorter.
            bytes.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
            bytes.extend_from_slice(text);
        };
        for column in &columns {
            field(column.kind.name().as_bytes());
            field(&(column.patterns.len() as u64).to_be_bytes());
            column.patterns.texts().for_each(|text| field(text.as_bytes()));
        }
        Self { digest: digest::sha256(&bytes), columns }
    }

    /// The columns, in the table's order.
    #[must_use]
    pub fn columns(&self) -> &[ColumnLayout] {
        &self.columns
    }

    /// The columns' kinds.
    pub fn kinds(&self) -> impl Iterator<Item = ColumnKind> + '_ {
        self.columns.iter().map(|column| column.kind)
    }

    /// Whether any of its texts have patterns.
    #[must_use]
    pub fn has_patterns(&self) -> bool {
        self.columns.iter().any(|column| !column.patterns.is_empty())
    }

    /// SHA-256 over kinds and patterns.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// How many bytes a row's NULLs take.
    pub(super) fn null_bytes(&self) -> usize {
        self.columns.len().div_ceil(8)
    }
}

impl TryFrom<Vec<ColumnLayout>> for Layout {
    type Error = &'static str;

    fn try_from(columns: Vec<ColumnLayout>) -> Result<Self, &'static str> {
        let misplaced =
            |column: &ColumnLayout| column.kind != ColumnKind::Text && !column.patterns.is_empty();
        if columns.iter().any(misplaced) {
            return Err("only texts have patterns");
        }
        Ok(Self::new(columns))
    }
}

impl From<Layout> for Vec<ColumnLayout> {
    fn from(layout: Layout) -> Self {
        layout.columns
    }
}
