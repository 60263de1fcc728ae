//! Which columns write the same key as the same text.
//!
//! A subject is named by her key's text, so a column may stand for her key only if equal values
//! always have equal texts. That holds for whole numbers of any width, and not for `numeric`
//! (`5` equals `5.00`), `citext` or a collation that ignores case (`A` equals `a`): the server says which
//! ([`Equality`]). Where it does not hold, a row's owner is found by a join to the root, where the
//! database compares by its own rules.

use crate::base::schema::{Cast, Column, Equality};

/// Whether equal values of the two columns always have equal texts.
pub(super) fn same_key(left: &Column, right: &Column) -> bool {
    left.equality != Equality::ByTheServer
        && right.equality != Equality::ByTheServer
        && same_text(left.plain_type(), right.plain_type())
}

/// Whether the server compares values of the two types as they are.
pub(super) fn comparable(left: &str, right: &str) -> bool {
    let both = |is: fn(&str) -> bool| is(&base_type(left)) && is(&base_type(right));
    same_type(left, right) || both(is_number) || both(is_text_or_character)
}

/// The cast that makes of a text what can be compared with a key of that type.
pub(super) fn cast_to(type_name: &str) -> Option<Cast> {
    match base_type(type_name).as_str() {
        "smallint" | "integer" | "bigint" => Some(Cast::Bigint),
        "numeric" => Some(Cast::Numeric),
        "uuid" => Some(Cast::Uuid),
        base if is_text_or_character(base) => Some(Cast::Text),
        _ => None,
    }
}

/// Whether it is a text of any kind.
pub(super) fn is_text_or_character(base: &str) -> bool {
    is_text(base) || matches!(base, "character" | "name")
}

fn is_number(base: &str) -> bool {
    is_integer(base) || matches!(base, "numeric" | "real" | "double precision")
}

/// A type's name without its modifier: `character varying(20)` becomes `character varying`.
pub(super) fn base_type(type_name: &str) -> String {
    match (type_name.find('('), type_name.find(')')) {
        (Some(open), Some(close)) if open < close => {
            format!("{}{}", &type_name[..open], &type_name[close + 1..])
        }
        _ => type_name.to_owned(),
    }
}

/// Whether it is a whole number.
pub(super) fn is_integer(type_name: &str) -> bool {
    matches!(type_name, "smallint" | "integer" | "bigint")
}

/// Whether equal values of the two types always have equal texts.
pub(super) fn same_text(left: &str, right: &str) -> bool {
    let (left_base, right_base) = (base_type(left), base_type(right));
    if is_integer(&left_base) && is_integer(&right_base) {
        return true;
    }
    if is_text(&left_base) && is_text(&right_base) {
        return true;
    }
    left == right
        && matches!(
            left_base.as_str(),
            "uuid"
                | "oid"
                | "date"
                | "boolean"
                | "bytea"
                | "inet"
                | "cidr"
                | "macaddr"
                | "character"
                | "time without time zone"
                | "timestamp without time zone"
                | "timestamp with time zone"
        )
}

/// Whether two names stand for one type, whatever length it is limited to.
pub(super) fn same_type(left: &str, right: &str) -> bool {
    base_type(left) == base_type(right)
}

/// Whether a column of the type can hold a large object's number.
pub(super) fn holds_large_object(type_name: &str) -> bool {
    is_large_object(type_name)
        || matches!(
            base_type(type_name).as_str(),
            "integer" | "bigint" | "numeric" | "text" | "character varying"
        )
}

/// Whether a column of the type most likely holds large objects' numbers.
pub(super) fn is_large_object(type_name: &str) -> bool {
    matches!(type_name.rsplit('.').next(), Some("oid" | "lo"))
}

fn is_text(base: &str) -> bool {
    matches!(base, "text" | "character varying")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_of_compatible_types_have_equal_texts() {
        for (left, right) in [
            ("integer", "bigint"),
            ("text", "character varying(20)"),
            ("uuid", "uuid"),
            ("character(3)", "character(3)"),
        ] {
            assert!(same_text(left, right), "{left} {right}");
        }
        for (left, right) in [
            ("numeric", "numeric"),
            ("numeric", "bigint"),
            ("public.citext", "public.citext"),
            ("character(3)", "character(4)"),
            ("uuid", "text"),
            ("jsonb", "jsonb"),
        ] {
            assert!(!same_text(left, right), "{left} {right}");
        }
    }

    #[test]
    fn a_modifier_is_not_part_of_the_base_type() {
        assert_eq!(base_type("timestamp(3) with time zone"), "timestamp with time zone");
        assert_eq!(base_type("numeric(12,2)"), "numeric");
    }
}
