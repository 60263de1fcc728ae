//! Dates, times and intervals (`date.c`, `timestamp.c`, `datetime.c`), as `DateStyle = ISO`,
//! `IntervalStyle = postgres` and `TimeZone = UTC` print them.

use super::{Malformed, fixed, integer, padded};

const MICROSECONDS_OF_SECOND: u64 = 1_000_000;
const MICROSECONDS_OF_DAY: i64 = 86_400_000_000;
/// Days of the type's first day (24 November 4714 BC), and after its last (in 5874898), since 2000.
const DATE_FIRST: i32 = -2_451_545;
const DATE_END: i32 = 2_145_031_949;
/// Microseconds of the type's first moment, and after its last (in 294277), since 2000.
const TIMESTAMP_FIRST: i64 = -211_813_488_000_000_000;
const TIMESTAMP_END: i64 = 9_223_371_331_200_000_000;
/// Zones are less than this many seconds from UTC.
const ZONE_END: i32 = 16 * 3600;

/// Days since 2000.
pub(super) fn date(days: i32, out: &mut Vec<u8>) -> Result<(), Malformed> {
    match days {
        i32::MAX => out.extend_from_slice(b"infinity"),
        i32::MIN => out.extend_from_slice(b"-infinity"),
        DATE_FIRST..DATE_END => {
            let year = year_month_day(days.into(), out);
            era(year, out);
        }
        _ => return Err(Malformed),
    }
    Ok(())
}

/// Microseconds since midnight; 24:00 is a time.
pub(super) fn time(microseconds: i64, out: &mut Vec<u8>) -> Result<(), Malformed> {
    if !(0..=MICROSECONDS_OF_DAY).contains(&microseconds) {
        return Err(Malformed);
    }
    clock(microseconds.unsigned_abs(), out);
    Ok(())
}

/// A time and its zone in seconds west of UTC.
pub(super) fn time_with_zone(value: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    let (microseconds, zone) = value.split_first_chunk().ok_or(Malformed)?;
    let zone = i32::from_be_bytes(fixed(zone)?);
    time(i64::from_be_bytes(*microseconds), out)?;
    if zone.checked_abs().is_none_or(|seconds| seconds >= ZONE_END) {
        return Err(Malformed);
    }
    out.push(if zone <= 0 { b'+' } else { b'-' });
    let (hours, minutes, seconds) = parts(zone.unsigned_abs().into());
    padded(hours, 2, out);
    if minutes > 0 || seconds > 0 {
        out.push(b':');
        padded(minutes, 2, out);
    }
    if seconds > 0 {
        out.push(b':');
        padded(seconds, 2, out);
    }
    Ok(())
}

/// Microseconds since 2000, and how the zone is written.
pub(super) fn timestamp(microseconds: i64, zone: &str, out: &mut Vec<u8>) -> Result<(), Malformed> {
    match microseconds {
        i64::MAX => out.extend_from_slice(b"infinity"),
        i64::MIN => out.extend_from_slice(b"-infinity"),
        TIMESTAMP_FIRST..TIMESTAMP_END => {
            let year = year_month_day(microseconds.div_euclid(MICROSECONDS_OF_DAY), out);
            out.push(b' ');
            clock(microseconds.rem_euclid(MICROSECONDS_OF_DAY).unsigned_abs(), out);
            out.extend_from_slice(zone.as_bytes());
            era(year, out);
        }
        _ => return Err(Malformed),
    }
    Ok(())
}

/// Microseconds, days and months, each with a sign of its own.
pub(super) fn interval(value: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    let value: [u8; 16] = fixed(value)?;
    let (microseconds, rest) = value.split_first_chunk().ok_or(Malformed)?;
    let (days, months) = rest.split_first_chunk().ok_or(Malformed)?;
    let microseconds = i64::from_be_bytes(*microseconds);
    let (days, months) = (i32::from_be_bytes(*days), i32::from_be_bytes(fixed(months)?));
    // Infinity is known from version 17 on; before, these are an interval of 178 million years.
    match (microseconds, days, months) {
        (i64::MAX, i32::MAX, i32::MAX) => {
            out.extend_from_slice(b"infinity");
            return Ok(());
        }
        (i64::MIN, i32::MIN, i32::MIN) => {
            out.extend_from_slice(b"-infinity");
            return Ok(());
        }
        _ => {}
    }
    let mut is_first = true;
    // A positive part after a negative one has a sign.
    let mut is_after_negative = false;
    for (number, unit) in [(months / 12, "year"), (months % 12, "mon"), (days, "day")] {
        if number == 0 {
            continue;
        }
        if !is_first {
            out.push(b' ');
        }
        if is_after_negative && number > 0 {
            out.push(b'+');
        }
        integer(number, out);
        out.push(b' ');
        out.extend_from_slice(unit.as_bytes());
        if number != 1 {
            out.push(b's');
        }
        is_first = false;
        is_after_negative = number < 0;
    }
    if is_first || microseconds != 0 {
        if !is_first {
            out.push(b' ');
        }
        if microseconds < 0 {
            out.push(b'-');
        } else if is_after_negative {
            out.push(b'+');
        }
        clock(microseconds.unsigned_abs(), out);
    }
    Ok(())
}

