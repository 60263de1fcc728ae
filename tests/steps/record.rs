//! What a command passes through: run once, it leaves the world as it was at each durable step, which is
//! what a crash there would leave. Runs in which one step fails are here, too.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::vault::{Ran, World, files_below, finished};

/// The N-th passage of a step's edge, `forget.commit:after#1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// Name and edge.
    pub passage: String,
    /// Which passage of that name and edge, from 1.
    pub number: usize,
    /// Its place among all passages of the command.
    pub place: usize,
}

/// One run of a command, with the world as it was at each passage.
pub struct Recording {
    folder: TempDir,
    /// Where the command ran: `init` writes it down.
    world: PathBuf,
    /// Name and edge, in their order.
    pub passages: Vec<String>,
    /// The image of each passage.
    images: Vec<usize>,
}

/// What a crash leaves behind, at one or several points that leave the same.
pub struct Image {
    /// The first of them tells what must hold; all of them are counted.
    pub points: Vec<Point>,
    folder: PathBuf,
    world: PathBuf,
}

/// Runs a command in a copy of this world. It must succeed.
pub fn record(world: &World, arguments: &[&str]) -> Recording {
    let copy = world.copy();
    record_command(&copy, copy.command(arguments))
}

/// Like [`record`], for a command that is made already and works on `world` itself.
pub fn record_command(world: &World, mut command: Command) -> Recording {
    let folder = tempfile::Builder::new().prefix("strongroom-images-").tempdir().unwrap();
    command.env("STRONGROOM_IMAGES", folder.path());
    let ran = finished(command);
    assert_eq!(ran.code, Some(0), "{}", ran.all());
    let log = fs::read_to_string(folder.path().join("passages")).unwrap_or_default();
    // Other places than the edges of steps are marked for the memory test.
    let lines = log.lines().filter_map(|line| line.rsplit_once(' '));
    let (passages, images): (Vec<_>, Vec<_>) = lines
        .filter(|(passage, _)| passage.contains(':'))
        .map(|(passage, image)| (passage.to_owned(), image.parse::<usize>().unwrap()))
        .unzip();
    assert!(!passages.is_empty(), "the program was built without its durable steps' names");
    Recording { folder, world: world.path().to_owned(), passages, images }
}

impl Recording {
    /// The first, the middle and the last passage of each name and edge. With `STRONGROOM_STEPS=every`,
    /// all of them; with `STRONGROOM_STEPS=N`, every tenth of all from the N-th on.
    pub fn points(&self) -> Vec<Point> {
        self.points_of(std::env::var("STRONGROOM_STEPS").ok().as_deref())
    }

    /// The passage in the middle, whichever are chosen.
    pub fn middle(&self) -> Point {
        let points = self.points_of(None);
        points[points.len() / 2].clone()
    }

    fn points_of(&self, steps: Option<&str>) -> Vec<Point> {
        let mut places: BTreeMap<&String, Vec<usize>> = BTreeMap::new();
        for (place, passage) in self.passages.iter().enumerate() {
            places.entry(passage).or_default().push(place);
        }
        let mut points = Vec::new();
        for (passage, places) in places {
            let mut chosen = match steps {
                None => vec![0, places.len() / 2, places.len() - 1],
                Some("every") => (0..places.len()).collect(),
                Some(first) => {
                    let first: usize = first.parse().unwrap();
                    let is_chosen = |index: &usize| places[*index] % 10 == first % 10;
                    (0..places.len()).filter(is_chosen).collect()
                }
            };
            chosen.dedup();
            points.extend(chosen.into_iter().map(|index| Point {
                passage: passage.clone(),
                number: index + 1,
                place: places[index],
            }));
        }
        points.sort_by_key(|point| point.place);
        points
    }

