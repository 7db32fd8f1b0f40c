//! Durations as workflows write them: `500ms`, `30s`, `5m`, `2h`, `1d`.

use std::time::Duration;

/// Reads one. `None` if it is not of that form.
pub(crate) fn read(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (count, unit) = text.split_at_checked(digits)?;
    let count: u64 = count.parse().ok()?;
    let seconds = match unit {
        "ms" => return Some(Duration::from_millis(count)),
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return None,
    };
    count.checked_mul(seconds).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_and_a_unit() {
        assert_eq!(read("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(read("90s"), Some(Duration::from_secs(90)));
        assert_eq!(read("5m"), Some(Duration::from_secs(300)));
        assert_eq!(read("2h"), Some(Duration::from_secs(7200)));
        assert_eq!(read("1d"), Some(Duration::from_secs(86_400)));
        for text in ["", "5", "s", "5 s", "-5s", "1.5h", "5S", "99999999999999999999d"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
