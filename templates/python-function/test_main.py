"""Run with: python -m unittest"""

import unittest
from types import SimpleNamespace

from main import handler


def call(method, path, body="", **query):
    return handler(SimpleNamespace(method=method, path=path, query=query, text=lambda: body))


class TestHandler(unittest.TestCase):
    def test_welcome_invites_a_change(self):
        self.assertIn("Hello", call("GET", "/")["message"])

    def test_it_is_healthy(self):
        self.assertEqual(call("GET", "/health"), {"status": "ok"})

    def test_it_greets_by_name(self):
        self.assertEqual(call("GET", "/greet", name="Ada"), "Hello, Ada!\n")

    def test_words_are_counted_once_whatever_their_case(self):
        answer = call("POST", "/count", "The cat saw the other cat.")
        self.assertEqual((answer["words"], answer["different_words"]), (6, 4))

    def test_elsewhere_is_nothing(self):
        self.assertEqual(call("GET", "/nowhere")[1], 404)


if __name__ == "__main__":
    unittest.main()
