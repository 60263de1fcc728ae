//! The main path on a database with everything in it: backed up, restored, people forgotten, and
//! restored again.

use crate::support::{self, TestDatabase};
use crate::vault::picture::{self, Picture};
use crate::vault::{self, World, erase_arguments};
use serde_json::Value;

/// What decides everything that the fixture's foreign keys leave open, but for three shared tables.
const MAP_FLAGS: &[&str] = &[
    "--root",
    "app.users",
    "--root",
    "hr.employees",
    "--large-objects",
    "app.receipts.scan",
    "--large-objects",
    "shared",
    "--shared-anyway",
    "app.edges",
    "--owner",
    "app.referrals=user_id",
    "--owner",
    "app.legacy_links=user_id",
];

/// People who refer to one another's rows, which the fixture has few of: person 8 has a
/// transaction with a receipt on an account of person 3, and 7's favourite account is 3's.
const CROSS_REFERENCES: &str = "
    INSERT INTO app.transactions (id, account_id, user_id, booked, amount)
        SELECT 9001, min(id), app.person(8), DATE '2024-05-05', 1 FROM app.accounts
        WHERE user_id = app.person(3);
    INSERT INTO app.transactions (id, account_id, user_id, booked, amount)
        SELECT 9002, min(id), app.person(3), DATE '2024-05-05', 1 FROM app.accounts
        WHERE user_id = app.person(8);
    SELECT lo_from_bytea(900200, '\\x0102'), lo_from_bytea(900201, '\\x0304');
    INSERT INTO app.receipts VALUES (9001, '2024-05-05', 'eu', 900200), (9002, '2024-05-05', 'eu', 900201);
    UPDATE app.users SET favourite_account = (SELECT min(id) FROM app.accounts WHERE user_id = app.person(3))
        WHERE id = app.person(7);
    UPDATE app.ingestion_items SET parent_item = 2 WHERE id = 200;";

/// Whom the tests erase: persons 3, 12 and 40, the lonely one, and employees (1, 3) and (3, 5).
const GONE: [(&str, &str); 6] = [
    ("users", "00000000-0000-4000-8000-000000000003"),
    ("users", "{00000000-0000-4000-8000-000000000012}"),
    ("users", "00000000-0000-4000-8000-000000000040"),
    ("users", "00000000-0000-4000-8000-FFFFFFFFFFFF"),
    ("employees", "1,3"),
    ("employees", "3,5"),
];