    /// The different worlds that a crash at these points leaves, in their order.
    pub fn images(&self, points: impl IntoIterator<Item = Point>) -> Vec<Image> {
        let mut known: BTreeMap<String, usize> = BTreeMap::new();
        let mut images: Vec<Image> = Vec::new();
        for point in points {
            let folder = self.folder_of(&point);
            let at = *known.entry(digest(&folder)).or_insert(images.len());
            if at == images.len() {
                images.push(Image { points: vec![], folder, world: self.world.clone() });
            }
            images[at].points.push(point);
        }
        images
    }

    /// The image of one point.
    pub fn image(&self, point: &Point) -> Image {
        self.images([point.clone()]).remove(0)
    }

    /// The first passage of this name and edge.
    pub fn first(&self, passage: &str) -> Point {
        let place = self.passages.iter().position(|other| other == passage);
        let place = place.unwrap_or_else(|| panic!("{passage} is not among {:?}", self.passages));
        Point { passage: passage.to_owned(), number: 1, place }
    }

    fn folder_of(&self, point: &Point) -> PathBuf {
        self.folder.path().join(self.images[point.place].to_string())
    }
}

impl Image {
    /// A world that is what the crash left.
    pub fn world(&self) -> World {
        let world = World::of_image(&self.folder);
        let file = world.path().join("strongroom.toml");
        if let Ok(text) = fs::read_to_string(&file) {
            // `init` names its store in full, where it ran.
            let [there, here] = [&self.world, world.path()].map(|path| path.display().to_string());
            fs::write(&file, text.replace(&there, &here)).unwrap();
        }
        world
    }

    /// The first point.
    pub fn point(&self) -> &Point {
        &self.points[0]
    }
}

/// What is in a folder: names and bytes. `SQLite`'s shared memory says nothing after a crash.
pub fn digest(folder: &Path) -> String {
    let mut files = files_below(folder);
    files.retain(|file| !file.to_string_lossy().ends_with("-shm"));
    files.sort();
    let mut digest = Sha256::new();
    for file in files {
        let bytes = fs::read(&file).unwrap();
        digest.update(file.strip_prefix(folder).unwrap().to_str().unwrap());
        digest.update([0]);
        digest.update((bytes.len() as u64).to_le_bytes());
        digest.update(bytes);
    }
    hex::encode(digest.finalize())
}

/// Kills the command (SIGKILL) at a point, just after the image of this very passage was taken: what is
/// left, and the image.
pub fn killed(world: &World, mut command: Command, point: &Point) -> (String, String) {
    let folder = tempfile::Builder::new().prefix("strongroom-images-").tempdir().unwrap();
    command.env("STRONGROOM_IMAGES", folder.path());
    command.env("STRONGROOM_CRASH_AT", format!("{}#{}", point.passage, point.number));
    let ran = finished(command);
    assert_eq!(ran.signal, Some(9), "{point:?}: {}", ran.all());
    let log = fs::read_to_string(folder.path().join("passages")).unwrap();
    let (passage, image) = log.lines().last().unwrap().rsplit_once(' ').unwrap();
    assert_eq!(passage, point.passage);
    (digest(world.path()), digest(&folder.path().join(image)))
}

/// Runs a command whose durable step fails at this point: not done at its edge `before`, done all the
/// same at its edge `after`.
pub fn fail(world: &World, arguments: &[&str], point: &Point) -> Ran {
    fail_command(world.command(arguments), point)
}

/// Like [`fail`], for a command that is made already.
pub fn fail_command(mut command: Command, point: &Point) -> Ran {
    let log = tempfile::NamedTempFile::new().unwrap();
    command.env("STRONGROOM_STEP_LOG", log.path());
    command.env("STRONGROOM_FAIL_AT", format!("{}#{}", point.passage, point.number));
    let ran = finished(command);
    let passed = fs::read_to_string(log.path()).unwrap();
    let came = passed.lines().filter(|passage| **passage == point.passage).count();
    assert!(came >= point.number, "{point:?}: the command never came there; {}", ran.all());
    assert!(ran.code.is_some_and(|code| code != 1), "{point:?}: {}", ran.all());
    ran
}
