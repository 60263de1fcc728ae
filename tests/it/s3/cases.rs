//! Bad nights on record: each file of `cases` says what a service or a proxy does wrong, and what the
//! commands must print and how they must end all the same.
//!
//! A file names `rules` (what the proxy before the bucket does to which requests), the commands `before`
//! them (one backup, unless it says otherwise) and the `steps` under them. `fault_at_init` puts the rules
//! on before `init`. A step is a list of arguments, in which `OLDEST` is the oldest backup's id and
//! `DATABASE` a new database; `expect` says for each command how it ends and what it says.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fancy_regex::Regex;
use serde::Deserialize;
use serde_json::Value;

use crate::support::proxy::{self, Between, Request, Response, Turn, Way};
use crate::support::s3_server::{moto, seaweed};
use crate::support::{TestDatabase, database};
use crate::vault::{World, uncreated_database};

/// The bucket of all cases; each has a prefix of its own.
const BUCKET: &str = "bkt";

const SMALL: &str = "
    CREATE TABLE public.users (id bigint PRIMARY KEY, name text NOT NULL);
    CREATE TABLE public.orders (id bigint PRIMARY KEY,
        user_id bigint NOT NULL REFERENCES public.users, what text);
    INSERT INTO public.users SELECT n, 'name ' || n FROM generate_series(1, 40) n;
    INSERT INTO public.orders SELECT n, 1 + n % 40, md5(n::text) FROM generate_series(1, 4000) n;";

/// Enough that packs go up in parts.
const LARGE: &str = "
    CREATE TABLE public.users (id bigint PRIMARY KEY, name text NOT NULL);
    CREATE TABLE public.files (id bigint PRIMARY KEY,
        user_id bigint NOT NULL REFERENCES public.users, contents bytea);
    INSERT INTO public.users SELECT n, 'name ' || n FROM generate_series(1, 40) n;
    INSERT INTO public.files SELECT n, 1 + n % 40, (SELECT decode(string_agg(md5(n || '-' || g), ''), 'hex')
        FROM generate_series(1, 2048) g) FROM generate_series(1, 800) n;";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// What goes wrong.
    what: String,
    /// Where it was seen in the world.
    source: String,
    #[serde(default)]
    rules: Vec<Rule>,
    #[serde(default)]
    fault_at_init: bool,
    /// The rules are about requests that must not be sent.
    #[serde(default)]
    avoided: bool,
    /// `app`, or `src` for the large database.
    #[serde(default)]
    db: Option<String>,
    /// Appended to the store's URL.
    #[serde(default)]
    params: String,
    /// A path below which the service answers.
    #[serde(default)]
    path: String,
    #[serde(default)]
    before: Option<Vec<Vec<String>>>,
    #[serde(default)]
    init: Expected,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    run: Vec<String>,
    #[serde(default)]
    exit: i32,
    /// What it says, word for word.
    #[serde(default)]
    says: Vec<String>,
    /// What it must not say.
    #[serde(default)]
    never: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Expected {
    #[serde(default)]
    exit: i32,
    #[serde(default)]
    says: Vec<String>,
}

#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
struct Rule {
    /// On `METHOD path | header: value | …`
    #[serde(rename = "match")]
    matches: String,
    action: String,
    #[serde(default)]
    count: Option<usize>,
    #[serde(default)]
    skip: usize,
    #[serde(default)]
    status: u16,
    #[serde(default)]
    body: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    seconds: f64,
    #[serde(default)]
    part: Option<f64>,
    #[serde(default)]
    from: String,
    #[serde(default)]
    to: String,
}

/// The proxy of a case.
struct Faults {
    rules: Vec<(Rule, Regex, AtomicUsize)>,
    on: Mutex<bool>,
    path: String,
    used: AtomicUsize,
}

impl Faults {
    fn of(case: &Case) -> Self {
        let rule =
            |rule: &Rule| (rule.clone(), Regex::new(&rule.matches).unwrap(), AtomicUsize::new(0));
        Self {
            rules: case.rules.iter().map(rule).collect(),
            on: Mutex::new(case.fault_at_init),
            path: case.path.clone(),
            used: AtomicUsize::new(0),
        }
    }

