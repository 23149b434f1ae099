"""A body for each operation of the control API that takes JSON, as somebody would send it."""

from typing import Any

_TREE = "5872b0768b29202015962c885d951b06f18ecb541ae17d2c6b564af0a4f35442"
_FILE = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

EXAMPLES: dict[str, dict[str, Any]] = {
    "analytics_log": {"api": "weather", "method": "GET", "path": "/forecast", "status": 200, "total_ms": 12.5},
    "answer_review": {"text": "Thank you. Snow is in it from 1.3.0 on."},
    "cancel_subscription": {"when": "period_end"},
    "change_subscription": {"plan": "pro", "spend_cap_minor": 2000},
    "change_visibility": {"visibility": "public"},
    "change_yanked": {"semver": "1.2.0", "yanked": True, "reason": "It answers in the wrong unit."},
    "compare_exchange": {"generation": 12},
    "copy_catalogue": {"remote": "https://market.example"},
    "create_key": {"name": "phone", "scopes": ["read"], "rate_limit": "600/min", "quota": "1000/month"},
    "create_token": {"scope": "publish:ana/weather", "name": "ci", "expires_at": "2030-01-31T12:00:00Z"},
    "deploy": {"version": "1.2.0", "weight": 10},
    "executor_deploy": {"id": "weather"},
    "forget_marketplace": {"remote": "https://market.example"},
    "login": {"login": "ana", "password": "correct horse battery"},
    "change_password": {"current": "correct horse battery", "new": "staple the horse"},
    "mark_version": {"deprecated": True, "sunset_at": "2030-01-31T12:00:00Z"},
    "move_traffic": {"target": "1.2.0", "weight": 50},
    "patch_api": {"summary": "Forecasts for any place", "tags": ["geo"], "visibility": "private"},
    "publish_api": {"version": "1.2.0", "dry_run": True},
    "pull_api": {"write": False},
    "pull_version": {"name": "ana/weather", "start": True},
    "put_channel": {"version": "1.2.0"},
    "put_secret": {"value": "a token for the weather service"},
    "read_blobs": {"tree": _TREE, "want": [_FILE]},
    "register_api": {"directory": "/home/ana/weather"},
    "register_signing_key": {"name": "laptop", "public_key": "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="},
    "replay_exchange": {"generation": 12},
    "resolve_conflict": {"how": "mine"},
    "roll_back": {"version": "1.1.0"},
    "rotate_key": {"grace_s": 3600},
    "scaffold_api": {"name": "weather", "template": "python"},
    "signup": {"handle": "ana", "email": "ana@example.org", "password": "correct horse battery"},
    "subscribe": {"plan": "free"},
    "write_review": {"rating": 5, "text": "Right about the rain, every time."},
    "yank_version": {"version": "1.2.0", "reason": "It answers in the wrong unit."},
}
"""By operation id."""
