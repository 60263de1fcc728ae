//! Databases that cannot be reached, refuse, hide rows, or go away in the middle.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use strongroom::postgres::temporary::{TemporaryCluster, TemporaryOptions};

use crate::assert_session;
use crate::support::sandbox::{DECIDED, Ended, FINANCE, Sandbox, finance, rows, sql};
use crate::support::{TestDatabase, cluster};

#[test]
fn a_database_that_cannot_be_reached_is_explained() {
    let (mut sandbox, database) = Sandbox::with_backup();
    let good = database.url.clone();
    let port = cluster().port();
    let url = |user: &str, place: &str| format!("postgresql://{user}@{place}");
    for (what, url) in [
        ("the scheme is another", format!("mysql://postgres:sparrow@127.0.0.1:{port}/x")),
        ("it is no URL", "sparrow nonsense".to_owned()),
        ("the port is no number", url("postgres:sparrow", "127.0.0.1:fivefourthreetwo/x")),
        ("the host is not known", url("postgres:sparrow", "no-such-host.invalid/x")),
        ("nothing listens", url("postgres:sparrow", "127.0.0.1:1/x")),
        ("no such user", url("nobody_here:sparrow", &format!("127.0.0.1:{port}/x"))),
        ("the password is wrong", url("postgres:sparrow", &format!("127.0.0.1:{port}/x"))),
        ("there is no password", url("postgres", &format!("127.0.0.1:{port}/x"))),
        ("no such database", good.replace(&database.name, "no_such_database")),
        ("a setting that does not exist", format!("{good}?sslmoed=require")),
        ("encryption is asked for and the server has none", format!("{good}?sslmode=require")),
        ("the variable is empty", String::new()),
    ] {
        sandbox.remark(what);
        sandbox.set("FINANCE_URL", &url);
        let ended = sandbox.run("strongroom backup finance");
        let exit = ended.exit;
        assert!(matches!(exit, 2 | 6), "{}", ended.told());
        ended.failed(exit);
        sandbox.last_access("backup", "failed", "error=");
        let restore = sandbox.quietly("strongroom restore latest --to env:FINANCE_URL");
        let exit = restore.exit;
        assert!(matches!(exit, 2 | 6), "{}", restore.told());
        restore.failed(exit);
    }
    sandbox.remark("the variable is not set at all");
    sandbox.unset("FINANCE_URL");
    sandbox.fails("strongroom backup finance", 2);
    sandbox.fails("strongroom restore latest --to env:FINANCE_URL", 2);
    sandbox.remark("a URL on the command line with a password is taken, with a warning");
    let with_password = "strongroom restore latest --to postgresql://u:sparrow@127.0.0.1:1/x";
    let ended = sandbox.quietly(with_password).failed(6);
    sandbox.show(&ended.stderr);
    let with_password = "strongroom source add other --url mysql://u:sparrow@127.0.0.1:1/x";
    let ended = sandbox.quietly(with_password).failed(2);
    sandbox.show(&ended.stderr);
    assert_session!("a_database_that_cannot_be_reached", sandbox);
    sandbox.set("FINANCE_URL", &good);
    sandbox.quietly("strongroom backup finance").done();
    sandbox.nothing_lost();
}

