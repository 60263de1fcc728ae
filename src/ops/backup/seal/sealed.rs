//! The figures of what was sealed of one relation.

/// What was sealed of one relation.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sealed {
    /// Rows.
    pub rows: u64,
    /// Segments.
    pub segments: u64,
    /// Subjects, the commons not counted.
    pub subjects: u64,
    /// Bytes before compression.
    pub raw_bytes: u64,
    /// Bytes sealed, now or by an earlier backup.
    pub stored_bytes: u64,
    /// Rows left out because their subject had been erased.
    pub rows_of_erased: u64,
}

impl std::ops::AddAssign for Sealed {
    fn add_assign(&mut self, other: Self) {
        self.rows += other.rows;
        self.segments += other.segments;
        self.subjects += other.subjects;
        self.raw_bytes += other.raw_bytes;
        self.stored_bytes += other.stored_bytes;
        self.rows_of_erased += other.rows_of_erased;
    }
}
