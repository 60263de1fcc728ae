//! Large objects from their pieces, in one transaction.

use std::collections::BTreeSet;

use super::request::RestoreRequest;
use crate::container::ContainerError;
use crate::postgres::Session;
use crate::postgres::rows::large_objects;
use crate::postgres::rows::large_objects::Piece;
use crate::vault::OpsError;

/// Writes large objects.
pub struct Writer<'a> {
    session: &'a Session,
    with_owner: bool,
    with_privileges: bool,
    created: BTreeSet<u32>,
}

impl<'a> Writer<'a> {
    /// Begins the transaction.
    pub async fn begin(session: &'a Session, request: &RestoreRequest) -> Result<Self, OpsError> {
        session.batch("large objects", "BEGIN").await?;
        Ok(Self {
            session,
            with_owner: !request.no_owner,
            with_privileges: !request.no_privileges,
            created: BTreeSet::new(),
        })
    }

    /// Writes whole lines; `docs/format.md` describes them. A large object's pieces come in any
    /// order.
    pub async fn lines(&mut self, lines: &[u8]) -> Result<(), OpsError> {
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let piece = Piece::parse(line).ok_or_else(|| {
                ContainerError::malformed("a large object's piece", "its line cannot be read")
            })?;
            let oid = piece.oid();
            if self.created.insert(oid) {
                large_objects::create(self.session, oid).await?;
            }
            match piece {
                Piece::Properties(object) => {
                    let (owner, privileges) = (self.with_owner, self.with_privileges);
                    large_objects::set_properties(self.session, &object, owner, privileges).await?;
                }
                Piece::Bytes { oid, offset, bytes } => {
                    large_objects::write_chunk(self.session, oid, offset, &bytes).await?;
                }
            }
        }
        Ok(())
    }

    /// Commits.
    pub async fn finish(self) -> Result<(), OpsError> {
        Ok(self.session.commit().await?)
    }
}