/// What the restore after that must give, written down by hand: first what is theirs, then what the
/// map says of references to it.
const RULE: &str = "
    SET session_replication_role = replica;
    CREATE TEMP TABLE gone AS SELECT app.person(n) AS id FROM unnest('{3,12,40}'::int[]) n
        UNION SELECT '00000000-0000-4000-8000-ffffffffffff';
    CREATE TEMP TABLE gone_employee AS SELECT * FROM (VALUES (1, 3), (3, 5)) e (company, number);
    CREATE TEMP TABLE gone_receipt AS SELECT r.* FROM app.receipts r JOIN app.transactions t
        ON (r.transaction_id, r.booked, r.region) = (t.id, t.booked, t.region)
        WHERE t.user_id IN (TABLE gone);
    SELECT lo_unlink(scan) FROM gone_receipt WHERE scan IS NOT NULL;
    DELETE FROM app.receipts r USING gone_receipt g WHERE r.transaction_id = g.transaction_id;
    DELETE FROM app.ingestion_errors WHERE item_id IN (SELECT i.id FROM app.ingestion_items i
        JOIN app.ingestion_batches b ON b.id = i.batch_id WHERE b.user_id IN (TABLE gone));
    DELETE FROM app.ingestion_items WHERE batch_id IN
        (SELECT id FROM app.ingestion_batches WHERE user_id IN (TABLE gone));
    DELETE FROM app.ingestion_batches WHERE user_id IN (TABLE gone);
    DELETE FROM app.transactions WHERE user_id IN (TABLE gone);
    DELETE FROM app.accounts WHERE user_id IN (TABLE gone);
    DELETE FROM app.events WHERE user_id IN (TABLE gone);
    DELETE FROM app.rules WHERE user_id IN (TABLE gone);
    DELETE FROM app.referrals WHERE user_id IN (TABLE gone);
    DELETE FROM app.legacy_links WHERE user_id IN (TABLE gone);
    DELETE FROM ONLY app.documents WHERE user_id IN (TABLE gone);
    DELETE FROM app.contracts WHERE user_id IN (TABLE gone);
    DELETE FROM app.no_key WHERE user_id IN (TABLE gone);
    DELETE FROM app.cache WHERE user_id IN (TABLE gone);
    DELETE FROM \"Büro & Co\".\"Straße \"\"Q\"\" 表\" WHERE \"user\" IN (TABLE gone);
    DELETE FROM app.users WHERE id IN (TABLE gone);
    DO $$ BEGIN
        IF to_regclass('app.multiranges') IS NOT NULL THEN
            DELETE FROM app.multiranges WHERE user_id IN (TABLE gone);
        END IF;
        IF to_regclass('app.aliases') IS NOT NULL THEN
            DELETE FROM app.alias_uses WHERE lower(alias::text) IN
                (SELECT lower(alias::text) FROM app.aliases WHERE user_id IN (TABLE gone));
            DELETE FROM app.aliases WHERE user_id IN (TABLE gone);
        END IF;
    END $$;
    DELETE FROM hr.payslip_lines WHERE payslip_id IN (SELECT id FROM hr.payslips
        WHERE (company, number) IN (TABLE gone_employee));
    DELETE FROM hr.payslips WHERE (company, number) IN (TABLE gone_employee);
    DELETE FROM hr.badges WHERE (company, number) IN (TABLE gone_employee);
    DELETE FROM hr.employees WHERE (company, number) IN (TABLE gone_employee);";

/// Goes on where [`RULE`] ends: references to what is gone.
const REFERENCES: &str = "
    DELETE FROM app.transactions WHERE account_id NOT IN (SELECT id FROM app.accounts);
    DELETE FROM app.receipts WHERE transaction_id NOT IN (SELECT id FROM app.transactions);
    DELETE FROM app.referrals WHERE referred_id IN (TABLE gone);
    UPDATE app.referrals SET reviewer_id = NULL WHERE reviewer_id IN (TABLE gone);
    UPDATE app.users SET invited_by = NULL WHERE invited_by IN (TABLE gone);
    UPDATE app.users SET favourite_account = NULL
        WHERE favourite_account NOT IN (SELECT id FROM app.accounts);
    UPDATE app.ingestion_items SET parent_item = NULL
        WHERE parent_item NOT IN (SELECT id FROM app.ingestion_items);
    UPDATE hr.employees SET boss_company = NULL, boss_number = NULL
        WHERE (boss_company, boss_number) IN (TABLE gone_employee);";

/// The same for every test.
const REFRESH: &str = "
    REFRESH MATERIALIZED VIEW app.z_totals;
    REFRESH MATERIALIZED VIEW app.a_report;";

async fn everything() -> (TestDatabase, World) {
    let database = support::everything().await;
    database.session().await.batch("references", CROSS_REFERENCES).await.unwrap();
    database.session().await.batch("views", REFRESH).await.unwrap();
    let world = World::with_source(&database);
    world.map(MAP_FLAGS);
    (database, world)
}

/// What must come back once these statements have said who and what is gone.
async fn expected(database: &TestDatabase, statements: &[&str]) -> Picture {
    let twin = vault::twin(database).await;
    twin.session().await.batch("the rule", &statements.concat()).await.unwrap();
    picture::of(&twin).await
}

fn erase_all(world: &World) -> u64 {
    let erase = |(class, key): (&str, &str)| {
        let report = world.erase(Some(class), key);
        assert_eq!(report["state"], "confirmed", "{report:#}");
        report["rows"].as_u64().unwrap()
    };
    GONE.into_iter().map(erase).sum()
}

fn number(document: &Value, name: &str) -> u64 {
    document[name].as_u64().unwrap_or_else(|| panic!("no {name} in {document:#}"))
}

