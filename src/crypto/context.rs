//! Contexts: what a key or a ciphertext is bound to, as bytes that have one reading only.

/// A label and its fields, each with its length before it, so that no two different lists of
/// fields give the same bytes.
///
/// ```text
/// context = field(label) || field(1) || … || field(n)
/// field   = length as u32, big-endian || bytes
/// ```
#[derive(Clone)]
pub struct Context(Vec<u8>);

impl Context {
    /// A context that holds its label only.
    #[must_use]
    pub fn new(label: &str) -> Self {
        Self(Vec::with_capacity(128)).with(label.as_bytes())
    }

    /// Adds a field of bytes.
    #[must_use]
    pub fn with(mut self, field: &[u8]) -> Self {
        // A field is an id, a name or a digest. One of 4 GiB cannot come to be: names are bounded
        // by PostgreSQL (63 bytes) and by the store (900 bytes).
        let length = u32::try_from(field.len()).unwrap_or(u32::MAX);
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(field);
        self
    }

    /// Adds a number as eight bytes, big-endian.
    #[must_use]
    pub fn with_number(self, number: u64) -> Self {
        self.with(&number.to_be_bytes())
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::Context;

    #[test]
    fn moving_a_byte_between_fields_changes_the_context() {
        let one = Context::new("l").with(b"ab").with(b"c");
        let other = Context::new("l").with(b"a").with(b"bc");
        assert_ne!(one.as_bytes(), other.as_bytes());
        assert_eq!(Context::new("l").with(b"ab").as_bytes(), b"\0\0\0\x01l\0\0\0\x02ab");
    }
}