    /// The rules that a request meets, each counted.
    fn met(&self, request: &Request) -> Vec<&Rule> {
        if !*self.on.lock().unwrap() {
            return Vec::new();
        }
        let mut text = format!("{} {}", request.method, request.target);
        for (name, value) in &request.headers {
            text.push_str(&format!(" | {name}: {value}"));
        }
        let mut met = Vec::new();
        for (rule, pattern, count) in &self.rules {
            if !pattern.is_match(&text).unwrap() {
                continue;
            }
            let before = count.fetch_add(1, Ordering::Relaxed);
            let last = rule.count.map_or(usize::MAX, |most| most + rule.skip);
            if (rule.skip..last).contains(&before) {
                self.used.fetch_add(1, Ordering::Relaxed);
                met.push(rule);
            }
        }
        met
    }
}

impl Between for Faults {
    fn asked(&self, request: &mut Request) -> Turn {
        if let Some(rest) = request.target.strip_prefix(&self.path) {
            request.target = rest.to_owned();
        }
        for rule in self.met(request) {
            match rule.action.as_str() {
                "respond" => {
                    let headers = rule.headers.clone().into_iter().collect();
                    let status = format!("{} Told", rule.status);
                    return Turn::Answer(Response {
                        status,
                        headers,
                        body: rule.body.clone().into(),
                    });
                }
                "drop" => return Turn::HangUp,
                "sleep" => std::thread::sleep(Duration::from_secs_f64(rule.seconds)),
                "corrupt" if request.body.len() > 50 => request.body[40] ^= 1,
                "corrupt" => {}
                "lose_answer" | "truncate" | "rewrite" => {
                    let marker =
                        serde_json::to_string(&(&rule.action, rule.part, &rule.from, &rule.to));
                    request.headers.push(("x-case".to_owned(), marker.unwrap()));
                }
                other => panic!("there is no action {other}"),
            }
        }
        Turn::Forward
    }

    fn answered(&self, request: &Request, response: &mut Response) -> Way {
        let Some(marker) = request.header("x-case") else { return Way::Whole };
        let (action, part, from, to): (String, Option<f64>, String, String) =
            serde_json::from_str(marker).unwrap();
        match action.as_str() {
            "lose_answer" => Way::Cut(None),
            "rewrite" => {
                let text = String::from_utf8_lossy(&response.body).into_owned();
                let changed =
                    Regex::new(&from).unwrap().replace_all(&text, to.as_str()).into_owned();
                response.body = changed.into_bytes();
                Way::Whole
            }
            _ => {
                let share = part.unwrap_or(0.5);
                #[allow(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    clippy::cast_precision_loss,
                    reason = "a share of a body's length"
                )]
                Way::Cut(Some((response.body.len() as f64 * share) as usize))
            }
        }
    }
}

/// Plays one file, and tells what was other than expected.
async fn play(name: &str, case: Case) -> Vec<String> {
    // moto looks at no signature: below a path it would be another.
    let server = if case.path.is_empty() { seaweed() } else { moto() };
    server.bucket_named(BUCKET);
    let upstream = server.endpoint().rsplit_once(':').unwrap().1.parse().unwrap();
    let faults = Arc::new(Faults::of(&case));
    let port = proxy::start(upstream, Arc::<Faults>::clone(&faults) as Arc<dyn Between>);
    let url = format!(
        "s3://{BUCKET}/{name}?endpoint=http://127.0.0.1:{port}{}&credentials={}{}",
        case.path,
        server.credentials().display(),
        case.params
    );
    let source: TestDatabase = database();
    let large = case.db.as_deref() == Some("src");
    source.session().await.batch("people", if large { LARGE } else { SMALL }).await.unwrap();
    let world = World::empty();
    let mut wrong = Vec::new();
    let recipient = std::fs::read_to_string(world.path().join("recipient")).unwrap();
    let init: Vec<String> = ["init", "--store", &url, "--recipient", &recipient]
        .iter()
        .map(|&word| word.to_owned())
        .collect();
    let Expected { exit, says } = case.init;
    let ended_there = exit != 0;
    step(&world, &Step { run: init, exit, says, never: Vec::new() }, &mut wrong);
    if ended_there || !wrong.is_empty() {
        return wrong;
    }
    for line in [
        vec!["source", "add", "app", "--url", &source.url],
        vec!["map", "app", "--root", "public.users", "--write"],
    ] {
        let run = line.into_iter().map(str::to_owned).collect();
        step(&world, &Step { run, exit: 0, says: Vec::new(), never: Vec::new() }, &mut wrong);
    }
    let backup = || vec![vec!["backup".to_owned(), "app".to_owned()]];
    for line in case.before.unwrap_or_else(backup) {
        let step_before = Step { run: line, exit: 0, says: Vec::new(), never: Vec::new() };
        step(&world, &step_before, &mut wrong);
    }
    *faults.on.lock().unwrap() = true;
    for one in &case.steps {
        step(&world, one, &mut wrong);
    }
    let used = faults.used.load(Ordering::Relaxed);
    if !case.rules.is_empty() && (used == 0) != case.avoided {
        wrong.push(format!("{used} requests met a rule"));
    }
    wrong
}

