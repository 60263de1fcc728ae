//! One bounded call of a user's program: little goes in, little comes out, and it ends in time.

use std::io::{self, Read, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use zeroize::Zeroizing;

/// How much of what a program writes to its standard error is kept, in bytes.
const COMPLAINT_BYTES_MAX: usize = 4096;
/// How much of it is shown, in characters.
const COMPLAINT_CHARACTERS_MAX: usize = 200;
/// More hexadecimal digits in a row than any id has are not shown: they may be a share.
const DIGITS_SHOWN_MAX: usize = 32;
/// How long a program that has ended may keep its standard error open through what it left running.
const COMPLAINT_GRACE: Duration = Duration::from_millis(200);
/// How often it is looked whether the program has ended.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// The variables of the environment that every program gets.
const GIVEN: [&str; 3] = ["PATH", "HOME", "LANG"];
/// Variables that shells and terminals set and that no custodian misses.
const USUAL: [&str; 14] = [
    "_",
    "COLUMNS",
    "EDITOR",
    "HOSTNAME",
    "LINES",
    "LOGNAME",
    "LS_COLORS",
    "MAIL",
    "OLDPWD",
    "PAGER",
    "PWD",
    "SHELL",
    "SHLVL",
    "TERM",
];
/// How many names are told at most.
const NAMES_MAX: usize = 8;

/// The names of variables that a program does not get and might miss: a few, never a value.
pub(super) fn withheld() -> Vec<String> {
    let mut names: Vec<String> = std::env::vars_os()
        .filter_map(|(name, _)| name.into_string().ok())
        .filter(|name| !GIVEN.contains(&name.as_str()) && !USUAL.contains(&name.as_str()))
        .filter(|name| !name.starts_with("STRONGROOM_") && !name.chars().any(char::is_control))
        .collect();
    names.sort();
    let more = names.len().saturating_sub(NAMES_MAX);
    names.truncate(NAMES_MAX);
    if more > 0 {
        names.push(format!("and {more} more"));
    }
    names
}

/// What a program answered.
pub(in crate::keys) struct Answer {
    /// Its exit code.
    pub code: i32,
    /// Its standard output.
    pub output: Zeroizing<Vec<u8>>,
    /// The first line of its standard error, short and without control characters.
    pub complaint: String,
}

/// Calls the program: `input` (at most some KiB) on its standard input, at most `output_max` bytes
/// from its standard output. It starts in `/`, in a process group of its own, and sees of this process's
/// environment only [`GIVEN`] and `env`: the rest is passwords and URLs of others.
///
/// # Errors
/// What went wrong, as a clause after "its program": it did not start, was killed, took too long
/// (the whole process group is then killed), said too much.
pub(in crate::keys) fn run(
    words: &[&str],
    env: &[String],
    input: &[u8],
    output_max: usize,
    timeout: Duration,
) -> Result<Answer, String> {
    let deadline = Instant::now() + timeout;
    let [program, arguments @ ..] = words else { return Err("has no name".to_owned()) };
    let mut command = Command::new(program);
    command.args(arguments).current_dir("/").process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.env_clear();
    for name in GIVEN.into_iter().chain(env.iter().map(String::as_str)) {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    let child = command.spawn().map_err(|error| format!("could not be started: {error}"))?;
    let mut running = Running { child, is_over: false };

    let output = read_in_background(running.child.stdout.take(), output_max + 1, false);
    let complaint = read_in_background(running.child.stderr.take(), COMPLAINT_BYTES_MAX, true);
    if let Some(mut stdin) = running.child.stdin.take() {
        // Far less than a pipe holds, so this never waits; a program may end without reading it.
        match stdin.write_all(input) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                return Err(format!("could not be given its input: {error}"));
            }
            _ => {}
        }
    }
    let too_long = || format!("did not end within {} s", timeout.as_secs());
    // Its output ends when it ends, or when it is too much.
    let left = deadline.saturating_duration_since(Instant::now());
    let output = output.recv_timeout(left).map_err(|_| too_long())?;
    if output.len() > output_max {
        return Err(format!("wrote more than {output_max} bytes"));
    }
    let status = running.wait(deadline).map_err(|error| match error.kind() {
        io::ErrorKind::TimedOut => too_long(),
        _ => format!("could not be waited for: {error}"),
    })?;
    let complaint = complaint.recv_timeout(COMPLAINT_GRACE).unwrap_or_default();
    let Some(code) = status.code() else {
        let signal = status.signal().unwrap_or_default();
        return Err(format!("was killed by signal {signal}"));
    };
    Ok(Answer { code, output, complaint: first_line(&complaint) })
}

/// A program that does not outlive the call, nor does what it started in its process group.
struct Running {
    child: Child,
    is_over: bool,
}

