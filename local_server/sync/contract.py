"""Reads what a running API says of itself, where frameworks put it: `/openapi.json`. No answer is no trouble."""

import asyncio
import json

import httpx2

from local_server.domain.publishing import MAX_OPENAPI_BYTES
from local_server.domain.version_documents import canonical

PATIENCE_S = 3.0


async def read_contract(address: tuple[str, int]) -> bytes | None:
    """The OpenAPI document of the program that listens at `address`, as canonical JSON; None where it has none, or none
    that counts."""
    host, port = address
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}/openapi.json"
    try:
        async with asyncio.timeout(PATIENCE_S), httpx2.AsyncClient(trust_env=False, follow_redirects=False) as client:
            content = bytearray()
            async with client.stream("GET", url, headers={"host": "localhost"}) as response:
                if response.status_code != 200:
                    return None
                async for piece in response.aiter_bytes():
                    content += piece
                    if len(content) > MAX_OPENAPI_BYTES:
                        return None
            document = json.loads(content)
            if not isinstance(document, dict) or "openapi" not in document or "paths" not in document:
                return None
            return canonical(document)
    except (httpx2.HTTPError, TimeoutError, ValueError, RecursionError):
        return None
