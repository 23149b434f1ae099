"""Refusals about accounts, sessions and API keys. What an error is made of stands in errors.py."""

from local_server.domain.errors import ApimarketError
from local_server.domain.manifest import RateLimit
from local_server.domain.registry_errors import NameTaken

# -- Accounts ----------------------------------------------------------------------------------------------------


class TokenRequired(ApimarketError):
    status, code, title = 401, "token_required", "The control API needs the local token"

    def __init__(self) -> None:
        super().__init__(
            "The request carries no valid bearer token",
            hint="Send 'Authorization: Bearer TOKEN' with the token from $APIMARKET_HOME/token.",
        )


class EmailTaken(NameTaken):
    status, code, title = 409, "email_taken", "That e-mail address has an account"

    def __init__(self, email: str) -> None:
        ApimarketError.__init__(
            self, f"An account with the address {email!r} exists already", hint="Log in with: apimarket login"
        )


class EmailRefused(ApimarketError):
    status, code, title = 422, "invalid_email", "That is no e-mail address"

    def __init__(self, email: str) -> None:
        super().__init__(f"{email[:100]!r} is no e-mail address", hint="It should look like: ana@example.org")


class PasswordRefused(ApimarketError):
    """Never quotes the password."""

    status, code, title = 422, "invalid_password", "That password cannot be used"

    def __init__(self, reason: str) -> None:
        super().__init__(f"The password {reason}", hint="Use 8 or more characters, and at most 72 bytes.")


class LoginRefused(ApimarketError):
    """One error for an unknown account, a wrong password and a suspended account: it tells guessers nothing."""

    status, code, title = 401, "login_refused", "Name or password is wrong"

    def __init__(self) -> None:
        super().__init__(
            "No active account has that name and that password",
            hint="Check both. An account is made with: apimarket signup",
        )


class PasswordWrong(ApimarketError):
    """Who is logged in and does not know the password any more, or is not who logged in."""

    status, code, title = 403, "wrong_password", "That is not the password"

    def __init__(self) -> None:
        super().__init__(
            "The current password is wrong",
            hint="Nothing was changed. On the server's own machine its owner needs no current password.",
        )


class TooManyAttempts(ApimarketError):
    status, code, title = 429, "too_many_attempts", "Too many attempts"

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(
            "There were too many attempts, from this address or for this account",
            hint=f"Try again in {retry_after_s} s; trying earlier does not prolong it.",
        )
        self.retry_after_s = retry_after_s


class SignupsClosed(ApimarketError):
    status, code, title = 403, "signups_closed", "Sign-ups are closed"

    def __init__(self) -> None:
        super().__init__(
            "Accounts here are made by whoever runs the server",
            hint="Ask them for one: apimarket signup HANDLE, on the server's own machine.",
        )


class SessionInvalid(TokenRequired):
    code, title = "session_invalid", "The session is not valid"

    def __init__(self, reason: str) -> None:
        ApimarketError.__init__(self, f"The session token {reason}", hint="Log in again with: apimarket login")


class MachineOwnerOnly(ApimarketError):
    status, code, title = 403, "machine_owner_only", "Only the owner of this machine may do that"

    def __init__(self, act: str) -> None:
        super().__init__(
            f"{act} reaches into this machine, and a session is not enough for that",
            hint="Send the token of $APIMARKET_HOME/token, as the command line on this machine does.",
        )


# -- Keys --------------------------------------------------------------------------------------------------------


class KeyFieldRefused(ApimarketError):
    status, code, title = 422, "invalid_key_field", "The key cannot be made so"

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}", hint="What keys can be given: docs/keys.md", extra={"field": field})


class TokenFieldRefused(ApimarketError):
    status, code, title = 422, "invalid_token_field", "The access token cannot be made so"

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(
            f"{field}: {reason}", hint="What tokens can be given: docs/publishing.md", extra={"field": field}
        )


class AccessTokenNotFound(ApimarketError):
    status, code, title = 404, "access_token_not_found", "No such access token"

    def __init__(self, token_id: str) -> None:
        super().__init__(f"You have no access token {token_id[:80]!r}", hint="List yours with: apimarket tokens list")


class AccessTokenInvalid(TokenRequired):
    code, title = "access_token_invalid", "The access token is not valid"

    def __init__(self, reason: str) -> None:
        ApimarketError.__init__(
            self,
            f"The access token {reason}",
            hint="Make another: apimarket tokens create --scope publish:OWNER/NAME",
        )


class OutsideScope(ApimarketError):
    """An access token was used for something else than it was made for."""

    status, code, title = 403, "outside_scope", "The access token is not for that"

    def __init__(self, scope: str, what: str, api: str = "OWNER/NAME") -> None:
        """`api`: which one was meant, where that is known."""
        super().__init__(
            f"The access token is for {scope}, not for {what[:200]}",
            hint=f"Make one for it: apimarket tokens create --scope publish:{api}",
            extra={"scope": scope},
        )


class KeyNotFound(ApimarketError):
    status, code, title = 404, "key_not_found", "No such key"

    def __init__(self, key_id: str) -> None:
        super().__init__(f"No key has the id {key_id[:80]!r}", hint="List them with: apimarket keys list NAME")


class KeyNotInForce(ApimarketError):
    status, code, title = 409, "key_not_in_force", "The key is not in force"

    def __init__(self, key_id: str, state: str) -> None:
        super().__init__(
            f"The key {key_id} is {state}; only one that is active can be rotated",
            hint="Make a new one with: apimarket keys create NAME",
        )


class KeyRequired(ApimarketError):
    """The gateway's: a call came without a key where one is needed."""

    status, code, title = 401, "key_required", "This API needs a key"

    def __init__(self, full_name: str) -> None:
        super().__init__(
            f"{full_name} is called with a key, and the request carries none",
            hint=f"Send 'Authorization: Bearer am_…'. Get one with: apimarket subscribe {full_name}; its owner"
            f" makes one with: apimarket keys create {full_name}",
        )


class KeyRefused(ApimarketError):
    """The gateway's: the key is not known, or no longer in force. Never quotes the key."""

    status, code, title = 401, "key_refused", "The key is not valid"

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(f"The key {reason}", hint=hint or "Its owner sees each key with: apimarket keys list NAME")


class KeyNotAllowed(ApimarketError):
    """The gateway's: the key is in force, but not for this."""

    status, code, title = 403, "key_not_allowed", "The key does not allow this"

    def __init__(self, reason: str, hint: str) -> None:
        super().__init__(f"The key {reason}", hint=hint)


class RateLimited(ApimarketError):
    """`retry_after_s` is whole seconds."""

    status, code, title = 429, "rate_limited", "Too many requests"

    def __init__(self, full_name: str, limit: RateLimit, retry_after_s: int) -> None:
        super().__init__(
            f"{full_name} takes {limit.requests} requests in {limit.window_s} s from this caller",
            hint=f"Send the next one in {retry_after_s} s.",
            extra={"limit": limit.requests, "window_s": limit.window_s, "retry_after_s": retry_after_s},
        )
        self.limit, self.retry_after_s = limit, retry_after_s
