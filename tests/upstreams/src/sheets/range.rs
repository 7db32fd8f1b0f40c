//! Ranges in A1 notation: `A1`, `A1:C3`, `A:C`, `A2:C`.

/// Cells by row and column, counted from 0; the ends are included, and open where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) top: usize,
    pub(super) left: usize,
    bottom: Option<usize>,
    right: Option<usize>,
}

impl Range {
    /// All cells.
    pub(super) const ALL: Self = Self { top: 0, left: 0, bottom: None, right: None };

    pub(super) fn parse(text: &str) -> Option<Self> {
        let (first, last) = match text.split_once(':') {
            Some((first, last)) => (corner(first)?, corner(last)?),
            None => (corner(text)?, corner(text)?),
        };
        let (left, top) = (first.0?, first.1.unwrap_or_default());
        let ordered = last.0.is_none_or(|right| right >= left) && last.1.is_none_or(|bottom| bottom >= top);
        ordered.then_some(Self { top, left, bottom: last.1, right: last.0 })
    }

    pub(super) fn height(self) -> usize {
        self.bottom.map_or(usize::MAX, |bottom| bottom - self.top + 1)
    }

    pub(super) fn width(self) -> usize {
        self.right.map_or(usize::MAX, |right| right - self.left + 1)
    }

    /// The same columns, from another row.
    pub(super) fn at_row(self, top: usize) -> Self {
        Self { top, ..self }
    }

    /// As many cells from the same corner.
    pub(super) fn covering(self, rows: usize, columns: usize) -> Self {
        let last = |from: usize, count: usize| Some(from + count.max(1) - 1);
        Self { bottom: last(self.top, rows), right: last(self.left, columns), ..self }
    }

    /// With the sheet's title before it, in quotes where it is not one word.
    pub(super) fn text(self, title: &str) -> String {
        let plain = title.chars().all(|c| c.is_ascii_alphanumeric());
        let title = if plain { title.to_owned() } else { format!("'{title}'") };
        if self == Self::ALL {
            return title;
        }
        let cell = |column: Option<usize>, row: Option<usize>| {
            format!(
                "{}{}",
                column.map(letters).unwrap_or_default(),
                row.map(|row| (row + 1).to_string()).unwrap_or_default()
            )
        };
        let (first, last) = (cell(Some(self.left), Some(self.top)), cell(self.right, self.bottom));
        if first == last { format!("{title}!{first}") } else { format!("{title}!{first}:{last}") }
    }
}

/// Column and row of `B7`, `B`; none for what is neither.
fn corner(text: &str) -> Option<(Option<usize>, Option<usize>)> {
    let split = text.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (column, row) = text.split_at_checked(split)?;
    if column.is_empty() || column.len() > 3 {
        return None;
    }
    let column = column.bytes().fold(0, |sum, byte| sum * 26 + usize::from(byte.to_ascii_uppercase() - b'A') + 1);
    let row = if row.is_empty() { None } else { Some(row.parse::<usize>().ok()?.checked_sub(1)?) };
    Some((column.checked_sub(1), row))
}

fn letters(mut column: usize) -> String {
    let mut found = Vec::new();
    loop {
        found.push(char::from(b'A' + u8::try_from(column % 26).unwrap_or_default()));
        if column < 26 {
            return found.into_iter().rev().collect();
        }
        column = column / 26 - 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_and_written() {
        for (text, shown) in
            [("A1", "S!A1"), ("A1:C3", "S!A1:C3"), ("AA10:AB12", "S!AA10:AB12"), ("a2:c", "S!A2:C"), ("A:C", "S!A1:C")]
        {
            assert_eq!(Range::parse(text).map(|range| range.text("S")).as_deref(), Some(shown), "{text}");
        }
        for bad in ["", "1", "A0", "A1:", "C3:A1", "A1:B2:C3", "A1B", "ABCD1"] {
            assert_eq!(Range::parse(bad), None, "{bad}");
        }
    }
}
