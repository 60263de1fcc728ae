//! Every single edit, removal, swap and cut of the log is found.

use proptest::prelude::*;

use super::*;
use crate::audit::chain::log::{record, record_with_head, seal_head};
use crate::audit::fixture::{database, entry};

const COLUMNS: [&str; 9] =
    ["at", "actor", "host", "action", "object", "outcome", "detail", "previous_hash", "hash"];

/// A log of `entries` entries whose head covers all, with the defences of the schema removed, as
/// someone who edits the file would.
fn defenceless(entries: u64) -> (tempfile::TempDir, Connection) {
    let (folder, connection) = database();
    connection.execute_batch("BEGIN").unwrap();
    connection.execute_batch("COMMIT").unwrap();
    for number in 0..entries {
        let _ = record(&connection, &entry(number)).unwrap();
    }
    if entries > 0 {
        seal_head(&connection, |_| [1; 32]).unwrap();
    }
    connection
        .execute_batch(
            "DROP TRIGGER audit_entry_follows; DROP TRIGGER audit_entry_is_fixed;
             DROP TRIGGER audit_entry_is_kept; DROP TRIGGER audit_head_is_kept;
             DROP TRIGGER audit_head_goes_forward; PRAGMA ignore_check_constraints = ON",
        )
        .unwrap();
    (folder, connection)
}

fn execute(connection: &Connection, statement: &str) {
    connection.execute_batch(statement).unwrap();
}

fn verdict(connection: &Connection) -> Verdict {
    verify(connection, &[]).unwrap()
}

/// Writes the chain anew from entry `seq` on, as an attacker without the vault's key can.
fn rechain(connection: &Connection, from: u64) {
    let mut entries = crate::audit::list(connection, &crate::audit::Filter::default()).unwrap();
    for index in usize::try_from(from - 1).unwrap()..entries.len() {
        if index > 0 {
            entries[index].previous_hash = entries[index - 1].hash;
        }
        entries[index].hash = entry_hash(&entries[index]);
        connection
            .execute(
                "UPDATE audit_entry SET previous_hash = ?2, hash = ?3 WHERE seq = ?1",
                (
                    i64::try_from(entries[index].seq).unwrap(),
                    entries[index].previous_hash.0,
                    entries[index].hash.0,
                ),
            )
            .unwrap();
    }
}

#[test]
fn an_untouched_log_is_intact_and_says_how_much_the_head_covers() {
    let (_folder, connection) = database();
    assert_eq!(
        verdict(&connection),
        Verdict::Intact { entries: 0, last_hash: GENESIS, uncovered: 0 }
    );
    let _ = record_with_head(&connection, &entry(0), |_| [1; 32]).unwrap();
    let second = record(&connection, &entry(1)).unwrap();
    let last = record(&connection, &entry(2)).unwrap();
    assert_eq!(
        verdict(&connection),
        Verdict::Intact { entries: 3, last_hash: last.hash(), uncovered: 2 }
    );
    assert_eq!(
        verify(&connection, &[(2, second.hash())]).unwrap(),
        Verdict::Intact { entries: 3, last_hash: last.hash(), uncovered: 1 }
    );
}

#[test]
fn an_edit_with_a_new_hash_is_found_at_the_next_entry() {
    let (_folder, connection) = defenceless(5);
    execute(&connection, "UPDATE audit_entry SET object = 'other' WHERE seq = 3");
    let edited = crate::audit::list(&connection, &crate::audit::Filter::default()).unwrap();
    connection
        .execute("UPDATE audit_entry SET hash = ?1 WHERE seq = 3", [entry_hash(&edited[2]).0])
        .unwrap();
    assert_eq!(verdict(&connection), broken(4, Fault::Replaced));
    execute(&connection, "UPDATE audit_entry SET object = 'other' WHERE seq = 5");
    assert_eq!(verdict(&connection), broken(4, Fault::Replaced), "the first place counts");
}

#[test]
fn a_log_written_anew_does_not_fit_the_head() {
    let (_folder, connection) = defenceless(5);
    execute(&connection, "UPDATE audit_entry SET object = 'other' WHERE seq = 2");
    rechain(&connection, 2);
    assert_eq!(verdict(&connection), broken(5, Fault::HeadDoesNotFit));
}

