"""Who may call the control API: on a laptop, whoever can read the token file."""

import hmac

from fastapi import Request
from fastapi.security import HTTPBearer

from local_server.domain.errors import TokenRequired

bearer = HTTPBearer(auto_error=False, description="The token in $APIMARKET_HOME/token.")


async def require_token(request: Request) -> None:
    """Raises TokenRequired unless the request carries the local token. Fails closed."""
    given = await bearer(request)
    expected: str = request.app.state.token
    if given is None or not hmac.compare_digest(given.credentials.encode(), expected.encode()):
        raise TokenRequired