/// Hours (as many digits as they need, two at least), minutes and seconds.
fn parts(seconds: u64) -> (u64, u64, u64) {
    (seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// `hh:mm:ss`, and the fraction without zeros at its end.
fn clock(microseconds: u64, out: &mut Vec<u8>) {
    let (hours, minutes, seconds) = parts(microseconds / MICROSECONDS_OF_SECOND);
    padded(hours, 2, out);
    out.push(b':');
    padded(minutes, 2, out);
    out.push(b':');
    padded(seconds, 2, out);
    let fraction = microseconds % MICROSECONDS_OF_SECOND;
    if fraction > 0 {
        out.push(b'.');
        padded(fraction, 6, out);
        while out.pop_if(|digit| *digit == b'0').is_some() {}
    }
}

/// `yyyy-mm-dd` of a day since 2000, and its year as astronomers count: 0 is 1 BC.
///
/// The Gregorian calendar for all times. A year that begins in March ends with its leap day.
fn year_month_day(days: i64, out: &mut Vec<u8>) -> i64 {
    const DAYS_OF_400_YEARS: i64 = 146_097;
    // 1 March of the year 0 is day 0 of an era of 400 years.
    let days = days + 730_425;
    let era = days.div_euclid(DAYS_OF_400_YEARS);
    let day_of_era = days.rem_euclid(DAYS_OF_400_YEARS);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    padded(if year > 0 { year } else { 1 - year }.unsigned_abs(), 4, out);
    out.push(b'-');
    padded(month.unsigned_abs(), 2, out);
    out.push(b'-');
    padded(day.unsigned_abs(), 2, out);
    year
}

/// A year before the first is named so, at the end.
fn era(year: i64, out: &mut Vec<u8>) {
    if year <= 0 {
        out.extend_from_slice(b" BC");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{Datelike as _, Days, NaiveDate};

    fn text(print: impl FnOnce(&mut Vec<u8>) -> Result<(), Malformed>) -> Option<String> {
        let mut out = Vec::new();
        print(&mut out).ok().map(|()| String::from_utf8(out).unwrap())
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        let first = NaiveDate::from_ymd_opt(1, 1, 1).unwrap();
        for day in (0..4_000_000).step_by(97) {
            let expected = first.checked_add_days(Days::new(day)).unwrap();
            let since_2000 = expected.num_days_from_ce() - 730_120;
            let printed = text(|out| date(since_2000, out)).unwrap();
            let (year, month, day) = (expected.year(), expected.month(), expected.day());
            assert_eq!(printed, format!("{year:04}-{month:02}-{day:02}"));
        }
        assert_eq!(text(|out| date(DATE_FIRST, out)).unwrap(), "4714-11-24 BC");
        assert_eq!(text(|out| date(DATE_END - 1, out)).unwrap(), "5874897-12-31");
        assert_eq!(text(|out| date(DATE_END, out)), None);
        assert_eq!(text(|out| date(i32::MAX, out)).unwrap(), "infinity");
    }

    #[test]
    fn moments_have_no_zeros_at_their_end() {
        let of = |microseconds| text(|out| timestamp(microseconds, "+00", out));
        assert_eq!(of(0).unwrap(), "2000-01-01 00:00:00+00");
        assert_eq!(of(-500_000).unwrap(), "1999-12-31 23:59:59.5+00");
        assert_eq!(of(TIMESTAMP_FIRST).unwrap(), "4714-11-24 00:00:00+00 BC");
        assert_eq!(of(TIMESTAMP_END), None);
        assert_eq!(text(|out| time(MICROSECONDS_OF_DAY, out)).unwrap(), "24:00:00");
    }

    #[test]
    fn each_part_of_an_interval_has_its_sign() {
        let of = |microseconds: i64, days: i32, months: i32| {
            let value =
                [&microseconds.to_be_bytes()[..], &days.to_be_bytes(), &months.to_be_bytes()];
            text(|out| interval(&value.concat(), out)).unwrap()
        };
        assert_eq!(of(0, 0, 0), "00:00:00");
        assert_eq!(of(1, 1, 13), "1 year 1 mon 1 day 00:00:00.000001");
        assert_eq!(of(3_600_000_000, 2, -14), "-1 years -2 mons +2 days 01:00:00");
        assert_eq!(of(-1_500_000, -1, 0), "-1 days -00:00:01.5");
        assert_eq!(of(1_000_000, -1, 0), "-1 days +00:00:01");
        assert_eq!(of(i64::MIN, 0, 0), "-2562047788:00:54.775808");
        assert_eq!(of(i64::MAX, i32::MAX, i32::MAX), "infinity");
    }
}
