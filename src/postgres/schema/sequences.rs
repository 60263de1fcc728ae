//! Sequences and where they stand.

use super::{OF_THE_USER, name};
use crate::base::schema::{QualifiedName, Sequence};
use crate::postgres::connect::session::{Session, value};
use crate::postgres::error::PostgresError;

/// How many sequences one query reads.
const SEQUENCES_PER_QUERY: usize = 200;

/// All sequences, those of identity columns included, ordered by name.
pub(super) async fn sequences(session: &Session) -> Result<Vec<Sequence>, PostgresError> {
    let statement = format!(
        "SELECT n.nspname, c.relname,
            has_schema_privilege(n.oid, 'USAGE') AND has_sequence_privilege(c.oid, 'SELECT')
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind = 'S' AND {OF_THE_USER}"
    );
    let mut names: Vec<QualifiedName> = Vec::new();
    for row in session.query(&statement, &[]).await? {
        let sequence = name(&row, 0)?;
        if !value::<bool>(&row, 2)? {
            return Err(PostgresError::SequenceUnreadable(sequence));
        }
        names.push(sequence);
    }
    names.sort();

    let mut sequences = Vec::with_capacity(names.len());
    for group in names.chunks(SEQUENCES_PER_QUERY) {
        let reads: Vec<String> = group
            .iter()
            .enumerate()
            .map(|(position, sequence)| {
                format!("SELECT {position}, last_value, is_called FROM {}", sequence.quoted())
            })
            .collect();
        let rows = session.query(&format!("{} ORDER BY 1", reads.join(" UNION ALL ")), &[]).await?;
        for (sequence, row) in group.iter().zip(&rows) {
            sequences.push(Sequence {
                name: sequence.clone(),
                last_value: value(row, 1)?,
                is_called: value(row, 2)?,
            });
        }
    }
    Ok(sequences)
}