#[tokio::test]
async fn everything_comes_back_and_the_forgotten_do_not() {
    let (database, world) = everything().await;
    let before = picture::of(&database).await;
    let backup = world.ok(&["backup", "main"]);
    assert_eq!(number(&backup, "rows_of_erased"), 0);
    // 41 customers and 24 employees.
    assert_eq!(number(&backup, "subjects"), 65);

    let (copy, report) = world.restored("latest", &[]);
    picture::of(&copy).await.assert_is(&before);
    assert_eq!(number(&report, "rows"), number(&backup, "rows"));
    assert_eq!(report["mended"], serde_json::json!([]));
    drop(copy);

    let dry = world.ok(&[
        "erase",
        "--source",
        "main",
        "--class",
        "employees",
        "--subject",
        "1,3",
        "--reason",
        "x",
        "--dry-run",
    ]);
    assert_eq!(dry["state"], "dry-run");
    assert_eq!(dry["subjects"][0]["backups"][0]["tables"]["hr.employees"], 1, "{dry:#}");
    let erased = erase_all(&world);
    let expected = expected(&database, &[RULE, REFERENCES, REFRESH]).await;
    assert_ne!(expected, before);

    let (copy, report) = world.restored("latest", &[]);
    picture::of(&copy).await.assert_is(&expected);
    assert_eq!(number(&report, "rows_forgotten"), erased);
    assert_eq!(number(&report, "rows") + erased, number(&backup, "rows"));
    drop(copy);

    // She is still in the live database.
    let again = world.run(&["backup", "main", "--strict"]);
    assert_eq!(again.code, Some(11), "{}", again.all());
    assert_eq!(again.error_code(), "erased-person-met");
    assert_eq!(world.backups().len(), 2, "the backup is made all the same");
    let third = world.ok(&["backup", "main"]);
    assert_eq!(number(&third, "rows_of_erased"), erased);
    assert_eq!(number(&third, "rows") + erased, number(&backup, "rows"));
    let shown = world.ok(&["show", "latest"]);
    let left_out = |table: &str| {
        let relations = shown["relations"].as_array().unwrap();
        let one = relations.iter().find(|one| one["relation"] == table).unwrap();
        number(one, "rows_of_erased")
    };
    assert_eq!((left_out("app.users"), left_out("hr.employees"), left_out("app.edges")), (4, 2, 0));
    let (copy, report) = world.restored("latest", &["--jobs", "1"]);
    picture::of(&copy).await.assert_is(&expected);
    assert_eq!((number(&report, "rows_forgotten"), number(&report, "rows_of_erased")), (0, erased));

    let verified = world.ok(&["verify", "--all"]);
    assert_eq!(verified["intact"], true, "{verified:#}");
    assert_eq!(verified["backups"].as_array().unwrap().len(), 3);
    assert_eq!(world.ok(&["audit", "verify"])["intact"], true);
    let again = world.ends(5, &erase_arguments(Some("users"), GONE[0].1));
    assert!(again.error_message().contains("was erased on"), "{}", again.all());
    let never = world.ends(5, &erase_arguments(Some("employees"), "9,9"));
    assert!(never.error_message().contains("holds nothing of"), "{}", never.all());
}

