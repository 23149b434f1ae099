"""How PostgreSQL finds words: as SQLite's index does, by their beginning, without marks, in any case of letters.

Its own parser knows hosts, paths and numbers with signs, and would keep `weather-api` and `/forecast` as one word each.
So both what is indexed and what is asked lose their marks first, and everything that separates words becomes a space.
"""

import re
import unicodedata
from collections.abc import Sequence

# Code points, in a notation that both regular expressions understand: ASCII and Latin punctuation, general punctuation
# up to dingbats, that of CJK, and its full-width forms.
_SEPARATORS = (
    r"\u0001-\u002f\u003a-\u0040\u005b-\u0060\u007b-\u00a9\u00ab-\u00b4\u00b6-\u00b9\u00bb-\u00bf\u00d7\u00f7"
    r"\u2000-\u206f\u20a0-\u20cf\u2190-\u27bf\u3000-\u3004\u3008-\u3020\u3030\u30fb\ufe10-\ufe1f\ufe30-\ufe6f"
    r"\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65\ufffc\ufffd"
)
_MARKS = r"\u0300-\u036f"
_SEPARATED = re.compile(f"[{_SEPARATORS}]+")
_MARK = re.compile(f"[{_MARKS}]")
TAGS = "B"
"""The weight that marks words of tags: `listing_texts.words` has it for nothing else."""
_LONGEST_WORD = 200
"""Characters; of more than 2 KiB PostgreSQL makes no word."""

COLLATIONS = ("pg_c_utf8", "und-x-icu", "default")
"""By whose rules letters become small ones; the first that there is. The default of a database may know ASCII alone."""

FUNCTION = f"""
create function apimarket_words(said text) returns tsvector language sql immutable parallel safe as $words$
    select pg_catalog.to_tsvector('pg_catalog.simple', pg_catalog.regexp_replace(
        pg_catalog.lower(pg_catalog.regexp_replace(pg_catalog.normalize(said, 'NFKD'), '[{_MARKS}]', '', 'g')
                         collate pg_catalog."{{collation}}"),
        '[{_SEPARATORS}]+', ' ', 'g'))
$words$
"""
"""A `str.format` template. What is indexed was made by it, so it never changes: other rules need a function of another
name, and a step that indexes anew."""


def tsquery(words: Sequence[str], tags: Sequence[str] = ()) -> str | None:
    """Every word must be found, the last part of each by its beginning; the parts of one (`weather-a`) stand one behind
    the other. Of tags every part, as it is and among tags. None: there is nothing to look for."""
    phrases = [_phrase(word, ":*") for word in words]
    if not any(phrases):
        return None
    return " & ".join(phrase for phrase in [*phrases, *(_phrase(tag, "") for tag in tags)] if phrase)


def _phrase(word: str, ending: str) -> str:
    plain = _MARK.sub("", unicodedata.normalize("NFKD", word)).lower()
    # No separator is left in a part, so that neither quotes nor backslashes are.
    parts = [f"'{part[:_LONGEST_WORD]}'" for part in _SEPARATED.split(plain) if part]
    if not ending:
        parts = [f"{part}:{TAGS}" for part in parts]
    return f"({' <-> '.join(parts)}{ending})" if parts else ""
