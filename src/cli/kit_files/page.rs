//! The recovery kit as a page: plain text, or HTML with a QR code, black on white, for one sheet of
//! A4. Nothing in it is loaded from elsewhere.

use qrcode::{Color, EcLevel, QrCode};
use zeroize::Zeroizing;

use crate::cli::values::without_passwords;
use crate::keys::master::kit::for_code;
use crate::ops::kit::RecoveryKit;
use crate::vault::OpsError;

/// More than a page needs, in bytes, so that growing leaves no copy of the secret behind.
const PAGE_BYTES: usize = 128 << 10;
/// The white border that a QR code needs, in modules (ISO/IEC 18004, section 9.1).
const QUIET_MODULES: usize = 4;

/// What the page says besides the kit's lines: a heading, and what is below it.
const EXPLAINED: [(&str, &str); 5] = [
    (
        "What this is",
        "This page holds the master secret of a strongroom vault: one of the two secrets that its \
         backups open with. The other one, the epoch secret, is kept by the vault's custodians and \
         is never printed, because its destruction is what makes an erased person forgotten.",
    ),
    (
        "What it opens",
        "By itself, nothing. Together with the store and enough custodians it opens every backup, \
         without the vault's passphrase or identity. It opens nothing of a person who was erased, \
         however old this page is.",
    ),
    (
        "Where to keep it",
        "On paper, in two places that do not burn together. Not in the store, not with a custodian, \
         not on the vault's machine and not in a photograph. If this is a file, print it and destroy \
         the file.",
    ),
    (
        "How to recover",
        "Install strongroom on another machine and connect the custodians. Type the lines above \
         into a file, or scan the code into one: spaces, line breaks and capitals do not matter, and \
         a line that is mistyped is named. Then run: strongroom recover --store STORE --kit FILE",
    ),
    (
        "When to print it anew",
        "Erasures, backups and changes of custodians leave it right. Only `strongroom keys \
         rotate-master` makes a new master secret: print a new kit then, and destroy this one.",
    ),
];

/// The page as plain text.
pub fn text(kit: &RecoveryKit) -> Zeroizing<String> {
    let mut page = Zeroizing::new(String::with_capacity(PAGE_BYTES));
    page.push_str(&format!("RECOVERY KIT of the strongroom vault {}\n", kit.vault));
    page.push_str(&format!("Printed {}. Secret: keep it like a key.\n\n", printed(kit)));
    page.push_str(&kit.lines);
    for (heading, paragraph) in EXPLAINED {
        page.push_str(&format!("\n{}\n{}", heading.to_uppercase(), wrapped(paragraph, 78)));
    }
    page.push_str("\nNOTES OF THAT DAY\n");
    for (name, value) in notes(kit) {
        page.push_str(&format!("{name:<11}{value}\n"));
    }
    page
}

/// The page as HTML, to be printed from a browser.
pub fn html(kit: &RecoveryKit) -> Result<Zeroizing<String>, OpsError> {
    let mut page = Zeroizing::new(String::with_capacity(PAGE_BYTES));
    page.push_str(HEAD);
    page.push_str(&format!("<h1>Recovery kit</h1>\n<p>of the strongroom vault {}, ", kit.vault));
    page.push_str(&format!("printed {}. Secret: keep it like a key.</p>\n", printed(kit)));
    page.push_str("<pre>\n");
    page.push_str(&kit.lines);
    page.push_str("</pre>\n<div class=\"code\">\n");
    push_code(&mut page, &for_code(&kit.lines))?;
    page.push_str("<p>The code holds the lines above.</p>\n</div>\n");
    for (heading, paragraph) in EXPLAINED {
        page.push_str(&format!("<h2>{heading}</h2>\n<p>{}</p>\n", escaped(paragraph)));
    }
    page.push_str("<h2>Notes of that day</h2>\n<table>\n");
    for (name, value) in notes(kit) {
        page.push_str(&format!("<tr><td>{name}</td><td>{}</td></tr>\n", escaped(&value)));
    }
    page.push_str("</table>\n</body>\n</html>\n");
    Ok(page)
}