#[tokio::test]
async fn schema_and_rows_restore_by_themselves() {
    let (database, world) = everything().await;
    let before = picture::of(&database).await;
    world.ok(&["backup", "main"]);
    let (copy, report) = world.restored("latest", &["--schema-only"]);
    let empty = picture::of(&copy).await;
    assert_eq!(empty.schema, before.schema);
    assert!(empty.tables.values().all(Vec::is_empty) && empty.large_objects.is_empty());
    assert_eq!(number(&report, "rows"), 0);

    // A trigger that fires always fires on a restore into tables that have it, too.
    let ran = world.restore("latest", &copy, &["--data-only"]);
    assert_eq!(ran.code, Some(6), "{}", ran.all());
    drop(copy);
    let (copy, _) = world.restored("latest", &["--schema-only"]);
    let disable = "ALTER TABLE app.rules DISABLE TRIGGER refuse_statement";
    copy.session().await.batch("a trigger", disable).await.unwrap();
    let ran = world.restore("latest", &copy, &["--data-only"]);
    assert_eq!(ran.code, Some(0), "{}", ran.all());
    let filled = picture::of(&copy).await;
    assert_eq!(filled.tables, before.tables);
    assert_eq!(filled.sequences, before.sequences);
    assert_eq!(filled.large_objects, before.large_objects);
    drop(copy);

    world.ok(&["backup", "main", "--schema-only"]);
    let (copy, report) = world.restored("latest", &[]);
    assert_eq!(picture::of(&copy).await.schema, before.schema);
    assert_eq!(number(&report, "rows"), 0);
    world.ends(5, &["restore", "latest", "--to", &copy.url, "--data-only"]);
    world.ok(&["backup", "main", "--data-only"]);
    world.ends(5, &["restore", "latest", "--to", &copy.url]);
    copy.session().await.batch("a trigger", disable).await.unwrap();
    let ran = world.restore("latest", &copy, &["--data-only"]);
    assert_eq!(ran.code, Some(0), "{}", ran.all());
    assert_eq!(picture::of(&copy).await.tables, before.tables);
    let verified = world.ok(&["verify", "--all"]);
    assert_eq!(verified["intact"], true, "{verified:#}");
}

#[tokio::test]
async fn single_tables_restore_with_the_keys_that_can_hold() {
    let (database, world) = everything().await;
    let before = picture::of(&database).await;
    world.ok(&["backup", "main"]);
    world.erase(Some("users"), GONE[0].1);
    let tables =
        ["--table", "app.users", "--table", "app.referrals", "--table", "app.transactions"];
    let (copy, report) = world.restored("latest", &tables);
    let notices = report["notices"].to_string();
    assert!(notices.contains("transactions_account_id_fkey"), "{notices}");
    let after = picture::of(&copy).await;
    assert_eq!(after.tables["app.users"].len(), before.tables["app.users"].len() - 1);
    // Person 3's own referral and the one that leads to her; the accounts' keys are not there.
    assert_eq!(after.tables["app.referrals"].len(), before.tables["app.referrals"].len() - 2);
    assert_eq!(after.tables["app.transactions_2023"].len(), {
        let hers = |row: &&String| row.contains("00000000-0000-4000-8000-000000000003");
        let rows = &before.tables["app.transactions_2023"];
        rows.len() - rows.iter().filter(hers).count()
    });
    assert!(after.tables["app.accounts"].is_empty() && after.large_objects.is_empty());
    world.ends(5, &["restore", "latest", "--to", &copy.url, "--table", "app.nowhere"]);
}

#[tokio::test]
async fn references_follow_the_operators_choice() {
    let (database, world) = everything().await;
    world.ok(&["backup", "main"]);
    for (class, key) in GONE {
        world.erase(Some(class), key);
    }
    // Whoever was invited by someone who is gone is left out, and whatever hangs on them by a
    // reference that cannot be released.
    let drop_invited = "
        DELETE FROM app.users WHERE invited_by IN (TABLE gone);
        DELETE FROM app.users WHERE invited_by NOT IN (SELECT id FROM app.users);
        DELETE FROM app.users WHERE invited_by NOT IN (SELECT id FROM app.users);";
    let session_twin = vault::twin(&database).await;
    let session = session_twin.session().await;
    session.batch("the rule", &[RULE, drop_invited].concat()).await.unwrap();
    let people = picture::rows(&session, &"app.users".parse().unwrap()).await;
    let (copy, report) = world.restored("latest", &["--on-gone", "app.users.invited_by=drop"]);
    let after = picture::of(&copy).await;
    assert_eq!(after.tables["app.users"].len(), people.len(), "{report:#}");
    assert_eq!(after.schema, picture::dumped_schema(&database), "all constraints hold");
    drop(copy);

    let nowhere = vault::uncreated_database();
    let ran = world.restore("latest", &nowhere, &["--create", "--on-gone", "app.users.email=drop"]);
    assert_eq!(ran.code, Some(5), "{}", ran.all());
    let nowhere = vault::uncreated_database();
    let choice = "app.referrals.referred_id=null";
    let ran = world.restore("latest", &nowhere, &["--create", "--on-gone", choice]);
    assert_ne!(ran.code, Some(0), "the column refuses NULL: {}", ran.all());
    let nowhere = vault::uncreated_database();
    let choice = "app.referrals.reviewer_id=placeholder";
    let ran = world.restore("latest", &nowhere, &["--create", "--on-gone", choice]);
    assert_eq!(ran.code, Some(4), "the map has no placeholder: {}", ran.all());
}

