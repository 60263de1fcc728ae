//! What differs where a person sits at a terminal: colour, progress, and the typed confirmation.
//! `script` of util-linux makes the terminal.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::prepare::needed;
use crate::support::sandbox::{CANARIES, Sandbox};

/// Runs a line in a terminal and types each answer once its prompt is there; what the terminal
/// showed, and the exit code.
fn in_terminal(
    sandbox: &Sandbox,
    line: &str,
    answers: &[(&str, &str)],
    variables: &[(&str, &str)],
) -> (String, i32) {
    let words = sandbox.words(line);
    let inner = sandbox.command(&words);
    let program = inner.get_program().to_str().unwrap().to_owned();
    let quoted: Vec<_> = [program].iter().chain(&words[1..]).map(|w| format!("'{w}'")).collect();
    let mut command = Command::new("script");
    command
        .args(["-qefc", &quoted.join(" "), "/dev/null"])
        .current_dir(sandbox.path("."))
        .env_clear()
        .env("TERM", "xterm")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    for (name, value) in inner.get_envs() {
        command.env(name, value.unwrap());
    }
    command.envs(variables.iter().copied());
    let mut child = needed("`script` (bsdutils)", command.spawn().ok());
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let (mut shown, mut looked_at) = (Vec::new(), 0);
    let mut answers = answers.iter();
    let mut next = answers.next();
    let mut piece = [0; 4096];
    while let Ok(length @ 1..) = stdout.read(&mut piece) {
        shown.extend_from_slice(&piece[..length]);
        let unanswered = String::from_utf8_lossy(&shown[looked_at..]).into_owned();
        if let Some((prompt, answer)) = next
            && unanswered.contains(prompt)
        {
            // The prompt is written before the echo is turned off.
            std::thread::sleep(Duration::from_millis(200));
            stdin.write_all(answer.as_bytes()).unwrap();
            looked_at = shown.len();
            next = answers.next();
        }
    }
    let status = child.wait().unwrap();
    let shown = String::from_utf8(shown).unwrap();
    for canary in CANARIES {
        assert!(!shown.contains(canary), "{line} showed {canary}");
    }
    (shown, status.code().unwrap())
}

/// The end of the question before an erasure.
const ASKED: &str = " to go on: ";

#[test]
fn a_person_confirms_by_typing_and_no_color_is_honoured() {
    let (sandbox, _database) = Sandbox::with_backup();
    let erase = "strongroom erase --source finance --subject 4 --reason case";
    let (shown, exit) = in_terminal(&sandbox, erase, &[(ASKED, "yes\n")], &[]);
    assert_eq!(exit, 4, "{shown}");
    assert!(shown.contains("This cannot be undone."), "{shown}");
    assert!(shown.contains("it was not confirmed; nothing was changed"), "{shown}");
    assert!(shown.contains("\x1b[1;31merror:"), "colour at a terminal: {shown:?}");
    sandbox.last_access("erase", "refused", "error=refused");

    let wanted = shown.split("Type `").nth(1).unwrap().split('`').next().unwrap();
    let plain = [("NO_COLOR", "1")];
    let (shown, exit) = in_terminal(&sandbox, erase, &[(ASKED, "no\n")], &plain);
    assert_eq!(exit, 4);
    assert!(!shown.contains("\x1b["), "NO_COLOR: {shown:?}");

    let (shown, exit) = in_terminal(&sandbox, erase, &[(ASKED, &format!("{wanted}\n"))], &[]);
    assert_eq!(exit, 0, "{shown}");
    assert!(shown.contains("is erased."), "{shown}");
    sandbox.last_access("erase", "done", "state=confirmed erasures=1 rows=13 backups=1");

    // Progress is drawn for those who watch, and never into a pipe.
    let (shown, exit) = in_terminal(&sandbox, "strongroom verify --all", &[], &[]);
    assert_eq!(exit, 0, "{shown}");
    assert!(shown.contains("intact"), "{shown}");
}

#[test]
fn a_passphrase_is_typed_twice_and_not_shown() {
    let sandbox = Sandbox::new();
    let passphrase = "correct horse battery staple\n";
    let asked = "Passphrase for the new vault: ";
    let typed = [(asked, passphrase), ("The same again: ", passphrase)];
    let init = "strongroom init --store backups";
    let (shown, exit) = in_terminal(&sandbox, init, &typed, &[]);
    assert_eq!(exit, 0, "{shown}");
    let other = Sandbox::new();
    let typed = [(asked, passphrase), ("The same again: ", "another one\n")];
    let (shown, exit) = in_terminal(&other, init, &typed, &[]);
    assert_eq!(exit, 2, "{shown}");
    assert!(shown.contains("the two passphrases differ"), "{shown}");
}
