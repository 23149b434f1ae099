"""The app alone, for a program that has pipes in the place of a terminal (`apimarket web`)."""

import sys

from apimarket_tui.app import run
from local_server.client.asynchronous import AsyncClient
from local_server.client.errors import ApimarketClientError
from local_server.client.launcher import ensure_running


def main() -> None:
    try:
        endpoint = ensure_running()
    except ApimarketClientError as error:
        sys.exit("\n".join(part for part in (error.detail, error.hint) if part))
    sys.exit(run(AsyncClient(endpoint.url, endpoint.token), endpoint.home, AsyncClient))


if __name__ == "__main__":
    main()
