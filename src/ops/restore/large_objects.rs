//! Large objects from their pieces, in one transaction.

use std::collections::BTreeSet;

use super::RestoreRequest;
use crate::container::ContainerError;
use crate::postgres::Session;
use crate::postgres::rows::large_objects;
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

/// One line of a large object's rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// What it is besides its bytes.
    Properties(Box<large_objects::LargeObject>),
    /// A part of its bytes.
    Bytes {
        /// The large object.
        oid: u32,
        /// Where the part begins, in bytes.
        offset: u64,
        /// The part.
        bytes: Vec<u8>,
    },
}

impl Piece {
    /// Reads a line, without its line feed; `None` if it is malformed.
    #[must_use]
    pub fn parse(line: &[u8]) -> Option<Self> {
        let line = std::str::from_utf8(line).ok()?;
        let (oid, rest) = line.split_once('\t')?;
        let (what, value) = rest.split_once('\t')?;
        let oid: u32 = oid.parse().ok()?;
        if what == "m" {
            let object: large_objects::LargeObject = serde_json::from_str(value).ok()?;
            (object.oid == oid).then(|| Self::Properties(Box::new(object)))
        } else {
            let offset = what.parse().ok()?;
            Some(Self::Bytes { oid, offset, bytes: hex::decode(value).ok()? })
        }
    }

    /// The large object.
    #[must_use]
    pub fn oid(&self) -> u32 {
        match self {
            Self::Properties(object) => object.oid,
            Self::Bytes { oid, .. } => *oid,
        }
    }
}
