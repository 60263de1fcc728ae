//! Someone edits the audit log.

use super::*;

#[tokio::test]
async fn an_edited_audit_log_is_found_out() {
    let (scene, _, _) = Scene::erased().await;
    let defenceless = "
        DROP TRIGGER audit_entry_follows; DROP TRIGGER audit_entry_is_fixed;
        DROP TRIGGER audit_entry_is_kept; DROP TRIGGER audit_head_is_kept;
        DROP TRIGGER audit_head_goes_forward;";
    let intact = scene.world.ok(&["audit", "verify"]);
    assert_eq!((&intact["intact"], &intact["head_authenticated"]), (&true.into(), &true.into()));
    let entries = intact["entries"].as_i64().unwrap();
    let last = entries + 1;
    let swap = "
        UPDATE audit_entry SET seq = 100000 WHERE seq = 4;
        UPDATE audit_entry SET seq = 4 WHERE seq = 5;
        UPDATE audit_entry SET seq = 5 WHERE seq = 100000;";
    let erase_action = "SELECT min(seq) FROM audit_entry WHERE action = 'erase'";
    let erasure: i64 = scene.world.catalog().query_row(erase_action, [], |row| row.get(0)).unwrap();
    for (statements, entry) in [
        ("UPDATE audit_entry SET actor = 'nobody' WHERE seq = 3".to_owned(), 3),
        ("UPDATE audit_entry SET outcome = 'refused' WHERE seq = 2".to_owned(), 2),
        (format!("UPDATE audit_entry SET object = 'x' WHERE seq = {erasure}"), erasure),
        (
            format!("UPDATE audit_entry SET at = '2020-01-01T00:00:00.000000Z' WHERE seq = {last}"),
            last,
        ),
        ("DELETE FROM audit_entry WHERE seq = 1".to_owned(), 1),
        (format!("DELETE FROM audit_entry WHERE seq = {erasure}"), erasure),
        ("DELETE FROM audit_entry WHERE seq IN (5, 6, 7)".to_owned(), 5),
        (swap.to_owned(), 4),
        ("UPDATE audit_entry SET hash = zeroblob(32) WHERE seq = 6".to_owned(), 6),
    ] {
        let attacked = scene.world.copy();
        attacked.catalog().execute_batch(&[defenceless, &statements].concat()).unwrap();
        let ran = attacked.ends(3, &["audit", "verify"]);
        let document = ran.document.as_ref().unwrap();
        assert_eq!(document["intact"], false, "{statements}");
        assert_eq!(document["entry"], entry, "{statements}: {document:#}");
        let problem = document["problem"].as_str().unwrap();
        assert!(problem.contains(&format!("entry {entry} ")), "{statements}: {problem}");
    }

    // The end cut off, and the head with it, moved back, or left: it is signed, so that it can be
    // neither made nor moved without the vault's key; nor does a later command sign what is left.
    let cut = format!("DELETE FROM audit_entry WHERE seq > {entries} - 6;");
    let back = "UPDATE audit_head SET (seq, hash) = (SELECT seq, hash FROM audit_entry
        ORDER BY seq DESC LIMIT 1);";
    for head in ["DELETE FROM audit_head", back, ""] {
        for between in [&[][..], &["show", "latest"], &["backup", "main"]] {
            let attacked = scene.world.copy();
            attacked.catalog().execute_batch(&[defenceless, &cut, head].concat()).unwrap();
            if !between.is_empty() {
                attacked.ok(between);
            }
            for time in ["first", "second"] {
                let ran = attacked.run(&["audit", "verify"]);
                assert_eq!(ran.code, Some(3), "{time} time, `{head}`: {}", ran.all());
                assert_eq!(ran.document.as_ref().unwrap()["intact"], false);
            }
        }
    }
}

/// Who holds the vault's keys signs a shorter log as well as the right one. What somebody noted of the
/// right one tells.
#[tokio::test]
async fn a_log_that_was_signed_anew_does_not_have_what_was_noted() {
    let (scene, before, _) = Scene::erased().await;
    // What somebody noted when the log had just that entry.
    let last = "SELECT seq || ':' || lower(hex(hash)) FROM audit_entry ORDER BY seq DESC LIMIT 1";
    let read = |row: &rusqlite::Row<'_>| row.get::<_, String>(0);
    let early = before.catalog().query_row(last, [], read).unwrap();
    let report = scene.world.ok(&["audit", "verify"]);
    let late = format!("{}:{}", report["entries"], report["last_hash"].as_str().unwrap());
    // The log of before the erasure, with its good head, in the present catalog: no entry of hers.
    let attacked = scene.world.copy();
    let statements = format!(
        "DROP TRIGGER audit_entry_follows; DROP TRIGGER audit_entry_is_kept;
         DROP TRIGGER audit_head_is_kept; DROP TRIGGER audit_head_goes_forward;
         ATTACH '{}' AS old;
         DELETE FROM audit_head; DELETE FROM audit_entry;
         INSERT INTO audit_entry SELECT * FROM old.audit_entry;
         INSERT INTO audit_head SELECT * FROM old.audit_head;",
        before.path().join("catalog.sqlite").display()
    );
    attacked.catalog().execute_batch(&statements).unwrap();
    attacked.ok(&["audit", "verify"]);
    attacked.ok(&["audit", "verify", "--expect", &early]);
    let ran = attacked.ends(3, &["audit", "verify", "--expect", &early, "--expect", &late]);
    let problem = ran.document.as_ref().unwrap()["problem"].as_str().unwrap().to_owned();
    assert!(
        problem
            .ends_with("does not fit the head, or what was noted of it: the log was written anew")
            || problem.ends_with("is missing, with everything after it"),
        "{problem}"
    );
    scene.world.ok(&["audit", "verify", "--expect", &early, "--expect", &late.to_uppercase()]);
    for wrong in ["7", "0:aa", "x:y", &late[..late.len() - 1]] {
        scene.world.ends(2, &["audit", "verify", "--expect", wrong]);
    }
    drop(scene.database);
}
