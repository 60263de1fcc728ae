//! Wrong words: selectors, names, keys, the configuration, the subject map.

use std::fs;

use crate::assert_session;
use crate::support::sandbox::{Sandbox, sql};

#[test]
fn what_is_not_there_is_said_so() {
    let (sandbox, _database) = Sandbox::with_backup();
    sandbox.quietly("strongroom backup finance").done();
    sandbox.fails("strongroom show 2019", 5);
    // Both ids begin with this century.
    sandbox.fails("strongroom verify 20", 2);
    sandbox.fails("strongroom verify ../etc", 2);
    sandbox.fails("strongroom backup ledger", 5);
    sandbox.fails("strongroom list --source ledger", 5);
    sandbox.fails("strongroom restore latest --to env:NO_SUCH", 2);
    sandbox.fails("strongroom restore latest --to env:NO_SUCH --table nothing", 2);
    sandbox.fails("strongroom audit list --action burn", 2);
    sandbox.fails("strongroom audit list --since yesterday", 2);
    sandbox.fails("strongroom backup finance --jobs 0", 2);
    sandbox.fails("strongroom list --confg x", 2);
    sandbox.fails("strongroom", 2);
    assert_session!("what_is_not_there", sandbox);
    sandbox.nothing_lost();
}

#[test]
fn a_subject_that_is_not_there_is_not_erased() {
    let (sandbox, database) = Sandbox::with_backup();
    let erase = |rest: &str| format!("strongroom erase --source finance --reason case {rest}");
    // The key could be an e-mail address: it is never printed, so a sparrow stands for it.
    sandbox.fails(&erase("--subject 47114711 --yes"), 5);
    sandbox.last_access("erase", "refused", "error=not-found");
    sandbox.fails(&erase("--subject sparrow --yes"), 2);
    sandbox.last_access("erase", "failed", "error=usage");
    sandbox.fails(&erase("--subject 3 --class employees --yes"), 5);
    sandbox.fails("strongroom erase --source ledger --subject 3 --reason case --yes", 5);
    for line in sandbox.transcript().lines().filter(|line| !line.starts_with('$')) {
        assert!(!line.contains("47114711"), "{line}");
    }

    sql(
        &database,
        "CREATE TABLE public.employees (id uuid PRIMARY KEY, name text);
         INSERT INTO public.employees
             VALUES ('11111111-2222-3333-4444-555555555555', 'sparrow')",
    );
    sandbox
        .quietly("strongroom map finance --root public.users --root public.employees --write")
        .done();
    sandbox.quietly("strongroom backup finance").done();
    sandbox.fails(&erase("--subject 3 --yes"), 2);
    sandbox.fails(&erase("--subject 3 --class employees --yes"), 2);
    let uuid = "11111111-2222-3333-4444-555555555555";
    sandbox.fails(&erase(&format!("--subject {uuid} --class users --yes")), 2);
    sandbox.quietly(&erase(&format!("--subject {uuid} --class employees --yes"))).done();
    assert_session!("a_subject_that_is_not_there", sandbox);
    sandbox.nothing_lost();
}

#[test]
fn a_configuration_with_a_typing_error_is_explained() {
    let sandbox = Sandbox::with_vault();
    let file = sandbox.path("strongroom.toml");
    let good = fs::read_to_string(&file).unwrap();
    for (from, to) in [
        ("catalog =", "catalogue ="),
        ("[store]", "[sotre]"),
        ("url =", "ulr ="),
        ("jobs = 1", "jobs = \"four\""),
        ("jobs = 1", "jobs = 400"),
        ("memory_mib", "memroy_mib"),
        ("kind = \"file\"", "kind = \"flie\""),
        ("[[custodian]]", "[custodian]"),
        ("catalog =", "catalog"),
    ] {
        assert!(good.contains(from), "{from}");
        fs::write(&file, good.replacen(from, to, 1)).unwrap();
        sandbox.remark(&format!("`{from}` is written `{to}`"));
        sandbox.fails("strongroom list", 2);
    }
    fs::write(&file, b"catalog = \"\xff\xfe\"").unwrap();
    sandbox.remark("not even text");
    sandbox.fails("strongroom list", 2);
    fs::remove_file(&file).unwrap();
    sandbox.fails("strongroom list", 2);
    sandbox.fails("strongroom list --config elsewhere.toml", 2);
    assert_session!("a_configuration_with_a_typing_error", sandbox);
    fs::write(&file, good).unwrap();
    sandbox.nothing_lost();
}

#[test]
fn a_subject_map_that_does_not_fit_stops_the_backup() {
    let (sandbox, database) = Sandbox::with_backup();
    let file = sandbox.path("maps/finance.toml");
    let good = fs::read_to_string(&file).unwrap();
    sandbox.remark("the map itself");
    sandbox.show(&good);
    for (from, to, exit) in [
        ("\n[[class]]", "\n[[clas]]", 2),
        ("\"public.notes\"", "\"public.noets\"", 4),
        ("[\"author\"]", "[\"auther\"]", 4),
        ("[\"author\"]", "[\"body\"]", 4),
        ("accounts\" = { owner = \"users\"", "accounts\" = { owner = \"user\"", 2),
        ("currencies\" = { shared", "currencies\" = { shraed", 2),
        ("\nversion = 2", "\nversion = 99", 2),
    ] {
        assert!(good.contains(from), "the map has no {from}");
        fs::write(&file, good.replacen(from, to, 1)).unwrap();
        sandbox.remark(&format!("`{}` is written `{}`", from.trim(), to.trim()));
        sandbox.fails("strongroom backup finance", exit);
    }
    fs::write(&file, "# empty\n").unwrap();
    sandbox.remark("an empty map");
    sandbox.fails("strongroom backup finance", 2);
    fs::write(&file, &good).unwrap();

    sandbox.remark("a table that the map does not know");
    sql(&database, "CREATE TABLE public.letters (id bigint PRIMARY KEY, address text)");
    sandbox.fails("strongroom backup finance", 4);
    sandbox.last_access("backup", "refused", "error=refused");
    sandbox.remark("flags that cannot be read, or name what is not there");
    sandbox.fails("strongroom map finance --root public.users --owner notes", 2);
    sandbox.fails("strongroom map finance --root ..", 2);
    sandbox.run("strongroom map finance --root public.users --owner noets=author").ended(4);
    sandbox.run("strongroom map finance --root public.users --owner notes=auther").ended(4);
    sandbox.run("strongroom map finance --root public.persons").ended(4);
    assert_session!("a_subject_map_that_does_not_fit", sandbox);
    sandbox.nothing_lost();
}
