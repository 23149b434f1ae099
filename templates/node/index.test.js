import assert from "node:assert/strict";
import test from "node:test";

import api from "./index.js";

const call = (path, options) => api.fetch(new Request(`http://localhost${path}`, options));

test("welcome invites a change", async () => {
  assert.match((await (await call("/")).json()).message, /Hello/);
});

test("it is healthy", async () => {
  assert.deepEqual(await (await call("/health")).json(), { status: "ok" });
});

test("dice stay within their sides", async () => {
  const { rolls, total } = await (await call("/roll?dice=100d6")).json();
  assert.equal(rolls.length, 100);
  assert.ok(rolls.every((one) => one >= 1 && one <= 6));
  assert.equal(total, rolls.reduce((sum, one) => sum + one));
});

test("what are no dice is refused", async () => {
  assert.equal((await call("/roll?dice=many")).status, 400);
});

test("one of the choices is picked", async () => {
  const answer = await call("/pick", { method: "POST", body: "tea\ncoffee" });
  assert.ok(["tea", "coffee"].includes((await answer.json()).picked));
});

test("elsewhere is nothing", async () => {
  assert.equal((await call("/nowhere")).status, 404);
});
