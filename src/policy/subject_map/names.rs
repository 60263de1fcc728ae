//! What a column's name says of the person whose key it may hold.

use super::model::SubjectClass;
use crate::base::schema::QualifiedName;

/// What a person whose key a column holds is to the row, the likeliest owner first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Role {
    /// The row is hers: `user_id`, `owner`, `customer`.
    Owner,
    /// She wrote or did it: `author_id`, `sender`, `follower`.
    Author,
    /// The row belongs to a row of hers: `invoice_id`.
    Parent,
    /// It is kept on record who did it: `created_by`, `actor`.
    Recorded,
    /// The name says nothing.
    Unnamed,
    /// She has to do with it: `assignee`, `recipient`, `updated_by`.
    Concerned,
}

impl Role {
    /// Why, in a few words; nothing where the name says nothing.
    pub(super) fn why(self) -> &'static str {
        match self {
            Self::Owner => "named for its owner",
            Self::Author => "named for who wrote it, which need not be the owner",
            Self::Parent => "belongs to that row",
            Self::Recorded => "names who made the row, which need not be the owner",
            Self::Unnamed => "",
            Self::Concerned => "names somebody whom the row concerns, rather not its owner",
        }
    }

    /// Whether the name alone never makes an owner.
    pub(super) fn is_doubtful(self) -> bool {
        !matches!(self, Self::Owner | Self::Parent | Self::Unnamed)
    }
}

const OWNERS: &[&str] = &[
    "account",
    "client",
    "customer",
    "employee",
    "guest",
    "holder",
    "member",
    "owner",
    "patient",
    "person",
    "profile",
    "pupil",
    "student",
    "subject",
    "subscriber",
    "u",
    "user",
    "users",
];
const AUTHORS: &[&str] =
    &["author", "follower", "from", "poster", "referrer", "sender", "voter", "watcher", "writer"];
const RECORDED: &[&str] = &[
    "actor",
    "addedby",
    "by",
    "createdby",
    "creator",
    "doneby",
    "insertedby",
    "maker",
    "madeby",
    "performedby",
    "postedby",
    "reporter",
    "requestedby",
    "requester",
    "submittedby",
    "submitter",
    "uploadedby",
    "uploader",
    "whodunnit",
    "writtenby",
];
const CONCERNED: &[&str] = &[
    "approvedby",
    "approver",
    "assigned",
    "assignedto",
    "assignee",
    "changedby",
    "deletedby",
    "editedby",
    "editor",
    "followed",
    "followee",
    "following",
    "invitedby",
    "inviter",
    "lasteditedby",
    "modifiedby",
    "processedby",
    "recipient",
    "referred",
    "removedby",
    "reviewedby",
    "reviewer",
    "sentto",
    "target",
    "to",
    "updatedby",
    "verifiedby",
    "watched",
];

/// Words that only say that something is a key.
const KEY_WORDS: &[&str] = &["id", "ids", "uuid", "uuids", "guid", "key", "ref", "pk", "fk"];

/// What a name says of a person's key: nothing if it is named for something else.
pub(super) fn role(column: &str, classes: &[SubjectClass]) -> Option<Role> {
    let stem = stem(column);
    if classes.iter().any(|class| named_for(&stem, &class.root)) {
        return Some(Role::Owner);
    }
    let without_person = |word: &str| {
        let names: Vec<String> =
            classes.iter().map(|class| flat_singular(&class.root.name)).collect();
        let named =
            names.iter().map(String::as_str).chain(["user", "account", "member", "profile"]);
        let rest = named.filter_map(|name| word.strip_suffix(name).map(str::to_owned));
        rest.filter(|rest| !rest.is_empty()).collect::<Vec<_>>()
    };
    let of = |word: &str| {
        [
            (OWNERS, Role::Owner),
            (AUTHORS, Role::Author),
            (RECORDED, Role::Recorded),
            (CONCERNED, Role::Concerned),
        ]
        .into_iter()
        .find(|(words, _)| words.contains(&word))
        .map(|(_, role)| role)
    };
    of(&stem).or_else(|| {
        let rest = without_person(&stem);
        let found = rest.iter().find_map(|rest| of(rest));
        // `invited_user_id` is somebody, whatever she is to the row; `superuser` is not.
        let is_a_key = words(column).last().is_some_and(|last| KEY_WORDS.contains(&&**last));
        found.or((is_a_key && !rest.is_empty()).then_some(Role::Concerned))
    })
}

/// Whether a column is named for a table: `boardId`, `board`, `fk_boards`.
pub(super) fn is_named_for(column: &str, table: &QualifiedName) -> bool {
    named_for(&stem(column), table)
}

fn named_for(stem: &str, table: &QualifiedName) -> bool {
    !stem.is_empty() && (stem == flat_singular(&table.name) || stem == flat(&table.name))
}

