//! Fixed words: enums whose variants stand in files, tables and messages under one name each.

/// Declares such an enum. `ALL`, `as_str`, `Display`, `FromStr` and serde all use the one table.
#[macro_export]
macro_rules! words {
    (
        $(#[$doc:meta])* $name:ident, $kind:literal,
        $($(#[$word_doc:meta])* $word:ident = $text:literal),* $(,)?
    ) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash,
            serde::Serialize, serde::Deserialize,
        )]
        pub enum $name {
            $($(#[$word_doc])* #[serde(rename = $text)] $word,)*
        }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$word),*];

            /// The word, wherever it is written. It never changes.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$word => $text,)*
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::base::ids::InvalidId;

            fn from_str(text: &str) -> Result<Self, $crate::base::ids::InvalidId> {
                Self::ALL
                    .iter()
                    .copied()
                    .find(|word| word.as_str() == text)
                    .ok_or_else(|| $crate::base::ids::InvalidId { kind: $kind, text: text.to_owned() })
            }
        }
    };
}
