//! What is wrong with a file, where, and what to do about it.
//!
//! Deliberately absent: values of the environment. A fault names variables, never what they hold.

use std::fmt;

/// A place in a text; both count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spot {
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
}

impl Spot {
    /// Where a text begins.
    pub const START: Self = Self { line: 1, column: 1 };
}

/// One fault of one file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// The file, relative to the project where it lies in it.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Fault {
    /// A fault at a place.
    pub fn new(file: impl Into<String>, spot: Spot, message: impl Into<String>) -> Self {
        Self { file: file.into(), line: spot.line, column: spot.column, message: message.into(), hint: None }
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        self.hint_if(Some(hint))
    }

    /// The same with a hint, if there is one.
    #[must_use]
    pub fn hint_if(mut self, hint: Option<impl Into<String>>) -> Self {
        self.hint = hint.map(Into::into);
        self
    }

    /// Whether two faults are of the same value.
    pub fn same_place(&self, other: &Self) -> bool {
        (&self.file, self.line, self.column) == (&other.file, other.line, other.column)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

/// All faults of a reading, in order of place; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// Adds what the meaning is at fault for to what the shape is at fault for, but for values whose
    /// shape is wrong already.
    pub(crate) fn add(shape: &mut Vec<Fault>, meaning: Vec<Fault>) {
        let new = meaning.into_iter().filter(|fault| !shape.iter().any(|other| other.same_place(fault)));
        let new: Vec<Fault> = new.collect();
        shape.extend(new);
        shape.sort();
        shape.dedup();
    }

    /// Collects faults. Errors: [`Faults`] if there are any.
    pub fn none(mut faults: Vec<Fault>) -> Result<(), Self> {
        if faults.is_empty() {
            return Ok(());
        }
        faults.sort();
        faults.dedup();
        Err(Self(faults))
    }

    /// The faults.
    pub fn into_vec(self) -> Vec<Fault> {
        self.0
    }

    /// The faults.
    pub fn as_slice(&self) -> &[Fault] {
        &self.0
    }
}

impl From<Fault> for Faults {
    fn from(fault: Fault) -> Self {
        Self(vec![fault])
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, fault) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            fault.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// The known word that was probably meant, as a hint.
pub fn closest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    /// A shared beginning of this length says more than a distance.
    const TELLING: usize = 4;
    let word = word.to_lowercase();
    let score = |candidate: &str| {
        let candidate = candidate.to_lowercase();
        let distance = strsim::damerau_levenshtein(&word, &candidate);
        let length = candidate.chars().count();
        let allowed = (length / 3).max(1).min(length.saturating_sub(1));
        let (short, long) = if word.len() < candidate.len() { (&word, &candidate) } else { (&candidate, &word) };
        (distance <= allowed || (short.len() >= TELLING && long.starts_with(short.as_str()))).then_some(distance)
    };
    let scored = known.into_iter().filter_map(|candidate| Some((score(candidate)?, candidate)));
    scored.min_by_key(|(distance, _)| *distance).map(|(_, candidate)| format!("did you mean `{candidate}`?"))
}

/// A hint for a word that is none of the known: the closest, or all if they are few.
pub fn one_of<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let known: Vec<&str> = known.into_iter().collect();
    closest(word, known.iter().copied())
        .or_else(|| (1..=12).contains(&known.len()).then(|| format!("known: {}", known.join(", "))))
}
