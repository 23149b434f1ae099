import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import app from "./index.js";

let server;
let url;

before(async () => {
  await new Promise((ready) => (server = app.listen(0, "127.0.0.1", ready)));
  url = `http://127.0.0.1:${server.address().port}`;
});

after(() => new Promise((closed) => {
  server.close(closed);
  server.closeAllConnections();
}));

const send = (method, path, body) =>
  fetch(url + path, { method, headers: { "content-type": "application/json" }, body: JSON.stringify(body) });

test("welcome invites a change", async () => {
  assert.match((await (await send("GET", "/")).json()).message, /Hello/);
});

test("it is healthy", async () => {
  assert.deepEqual(await (await send("GET", "/health")).json(), { status: "ok" });
});

test("an added note is listed, and can be done", async () => {
  const added = await send("POST", "/notes", { text: " Call home " });
  assert.equal(added.status, 201);
  const { id, text } = await added.json();
  assert.equal(text, "Call home");
  assert.equal((await (await send("PATCH", `/notes/${id}`, { done: true })).json()).done, true);
  const done = await (await send("GET", "/notes?done=true")).json();
  assert.ok(done.some((note) => note.id === id));
});

test("a note without text is refused", async () => {
  assert.equal((await send("POST", "/notes", {})).status, 400);
});

test("a note that is not there cannot be done", async () => {
  assert.equal((await send("PATCH", "/notes/999", { done: true })).status, 404);
});