impl Running {
    fn wait(&mut self, deadline: Instant) -> io::Result<ExitStatus> {
        loop {
            if let Some(status) = self.child.try_wait()? {
                self.is_over = true;
                return Ok(status);
            }
            if Instant::now() >= deadline {
                return Err(io::ErrorKind::TimedOut.into());
            }
            thread::sleep(LOOK_EVERY);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let group = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(group) = group {
            // It may have ended just now; there is nobody left to tell.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

/// Reads up to `limit` bytes. With `drain` it throws the rest away before it reports, so that the
/// program never waits for a reader.
fn read_in_background(
    stream: Option<impl Read + Send + 'static>,
    limit: usize,
    drain: bool,
) -> Receiver<Zeroizing<Vec<u8>>> {
    let (sender, receiver) = mpsc::channel();
    let Some(mut stream) = stream else { return receiver };
    thread::spawn(move || {
        // Reserved in full, so that growing leaves no copy of a secret behind.
        let mut kept = Zeroizing::new(Vec::with_capacity(limit + 64));
        let read = stream.by_ref().take(limit as u64).read_to_end(&mut kept);
        if drain && read.is_ok() && kept.len() == limit {
            let _ = io::copy(&mut stream, &mut io::sink());
        }
        // The call may be over already; then the text is overwritten here.
        let _ = sender.send(kept);
    });
    receiver
}

/// The first line that says something, made safe to show.
fn first_line(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let mut shown = String::new();
    let mut digits = String::new();
    for character in line.chars().chain([' ']).take(COMPLAINT_CHARACTERS_MAX + 1) {
        if character.is_ascii_hexdigit() {
            digits.push(character);
            continue;
        }
        shown.push_str(if digits.len() > DIGITS_SHOWN_MAX { "…" } else { &digits });
        digits.clear();
        shown.push(if character.is_control() { ' ' } else { character });
    }
    shown.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    fn shell(script: &str, input: &[u8], timeout: Duration) -> Result<Answer, String> {
        run(&["sh", "-c", script], &[], input, 4096, timeout)
    }

    #[test]
    fn input_output_code_and_complaint_go_through() {
        let answer =
            shell("cat; echo >&2; echo '  no \x1b[31mway' >&2; exit 7", b"abc", LONG).unwrap();
        assert_eq!((answer.code, answer.output.as_slice()), (7, &b"abc"[..]));
        assert_eq!(answer.complaint, "no  [31mway");
    }

    #[test]
    fn a_program_sees_of_the_environment_only_what_it_is_given() {
        let seen = |env: &[String]| {
            let answer = run(&["env"], env, b"", 4096, LONG).unwrap();
            let text = String::from_utf8_lossy(&answer.output).into_owned();
            let names: Vec<_> = text.lines().map(|line| line.split('=').next().unwrap()).collect();
            let mut names: Vec<String> = names.into_iter().map(str::to_owned).collect();
            names.sort();
            names
        };
        let given = |name: &&str| std::env::var_os(name).is_some();
        let mut expected: Vec<_> = ["HOME", "LANG", "PATH"].into_iter().filter(given).collect();
        assert_eq!(seen(&[]), expected);
        // Cargo sets it.
        expected.insert(0, "CARGO_PKG_NAME");
        assert_eq!(seen(&["CARGO_PKG_NAME".to_owned(), "NO_SUCH_ONE".to_owned()]), expected);
        assert!(withheld().iter().any(|name| name.starts_with("CARGO")), "{:?}", withheld());
    }

    #[test]
    fn a_program_that_says_too_much_is_refused_at_once() {
        let refused = shell("exec yes", b"", LONG).err().unwrap();
        assert_eq!(refused, "wrote more than 4096 bytes");
        let answer = shell("head -c 4096 /dev/zero; head -c 300000 /dev/zero >&2", b"", LONG);
        assert_eq!(answer.unwrap().output.len(), 4096);
    }

    #[test]
    fn a_program_that_does_not_end_dies_with_what_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let script = format!("sleep 600 & echo $! > {}; wait", file.display());
        let begun = Instant::now();
        let refused = shell(&script, b"", Duration::from_secs(1)).err().unwrap();
        assert_eq!(refused, "did not end within 1 s");
        assert!(begun.elapsed() < Duration::from_secs(10));
        let started = std::fs::read_to_string(&file).unwrap();
        let status = format!("/proc/{}/stat", started.trim());
        let is_gone = || {
            let stat = std::fs::read_to_string(&status).unwrap_or_default();
            stat.is_empty() || stat.contains(") Z ")
        };
        while !is_gone() {
            assert!(begun.elapsed() < LONG, "{} still runs", started.trim());
            thread::sleep(LOOK_EVERY);
        }
    }

    #[test]
    fn what_keeps_standard_error_open_does_not_keep_the_call() {
        let begun = Instant::now();
        let answer = shell("setsid sleep 3 >/dev/null </dev/null & echo x", b"", LONG).unwrap();
        assert_eq!(answer.output.as_slice(), b"x\n");
        assert!(begun.elapsed() < Duration::from_secs(3));
    }

    #[test]
    fn what_cannot_run_is_told() {
        let missing = run(&["/nowhere/at/all"], &[], b"", 10, LONG).err().unwrap();
        assert!(missing.starts_with("could not be started: "), "{missing}");
        assert_eq!(shell("kill -9 $$", b"", LONG).err().unwrap(), "was killed by signal 9");
        // It reads nothing of what it is given.
        assert_eq!(shell("exec <&-; sleep 0.2", &[b'x'; 4096], LONG).unwrap().code, 0);
    }

    #[test]
    fn a_share_in_a_complaint_is_not_shown() {
        let share = "ab".repeat(32);
        let vault = "0123456789abcdef0123456789abcdef";
        let line = first_line(format!("+ echo {share} of {vault}\nmore").as_bytes());
        assert_eq!(line, format!("+ echo … of {vault}"));
        let long = first_line("word ".repeat(200).as_bytes());
        assert!(long.chars().count() <= COMPLAINT_CHARACTERS_MAX + 1);
        // Cut off in the middle of a share.
        let cut = first_line(format!("{}{share}", "x".repeat(160)).as_bytes());
        assert!(!cut.contains("abab"), "{cut}");
    }
}
