//! Names in a database are written by others: they can hold anything but a zero byte. None of them may
//! command a terminal, or begin a line of output that strongroom did not write.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::support;
use crate::support::sandbox::Sandbox;

const FORGED: &str = "FORGED: all backups are intact";

#[tokio::test]
async fn names_cannot_command_a_terminal_or_forge_a_line() {
    let database = support::database();
    let name = format!("x\n{FORGED}\r\x1b[2J\x1b]0;title\x07\u{9b}31m\u{202e}");
    let sql = format!(
        "SET search_path = public;
         CREATE TABLE users (id int PRIMARY KEY, \"{name}\" text);
         INSERT INTO users VALUES (1, 'a'), (2, 'b');
         CREATE TABLE \"{name}\" (id int PRIMARY KEY, user_id int CONSTRAINT \"k{name}\" REFERENCES users);
         INSERT INTO \"{name}\" VALUES (1, 1), (2, 2);
         COMMENT ON TABLE users IS '{name}';
         CREATE TABLE \"open{name}\" (id int, who int);"
    );
    database.session().await.batch("hostile names", &sql).await.unwrap();
    let mut sandbox = Sandbox::with_vault();
    sandbox.set("FINANCE_URL", &database.url);
    sandbox.quietly("strongroom source add finance --url env:FINANCE_URL").done();
    let target = support::database();
    sandbox.set("TARGET", &target.url);
    fs::create_dir(sandbox.path("x")).unwrap();
    fs::set_permissions(sandbox.path("x"), fs::Permissions::from_mode(0o700)).unwrap();
    let mut said = String::new();
    let mut run = |line: &str| {
        let ended = sandbox.quietly(line);
        let text = ended.told();
        for one in text.lines() {
            assert!(!one.trim_start().starts_with(FORGED), "{line}: {text}");
            let command = one.chars().find(|c| c.is_control() || *c == '\u{202e}');
            assert_eq!(command, None, "{line}: {text:?}");
        }
        said.push_str(&text);
    };
    run("strongroom map finance --root public.users");
    run("strongroom map finance --root public.users --write");
    let map = fs::read_to_string(sandbox.path("maps/finance.toml"));
    if map.is_err() {
        // The open table is decided by its own name, as a person would copy it from the question.
        let statements = format!("DROP TABLE public.\"open{name}\"");
        database.session().await.batch("decided", &statements).await.unwrap();
        run("strongroom map finance --root public.users --write");
    }
    run("strongroom backup finance");
    run("strongroom show latest");
    run("strongroom verify --all");
    run("strongroom erase --source finance --subject 1 --case 7 --dry-run");
    run("strongroom erase --source finance --subject 1 --case 7 --yes");
    run("strongroom restore latest --to env:TARGET");
    run("strongroom export --source finance --subject 2 --recipient $RECIPIENT --output out.age");
    for pack in sandbox.objects("packs") {
        let mut bytes = fs::read(&pack).unwrap();
        bytes[50..].fill(0);
        let _ = fs::set_permissions(&pack, fs::Permissions::from_mode(0o644));
        fs::write(&pack, &bytes).unwrap();
    }
    run("strongroom verify --all");
    let drift = format!("ALTER TABLE public.\"{name}\" ADD COLUMN \"more{name}\" int");
    database.session().await.batch("drift", &drift).await.unwrap();
    run("strongroom map finance --check");
    run("strongroom backup finance");
    assert!(said.contains("x\\u{a}FORGED"), "the names are told: {said}");
    assert!(said.contains("DAMAGED"), "{said}");
}
