// What a client on the official TypeScript SDKs sees of an MCP server, as one JSON report.
//
//   node typescript.mjs FOLDER-OF-PACKAGES sdk|client legacy|modern URL
//
// `sdk` is the first package, which knows the older era alone; `client` is its successor.

import { createRequire } from "node:module";
import { join } from "node:path";

const [folder, generation, era, url] = process.argv.slice(2);
const require = createRequire(join(folder, "typescript.mjs"));
const about = { name: "remit-tests", version: "1" };

async function connected() {
  if (generation === "sdk") {
    const { Client } = require("@modelcontextprotocol/sdk/client/index.js");
    const { StreamableHTTPClientTransport } = require("@modelcontextprotocol/sdk/client/streamableHttp.js");
    const client = new Client(about);
    const transport = new StreamableHTTPClientTransport(new URL(url));
    await client.connect(transport);
    return [client, transport.protocolVersion];
  }
  const { Client, StreamableHTTPClientTransport } = require("@modelcontextprotocol/client");
  const mode = era === "modern" ? { pin: "2026-07-28" } : "legacy";
  const client = new Client(about, { versionNegotiation: { mode } });
  await client.connect(new StreamableHTTPClientTransport(new URL(url)));
  return [client, client.getNegotiatedProtocolVersion()];
}

async function code(asked) {
  try {
    await asked;
    return null;
  } catch (error) {
    return error.code;
  }
}

const [client, version] = await connected();
const { tools } = await client.listTools();
// The SDK holds structured answers against the schemas that were listed.
const found = await client.callTool({ name: "search_customers", arguments: { query: "ACME", limit: 2 } });
const refused = await client.callTool({ name: "search_customers", arguments: { query: "ACME", limit: 0 } });
const unknownTool = await code(client.callTool({ name: "no_such_tool", arguments: {} }));
const { resources } = await client.listResources();
const contents = [];
for (const { uri } of resources) {
  contents.push(...(await client.readResource({ uri })).contents);
}
const unknownResource = await code(client.readResource({ uri: "remit://techstart-crm/none" }));
// The newer era has no ping.
const ping = era === "legacy" ? await client.ping() : null;
const server = client.getServerVersion()?.name ?? null;
await client.close();

const report = { version, server, tools, found, refused, unknownTool, resources, contents, unknownResource, ping };
process.stdout.write(JSON.stringify(report));
