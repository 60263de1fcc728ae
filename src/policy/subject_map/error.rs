//! Why a subject map, a decision or a subject's key cannot be used.

use crate::base::schema::QualifiedName;

/// What is wrong, and on which line, table or class. Never holds a subject's key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MapError {
    /// The file is not TOML.
    #[error("line {line} of the subject map: {message}")]
    Syntax {
        /// The line, from 1.
        line: usize,
        /// What the TOML reader says.
        message: String,
    },
    /// A key that the format does not have.
    #[error(
        "line {line} of the subject map: {place} has no key `{key}`; the nearest is `{nearest}`"
    )]
    UnknownKey {
        /// The line, from 1.
        line: usize,
        /// Where the key stands.
        place: &'static str,
        /// The key.
        key: String,
        /// The known key nearest to it.
        nearest: &'static str,
    },
    /// A key that must be there is not.
    #[error("line {line} of the subject map: {place} lacks the key `{key}`")]
    MissingKey {
        /// The line, from 1.
        line: usize,
        /// Where the key is missing.
        place: &'static str,
        /// The key.
        key: String,
    },
    /// A value that cannot stand there.
    #[error("line {line} of the subject map: {message}")]
    Value {
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        message: String,
    },
    /// A decision on the command line that cannot be read.
    #[error("`{flag} {value}`: {message}")]
    Flag {
        /// The flag.
        flag: &'static str,
        /// Its value.
        value: String,
        /// What is wrong with it.
        message: String,
    },
    /// A table of the database that the map does not know.
    #[error("the subject map says nothing of table `{table}`")]
    UnmappedTable {
        /// The table.
        table: QualifiedName,
    },
    /// A table of the map that the database does not have.
    #[error("the subject map names table `{table}`, which the database does not have")]
    MissingTable {
        /// The table.
        table: QualifiedName,
    },
    /// A column of the map that the database does not have.
    #[error("the subject map names column `{column}` of table `{table}`, which does not exist")]
    MissingColumn {
        /// The table.
        table: QualifiedName,
        /// The column.
        column: String,
    },
    /// A class that the map does not define.
    #[error(
        "table `{table}` belongs to the class `{class}`, which the subject map does not define"
    )]
    UnknownClass {
        /// The table.
        table: QualifiedName,
        /// The class.
        class: String,
    },
    /// A class and its root table do not name each other.
    #[error("the class `{class}` and its root table `{table}` do not name each other")]
    RootMismatch {
        /// The class.
        class: String,
        /// The root.
        table: QualifiedName,
    },
    /// The root's primary key is not the one that the map was made for.
    #[error("the primary key of `{table}` is no longer the key of the class `{class}`")]
    KeyChanged {
        /// The class.
        class: String,
        /// The root.
        table: QualifiedName,
    },
    /// The number of columns does not fit what they refer to.
    #[error("table `{table}` names {given} owner column(s) where {needed} are needed")]
    ColumnCount {
        /// The table.
        table: QualifiedName,
        /// How many it names.
        given: usize,
        /// How many there must be.
        needed: usize,
    },
    /// A column's values cannot be compared with what they refer to.
    #[error(
        "column `{column}` of table `{table}` is `{type_name}`, which cannot be compared with the \
         key of `{class}`"
    )]
    TypeDiffers {
        /// The table.
        table: QualifiedName,
        /// The column.
        column: String,
        /// The column's type.
        type_name: String,
        /// The class.
        class: String,
    },
    /// A row could find two owners.
    #[error(
        "table `{table}` finds its owners through columns of `{parent}` that are not known to be \
         unique"
    )]
    NotUnique {
        /// The table.
        table: QualifiedName,
        /// The table that it refers to.
        parent: QualifiedName,
    },
    /// The table's way to its owner passes a table that belongs to nobody, or to another class.
    #[error(
        "table `{table}` finds its owners through `{parent}`, which does not belong to `{class}`"
    )]
    OtherOwner {
        /// The table.
        table: QualifiedName,
        /// The table that it refers to.
        parent: QualifiedName,
        /// The class that it should lead to.
        class: String,
    },
    /// No way, or more than anybody can mean.
    #[error("table `{table}` has {ways} ways to its owners, where there may be 1 to 64")]
    Ways {
        /// The table.
        table: QualifiedName,
        /// How many.
        ways: usize,
    },
    /// The way to the owner never ends.
    #[error("the way from table `{table}` to its owners leads in a circle")]
    Circle {
        /// The table.
        table: QualifiedName,
    },
    /// A subject's key that does not have the class's form. The key itself is not repeated: it may
    /// be an e-mail address.
    #[error("the key given is not one of the class `{class}`, whose keys are {expected}")]
    Key {
        /// The class.
        class: String,
        /// What a key of the class looks like.
        expected: String,
    },
}
