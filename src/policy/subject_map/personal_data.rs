//! Which columns look like personal data, by their names.
//!
//! The list is meant to be short enough to be believed: a warning that fires on every lookup table
//! is soon clicked away. So a bare `name` counts only in a table that is itself named for people;
//! `first_name` or `holder_name` counts everywhere.

use crate::base::schema::{Column, Table};

/// Words that are personal wherever they stand in a column's name.
const WORDS: &[&str] = &[
    "address",
    "addresses",
    "bday",
    "biometric",
    "birth",
    "birthdate",
    "birthday",
    "birthplace",
    "cellphone",
    "diagnosis",
    "dob",
    "email",
    "emails",
    "ethnicity",
    "fax",
    "fingerprint",
    "firstname",
    "forename",
    "fullname",
    "gender",
    "iban",
    "ip",
    "ipaddr",
    "ipaddress",
    "lastname",
    "maiden",
    "mail",
    "medical",
    "mobile",
    "msisdn",
    "nickname",
    "passport",
    "passwd",
    "password",
    "phone",
    "phones",
    "postcode",
    "religion",
    "salary",
    "selfie",
    "ssn",
    "street",
    "surname",
    "telephone",
    "username",
    "zipcode",
];

/// Pairs of words that are personal together: a word of the first list with one of the second.
const PAIRS: &[(&[&str], &[&str])] = &[
    (&["name"], PERSON_NAME_WORDS),
    (&["tax", "vat", "national", "insurance", "license", "licence", "identity"], NUMBER_WORDS),
    (&["account", "card", "credit"], &["number", "no", "nr", "pan"]),
    (&["security"], &["social"]),
    (&["marital"], &["status"]),
    (&["device", "user"], &["agent", "fingerprint"]),
    (&["home", "personal"], &["page", "location", "data"]),
    (&["zip", "postal"], &["code"]),
];

/// What makes a `name` a person's.
const PERSON_NAME_WORDS: &[&str] = &[
    "beneficiary",
    "client",
    "contact",
    "customer",
    "display",
    "employee",
    "family",
    "first",
    "full",
    "given",
    "holder",
    "last",
    "legal",
    "maiden",
    "member",
    "middle",
    "nick",
    "owner",
    "patient",
    "payee",
    "payer",
    "person",
    "preferred",
    "recipient",
    "second",
    "sender",
    "user",
];

const NUMBER_WORDS: &[&str] = &["code", "id", "identifier", "no", "nr", "number"];

/// Words in a table's name that make it a table of people, where even a bare `name` is personal.
const PEOPLE_WORDS: &[&str] = &[
    "client",
    "clients",
    "contact",
    "contacts",
    "customer",
    "customers",
    "employee",
    "employees",
    "member",
    "members",
    "patient",
    "patients",
    "people",
    "person",
    "persons",
    "profile",
    "profiles",
    "pupil",
    "pupils",
    "staff",
    "student",
    "students",
    "subscriber",
    "subscribers",
    "user",
    "users",
];

/// The columns of a table whose names look like personal data, in the table's order.
pub(super) fn personal_columns(table: &Table) -> Vec<String> {
    let of_people = is_of_people(table);
    let personal = |column: &&Column| looks_personal(column, of_people);
    table.columns.iter().filter(personal).map(|column| column.name.clone()).collect()
}

/// Whether a table is named for people: not only for something of theirs, as `user_groups` is.
pub(super) fn is_of_people(table: &Table) -> bool {
    words(&table.name.name).last().is_some_and(|word| PEOPLE_WORDS.contains(&&**word))
}

/// The word parts of a name, in lower case: `firstName_2` gives `first`, `name`.
pub(super) fn words(name: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut previous_lower = false;
    for character in name.chars() {
        let breaks = !character.is_alphabetic() || (previous_lower && character.is_uppercase());
        if breaks && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if character.is_alphabetic() {
            word.extend(character.to_lowercase());
        }
        previous_lower = character.is_lowercase();
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

fn looks_personal(column: &Column, of_people: bool) -> bool {
    // A flag such as `email_verified` says nothing of a person that the row does not say already.
    if column.type_name == "boolean" {
        return false;
    }
    let words = words(&column.name);
    let has = |list: &[&str]| words.iter().any(|word| list.contains(&&**word));
    // Side by side: `tax_id` names a person, `tax_rate_id` a rate.
    let side_by_side = |one: &[&str], other: &[&str]| {
        words.windows(2).any(|pair| {
            let [left, right] = pair else { return false };
            let (left, right) = (left.as_str(), right.as_str());
            one.contains(&left) && other.contains(&right)
                || one.contains(&right) && other.contains(&left)
        })
    };
    // What is displayed of an invoice is no person's name.
    let of_a_thing = words.len() > 2 && has(&["display"]) && !has(PEOPLE_WORDS);
    if !of_a_thing && PAIRS.iter().any(|(one, other)| side_by_side(one, other)) {
        return true;
    }
    // `address_id` refers to an address; it is not one.
    if words.last().is_some_and(|word| word == "id") {
        return false;
    }
    has(WORDS) || (of_people && has(&["name"]))
}

#[cfg(test)]
mod tests {
    use super::super::testing::SchemaBuilder;
    use super::*;

    fn personal(table: &str, column: &str) -> bool {
        let schema = SchemaBuilder::new().table(table, &[column], "").build();
        !personal_columns(&schema.tables[0]).is_empty()
    }

    #[test]
    fn names_are_split_into_their_words() {
        assert_eq!(words("firstName_2"), ["first", "name"]);
        assert_eq!(words("IPAddress"), ["ipaddress"]);
        assert_eq!(words("e-mail"), ["e", "mail"]);
        assert_eq!(words("__"), Vec::<String>::new());
    }

    #[test]
    fn what_names_a_person_looks_personal() {
        for column in [
            "email text",
            "E-Mail text",
            "workEmail text",
            "first_name text",
            "phone2 text",
            "iban text",
            "billing_address jsonb",
            "birth_date date",
            "last_ip inet",
            "ssn text",
            "tax_id text",
            "card_number text",
            "account_holder_name text",
            "display_name text",
            "zip_code text",
            "IPAddress text",
        ] {
            assert!(personal("misc", column), "{column}");
        }
        assert!(personal("contacts", "name text"));
    }

    #[test]
    fn what_a_lookup_table_holds_does_not() {
        for column in [
            "name text",
            "code text",
            "tax_rate numeric",
            "tax_rate_id text",
            "invoice_display_name text",
            "email_verified boolean",
            "address_id bigint",
            "description text",
            "zip bytea",
            "shipping text",
            "status text",
            "account_type text",
            "rename text",
        ] {
            assert!(!personal("currencies", column), "{column}");
        }
    }
}
