//! A parser's dialect that counts, so that no statement keeps the parser for long.
//!
//! The parser tries one reading of some forms and, where that fails, another: nested in each other
//! (`POSITION(POSITION(…`), every level doubles the work, and a statement of a few hundred bytes
//! takes years. Each expression begins with a call of the dialect's, which ends the matter here.
//! Deliberately absent: time, which a busy machine takes from an innocent statement.

use std::{any::TypeId, cell::Cell, iter::Peekable, str::Chars};

use sqlparser::{
    ast::{Expr, Statement},
    dialect::{Dialect, Precedence},
    keywords::Keyword,
    parser::{Parser, ParserError},
};

/// A dialect that is another's but for the counting.
#[derive(Debug)]
pub(super) struct Metered {
    inner: &'static dyn Dialect,
    left: Cell<u32>,
}

impl Metered {
    /// Lets a statement begin `most` expressions, those that are tried and given up among them.
    pub(super) fn new(inner: &'static dyn Dialect, most: u32) -> Self {
        Self { inner, left: Cell::new(most) }
    }
}

/// Passes on what says yes or no. What stands in no list here is as the parser has it for all.
macro_rules! as_inner {
    ($($name:ident)*) => {
        $(fn $name(&self) -> bool {
            self.inner.$name()
        })*
    };
}

impl Dialect for Metered {
    // By this the parser tells dialects apart.
    fn dialect(&self) -> TypeId {
        self.inner.dialect()
    }

    fn parse_prefix(&self, parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
        match self.left.get().checked_sub(1) {
            Some(left) => {
                self.left.set(left);
                self.inner.parse_prefix(parser)
            }
            // The one error after which the parser tries no other reading.
            None => Some(Err(ParserError::RecursionLimitExceeded)),
        }
    }

    fn parse_infix(&self, parser: &mut Parser, expr: &Expr, precedence: u8) -> Option<Result<Expr, ParserError>> {
        self.inner.parse_infix(parser, expr, precedence)
    }

    fn parse_statement(&self, parser: &mut Parser) -> Option<Result<Statement, ParserError>> {
        self.inner.parse_statement(parser)
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        self.inner.is_identifier_start(ch)
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        self.inner.is_identifier_part(ch)
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        self.inner.is_delimited_identifier_start(ch)
    }

    fn is_nested_delimited_identifier_start(&self, ch: char) -> bool {
        self.inner.is_nested_delimited_identifier_start(ch)
    }

    fn peek_nested_delimited_identifier_quotes(&self, chars: Peekable<Chars<'_>>) -> Option<(char, Option<char>)> {
        self.inner.peek_nested_delimited_identifier_quotes(chars)
    }

    fn identifier_quote_style(&self, identifier: &str) -> Option<char> {
        self.inner.identifier_quote_style(identifier)
    }

    fn is_table_factor_alias(&self, explicit: bool, keyword: &Keyword, parser: &mut Parser) -> bool {
        self.inner.is_table_factor_alias(explicit, keyword, parser)
    }

    fn is_table_alias(&self, keyword: &Keyword, parser: &mut Parser) -> bool {
        self.inner.is_table_alias(keyword, parser)
    }

    fn is_column_alias(&self, keyword: &Keyword, parser: &mut Parser) -> bool {
        self.inner.is_column_alias(keyword, parser)
    }

    fn is_reserved_for_identifier(&self, keyword: Keyword) -> bool {
        self.inner.is_reserved_for_identifier(keyword)
    }

    fn is_custom_operator_part(&self, ch: char) -> bool {
        self.inner.is_custom_operator_part(ch)
    }

    fn get_next_precedence(&self, parser: &Parser) -> Option<Result<u8, ParserError>> {
        self.inner.get_next_precedence(parser)
    }

    fn prec_value(&self, precedence: Precedence) -> u8 {
        self.inner.prec_value(precedence)
    }

    // MySQL's.
    as_inner! {
        ignores_wildcard_escapes
        require_interval_qualifier
        requires_single_line_comment_whitespace
        supports_binary_kw_as_cast
        supports_bitwise_shift_operators
        supports_comma_separated_set_assignments
        supports_comment_optimizer_hint
        supports_constraint_keyword_without_name
        supports_create_table_select
        supports_cross_join_constraint
        supports_data_type_signed_suffix
        supports_double_ampersand_operator
        supports_group_by_with_modifier
        supports_insert_set
        supports_key_column_option
        supports_left_associative_joins_without_parens
        supports_limit_comma
        supports_match_against
        supports_multiline_comment_hints
        supports_numeric_prefix
        supports_select_modifiers
        supports_set_names
        supports_string_literal_backslash_escape
        supports_string_literal_concatenation
        supports_table_hints
        supports_update_order_by
        supports_user_host_grantee
    }

    // SQLite's.
    as_inner! {
        supports_asc_desc_in_column_definition
        supports_comma_separated_trim
        supports_dollar_placeholder
        supports_filter_during_aggregation
        supports_in_empty_list
        supports_notnull_operator
        supports_numeric_literal_underscores
        supports_start_transaction_modifier
    }

