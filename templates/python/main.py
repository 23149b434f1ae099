"""A small API of quotes. Save this file, and the next call is answered by what you saved."""

from fastapi import FastAPI
from pydantic import BaseModel, Field

app = FastAPI(title="{{name}}", version="0.1.0", description="Quotes worth keeping.")


class Quote(BaseModel):
    text: str = Field(min_length=1, max_length=280, examples=["Make it work, make it right, make it fast."])
    author: str = Field(default="Unknown", min_length=1, max_length=80, examples=["Kent Beck"])


# Kept in memory: every save starts over with these.
quotes = [
    Quote(text="Simplicity is prerequisite for reliability.", author="Edsger W. Dijkstra"),
    Quote(text="The most dangerous phrase is: we have always done it this way.", author="Grace Hopper"),
    Quote(text="Programs must be written for people to read.", author="Hal Abelson"),
]


@app.get("/")
async def welcome() -> dict[str, str]:
    """Say hello."""
    return {
        "message": "Hello from {{name}}! Change this line in main.py, save, and call again.",
        "try": "quotes?author=grace",
        "docs": "docs",
    }


@app.get("/health")
async def health() -> dict[str, str]:
    """Tell that the API is up."""
    return {"status": "ok"}


@app.get("/quotes")
async def list_quotes(author: str | None = None) -> list[Quote]:
    """All quotes, or those of one author."""
    if author is None:
        return quotes
    return [quote for quote in quotes if author.lower() in quote.author.lower()]


@app.post("/quotes", status_code=201)
async def add_quote(quote: Quote) -> Quote:
    """Add a quote."""
    quotes.append(quote)
    return quote
