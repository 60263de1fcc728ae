//! What inference decides, and what it leaves to a person.

use super::infer::{Proposal, Undecided, infer};
use super::model::{LargeObjectRule, OnGone, Ownership, Parent, SubjectMap};
use super::testing::{SchemaBuilder, decisions, infer_all, name, propose};
use super::{Decisions, DriftKind, Evidence, check, owner_path};
use crate::base::schema::{DatabaseSchema, OwnerPath};

fn users() -> SchemaBuilder {
    SchemaBuilder::new().table("users", &["id bigint !", "email text !"], "id")
}

fn owned(columns: &[&str], via: Option<(&str, &str)>) -> Ownership {
    Ownership::Owned {
        class: "users".to_owned(),
        columns: columns.iter().map(ToString::to_string).collect(),
        via: via
            .map(|(table, column)| Parent { table: name(table), columns: vec![column.to_owned()] }),
    }
}

fn way(map: &SubjectMap, schema: &DatabaseSchema, table: &str) -> OwnerPath {
    owner_path(map, schema, &name(table)).unwrap().unwrap().ways[0].clone()
}

fn open<'p>(proposal: &'p Proposal, table: &str) -> &'p Undecided {
    let wanted = Some(name(table));
    proposal.undecided.iter().find(|open| open.table == wanted).unwrap()
}

#[test]
fn direct_columns_win_over_ways_through_parents() {
    let schema = users()
        .table("accounts", &["id bigint !", "user_id bigint !"], "id")
        .table("moves", &["id bigint !", "account_id bigint !", "user_id bigint !"], "id")
        .table("tags", &["move_id bigint !", "account_id bigint"], "")
        .references("accounts", "user_id", "users", "id")
        .references("moves", "account_id", "accounts", "id")
        .references("moves", "user_id", "users", "id")
        .references("tags", "move_id", "moves", "id")
        .build();
    let map = infer_all(&schema, &["public.users"], &[], &[]);
    assert_eq!(map.tables[&name("users")], Ownership::Root { class: "users".to_owned() });
    assert_eq!(map.tables[&name("moves")], owned(&["user_id"], None));
    assert_eq!(map.tables[&name("tags")], owned(&["move_id"], Some(("moves", "id"))));
}

#[test]
fn two_owners_equally_near_are_left_to_a_person() {
    let schema = users()
        .table("referrals", &["id bigint !", "by_id bigint !", "to_id bigint"], "id")
        .table("rewards", &["referral_id bigint !"], "")
        .references("referrals", "by_id", "users", "id")
        .references("referrals", "to_id", "users", "id")
        .references("rewards", "referral_id", "referrals", "id")
        .build();
    let proposal = propose(&schema, &["users"], &[], &[]);
    let flags =
        ["--owner public.referrals=by_id".to_owned(), "--owner public.referrals=to_id".to_owned()];
    assert_eq!(open(&proposal, "referrals").flags[..2], flags);
    assert_eq!(open(&proposal, "rewards").flags[..2], flags, "the table that waits names the same");
    let map = infer_all(&schema, &["users"], &["referrals=by_id"], &[]);
    assert_eq!(map.tables[&name("rewards")], owned(&["referral_id"], Some(("referrals", "id"))));
    assert_eq!(map.references[0].on_gone, OnGone::SetNull);
}

#[test]
fn a_table_without_a_way_is_shared_only_by_a_persons_word() {
    let schema = users()
        .table("currencies", &["code text !", "name text !"], "code")
        .table("leads", &["email text", "user_id bigint"], "")
        .build();
    let proposal = propose(&schema, &["users"], &[], &[]);
    assert_eq!(open(&proposal, "currencies").flags, ["--shared public.currencies"]);
    assert_eq!(
        open(&proposal, "leads").flags,
        ["--owner public.leads=user_id:users", "--shared-anyway public.leads"]
    );
    let proposal = propose(&schema, &["users"], &[], &["currencies", "leads"]);
    assert_eq!(proposal.undecided.len(), 1);
    assert!(open(&proposal, "leads").reason.contains("email"));
    let anyway = Decisions {
        shared_anyway: [name("leads")].into(),
        ..decisions(&["users"], &[], &["currencies"])
    };
    let proposal = infer(&schema, &anyway, None, &Evidence::default());
    assert_eq!(proposal.undecided, []);
    assert!(proposal.notes[0].contains("No erasure will reach them"), "{:?}", proposal.notes);
    let map = infer_all(&schema, &["users"], &["leads=user_id"], &["currencies"]);
    assert_eq!(map.tables[&name("leads")], owned(&["user_id"], None));
}

