//! Times: a cron expression in a time zone.
//!
//! Where clocks change, a fixed time (`30 2 * * *`) that is skipped comes at the first moment after the gap, and
//! one that comes twice counts the first time alone; one with a `*` in its minutes or hours follows the clock:
//! what is skipped is skipped, and what comes twice comes twice. The library finds the times of a clock that
//! never changes; which moments these are is decided here.

use chrono::{DateTime, NaiveDateTime, Offset as _, TimeDelta, TimeZone as _, Utc};
use chrono_tz::Tz;
use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};
use time::OffsetDateTime;

/// When a schedule's times are.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    cron: Cron,
    zone: Tz,
    /// Whether it follows the clock where that changes.
    follows: bool,
}

/// No clock changes by more within a day.
const CHANGE: TimeDelta = TimeDelta::hours(3);
/// The longest gap: where a zone crossed the date line, a day.
const GAP_MINUTES: i64 = 26 * 60;

impl Rule {
    /// Reads one. Errors: what is wrong with the expression or the zone.
    pub(crate) fn read(cron: &str, zone: &str) -> Result<Self, String> {
        let follows = cron.trim() == "@hourly" || cron.split_whitespace().take(2).any(|it| it.contains(['*', '?']));
        Ok(Self { cron: expression(cron)?, zone: self::zone(zone)?, follows })
    }

    /// The first time after a moment.
    pub(crate) fn next(&self, after: OffsetDateTime) -> Option<OffsetDateTime> {
        let after = DateTime::from_timestamp(after.unix_timestamp(), 0)?;
        let offset = |at: DateTime<Utc>| self.zone.offset_from_utc_datetime(&at.naive_utc()).fix();
        // What the clock shows a second time may come later than what it shows next.
        let changes = offset(after - CHANGE) != offset(after + CHANGE);
        let shown = after.with_timezone(&self.zone).naive_local();
        let mut clock = if changes { shown - CHANGE } else { shown }.and_utc();
        let mut best: Option<DateTime<Utc>> = None;
        while let Ok(next) = self.cron.find_next_occurrence(&clock, false) {
            clock = next;
            let (first, second) = self.moments(clock.naive_utc());
            if let (Some(best), Some(first)) = (best, first)
                && first >= best
            {
                break;
            }
            let later = [first, second].into_iter().flatten().filter(|moment| *moment > after);
            best = later.chain(best).min();
            if best.is_some() && !changes {
                break;
            }
        }
        OffsetDateTime::from_unix_timestamp(best?.timestamp()).ok()
    }

    /// The moments at which the clock shows a time, as far as they count.
    fn moments(&self, shown: NaiveDateTime) -> (Option<DateTime<Utc>>, Option<DateTime<Utc>>) {
        let found = self.zone.from_local_datetime(&shown);
        let (first, second) = (found.earliest(), found.latest());
        match (first, second) {
            (Some(first), Some(second)) => {
                let again = self.follows && second != first;
                (Some(first.to_utc()), again.then(|| second.to_utc()))
            }
            _ if self.follows => (None, None),
            _ => {
                let after = (1..GAP_MINUTES).map(|minutes| shown + TimeDelta::minutes(minutes));
                let end = after.filter_map(|shown| self.zone.from_local_datetime(&shown).earliest());
                (end.map(|end| end.to_utc()).next(), None)
            }
        }
    }

    /// The last time after one moment and up to another.
    pub(crate) fn latest(&self, after: OffsetDateTime, until: OffsetDateTime) -> Option<OffsetDateTime> {
        // From close by to far away: however dense the times are, few are looked at.
        const SPANS: [i64; 4] = [60 * 60, 24 * 60 * 60, 32 * 24 * 60 * 60, 5 * 366 * 24 * 60 * 60];
        for span in SPANS {
            let from = until.saturating_sub(time::Duration::seconds(span)).max(after);
            let times = std::iter::successors(self.next(from), |time| self.next(*time));
            if let Some(last) = times.take_while(|time| *time <= until).last() {
                return Some(last);
            }
            if from == after {
                return None;
            }
        }
        None
    }
}

/// A cron expression of five fields. Errors: it is none, or has no times.
pub(crate) fn expression(text: &str) -> Result<Cron, String> {
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    let cron = parser.parse(text).map_err(|error| format!("`{text}` is no schedule: {error}"))?;
    // Such as the thirtieth of February.
    let start = DateTime::<Utc>::UNIX_EPOCH + TimeDelta::days(365 * 55);
    cron.find_next_occurrence(&start, false).map_err(|_| format!("`{text}` never comes"))?;
    Ok(cron)
}