#[tokio::test]
async fn a_placeholder_stands_for_those_who_are_gone() {
    let (database, world) = everything().await;
    let file = world.path().join("maps/main.toml");
    let nobody = "00000000-0000-4000-8000-eeeeeeeeeeee";
    let placeholder = format!(
        "root = \"app.users\"\nplaceholder = {{ id = \"{nobody}\", email = \"gone\", \
         full_name = \"Gone\" }}\n"
    );
    let text = std::fs::read_to_string(&file).unwrap();
    let text = text.replace("root = \"app.users\"\n", &placeholder);
    std::fs::write(&file, text).unwrap();
    world.ok(&["map", "main", "--check"]);
    world.ok(&["backup", "main"]);
    world.erase(Some("users"), GONE[0].1);
    let choice = "app.users.invited_by=placeholder";
    let (copy, report) = world.restored("latest", &["--on-gone", choice]);
    let after = picture::of(&copy).await;
    assert_eq!(after.schema, picture::dumped_schema(&database));
    let placeholders =
        after.tables["app.users"].iter().filter(|row| row.starts_with(&format!("({nobody},")));
    assert_eq!(placeholders.count(), 1, "{report:#}");
    let invited =
        after.tables["app.users"].iter().filter(|row| row.contains(&format!(",{nobody},")));
    // Persons 6 only: 3 invited her.
    assert_eq!(invited.count(), 1, "{report:#}");
}

#[tokio::test]
async fn a_target_that_cannot_take_the_backup_is_refused_untouched() {
    let database = support::database();
    let role = "strongroom_role_that_goes";
    let statements = format!(
        "CREATE ROLE {role}; CREATE TABLE public.people (id int PRIMARY KEY, email text);
         INSERT INTO public.people VALUES (1, 'a'), (2, 'b');
         ALTER TABLE public.people OWNER TO {role}; GRANT SELECT ON public.people TO PUBLIC"
    );
    database.session().await.batch("tables", &statements).await.unwrap();
    let world = World::with_source(&database);
    world.map(&["--root", "public.people"]);
    world.ok(&["backup", "main"]);
    let before = picture::of(&database).await;

    let ran = world.restore("latest", &database, &[]);
    assert_eq!(ran.code, Some(4), "{}", ran.all());
    assert!(ran.error_message().contains("public.people"), "{}", ran.all());
    picture::of(&database).await.assert_is(&before);
    let ran = world.restore("latest", &database, &["--create"]);
    assert_ne!(ran.code, Some(0), "it is there already: {}", ran.all());
    picture::of(&database).await.assert_is(&before);

    drop(database);
    let target = support::database();
    let drop_role = format!("DROP ROLE {role}");
    target.session().await.batch("a role", &drop_role).await.unwrap();
    for flags in [&[][..], &["--no-owner"][..], &["--schema-only"][..]] {
        let ran = world.restore("latest", &target, flags);
        assert_eq!(ran.code, Some(4), "{flags:?}: {}", ran.all());
        assert!(ran.error_message().contains(role), "{}", ran.all());
    }
    assert!(picture::of(&target).await.tables.is_empty());
    let ran = world.restore("latest", &target, &["--no-owner", "--no-privileges"]);
    assert_eq!(ran.code, Some(0), "{}", ran.all());
    let after = picture::of(&target).await;
    assert_eq!(after.tables, before.tables);
    assert!(after.schema.contains("OWNER TO postgres") && !after.schema.contains("GRANT SELECT"));
}