#[test]
fn a_reference_that_does_not_hold_the_key_itself_joins_the_root() {
    let schema = users()
        .table("by_email", &["user_email text !"], "")
        .table("people", &["id numeric !"], "id")
        .table("by_number", &["person_id numeric !"], "")
        .references("by_email", "user_email", "users", "email")
        .references("by_number", "person_id", "people", "id")
        .build();
    let map = infer_all(&schema, &["users", "people"], &[], &[]);
    assert_eq!(map.tables[&name("by_email")], owned(&["user_email"], Some(("users", "email"))));
    let path = way(&map, &schema, "by_email");
    assert_eq!((path.joins.len(), path.key_columns), (1, vec!["id".to_owned()]));
    // 5 and 5.00 are one person, and two texts.
    let path = way(&map, &schema, "by_number");
    assert_eq!(path.joins.len(), 1);
}

#[test]
fn composite_keys_keep_the_keys_order_whatever_the_foreign_keys() {
    let schema = SchemaBuilder::new()
        .table("members", &["tenant integer !", "number integer !"], "tenant,number")
        .table("visits", &["member_no integer", "tenant integer"], "")
        .table("letters", &["t integer", "n integer"], "")
        .references("visits", "member_no,tenant", "members", "number,tenant")
        .build();
    let map = infer_all(&schema, &["members"], &["letters=t,n"], &[]);
    let path = |table| way(&map, &schema, table).key_columns;
    assert_eq!(path("visits"), ["tenant", "member_no"]);
    assert_eq!(path("letters"), ["t", "n"]);
}

#[test]
fn several_classes_live_side_by_side() {
    let schema = SchemaBuilder::new()
        .table("crm.people", &["id uuid !"], "id")
        .table("hr.people", &["id integer !", "boss_id integer"], "id")
        .table("crm.customers", &["id bigint !"], "id")
        .table("orders", &["customer_id bigint !", "clerk_id integer !"], "")
        .table("calls", &["person_id uuid !"], "")
        .references("orders", "customer_id", "crm.customers", "id")
        .references("orders", "clerk_id", "hr.people", "id")
        .references("calls", "person_id", "crm.people", "id")
        .references("hr.people", "boss_id", "hr.people", "id")
        .build();
    let roots = ["crm.people", "hr.people", "crm.customers"];
    let proposal = propose(&schema, &roots, &[], &[]);
    let names: Vec<&str> = proposal.map.classes.iter().map(|class| &*class.name).collect();
    assert_eq!(names, ["crm.people", "hr.people", "customers"]);
    assert_eq!(proposal.undecided.len(), 1);
    let map = infer_all(&schema, &roots, &["orders=customer_id"], &[]);
    assert_eq!(map.tables[&name("orders")].classes(), ["customers"]);
    let rules: Vec<_> =
        map.references.iter().map(|rule| (&*rule.constraint, rule.on_gone)).collect();
    assert_eq!(
        rules,
        [("people_boss_id_fkey", OnGone::SetNull), ("orders_clerk_id_fkey", OnGone::Placeholder)]
    );
}

