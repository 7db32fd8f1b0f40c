"""The tool of `customers-rust`, in Python: the contract as it is, without an SDK.

The modules that are imported here are made from the contract when the component is built. A `result`
that failed is raised as `Err`.
"""

import json

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports import tools
from wit_world.imports import sql, types

SOURCE = "primary"

FIND = tools.Tool(
    name="find_customers",
    title=None,
    description="Finds customers by part of their name, email address or company.",
    input_schema=json.dumps(
        {
            "type": "object",
            "properties": {
                "query": {"type": "string", "description": "Part of a name, an email address or a company."},
                "limit": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": 100,
                    "default": 10,
                    "description": "How many customers to return at most.",
                },
            },
            "required": ["query"],
            "additionalProperties": False,
        }
    ),
    output_schema=json.dumps(
        {
            "type": "object",
            "properties": {
                "customers": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {
                            "id": {"type": "string"},
                            "name": {"type": ["string", "null"]},
                            "email": {"type": ["string", "null"]},
                            "company": {"type": ["string", "null"]},
                        },
                        "required": ["id", "name", "email", "company"],
                    },
                },
                "total": {"type": "integer", "minimum": 0},
            },
            "required": ["customers", "total"],
        }
    ),
    annotations=tools.ToolAnnotations(read_only=True, destructive=False, idempotent=True, open_world=False),
    needs=[types.Need(source=SOURCE, permission=types.Permission.READ, optional=False)],
)

STATEMENT = """
    SELECT id, name, email, company FROM customers
    WHERE name LIKE $1 ESCAPE '!' OR email LIKE $2 ESCAPE '!' OR company LIKE $3 ESCAPE '!'
    ORDER BY id LIMIT $4
"""


def containing(text):
    """In SQL's LIKE, `%` and `_` mean something; here they mean themselves."""
    for sign in "!%_":
        text = text.replace(sign, "!" + sign)
    return f"%{text}%"


def find(arguments, grants):
    pattern = sql.Value_Text(containing(arguments["query"]))
    limit = sql.Value_Integer(int(arguments.get("limit", 10)))
    try:
        database = sql.Database.take(grants, SOURCE)
        customers = json.loads(database.query_json(STATEMENT, [pattern, pattern, pattern, limit]))
    except Err as error:
        # What a source refuses goes on as it came, so that the host knows whether to repeat it.
        raise Err(types.CallError_Source(types.SourceFailure(SOURCE, error.value))) from error
    return {"customers": customers, "total": len(customers)}


class Tools(exports.Tools):
    def describe(self):
        return tools.Description(
            name="customers-python", version="0.1.0", title=None, instructions=None, tools=[FIND]
        )

    def call(self, tool, arguments, grants, invocation):
        if tool != FIND.name:
            raise Err(types.CallError_Unknown(tool))
        found = find(json.loads(arguments), grants)
        return tools.Outcome(content=[], structured=json.dumps(found))
