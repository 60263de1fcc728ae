//! Commands beside one another, and what other users of the machine can see of them.

use std::fs;
use std::process::Child;
use std::time::{Duration, Instant};

use crate::assert_session;
use crate::support::sandbox::{CANARIES, Ended, Sandbox, sql};

/// A backup that waits: the table is locked against reading by another session meanwhile.
fn waiting_backup(sandbox: &Sandbox) -> Child {
    let child = sandbox.command(&sandbox.words("strongroom backup finance")).spawn().unwrap();
    let lock = sandbox.path("catalog.sqlite.lock");
    let name = format!("pid {}\n", child.id());
    let deadline = Instant::now() + Duration::from_mins(1);
    while !fs::read_to_string(&lock).is_ok_and(|text| text.starts_with(&name)) {
        assert!(Instant::now() < deadline, "the backup did not take the lock");
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

#[test]
fn the_second_writer_is_told_who_is_first() {
    let (sandbox, database) = Sandbox::with_backup();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let session = database.session().await;
        let lock = "BEGIN; LOCK TABLE public.notes IN ACCESS EXCLUSIVE MODE";
        session.batch("a lock", lock).await.unwrap();
        let child = waiting_backup(&sandbox);
        sandbox.fails("strongroom backup finance", 10);
        sandbox.fails("strongroom erase --source finance --subject 2 --reason case --yes", 10);
        sandbox.fails("strongroom prune", 10);
        sandbox.fails("strongroom source add other --url env:FINANCE_URL", 10);
        sandbox.remark("reading goes on");
        sandbox.quietly("strongroom list").done();
        sandbox.quietly("strongroom verify latest").done();
        session.batch("the end of a lock", "COMMIT").await.unwrap();
        Ended::new("strongroom backup finance", child.wait_with_output().unwrap()).done();
    });
    assert_session!("the_second_writer", sandbox);
    sandbox.nothing_lost();
}

/// The command lines of a process and of everything below it.
fn command_lines(of: u32, found: &mut Vec<String>) {
    let line = fs::read(format!("/proc/{of}/cmdline")).unwrap_or_default();
    found.push(String::from_utf8_lossy(&line).replace('\0', " "));
    for task in fs::read_dir(format!("/proc/{of}/task")).into_iter().flatten().flatten() {
        let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        for child in children.split_whitespace() {
            command_lines(child.parse().unwrap(), found);
        }
    }
}

#[test]
fn no_command_line_shows_a_password() {
    let (mut sandbox, database) = Sandbox::with_source();
    // Enough tables that pg_dump and pg_restore live long enough to be looked at.
    let tables: Vec<_> =
        (0..300).map(|n| format!("CREATE TABLE public.t{n} (id bigint)")).collect();
    sql(&database, &tables.join(";"));
    let shared: Vec<_> = (0..300).map(|n| format!("--shared t{n}")).collect();
    let shared = shared.join(" ");
    sandbox.quietly(&format!("strongroom map finance {shared} --write")).done();
    let copy = crate::support::sandbox::existing(&format!("{}_copy", database.name));
    sandbox.set("COPY_URL", &copy.url);
    let mut seen = Vec::new();
    for line in
        ["strongroom backup finance", "strongroom restore latest --to env:COPY_URL --create"]
    {
        let mut child = sandbox.command(&sandbox.words(line)).spawn().unwrap();
        while child.try_wait().unwrap().is_none() {
            command_lines(child.id(), &mut seen);
            std::thread::sleep(Duration::from_millis(2));
        }
        Ended::new(line, child.wait_with_output().unwrap()).done();
    }
    for tool in ["pg_dump", "pg_restore"] {
        assert!(seen.iter().any(|line| line.contains(tool)), "{tool} was never seen");
    }
    for line in &seen {
        assert!(!CANARIES.iter().any(|canary| line.contains(canary)), "{line}");
    }
    sandbox.no_canary_on_disk();
}