/// A time zone. Errors: it is none.
pub(crate) fn zone(text: &str) -> Result<Tz, String> {
    text.parse().map_err(|_| format!("unknown time zone `{text}`"))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use time::{format_description::well_known::Rfc3339, macros::datetime};

    use super::*;

    fn times(cron: &str, zone: &str, after: OffsetDateTime, count: usize) -> Vec<String> {
        let rule = Rule::read(cron, zone).unwrap();
        let times = std::iter::successors(rule.next(after), |time| rule.next(*time)).take(count);
        times.map(|time| time.format(&Rfc3339).unwrap()).collect()
    }

    #[test]
    fn a_fixed_time_that_is_skipped_comes_after_the_gap_and_one_that_comes_twice_counts_once() {
        // Clocks in Berlin go from 02:00 to 03:00 on 29 March 2026, at 01:00 UTC.
        assert_eq!(
            times("30 2 * * *", "Europe/Berlin", datetime!(2026-03-28 00:00 UTC), 3),
            ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]
        );
        // And from 03:00 back to 02:00 on 25 October 2026, at 01:00 UTC.
        assert_eq!(
            times("30 2 * * *", "Europe/Berlin", datetime!(2026-10-24 12:00 UTC), 2),
            ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]
        );
        // The same in New York: 8 March and 1 November 2026.
        assert_eq!(
            times("15 2 * * *", "America/New_York", datetime!(2026-03-07 12:00 UTC), 2),
            ["2026-03-08T07:00:00Z", "2026-03-09T06:15:00Z"]
        );
        assert_eq!(
            times("15 1 * * *", "America/New_York", datetime!(2026-11-01 00:00 UTC), 2),
            ["2026-11-01T05:15:00Z", "2026-11-02T06:15:00Z"]
        );
    }

    #[test]
    fn a_time_of_every_hour_follows_the_clock() {
        assert_eq!(
            times("0 * * * *", "Europe/Berlin", datetime!(2026-03-28 23:30 UTC), 3),
            ["2026-03-29T00:00:00Z", "2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"]
        );
        assert_eq!(
            times("*/30 * * * *", "Europe/Berlin", datetime!(2026-10-24 23:59 UTC), 5),
            [
                "2026-10-25T00:00:00Z",
                "2026-10-25T00:30:00Z",
                "2026-10-25T01:00:00Z",
                "2026-10-25T01:30:00Z",
                "2026-10-25T02:00:00Z"
            ]
        );
    }

    #[test]
    fn several_times_in_one_gap_come_once_and_several_in_a_fold_once_each() {
        assert_eq!(
            times("15,45 2,3 * * *", "Europe/Berlin", datetime!(2026-03-29 00:00 UTC), 4),
            ["2026-03-29T01:00:00Z", "2026-03-29T01:15:00Z", "2026-03-29T01:45:00Z", "2026-03-30T00:15:00Z"]
        );
        assert_eq!(
            times("15,45 2,3 * * *", "Europe/Berlin", datetime!(2026-10-24 23:00 UTC), 5),
            [
                "2026-10-25T00:15:00Z",
                "2026-10-25T00:45:00Z",
                "2026-10-25T02:15:00Z",
                "2026-10-25T02:45:00Z",
                "2026-10-26T01:15:00Z"
            ]
        );
        assert_eq!(
            times("*/20 2 * * *", "Europe/Berlin", datetime!(2026-10-24 23:00 UTC), 7).last().map(String::as_str),
            Some("2026-10-26T01:00:00Z"),
            "six times on that day"
        );
        // Samoa left out the 30th of December 2011.
        assert_eq!(
            times("0 9 * * *", "Pacific/Apia", datetime!(2011-12-28 20:00 UTC), 3),
            ["2011-12-29T19:00:00Z", "2011-12-30T10:00:00Z", "2011-12-30T19:00:00Z"]
        );
    }

    #[test]
    fn the_last_time_is_found_however_long_ago() {
        let until = datetime!(2026-11-23 10:07:30 UTC);
        for (cron, after, expect) in [
            ("* * * * *", datetime!(2020-01-01 00:00 UTC), Some(datetime!(2026-11-23 10:07 UTC))),
            ("0 9 * * *", datetime!(2026-11-20 00:00 UTC), Some(datetime!(2026-11-23 09:00 UTC))),
            ("0 9 1 * *", datetime!(2026-01-20 00:00 UTC), Some(datetime!(2026-11-01 09:00 UTC))),
            ("0 0 29 2 *", datetime!(2020-01-20 00:00 UTC), Some(datetime!(2024-02-29 00:00 UTC))),
            ("0 9 * * *", datetime!(2026-11-23 09:00 UTC), None),
            ("7 10 * * *", datetime!(2026-11-23 10:06:59 UTC), Some(datetime!(2026-11-23 10:07 UTC))),
        ] {
            assert_eq!(Rule::read(cron, "UTC").unwrap().latest(after, until), expect, "{cron}");
        }
    }

    #[test]
    fn what_is_no_schedule_is_refused() {
        for text in ["", "* * * *", "* * * * * *", "60 * * * *", "a b c d e", "0 0 30 2 *"] {
            assert!(expression(text).is_err(), "{text}");
        }
        for text in ["0 9 * * MON-FRI", "*/15 8-18 * * *", "0 0 L * *", "@daily"] {
            assert!(expression(text).is_ok(), "{text}");
        }
        assert!(zone("Europe/Berlin").is_ok() && zone("Europe/Berlyn").is_err());
    }
}