#[test]
fn a_child_by_inheritance_follows_its_parent_and_partitions_their_table() {
    let schema = users()
        .table("notes", &["id bigint !", "user_id bigint"], "id")
        .table("voice_notes", &["id bigint !", "user_id bigint", "length integer"], "")
        .table("events", &["id bigint !", "user_id bigint !"], "id")
        .table("event_details", &["event_id bigint !"], "")
        .inherits("voice_notes", "notes")
        .partition("events", "events_2026")
        .references("notes", "user_id", "users", "id")
        .references("events", "user_id", "users", "id")
        .references("event_details", "event_id", "events_2026", "id")
        .build();
    let proposal = propose(&schema, &["users"], &[], &[]);
    assert_eq!(proposal.undecided, []);
    assert_eq!(proposal.map.tables[&name("voice_notes")], owned(&["user_id"], None));
    assert!(proposal.notes[0].contains("inherits"), "{:?}", proposal.notes);
    let map = &proposal.map;
    let path = way(map, &schema, "events_2026");
    assert_eq!(path.key_columns, ["user_id"]);
    let path = way(map, &schema, "event_details");
    assert_eq!(path.joins[0].table, name("events_2026"));
    assert!(!map.tables.contains_key(&name("events_2026")));
    assert_eq!(check(map, &schema), []);
}

#[test]
fn roots_must_be_named_and_have_a_key() {
    let schema = SchemaBuilder::new()
        .table("customers", &["id bigint !"], "id")
        .table("logs", &["line text"], "")
        .build();
    let proposal = propose(&schema, &[], &[], &[]);
    assert_eq!(proposal.undecided.len(), 1);
    assert_eq!(proposal.undecided[0].flags, ["--root public.customers"]);
    let proposal = propose(&schema, &["customers", "logs"], &[], &[]);
    assert!(open(&proposal, "logs").reason.contains("primary key"));
    let proposal = propose(&schema, &["custmers"], &[], &[]);
    assert_eq!(open(&proposal, "custmers").flags, ["--root public.customers"]);
}

#[test]
fn flags_that_name_what_is_not_there_propose_the_nearest() {
    let schema = users()
        .table("notes", &["user_id bigint"], "")
        .references("notes", "user_id", "users", "id")
        .build();
    let proposal = propose(&schema, &["users"], &["notes=usr_id"], &[]);
    assert_eq!(open(&proposal, "notes").flags, ["--owner public.notes=user_id"]);
    let proposal = propose(&schema, &["users"], &[], &["note"]);
    assert_eq!(open(&proposal, "note").flags, ["--shared public.notes"]);
    let proposal = propose(&schema, &["users"], &["users=id"], &["users"]);
    assert_eq!(proposal.undecided.len(), 1, "a root is not owned");
    let proposal = propose(&schema, &["users"], &[], &["users"]);
    assert_eq!(proposal.undecided.len(), 1, "a root is not shared");
}

#[test]
fn an_owner_column_that_leads_nowhere_is_not_believed() {
    let schema = users()
        .table("kinds", &["id bigint !"], "id")
        .table("notes", &["kind_id bigint", "label boolean", "user_id bigint"], "")
        .references("notes", "kind_id", "kinds", "id")
        .references("notes", "user_id", "users", "id")
        .build();
    for column in ["kind_id", "label"] {
        let proposal = propose(&schema, &["users"], &[&format!("notes={column}")], &["kinds"]);
        assert!(open(&proposal, "notes").reason.contains("lead to no data subject"));
    }
}

fn reviewed() -> (DatabaseSchema, SubjectMap) {
    let schema = users()
        .table("referrals", &["by_id bigint", "to_id bigint"], "")
        .table("kinds", &["code text"], "")
        .references("referrals", "by_id", "users", "id")
        .references("referrals", "to_id", "users", "id")
        .build();
    let mut map = infer_all(&schema, &["users"], &["referrals=to_id"], &["kinds"]);
    map.source = "shop".to_owned();
    map.references[0].on_gone = OnGone::DropRow;
    (schema, map)
}