#[test]
fn a_role_that_may_not_see_everything_is_refused() {
    let mut sandbox = Sandbox::with_vault();
    let database = finance();
    let role = format!("{}_role", database.name);
    sql(
        &database,
        &format!(
            "CREATE ROLE {role} LOGIN PASSWORD 'sparrow';
             GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role};
             REVOKE SELECT ON public.notes FROM {role}"
        ),
    );
    let url = database.url.replacen("postgres:only%20for%20tests", &format!("{role}:sparrow"), 1);
    assert_ne!(url, database.url);
    sandbox.set("FINANCE_URL", &url);
    sandbox.quietly("strongroom source add finance --url env:FINANCE_URL").done();
    sandbox.quietly(&format!("strongroom map finance {DECIDED} --write")).done();
    sandbox.remark("one table may not be read");
    sandbox.fails("strongroom backup finance", 6);
    sandbox.last_access("backup", "failed", "error=source");
    sql(
        &database,
        &format!(
            "GRANT SELECT ON public.notes TO {role};
             ALTER TABLE public.accounts ENABLE ROW LEVEL SECURITY;
             CREATE POLICY own ON public.accounts USING (user_id = 1)"
        ),
    );
    sandbox.remark("a policy hides rows from this role");
    sandbox.fails("strongroom backup finance", 6);
    sql(&database, &format!("ALTER ROLE {role} BYPASSRLS"));
    sandbox.remark("with BYPASSRLS every row is read");
    sandbox.quietly("strongroom backup finance").done();
    sandbox.nothing_lost();
    let shown = sandbox.quietly("strongroom list --json").json();
    assert_eq!(shown["backups"][0]["rows"], 65);

    sandbox.remark("a restore by a role that may not make databases");
    sandbox.set("COPY_URL", &format!("{url}_copy"));
    sandbox.fails("strongroom restore latest --to env:COPY_URL --create", 6);
    assert_session!("a_role_that_may_not_see_everything", sandbox);
}

#[test]
fn a_machine_without_the_tools_says_what_to_install() {
    let (mut sandbox, _database) = Sandbox::with_backup();
    fs::create_dir(sandbox.path("bin")).unwrap();
    let bin = sandbox.path("bin").display().to_string();
    sandbox.set("STRONGROOM_PG_BIN", &bin);
    sandbox.remark("a folder without tools");
    sandbox.fails("strongroom backup finance", 6);
    sandbox.last_access("backup", "failed", "error=source");
    sandbox.remark("tools that are older than the server");
    for tool in ["pg_dump", "pg_restore"] {
        let file = sandbox.path("bin").join(tool);
        fs::write(&file, "#!/bin/sh\necho 'pg_dump (PostgreSQL) 12.4'\n").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    }
    sandbox.fails("strongroom backup finance", 6);
    assert_session!("a_machine_without_the_tools", sandbox);
    sandbox.unset("STRONGROOM_PG_BIN");
    sandbox.nothing_lost();
}

#[test]
fn a_server_that_stops_in_the_middle_costs_one_attempt() {
    let server = TemporaryCluster::start(&TemporaryOptions::new("sparrow")).unwrap();
    server.create_database("finance").unwrap();
    let database = std::mem::ManuallyDrop::new(TestDatabase {
        name: "finance".to_owned(),
        url: server.url("finance"),
    });
    sql(&database, FINANCE);
    let mut sandbox = Sandbox::with_vault();
    sandbox.set("FINANCE_URL", &database.url);
    sandbox.quietly("strongroom source add finance --url env:FINANCE_URL").done();
    sandbox.quietly(&format!("strongroom map finance {DECIDED} --write")).done();
    sandbox.quietly("strongroom backup finance").done();
    sql(
        &database,
        "INSERT INTO public.entries
             SELECT 100 + n, 1 + n % 10, repeat(md5(n::text), 20) FROM generate_series(1, 400000) n",
    );
    // As soon as rows flow, the server goes away.
    let line = "strongroom backup finance --data-only";
    let child = sandbox.command(&sandbox.words(line)).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_mins(1);
    let flowing = "SELECT count(*)::text FROM pg_catalog.pg_stat_progress_copy
                   WHERE tuples_processed > 10000";
    while rows(&database, flowing) == ["0"] {
        assert!(Instant::now() < deadline, "no row flowed");
    }
    server.stop();
    let ended = Ended::new(line, child.wait_with_output().unwrap()).failed(6);
    assert!(ended.stderr.contains("was lost while"), "{}", ended.stderr);
    sandbox.last_access("backup", "failed", "error=source");
    sandbox.nothing_lost();
    // What the failed attempt had written is gone again.
    let pruned = sandbox.quietly("strongroom prune --dry-run --json").done().json();
    assert_eq!(pruned["objects"], serde_json::json!([]));
    sandbox.remark("the server is not there");
    sandbox.fails("strongroom backup finance", 6);

    // Another one takes its place, and the next attempt succeeds.
    let again = finance();
    sandbox.set("FINANCE_URL", &again.url);
    sandbox.quietly("strongroom backup finance").done();
    sandbox.nothing_lost();
}
