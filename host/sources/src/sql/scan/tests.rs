//! What is left of a statement, and what is refused before anything is parsed.
#![expect(clippy::unwrap_used, reason = "tests")]

use Dialect::{Mysql, Postgres, Sqlite};

use super::*;

fn round(dialect: Dialect, statement: &str) -> Result<(String, Vec<usize>), Error> {
    let scanned = scan(dialect, statement)?;
    let rendered = render(dialect, &scanned.text, &scanned)?;
    Ok((rendered.text, rendered.binds))
}

#[test]
fn parameters_take_the_engines_style() {
    for (dialect, from, to, binds) in [
        (Mysql, "select ?, ?", "select ?, ?", vec![0, 1]),
        (Mysql, "select $2, $1, $2", "select ?, ?, ?", vec![1, 0, 1]),
        (Sqlite, "select $2, $1, $2", "select ?2, ?1, ?2", vec![0, 1]),
        (Sqlite, "select ?, ?", "select ?1, ?2", vec![0, 1]),
        (Sqlite, "select a$1, '?', \"?\", `$1`, [?] -- ?\n, ?", "select a$1, '?', \"?\", `$1`, [?] , ?1", vec![0]),
        (Mysql, "select '\\'?', \"?\", `?` # ?\n /* $1 */, ?;", "select '\\'?', \"?\", `?` , ?", vec![0]),
        (Mysql, "select 1--1, 2-- two", "select 1- -1, 2", vec![]),
        (Sqlite, "select 1--1", "select 1", vec![]),
        (Postgres, "select $2::int, a[$1], '{}'::jsonb", "select $2::int, a[$1], '{}'::jsonb", vec![0, 1]),
        (Postgres, "select a @> ?, b <@ c, 'a\\', \"?\" --1", "select a @> $1, b <@ c, 'a\\', \"?\"", vec![0]),
        (Postgres, "select E'a' , 1 /* /* */", "select E 'a' , 1", vec![]),
        (
            Mysql,
            "select position, position, t.position, position, position, position(b)",
            "select position, position, t.position, position, position, position(b)",
            vec![],
        ),
        (Sqlite, "select x'0aFF', N'a'", "select x'0aFF', N 'a'", vec![]),
        (Sqlite, "select 'it''s' ; -- end ;\n/* ; */ ", "select 'it''s'", vec![]),
    ] {
        assert_eq!(round(dialect, from), Ok((to.to_owned(), binds)), "{from}");
    }
}

#[test]
fn what_has_no_place_is_refused() {
    let case = |dialect, statement: &str| round(dialect, statement).unwrap_err().case();
    for (dialect, statement, expected) in [
        (Mysql, "select 1; select 2", "denied"),
        (Mysql, "select 1 /*! into outfile '/tmp/x' */", "denied"),
        (Mysql, "select 1 /*M!100100 into outfile '/tmp/x' */", "denied"),
        (Sqlite, "select /*!1*/ 1", "denied"),
        (Mysql, "select @@hostname", "denied"),
        (Mysql, "select @a := 1", "denied"),
        (Sqlite, "select @a", "denied"),
        (Sqlite, "select :a", "invalid"),
        (Sqlite, "select ?1", "invalid"),
        (Sqlite, "select ?, $1", "invalid"),
        (Sqlite, "select $1, $3", "invalid"),
        (Sqlite, "select $0", "invalid"),
        (Sqlite, "select $a", "invalid"),
        (Sqlite, "select $1001", "limit"),
        (Sqlite, "select 'a", "invalid"),
        (Mysql, "select 'a\\'", "invalid"),
        (Sqlite, "select \"a", "invalid"),
        (Sqlite, "select \"a\"\"b\"", "invalid"),
        (Sqlite, "select /* 1", "invalid"),
        (Sqlite, "select 1\0", "invalid"),
        (Sqlite, "select x'0'", "invalid"),
        (Sqlite, " -- nothing\n;", "invalid"),
        (Sqlite, "", "invalid"),
        (Postgres, "select * from U&\"pg!005fuser\" uescape '!'", "invalid"),
        (Postgres, "select $$a$$", "invalid"),
        (Postgres, "select $a$ b $a$", "invalid"),
        (Postgres, "select 1$$a$$", "invalid"),
        (Postgres, "select `a`", "invalid"),
        (Postgres, "select a[1:2]", "invalid"),
        (Postgres, "select $1, ?", "invalid"),
        (Mysql, "select position('a' in b), POSITION/**/ (1), position(1), position(1), position\n(1)", "invalid"),
    ] {
        assert_eq!(case(dialect, statement), expected, "{statement:?}");
    }
}

#[test]
fn a_mysql_string_ends_where_mysql_ends_it() {
    // A parser that unescapes, or that prints `''` after a backslash as one quote, ends these
    // strings elsewhere and takes what follows for SQL.
    for literal in [r"'\\''x'", r"'a\'b'", r"'\\'", r#"'"'"#, r"'\'''\\'", r"'` -- '"] {
        let scanned = scan(Mysql, &format!("select {literal} , 1")).unwrap();
        assert_eq!(scanned.text, "select 'L0;' , 1");
        assert_eq!(scanned.literals, [literal]);
    }
}