#[test]
fn a_reviewed_map_wins_over_inference_and_flags_over_the_map() {
    let (schema, map) = reviewed();
    let again = infer(&schema, &Decisions::default(), Some(&map), &Evidence::default());
    assert_eq!(again.undecided, []);
    assert_eq!(again.map, map);
    let changed = infer(
        &schema,
        &decisions(&[], &["referrals=by_id"], &[]),
        Some(&map),
        &Evidence::default(),
    );
    assert_eq!(changed.map.tables[&name("referrals")], owned(&["by_id"], None));
    assert_eq!(changed.map.references[0].constraint, "referrals_to_id_fkey");
    assert_eq!(changed.map.source, "shop");
}

#[test]
fn only_what_is_new_is_inferred_into_a_reviewed_map() {
    let (mut schema, map) = reviewed();
    let grown = users()
        .table("notes", &["user_id bigint !"], "")
        .references("notes", "user_id", "users", "id")
        .build();
    schema.tables.retain(|table| table.name != name("kinds"));
    schema.tables.extend(grown.tables.into_iter().filter(|table| table.name == name("notes")));
    schema.foreign_keys.extend(grown.foreign_keys);
    let kinds: Vec<_> = check(&map, &schema).into_iter().map(|drift| drift.kind).collect();
    assert_eq!(kinds, [DriftKind::TableGone, DriftKind::NewTable]);
    let proposal = infer(&schema, &Decisions::default(), Some(&map), &Evidence::default());
    assert_eq!(proposal.undecided, []);
    assert!(proposal.notes[0].contains("`public.kinds` is gone"));
    assert_eq!(proposal.map.tables[&name("notes")], owned(&["user_id"], None));
    assert_eq!(proposal.map.tables[&name("referrals")], owned(&["to_id"], None));
    assert_eq!(check(&proposal.map, &schema), []);
}

#[test]
fn a_new_key_is_taken_only_by_a_persons_word() {
    let (mut schema, map) = reviewed();
    for table in &mut schema.tables {
        table.columns[0].type_name = table.columns[0].type_name.replace("bigint", "uuid");
        if let Some(second) = table.columns.get_mut(1) {
            second.type_name = second.type_name.replace("bigint", "uuid");
        }
    }
    let proposal = infer(&schema, &Decisions::default(), Some(&map), &Evidence::default());
    assert_eq!(open(&proposal, "users").flags, ["--root public.users"]);
    let proposal =
        infer(&schema, &decisions(&["users"], &[], &[]), Some(&map), &Evidence::default());
    assert_eq!(proposal.undecided, []);
    assert_eq!(proposal.map.classes[0].key[0].type_name, "uuid");
}

#[test]
fn large_objects_need_a_rule_and_likely_columns_are_proposed() {
    let schema = users()
        .table("files", &["user_id bigint !", "content oid", "size bigint"], "")
        .references("files", "user_id", "users", "id")
        .large_objects(3)
        .build();
    let proposal = propose(&schema, &["users"], &[], &[]);
    assert_eq!(
        proposal.undecided[0].flags,
        ["--large-objects public.files.content", "--large-objects shared"]
    );
    let with = |flag: &str| {
        let roots = ["users".to_owned()];
        let decisions = Decisions::parse(&roots, &[], &[], &[], &[flag.to_owned()]).unwrap();
        infer(&schema, &decisions, None, &Evidence::default())
    };
    let column = LargeObjectRule::Column { table: name("files"), column: "content".to_owned() };
    assert_eq!(with("files.content").map.large_objects, [column]);
    assert_eq!(with("shared").undecided, []);
    let wrong = with("files.contents");
    assert_eq!(open(&wrong, "files").flags, ["--large-objects public.files.content"]);
}

#[test]
fn a_person_is_told_of_what_a_rule_costs() {
    let schema = SchemaBuilder::new()
        .table("users", &["id bigint !", "invited_by bigint !"], "id")
        .table("kinds", &["code text", "made_by bigint"], "")
        .references("users", "invited_by", "users", "id")
        .references("kinds", "made_by", "users", "id")
        .build();
    let proposal = propose(&schema, &["users"], &[], &["kinds"]);
    assert_eq!(proposal.undecided, []);
    assert!(proposal.notes[0].contains("shared and refers to people by `made_by`"));
    assert!(proposal.notes[1].contains("leaves out the person who refers"));
}
