//! TechStart's files: what its agents find in `documents`, and keep in `storage`.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

/// In place of the folder in Google Drive.
pub const DOCUMENTS: &[(&str, &str)] = &[
    (
        "handbook.md",
        "# TechStart handbook\n\nWelcome to TechStart Inc. Working hours are flexible; core hours are 10 to 15, New York \
         time.\n\nQuestions: ask HR, or look into `policies/`.\n",
    ),
    (
        "policies/paid-time-off.md",
        "# Paid time off\n\n25 days a year, of which 5 may be taken into the next. Ask two weeks ahead for more than \
         three days.\n",
    ),
    ("policies/expenses.md", "# Expenses\n\nUp to $75 without a receipt. Travel is booked through the office.\n"),
    (
        "support/api-keys.md",
        "# API keys\n\nA key is made under Settings, Keys. A lost key is revoked and made anew; it can't be shown \
         again.\n",
    ),
    (
        "support/escalation.md",
        "# Escalation\n\nSeverity 1 goes to the engineer on call within 15 minutes, severity 2 within 4 hours.\n",
    ),
];

/// In place of the bucket.
pub const STORAGE: &[(&str, &str)] = &[
    (
        "campaigns/2026-q3-email.csv",
        "segment,sent,opened,clicked\nenterprise,1200,540,96\nmid-market,3400,1190,180\nstartup,5100,1530,204\n",
    ),
    ("campaigns/2026-q3-brief.md", "# Q3 email campaign\n\nGoal: trials of the AI platform by mid-market teams.\n"),
    ("exports/README.txt", "Exports are written here, a folder a month.\n"),
];

/// Writes files into a new folder. A half-written folder is never seen under `folder`.
///
/// # Errors
/// When the folder exists already, or writing fails.
pub fn seed(folder: &Path, files: &[(&str, &str)]) -> Result<()> {
    ensure!(!folder.exists(), "{} exists already", folder.display());
    let part = folder.with_extension("part");
    if part.exists() {
        fs::remove_dir_all(&part).with_context(|| format!("cannot remove {}", part.display()))?;
    }
    for (path, text) in files {
        let file = part.join(path);
        let above = file.parent().context("a file without a folder")?;
        fs::create_dir_all(above).with_context(|| format!("cannot create {}", above.display()))?;
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    fs::rename(&part, folder).with_context(|| format!("cannot create {}", folder.display()))
}