    // PostgreSQL's.
    as_inner! {
        allow_extract_custom
        allow_extract_single_quotes
        supports_aliased_function_args
        supports_array_typedef_with_brackets
        supports_empty_projections
        supports_factorial_operator
        supports_geometric_types
        supports_group_by_expr
        supports_insert_table_alias
        supports_interval_options
        supports_named_fn_args_with_colon_operator
        supports_named_fn_args_with_expr_name
        supports_nested_comments
        supports_order_by_using_operator
        supports_select_wildcard_with_alias
        supports_string_escape_constant
        supports_unicode_string_literal
        supports_xml_expressions
    }

    // BigQuery's.
    as_inner! {
        supports_column_definition_trailing_commas
        supports_create_table_multi_schema_info_sources
        supports_execute_immediate
        supports_from_first_select
        supports_parenthesized_set_variables
        supports_pipe_operator
        supports_projection_trailing_commas
        supports_select_expr_star
        supports_select_wildcard_except
        supports_select_wildcard_replace
        supports_struct_literal
        supports_table_versioning
        supports_triple_quoted_string
        supports_window_clause_named_window_reference
        supports_window_function_null_treatment_arg
    }
}

#[cfg(test)]
mod tests {
    use sqlparser::dialect::{BigQueryDialect, MySqlDialect, PostgreSqlDialect, SQLiteDialect};

    use super::*;

    #[test]
    fn what_is_read_is_what_the_dialect_reads() {
        for statement in [
            "SELECT a DIV b, `x y`, 1 << 2, 'a' 'b', INTERVAL 1 DAY, BINARY 'a', a && b FROM t LIMIT 1, 2",
            "SELECT MATCH (a) AGAINST ('x' IN BOOLEAN MODE), SQL_CALC_FOUND_ROWS FROM t USE INDEX (i) WHERE 1a = 2",
            "SELECT a FROM t CROSS JOIN u ON 1 = 1 JOIN v ON 2 = 2 GROUP BY a WITH ROLLUP",
            "INSERT INTO t SET a = 1, b = 2",
            "UPDATE t SET a = 1 ORDER BY b LIMIT 1",
            "SELECT CAST(a AS UNSIGNED), TRIM('x', 'y'), \"a\", [b], a NOTNULL, 1_000 FROM t",
            "SELECT COUNT(*) FILTER (WHERE a IN ()) FROM t WHERE a GLOB 'x*' AND b REGEXP 'y' AND c MATCH 'z'",
            "REPLACE INTO t (a) VALUES (:1)",
            "SELECT a FROM t WHERE b = 'x\\'y'",
            "SELECT '%\\_' -- x\n, 1 --1",
            "SELECT a::int, b -> 'x' ->> 'y', c @> d, e #> f, ARRAY[1, 2], g[1], h ~* 'x', i || j, 2 ^ 3 * 4 % 5 FROM t",
            "SELECT DISTINCT ON (a) a, EXTRACT(EPOCH FROM b), INTERVAL '1 day' DAY, c AT TIME ZONE 'UTC' FROM t",
            "SELECT a FROM t ORDER BY a COLLATE \"C\" DESC NULLS LAST, b USING < LIMIT 1 OFFSET 2",
            "SELECT ROW(a, b), string_agg(a, ',' ORDER BY b) FILTER (WHERE c), d IS DISTINCT FROM e FROM t, u x (y)",
            "SELECT * FROM t, LATERAL (SELECT 1) v, generate_series(1, 2) AS g (n) WHERE a = ANY (b) AND c ILIKE 'x'",
            "SELECT GROUPING(a) FROM t GROUP BY ROLLUP (a, b)",
            "INSERT INTO t AS x (a) VALUES (1) ON CONFLICT (a) DO UPDATE SET a = excluded.a RETURNING a",
            "UPDATE t SET a = u.a FROM u WHERE t.b = u.b RETURNING t.a",
            "DELETE FROM t USING u WHERE t.a = u.a",
            "SELECT * EXCEPT (a) REPLACE (b AS c), STRUCT(1 AS a), STRUCT<a INT64>(1), [1, 2][OFFSET(0)], t.s.*, FROM `p-q.d.t`",
            "SELECT FIRST_VALUE(a IGNORE NULLS) OVER w FROM p-q.d.t FOR SYSTEM_TIME AS OF x WINDOW w AS (v), v AS (ORDER BY b)",
            "FROM t |> WHERE a = 1",
            "MERGE t USING u ON t.a = u.a WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT ROW",
            "SELECT AS STRUCT 1 AS end_, x FROM t, UNNEST(t.items) AS i WITH OFFSET QUALIFY ROW_NUMBER() OVER (ORDER BY x) = 1",
        ] {
            let all: [&'static dyn Dialect; 4] =
                [&MySqlDialect {}, &SQLiteDialect {}, &PostgreSqlDialect {}, &BigQueryDialect {}];
            for dialect in all {
                let own = Parser::parse_sql(dialect, statement);
                let metered = Parser::parse_sql(&Metered::new(dialect, 1_000), statement);
                assert_eq!(metered, own, "{dialect:?} {statement}");
            }
        }
    }

    #[test]
    fn a_statement_begins_so_many_expressions_and_no_more() {
        let read = |most| Parser::parse_sql(&Metered::new(&SQLiteDialect {}, most), "SELECT 1 + 2 + 3");
        assert!(read(3).is_ok());
        assert_eq!(read(2), Err(ParserError::RecursionLimitExceeded));
    }
}