fn step(world: &World, step: &Step, wrong: &mut Vec<String>) {
    let target = step.run.iter().any(|word| word == "DATABASE").then(uncreated_database);
    let oldest = || world.backups().last().cloned().unwrap_or_default();
    let words: Vec<String> = step
        .run
        .iter()
        .map(|word| match (word.as_str(), &target) {
            ("OLDEST", _) => oldest(),
            ("DATABASE", Some(target)) => target.url.clone(),
            (word, _) => word.to_owned(),
        })
        .collect();
    let (code, said) = run_as_a_person(world, &words);
    let line = step.run.join(" ");
    if std::env::var_os("STRONGROOM_SHOW_CASES").is_some() {
        println!("$ {line}\n{said}[exit {code:?}]\n");
    }
    if code != Some(step.exit) {
        wrong.push(format!("`{line}` ended with {code:?} instead of {}:\n{said}", step.exit));
    }
    // Lines are broken where they are long.
    let flat = said.split_whitespace().collect::<Vec<_>>().join(" ");
    for sentence in step.says.iter().filter(|sentence| !flat.contains(sentence.as_str())) {
        wrong.push(format!("`{line}` does not say `{sentence}`:\n{said}"));
    }
    for sentence in step.never.iter().filter(|sentence| flat.contains(sentence.as_str())) {
        wrong.push(format!("`{line}` says `{sentence}`:\n{said}"));
    }
}

/// Runs a command without `--json`; its code, and all that it printed.
fn run_as_a_person(world: &World, words: &[String]) -> (Option<i32>, String) {
    let program = std::env::var_os("STRONGROOM_CASES_PROGRAM")
        .unwrap_or_else(|| env!("CARGO_BIN_EXE_strongroom").into());
    let ran = std::process::Command::new(program)
        .args(words)
        .arg("--config")
        .arg(world.path().join("strongroom.toml"))
        .arg("--identity")
        .arg(world.path().join("identity"))
        .current_dir(world.path())
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (ran.status.code(), text(&ran.stdout) + &text(&ran.stderr))
}

/// All of them; `STRONGROOM_CASE=NAME` plays those whose names begin so.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_case_ends_as_it_is_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/s3/cases");
    let only = std::env::var("STRONGROOM_CASE").unwrap_or_default();
    let mut files: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let mut played = 0;
    let mut running = Vec::new();
    for file in files {
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        if !name.starts_with(&only) {
            continue;
        }
        let value: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        let case: Case =
            serde_json::from_value(value).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(!case.what.is_empty() && !case.source.is_empty(), "{name}");
        played += 1;
        running.push((name.clone(), tokio::spawn(async move { play(&name, case).await })));
        if running.len() >= 3 {
            report(running.remove(0)).await;
        }
    }
    for one in running {
        report(one).await;
    }
    assert!(played > 0 && FAILED.load(Ordering::Relaxed) == 0, "of {played} cases");
}

static FAILED: AtomicUsize = AtomicUsize::new(0);

async fn report((name, task): (String, tokio::task::JoinHandle<Vec<String>>)) {
    let wrong = task.await.unwrap_or_else(|error| vec![error.to_string()]);
    for sentence in &wrong {
        eprintln!("{name}: {sentence}");
    }
    FAILED.fetch_add(wrong.len(), Ordering::Relaxed);
}
