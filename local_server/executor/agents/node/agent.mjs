// The first process of a Node sandbox: `node agent.mjs` (docs/agent-protocol.md). Needs Node 18 and nothing else.

import { flushed, listen, remark, say } from "./channel.mjs";
import { Generation } from "./generation.mjs";
import { Spares } from "./spares.mjs";

const AGENT_VERSION = 1;
const SIGNAL_GRACE_S = 5;

const generations = new Map();
const spares = new Spares();
let ending = false;

const handlers = {
  hello: sayHello,
  start(message) {
    if (ending || generations.has(message.gen)) return;
    spares.hold();
    const generation = new Generation(complete(message), hooks);
    generations.set(message.gen, generation);
    generation.start().catch((error) => troubled(error, generation));
  },
  stop({ gen, grace_s = 10 }) {
    const generation = generations.get(gen);
    if (generation) generation.stop(grace_s);
    else say("stopped", { gen });
  },
  shutdown({ grace_s = SIGNAL_GRACE_S }) {
    shutDown(grace_s);
  },
};

const hooks = {
  take: (env) => spares.take(env),
  portsTaken: (self) => new Set([...generations.values()].filter((one) => one !== self).map((one) => one.port)),
  learned: (env, lesson) => {
    spares.learn(env, { dir: lesson.dir, requires: lesson.requires, imports: lesson.imports });
    replenish();
  },
  settled: replenish,
  gone(generation) {
    generations.delete(generation.gen);
    if (ending) leaveWhenEmpty();
    else replenish();
  },
};

/** A spare is made only while nothing starts: it must never compete with a start for the CPU. */
function replenish() {
  if (![...generations.values()].some((generation) => generation.state === "starting")) spares.replenish();
}

function complete(message) {
  return { host: "127.0.0.1", port: 0, entry: null, command: null, timeout_s: 30, ...message, env: message.env ?? {} };
}

function sayHello() {
  const gens = [...generations.values()]
    .filter((generation) => generation.state === "ready")
    .map(({ gen, port }) => ({ gen, port }));
  say("hello", { agent: AGENT_VERSION, runtime: `node ${process.versions.node}`, pid: process.pid, gens });
}

function shutDown(graceS) {
  if (ending) return;
  ending = true;
  spares.close();
  for (const generation of generations.values()) generation.stop(graceS);
  leaveWhenEmpty();
}

function leaveWhenEmpty() {
  if (generations.size === 0) flushed(() => process.exit(0));
}

/** Fail-open: one generation's trouble must not end process 1, and with it every other generation. */
function troubled(error, generation) {
  remark(`The agent's own error: ${error.stack}`, "err");
  generation?.stop(0);
}

process.on("uncaughtException", (error) => troubled(error));
process.on("SIGTERM", () => shutDown(SIGNAL_GRACE_S));
process.on("SIGINT", () => shutDown(SIGNAL_GRACE_S));

function obey(message) {
  if (Object.hasOwn(handlers, message.t)) handlers[message.t](message);
  else remark(`The agent does not know the message ${message.t}`, "err");
}

listen(
  process.stdin,
  obey,
  () => process.env.APIMARKET_EXIT_ON_EOF === "1" && shutDown(SIGNAL_GRACE_S),
);
// A detached server leaves standard input open but silent, or closed; either way the agent stays.
setInterval(() => {}, 2 ** 30);
sayHello();
spares.replenish(0);
