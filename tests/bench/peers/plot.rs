//! The ratios as a picture: each bar against its own target, which is one line for all of them.

use std::fmt::Write as _;

use crate::report::Check;

const ROW_HEIGHT: usize = 26;
const NAMES_WIDTH: f64 = 420.0;
const BARS_WIDTH: f64 = 330.0;
const WIDTH: f64 = 940.0;
const TOP: usize = 34;
/// How many times its target the widest bar is; what is more ends there, with its figure beside it.
const TARGETS_SHOWN: f64 = 3.0;

/// An SVG of all checks that have a target.
pub fn draw(checks: &[Check]) -> String {
    let checks: Vec<_> = checks.iter().filter(|check| check.limit.is_some()).collect();
    let height = TOP + checks.len() * ROW_HEIGHT + 8;
    let scale = BARS_WIDTH / TARGETS_SHOWN;
    let target = NAMES_WIDTH + scale;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <title>strongroom against its targets: shorter is better</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"{target}\" y=\"18\" text-anchor=\"middle\" fill=\"#333333\">target</text>\n"
    );
    for (place, check) in checks.iter().enumerate() {
        let limit = check.limit.unwrap_or(1.0);
        let at = |value: f64| (value / limit).clamp(0.0, TARGETS_SHOWN) * scale;
        let top = TOP + place * ROW_HEIGHT;
        let (text, middle) = (top + 15, top + 10);
        let colour = if check.is_met() == Some(true) { "#2f7d4f" } else { "#b3452c" };
        let bar = at(check.value).max(1.0);
        let (least, most) = (NAMES_WIDTH + at(check.least), NAMES_WIDTH + at(check.most));
        let name = check.name.replace('&', "&amp;").replace('<', "&lt;");
        let (end, start) = (NAMES_WIDTH - 8.0, NAMES_WIDTH + BARS_WIDTH + 8.0);
        let _ = writeln!(
            svg,
            "<text x=\"{end}\" y=\"{text}\" text-anchor=\"end\" fill=\"#333333\">{name}</text>\n\
             <rect x=\"{NAMES_WIDTH}\" y=\"{top}\" width=\"{bar:.1}\" height=\"20\" fill=\"{colour}\"/>\n\
             <path d=\"M{least:.1} {middle}H{most:.1}\" stroke=\"#111111\"/>\n\
             <text x=\"{start}\" y=\"{text}\" fill=\"#333333\">{} (at most {})</text>",
            check.shown(check.value),
            check.shown(limit),
        );
    }
    let _ = writeln!(
        svg,
        "<path d=\"M{target} 24V{height}\" stroke=\"#333333\" stroke-dasharray=\"4 3\"/>\n</svg>"
    );
    svg
}
