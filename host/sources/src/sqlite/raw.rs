//! What SQLite offers and sqlx does not: the authorizer, limits, and a column's declared type. The
//! only unsafe code of this crate.
//!
//! Every call goes through sqlx's locked handle, during which sqlx's own thread makes none. Nothing
//! is registered that has an owner: the authorizers are plain functions without state, so that a
//! connection that outlives its handle for a moment calls nothing that is gone.

#![expect(unsafe_code, reason = "calls into SQLite that sqlx does not wrap")]

use std::{
    ffi::{CStr, CString, c_char, c_int, c_void},
    ptr,
};

use libsqlite3_sys as ffi;
use remit_domain::data::sql::Dialect;
use sqlx::sqlite::LockedSqliteHandle;

use crate::sql::{Mode, functions};

/// The most bytes of one value, on connections for guests. A row's values are copied before they can
/// be counted, so that this times the columns of an answer is what one row can take.
pub(super) const MAX_VALUE_BYTES: c_int = 1024 * 1024;
/// The most columns of anything. Answers have fewer; a table of the operator's with more than this
/// would make SQLite refuse the whole file.
const MAX_COLUMNS: c_int = 200;

/// Confines a connection to what a mode allows, for as long as it exists. Errors: SQLite's code.
pub(super) fn confine(handle: &mut LockedSqliteHandle<'_>, mode: Mode) -> Result<(), c_int> {
    let db = handle.as_raw_handle().as_ptr();
    let authorizer: unsafe extern "C" fn(_, _, _, _, _, _) -> _ = match mode {
        Mode::Read => authorize_reading,
        Mode::Write => authorize_changing,
    };
    for (limit, most) in [
        (ffi::SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES),
        (ffi::SQLITE_LIMIT_SQL_LENGTH, 256 * 1024),
        (ffi::SQLITE_LIMIT_COLUMN, MAX_COLUMNS),
        (ffi::SQLITE_LIMIT_COMPOUND_SELECT, 100),
        (ffi::SQLITE_LIMIT_VDBE_OP, 100_000),
        (ffi::SQLITE_LIMIT_FUNCTION_ARG, 100),
        (ffi::SQLITE_LIMIT_ATTACHED, 0),
        (ffi::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1_000),
        (ffi::SQLITE_LIMIT_TRIGGER_DEPTH, 20),
        (ffi::SQLITE_LIMIT_WORKER_THREADS, 0),
    ] {
        // SAFETY: the handle is open and locked for us. The call only sets a number.
        unsafe { ffi::sqlite3_limit(db, limit, most) };
    }
    // One plan a statement: otherwise SQLite compiles it anew for each value of its parameters.
    for option in [ffi::SQLITE_DBCONFIG_DEFENSIVE, ffi::SQLITE_DBCONFIG_ENABLE_QPSG] {
        // SAFETY: as above; these options take an int and a pointer to an int or null.
        let code = unsafe { ffi::sqlite3_db_config(db, option, 1, ptr::null_mut::<c_int>()) };
        if code != ffi::SQLITE_OK {
            return Err(code);
        }
    }
    // SAFETY: as above; the callback is a function without state that lives as long as the process.
    let authorized = unsafe { ffi::sqlite3_set_authorizer(db, Some(authorizer), ptr::null_mut()) };
    if authorized == ffi::SQLITE_OK { Ok(()) } else { Err(authorized) }
}

/// Whether a transaction is open.
pub(super) fn in_transaction(handle: &mut LockedSqliteHandle<'_>) -> bool {
    // SAFETY: the handle is open and locked for us; the call only reads a flag.
    unsafe { ffi::sqlite3_get_autocommit(handle.as_raw_handle().as_ptr()) == 0 }
}

/// The type a table's column was declared with; `None` if there is no such column, or no type.
pub(super) fn declared_type(handle: &mut LockedSqliteHandle<'_>, table: &str, column: &str) -> Option<String> {
    let (table, column) = (CString::new(table).ok()?, CString::new(column).ok()?);
    let mut declared: *const c_char = ptr::null();
    // SAFETY: the handle is open and locked for us, the names are NUL-terminated and live until the
    // call returns, and null is allowed for what is not asked for.
    let code = unsafe {
        ffi::sqlite3_table_column_metadata(
            handle.as_raw_handle().as_ptr(),
            c"main".as_ptr(),
            table.as_ptr(),
            column.as_ptr(),
            &raw mut declared,
            ptr::null_mut(),
            ptr::null_mut(),
            ptr::null_mut(),
            ptr::null_mut(),
        )
    };
    if code != ffi::SQLITE_OK {
        return None;
    }
    text(declared).map(str::to_owned)
}

/// A text of SQLite's. The caller uses it before it calls SQLite again.
fn text<'a>(pointer: *const c_char) -> Option<&'a str> {
    if pointer.is_null() {
        return None;
    }
    // SAFETY: SQLite hands out NUL-terminated texts that stay until the next call on the connection.
    unsafe { CStr::from_ptr(pointer) }.to_str().ok()
}

unsafe extern "C" fn authorize_reading(
    _state: *mut c_void,
    action: c_int,
    first: *const c_char,
    second: *const c_char,
    database: *const c_char,
    _within: *const c_char,
) -> c_int {
    verdict(reads(action, text(first), text(second), text(database)))
}

unsafe extern "C" fn authorize_changing(
    _state: *mut c_void,
    action: c_int,
    first: *const c_char,
    second: *const c_char,
    database: *const c_char,
    _within: *const c_char,
) -> c_int {
    let (first, second, database) = (text(first), text(second), text(database));
    verdict(reads(action, first, second, database) || changes(action, first, database))
}

fn verdict(allowed: bool) -> c_int {
    if allowed { ffi::SQLITE_OK } else { ffi::SQLITE_DENY }
}

fn reads(action: c_int, first: Option<&str>, second: Option<&str>, database: Option<&str>) -> bool {
    match action {
        ffi::SQLITE_SELECT | ffi::SQLITE_RECURSIVE => true,
        // `pragma_…` and the like are tables that run pragmas or show the file's pages.
        ffi::SQLITE_READ => {
            let table = first.unwrap_or_default().to_ascii_lowercase();
            matches!(database, Some("main") | None)
                && !table.starts_with("pragma_")
                && !table.starts_with("sqlite_db")
                && !matches!(table.as_str(), "dbstat" | "bytecode" | "tables_used" | "sqlite_stmt")
        }
        ffi::SQLITE_FUNCTION => second.is_some_and(|name| functions::admitted(Dialect::Sqlite, name)),
        // Full-text tables ask whether somebody else changed the file.
        ffi::SQLITE_PRAGMA => first == Some("data_version") && second.is_none(),
        _ => false,
    }
}

fn changes(action: c_int, table: Option<&str>, database: Option<&str>) -> bool {
    match action {
        ffi::SQLITE_INSERT | ffi::SQLITE_UPDATE | ffi::SQLITE_DELETE => {
            database == Some("main") && table.is_some_and(|table| !table.to_ascii_lowercase().starts_with("sqlite_"))
        }
        // Begun and ended by the host; a guest's statement of this kind is refused before.
        ffi::SQLITE_TRANSACTION => true,
        _ => false,
    }
}