#[test]
fn a_head_that_was_moved_along_does_not_fit_the_one_that_was_kept() {
    let (_folder, connection) = defenceless(5);
    let Verdict::Intact { entries, last_hash, .. } = verdict(&connection) else { panic!() };
    execute(&connection, "DELETE FROM audit_entry WHERE seq = 5");
    execute(
        &connection,
        "UPDATE audit_head SET (seq, hash) = (SELECT seq, hash FROM audit_entry WHERE seq = 4)",
    );
    assert!(matches!(verdict(&connection), Verdict::Intact { entries: 4, .. }));
    let kept = [(entries, last_hash)];
    assert_eq!(verify(&connection, &kept).unwrap(), broken(5, Fault::CutOff));
}

#[test]
fn an_emptied_log_is_found() {
    let (_folder, connection) = defenceless(3);
    execute(&connection, "DELETE FROM audit_entry");
    assert_eq!(verdict(&connection), broken(1, Fault::CutOff));
}

#[test]
fn numbers_below_one_are_out_of_order() {
    for seq in ["0", "-5"] {
        let (_folder, connection) = defenceless(3);
        execute(&connection, &format!("UPDATE audit_entry SET seq = {seq} WHERE seq = 2"));
        assert_eq!(verdict(&connection), broken(1, Fault::OutOfOrder));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_edit_of_one_field_is_found_where_it_is(
        entries in 1_u64..8, position in any::<prop::sample::Index>(), column in 0..COLUMNS.len(),
        text in "[a-z ]{0,12}", bit in 0_usize..256,
    ) {
        let (_folder, connection) = defenceless(entries);
        let seq = i64::try_from(position.index(usize::try_from(entries).unwrap()) + 1).unwrap();
        let column = COLUMNS[column];
        let select = format!("SELECT {column} FROM audit_entry WHERE seq = ?1");
        let update = format!("UPDATE audit_entry SET {column} = ?2 WHERE seq = ?1");
        if column.ends_with("hash") {
            let mut hash: [u8; 32] = connection.query_row(&select, [seq], |row| row.get(0)).unwrap();
            hash[bit / 8] ^= 1 << (bit % 8);
            connection.execute(&update, (seq, hash)).unwrap();
        } else {
            let before: Option<String> =
                connection.query_row(&select, [seq], |row| row.get(0)).unwrap();
            prop_assume!(before.as_deref() != Some(text.as_str()));
            connection.execute(&update, (seq, &text)).unwrap();
        }
        prop_assert_eq!(verdict(&connection), broken(seq.unsigned_abs(), Fault::Edited));
    }

    #[test]
    fn any_removal_is_found_where_it_is(
        entries in 1_u64..8, position in any::<prop::sample::Index>(),
    ) {
        let (_folder, connection) = defenceless(entries);
        let seq = position.index(usize::try_from(entries).unwrap()) as u64 + 1;
        execute(&connection, &format!("DELETE FROM audit_entry WHERE seq = {seq}"));
        let fault = if seq == entries { Fault::CutOff } else { Fault::Missing };
        prop_assert_eq!(verdict(&connection), broken(seq, fault));
    }

    #[test]
    fn any_cut_of_the_end_is_found_where_it_begins(entries in 1_u64..8, kept in 0_u64..8) {
        prop_assume!(kept < entries);
        let (_folder, connection) = defenceless(entries);
        execute(&connection, &format!("DELETE FROM audit_entry WHERE seq > {kept}"));
        prop_assert_eq!(verdict(&connection), broken(kept + 1, Fault::CutOff));
    }

    #[test]
    fn any_swap_is_found_at_the_first_of_the_two(
        entries in 2_u64..8, one in 0_u64..8, other in 0_u64..8,
    ) {
        prop_assume!(one < other && other < entries);
        let (one, other) = (one + 1, other + 1);
        let (_folder, connection) = defenceless(entries);
        execute(&connection, &format!(
            "UPDATE audit_entry SET seq = 1000 WHERE seq = {one};
             UPDATE audit_entry SET seq = {one} WHERE seq = {other};
             UPDATE audit_entry SET seq = {other} WHERE seq = 1000"
        ));
        prop_assert_eq!(verdict(&connection), broken(one, Fault::OutOfOrder));
    }

    #[test]
    fn any_rewriting_to_the_end_does_not_fit_the_head(
        entries in 1_u64..8, position in any::<prop::sample::Index>(),
    ) {
        let (_folder, connection) = defenceless(entries);
        let seq = position.index(usize::try_from(entries).unwrap()) as u64 + 1;
        execute(&connection, &format!("UPDATE audit_entry SET actor = 'x' WHERE seq = {seq}"));
        rechain(&connection, seq);
        prop_assert_eq!(verdict(&connection), broken(entries, Fault::HeadDoesNotFit));
    }
}
