"""What a client on the official Python SDK sees of an MCP server, as one JSON report.

    python python.py legacy|auto|2026-07-28 URL

With a version it sends no greeting: its first request is the list of resources.
"""

import asyncio
import json
import sys

from mcp import Client, MCPError


def plain(model):
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


async def code(asked):
    try:
        await asked
        return None
    except MCPError as error:
        return error.code


async def server(client, mode):
    if client.server_info:
        return client.server_info.name
    discovered = await client.session.send_discover(mode)
    return discovered["_meta"]["io.modelcontextprotocol/serverInfo"]["name"]


async def report(mode, url):
    async with Client(url, mode=mode, read_timeout_seconds=30) as client:
        resources = (await client.list_resources()).resources
        contents = []
        for resource in resources:
            contents += (await client.read_resource(resource.uri)).contents
        return {
            "version": client.protocol_version,
            "tools": [plain(tool) for tool in (await client.list_tools()).tools],
            # The SDK holds structured answers against the schemas that were listed.
            "found": plain(await client.call_tool("search_customers", {"query": "ACME", "limit": 2})),
            "refused": plain(await client.call_tool("search_customers", {"query": "ACME", "limit": 0})),
            "unknownTool": await code(client.call_tool("no_such_tool", {})),
            "resources": [plain(resource) for resource in resources],
            "contents": [plain(content) for content in contents],
            "unknownResource": await code(client.read_resource("remit://techstart-crm/none")),
            # The newer era has no ping.
            "ping": plain(await client.send_ping()) if mode == "legacy" else None,
            "server": await server(client, mode),
        }


print(json.dumps(asyncio.run(report(*sys.argv[1:]))))
