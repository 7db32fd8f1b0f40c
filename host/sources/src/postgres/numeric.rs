//! `numeric` in PostgreSQL's own form: groups of four decimal digits. Exact, whatever its length.

const GROUP: usize = 4;
const NEGATIVE: u16 = 0x4000;

/// Decimal digits, checked to be such, as the server takes them.
pub(super) fn encode(digits: &str) -> Option<Vec<u8>> {
    let negative = digits.starts_with('-');
    let (whole, part) =
        digits.trim_start_matches(['-', '+']).split_once('.').unwrap_or((digits.trim_start_matches(['-', '+']), ""));
    let whole = whole.trim_start_matches('0');
    let lead = whole.len().div_ceil(GROUP) * GROUP;
    let tail = part.len().div_ceil(GROUP) * GROUP;
    let padded = format!("{whole:0>lead$}{part:0<tail$}");
    let mut groups = Vec::with_capacity(padded.len() / GROUP);
    for group in padded.as_bytes().chunks(GROUP) {
        groups.push(std::str::from_utf8(group).ok()?.parse::<i16>().ok()?);
    }
    let mut weight = i16::try_from(lead / GROUP).ok()? - 1;
    let zeros = groups.iter().take_while(|group| **group == 0).count();
    groups.drain(..zeros);
    weight -= i16::try_from(zeros).ok()?;
    while groups.last() == Some(&0) {
        groups.pop();
    }
    if groups.is_empty() {
        weight = 0;
    }
    let sign = if negative && !groups.is_empty() { NEGATIVE } else { 0 };
    let mut bytes = Vec::with_capacity(8 + 2 * groups.len());
    bytes.extend(i16::try_from(groups.len()).ok()?.to_be_bytes());
    bytes.extend(weight.to_be_bytes());
    bytes.extend(sign.to_be_bytes());
    bytes.extend(u16::try_from(part.len()).ok()?.to_be_bytes());
    for group in groups {
        bytes.extend(group.to_be_bytes());
    }
    Some(bytes)
}

/// The decimal digits of what the server gave, with as many after the point as it shows; `None` if
/// they can't be read. What is no number is told by its name.
pub(super) fn decode(bytes: &[u8]) -> Option<Result<String, &'static str>> {
    let (head, groups) = bytes.split_at_checked(8)?;
    let word = |at: usize| head.get(at..at + 2).and_then(|two| two.try_into().ok()).map(u16::from_be_bytes);
    let (weight, sign, scale) = (word(2)?.cast_signed(), word(4)?, usize::from(word(6)?));
    match sign {
        0 | NEGATIVE => {}
        0xC000 => return Some(Err("NaN")),
        0xD000 => return Some(Err("Infinity")),
        0xF000 => return Some(Err("-Infinity")),
        _ => return None,
    }
    let mut digits = groups.chunks_exact(2).map(|two| two.try_into().map_or(0, u16::from_be_bytes));
    let mut text = String::from(if sign == NEGATIVE { "-" } else { "" });
    if weight < 0 {
        text.push('0');
    }
    for at in 0..=weight {
        let group = digits.next().unwrap_or(0);
        text.push_str(&if at == 0 { group.to_string() } else { format!("{group:04}") });
    }
    if scale > 0 {
        let mut part = "0000".repeat(usize::from((-1 - weight.min(-1)).unsigned_abs()).min(scale.div_ceil(GROUP)));
        while part.len() < scale {
            part.push_str(&format!("{:04}", digits.next().unwrap_or(0)));
        }
        part.truncate(scale);
        text.push('.');
        text.push_str(&part);
    }
    Some(Ok(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_come_back_as_they_went() {
        for digits in [
            "0",
            "0.00",
            "1",
            "-1",
            "9999",
            "10000",
            "10000.0001",
            "0.0001",
            "0.00001",
            "-0.000000001",
            "12.50",
            "100000000",
            "-1234567890.10",
            "12345678901234567890123456789012345678901234567890.123456789012345",
        ] {
            let told = encode(digits).and_then(|bytes| decode(&bytes));
            assert_eq!(told, Some(Ok(digits.to_owned())), "{digits}");
        }
        for (written, told) in [("+007.5", "7.5"), ("-0", "0"), ("-0.0", "0.0"), ("000", "0")] {
            assert_eq!(encode(written).and_then(|bytes| decode(&bytes)), Some(Ok(told.to_owned())), "{written}");
        }
        assert_eq!(decode(&[0, 0, 0, 0, 0xC0, 0, 0, 0]), Some(Err("NaN")));
        assert_eq!(decode(&[0, 0, 0]), None);
    }
}
