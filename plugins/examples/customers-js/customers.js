// The tool of `customers-rust`, in JavaScript: the contract as it is, without an SDK.
//
// What the contract calls `input-schema` is `inputSchema` here; an option that is not there is
// `undefined`; a `result` that failed is thrown.

import { Database } from "remit:data/sql@0.1.0";

const SOURCE = "primary";

const FIND = {
  name: "find_customers",
  title: undefined,
  description: "Finds customers by part of their name, email address or company.",
  inputSchema: JSON.stringify({
    type: "object",
    properties: {
      query: { type: "string", description: "Part of a name, an email address or a company." },
      limit: {
        type: "integer",
        minimum: 1,
        maximum: 100,
        default: 10,
        description: "How many customers to return at most.",
      },
    },
    required: ["query"],
    additionalProperties: false,
  }),
  outputSchema: JSON.stringify({
    type: "object",
    properties: {
      customers: {
        type: "array",
        items: {
          type: "object",
          properties: {
            id: { type: "string" },
            name: { type: ["string", "null"] },
            email: { type: ["string", "null"] },
            company: { type: ["string", "null"] },
          },
          required: ["id", "name", "email", "company"],
        },
      },
      total: { type: "integer", minimum: 0 },
    },
    required: ["customers", "total"],
  }),
  annotations: { readOnly: true, destructive: false, idempotent: true, openWorld: false },
  needs: [{ source: SOURCE, permission: "read", optional: false }],
};

// In SQL's LIKE, `%` and `_` mean something; here they mean themselves.
function containing(text) {
  return `%${text.replace(/[!%_]/g, "!$&")}%`;
}

function find({ query, limit = 10 }, grants) {
  const text = { tag: "text", val: containing(query) };
  // 64-bit integers are numbers in QuickJS; StarlingMonkey takes a BigInt here.
  const most = { tag: "integer", val: limit };
  try {
    const database = Database.take(grants, SOURCE);
    // Rows that go on as JSON are cheapest as JSON.
    const customers = JSON.parse(
      database.queryJson(
        "SELECT id, name, email, company FROM customers " +
          "WHERE name LIKE $1 ESCAPE '!' OR email LIKE $2 ESCAPE '!' OR company LIKE $3 ESCAPE '!' " +
          "ORDER BY id LIMIT $4",
        [text, text, text, most],
      ),
    );
    return { customers, total: customers.length };
  } catch (error) {
    // What a source refuses goes on as it came, so that the host knows whether to repeat it.
    throw { tag: "source", val: { source: SOURCE, cause: error.payload ?? error } };
  }
}

export const tools = {
  describe() {
    return { name: "customers-js", version: "0.1.0", title: undefined, instructions: undefined, tools: [FIND] };
  },

  call(tool, args, grants, _invocation) {
    if (tool !== FIND.name) throw { tag: "unknown", val: tool };
    return { content: [], structured: JSON.stringify(find(JSON.parse(args), grants)) };
  },
};
