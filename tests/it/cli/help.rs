//! Help, completions and the manual.

use std::fs;
use std::process::Command;

use crate::assert_session;
use crate::support::sandbox::Sandbox;

const COMMANDS: &[&str] = &[
    "",
    "init",
    "source",
    "source add",
    "source list",
    "map",
    "backup",
    "list",
    "show",
    "verify",
    "restore",
    "export",
    "erase",
    "prune",
    "kit",
    "kit print",
    "audit",
    "audit list",
    "audit verify",
    "demo",
    "completions",
    "man",
];

#[test]
fn help_is_what_it_was_and_fits_a_terminal() {
    let sandbox = Sandbox::new();
    for command in COMMANDS {
        let line = format!("strongroom {command} --help").replace("  ", " ");
        let ended = sandbox.quietly(&line).done();
        for printed in ended.stdout.lines() {
            assert!(printed.chars().count() <= 80, "{line}: {printed}");
        }
        let short = sandbox.quietly(&line.replace("--help", "-h")).done();
        assert!(short.stdout.contains("Usage: strongroom"), "{}", short.stdout);
        // The options for every command are in each: once is enough to read.
        if *command == "demo" {
            continue;
        }
        let own = ended.stdout.split("Options for every command:").next().unwrap();
        let example = ended.stdout.find("Example:").unwrap();
        sandbox.remark(&line);
        let shown = if command.is_empty() {
            ended.stdout.clone()
        } else {
            format!("{own}[options for every command]\n\n{}", &ended.stdout[example..])
        };
        sandbox.show(&shown);
    }
    assert_session!("help", sandbox);
}

#[test]
fn the_version_is_printed() {
    let ended = Sandbox::new().quietly("strongroom --version").done();
    assert_eq!(ended.stdout, format!("strongroom {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn completions_are_scripts_that_their_shells_accept() {
    let sandbox = Sandbox::new();
    let script = sandbox.quietly("strongroom completions bash --quiet").done().stdout;
    fs::write(sandbox.path("script.bash"), &script).unwrap();
    let checked = Command::new("bash").arg("-n").arg(sandbox.path("script.bash")).status();
    assert!(checked.is_ok_and(|status| status.success()));
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        let script = sandbox.quietly(&format!("strongroom completions {shell}")).done().stdout;
        assert!(script.contains("passphrase-file"), "{shell}");
    }
}

#[test]
fn the_manual_has_a_page_for_every_command() {
    let sandbox = Sandbox::new();
    sandbox.run("strongroom man pages").done();
    let page = fs::read_to_string(sandbox.path("pages/strongroom-erase.1")).unwrap();
    assert!(page.contains("2026\\-118"), "{page}");
    for command in COMMANDS.iter().filter(|command| !command.is_empty()) {
        let page = format!("pages/strongroom-{}.1", command.replace(' ', "-"));
        assert!(sandbox.path(&page).exists(), "{page}");
    }
    fs::write(sandbox.path("file"), "").unwrap();
    sandbox.fails("strongroom man file", 8);
    assert_session!("the_manual", sandbox);
}