const HEAD: &str = "<!DOCTYPE html>
<html lang=\"en\">
<head>
<meta charset=\"utf-8\">
<title>Recovery kit</title>
<style>
@page { size: A4; margin: 16mm }
body { font: 10pt/1.35 serif; color: #000; background: #fff; max-width: 178mm; margin: 0 auto }
h1 { font-size: 16pt; margin: 0 }
h2 { font-size: 10.5pt; margin: 3mm 0 0 }
p { margin: 0.5mm 0 0 }
pre { font: bold 11pt/1.5 monospace; border: 0.4mm solid #000; padding: 3mm; margin: 4mm 0 }
.code { float: right; width: 66mm; margin: 0 0 2mm 5mm; text-align: center; font-size: 8pt }
.code svg { width: 66mm; height: 66mm; display: block }
td { padding: 0 4mm 0 0; vertical-align: top; overflow-wrap: anywhere }
</style>
</head>
<body>
";

fn printed(kit: &RecoveryKit) -> String {
    kit.printed_at.format("%Y-%m-%d %H:%M UTC").to_string()
}

fn notes(kit: &RecoveryKit) -> Vec<(&'static str, String)> {
    let mut notes = vec![("store", without_passwords(&kit.store))];
    notes.extend(kit.custodians.iter().map(|name| ("custodian", without_passwords(name))));
    if kit.custodians.len() > 1 {
        let needed = format!("{} of these {} custodians", kit.threshold, kit.custodians.len());
        notes.push(("needed", needed));
    }
    notes
}

/// The text as a QR code in SVG: one path of black runs, row by row.
fn push_code(page: &mut String, text: &str) -> Result<(), OpsError> {
    // Level Q: a quarter of the code may be stained or folded away.
    let code = QrCode::with_error_correction_level(text, EcLevel::Q)
        .map_err(|_| OpsError::Bug("the recovery kit does not fit a QR code"))?;
    let width = code.width();
    let side = width + 2 * QUIET_MODULES;
    page.push_str(&format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {side} {side}\" \
         shape-rendering=\"crispEdges\"><rect width=\"{side}\" height=\"{side}\" fill=\"#fff\"/>\
         <path fill=\"#000\" d=\""
    ));
    for y in 0..width {
        let mut x = 0;
        while x < width {
            let begin = x;
            while x < width && code[(x, y)] == Color::Dark {
                x += 1;
            }
            if x > begin {
                let (left, top, run) = (begin + QUIET_MODULES, y + QUIET_MODULES, x - begin);
                page.push_str(&format!("M{left} {top}h{run}v1h-{run}z"));
            } else {
                x += 1;
            }
        }
    }
    page.push_str("\"/></svg>\n");
    Ok(())
}

fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('"', "&quot;")
}

/// Lines of at most so many characters, where words allow it.
fn wrapped(text: &str, columns: usize) -> String {
    let mut lines = String::new();
    let mut length = 0;
    for word in text.split(' ') {
        let width = word.chars().count();
        if length > 0 && length + 1 + width > columns {
            lines.push('\n');
            length = 0;
        } else if length > 0 {
            lines.push(' ');
            length += 1;
        }
        lines.push_str(word);
        length += width;
    }
    lines + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::VaultId;
    use crate::keys::MasterSecret;
    use crate::keys::master::kit;

    fn example() -> RecoveryKit {
        let master = MasterSecret::from_slice(&[0xa7; 32]).unwrap();
        RecoveryKit {
            vault: VaultId([5; 16]),
            lines: kit::write(VaultId([5; 16]), &master),
            printed_at: "2026-11-24T02:10:00Z".parse().unwrap(),
            store: "s3://key:hunter2@host/<bucket>".to_owned(),
            custodians: vec!["the file custodian /media/a".to_owned(), "\"b\"".to_owned()],
            threshold: 1,
        }
    }

    /// What the QR code of a page says, drawn from its path and read by another library.
    fn scanned(page: &str, stain: bool) -> Option<String> {
        const SCALE: usize = 4;
        let side = page.split("viewBox=\"0 0 ").nth(1)?.split(' ').next()?.parse::<usize>().ok()?;
        let path = page.split(" d=\"").nth(1)?.split('"').next()?;
        let mut dark = vec![false; side * side];
        for run in path.split_terminator('z') {
            let numbers: Vec<usize> = run
                .split(|c: char| !c.is_ascii_digit())
                .filter_map(|number| number.parse().ok())
                .collect();
            let [left, top, length, _, _] = numbers[..] else { panic!("{run}") };
            dark[top * side + left..top * side + left + length].fill(true);
        }
        let pixels = side * SCALE;
        let mut image = rqrr::PreparedImage::prepare_from_greyscale(pixels, pixels, |x, y| {
            let (x, y) = (x / SCALE, y / SCALE);
            let stained = stain && (30..42).contains(&x) && (30..42).contains(&y);
            if stained || dark[y * side + x] { 0 } else { 255 }
        });
        let grids = image.detect_grids();
        Some(grids.first()?.decode().ok()?.1)
    }

    #[test]
    fn both_pages_are_kits_that_are_read_back() {
        let example = example();
        for page in [text(&example), html(&example).unwrap()] {
            let read = kit::read(page.as_bytes()).unwrap();
            assert_eq!(read.vault, example.vault);
            assert_eq!(read.master.expose(), &[0xa7; 32]);
            assert!(page.len() < PAGE_BYTES, "{}", page.len());
            assert!(!page.contains("hunter2"));
            assert!(page.contains("the file custodian /media/a"));
        }
    }

    #[test]
    fn the_code_is_scanned_to_the_same_kit_even_stained() {
        let page = html(&example()).unwrap();
        for stain in [false, true] {
            let text = scanned(&page, stain).unwrap();
            assert_eq!(kit::read(text.as_bytes()).unwrap().master.expose(), &[0xa7; 32]);
        }
    }

    #[test]
    fn the_text_fits_a_sheet_and_the_page_loads_nothing() {
        let example = example();
        let text = text(&example);
        assert!(text.lines().count() <= 60, "{} lines", text.lines().count());
        assert!(text.lines().all(|line| line.chars().count() <= 78), "{}", *text);
        let page = html(&example).unwrap();
        assert!(page.contains("s3://…@host/&lt;bucket&gt;") && page.contains("&quot;b&quot;"));
        let elsewhere = page.replace("http://www.w3.org/2000/svg", "");
        for word in ["http", "src=", "href", "url(", "<script", "@import"] {
            assert!(!elsewhere.contains(word), "{word}");
        }
    }
}
