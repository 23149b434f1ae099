"""One function is a whole API: it takes a request, and what it returns is the answer.

A dict or a list becomes JSON, a str becomes text, and `answer, 404` sets the status.
"""


def handler(request):
    if request.path == "/":
        return {
            "message": "Hello from {{name}}! Change this line in main.py, save, and call again.",
            "try": "greet?name=Ada",
        }
    if request.path == "/health":
        return {"status": "ok"}
    if request.path == "/greet":
        return f"Hello, {request.query.get('name', 'world')}!\n"
    if request.path == "/count" and request.method == "POST":
        return count(request.text())
    return {"error": f"There is nothing at {request.method} {request.path}"}, 404


def count(text):
    """How long a text is, and how long it takes to read at 200 words a minute."""
    words = text.split()
    return {
        "characters": len(text),
        "words": len(words),
        "different_words": len({word.strip(".,;:!?\"'()").lower() for word in words}),
        "minutes_to_read": round(len(words) / 200, 1),
    }