/// The word parts of a name in lower case. Digits belong to their word: `t12_id` is of `t12`, not of `t13`.
fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let (mut is_begun, mut previous_lower) = (false, false);
    for character in name.chars() {
        if character.is_alphanumeric() {
            if !is_begun || (previous_lower && character.is_uppercase()) {
                words.push(String::new());
            }
            if let Some(word) = words.last_mut() {
                word.extend(character.to_lowercase());
            }
        }
        is_begun = character.is_alphanumeric();
        previous_lower = character.is_lowercase();
    }
    words
}

/// A name without case, separators and what only says that it is a key: `fk_UserIDs` is `user`.
pub(super) fn stem(column: &str) -> String {
    let mut parts = words(column);
    while parts.len() > 1 && parts.last().is_some_and(|last| KEY_WORDS.contains(&&**last)) {
        parts.pop();
    }
    while parts.len() > 1 && parts.first().is_some_and(|first| first == "fk" || first == "ref") {
        parts.remove(0);
    }
    let flat = parts.concat();
    if let [_] = parts.as_slice() {
        for end in ["uuids", "uuid", "ids", "id"] {
            if let Some(rest) = flat.strip_suffix(end).filter(|rest| !rest.is_empty()) {
                return rest.to_owned();
            }
        }
    }
    flat
}

/// A table's name without case and separators, in the singular.
pub(super) fn flat_singular(name: &str) -> String {
    let mut parts = words(name);
    if let Some(last) = parts.last_mut() {
        *last = singular(last);
    }
    parts.concat()
}

fn flat(name: &str) -> String {
    words(name).concat()
}

pub(super) fn singular(word: &str) -> String {
    if let Some(stem) = word.strip_suffix("ies") {
        format!("{stem}y")
    } else if word == "people" {
        "person".to_owned()
    } else if word.ends_with("ss") {
        word.to_owned()
    } else if let Some(stem) = word.strip_suffix("sses") {
        format!("{stem}ss")
    } else {
        word.strip_suffix('s').unwrap_or(word).to_owned()
    }
}

/// Tables that every migration tool and job queue keeps, and that never have a person's row.
pub(super) fn is_of_a_framework(table: &QualifiedName) -> bool {
    matches!(
        flat(&table.name).as_str(),
        "schemamigrations"
            | "schemamigration"
            | "arinternalmetadata"
            | "dieselschemamigrations"
            | "djangomigrations"
            | "djangocontenttype"
            | "flywayschemahistory"
            | "knexmigrations"
            | "knexmigrationslock"
            | "alembicversion"
            | "prismamigrations"
            | "goosedbversion"
            | "databasechangelog"
            | "databasechangeloglock"
            | "sequelizemeta"
            | "sqlxmigrations"
            | "drizzlemigrations"
            | "typeormmetadata"
            | "pgmigrations"
            | "phinxlog"
            | "doctrinemigrationversions"
            | "efmigrationshistory"
            | "schemaversion"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_what_the_person_is_to_the_row() {
        let users = SubjectClass {
            name: "users".to_owned(),
            root: "public.users".parse().unwrap(),
            key: Vec::new(),
            placeholder: None,
            identify: Vec::new(),
        };
        let classes = [users];
        for (column, expected) in [
            ("user_id", Role::Owner),
            ("userId", Role::Owner),
            ("userID", Role::Owner),
            ("userid", Role::Owner),
            ("uid", Role::Owner),
            ("user", Role::Owner),
            ("user_uuid", Role::Owner),
            ("fk_user", Role::Owner),
            ("user_ids", Role::Owner),
            ("ownerId", Role::Owner),
            ("authorId", Role::Author),
            ("author", Role::Author),
            ("created_by", Role::Recorded),
            ("createdById", Role::Recorded),
            ("created_by_user_id", Role::Recorded),
            ("whodunnit", Role::Recorded),
            ("assignee", Role::Concerned),
            ("recipient_id", Role::Concerned),
            ("invited_user_id", Role::Concerned),
        ] {
            assert_eq!(role(column, &classes), Some(expected), "{column}");
        }
        for column in ["id", "board_id", "body", "tax_rate_id", "invoice_display_name", "paid"] {
            assert_eq!(role(column, &classes), None, "{column}");
        }
    }

    #[test]
    fn a_column_is_named_for_a_table_in_any_case() {
        let boards = "public.boards".parse().unwrap();
        for column in ["board_id", "boardId", "boardid", "board", "fk_board", "boards"] {
            assert!(is_named_for(column, &boards), "{column}");
        }
        assert!(!is_named_for("keyboard_id", &boards));
        assert!(is_named_for("address_id", &"public.addresses".parse().unwrap()));
        assert!(is_named_for("companyId", &"public.companies".parse().unwrap()));
        assert!(is_named_for("t12_id", &"public.t12".parse().unwrap()));
        assert!(!is_named_for("t12_id", &"public.t13".parse().unwrap()));
    }
}
