// One process kept ready, with the dependencies of the last generation already loaded, so that a start only has to load
// the user's own files.

import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";

import { remark } from "./channel.mjs";

const WORKER = fileURLToPath(new URL("worker.mjs", import.meta.url));
// After a generation is ready its first requests come first; on one CPU a spare that warms up would delay them.
const PAUSE_MS = 100;
const WARM_UP_PATIENCE_MS = 1000;
const MOST_UNFIT = 12;
// Node reads these once, as a process starts: a spare that started without them cannot take them on.
const READ_AT_START = /^(NODE_(?!ENV$)|UV_|LD_|DYLD_|SSL_|OPENSSL_|MALLOC_)/;

export const BASE_ENV = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => name !== "APIMARKET_EXIT_ON_EOF"),
);

/** A worker process that waits for its order. The last argument is what it loads meanwhile, or null. */
class Worker {
  /** Resolves when it can take an order, with true, or when it cannot any more, with false. */
  fit;

  constructor(env, lesson) {
    this.env = env;
    this.lesson = lesson;
    this.child = fork(WORKER, [], {
      detached: true,
      env: { ...BASE_ENV, ...env },
      execArgv: [],
      stdio: ["ignore", "pipe", "pipe", "ipc"],
    });
    this.child.on("error", () => {}); // Told by `exit`, or by `pid` being absent.
    this.fit = new Promise((resolve) => {
      this.child.once("exit", () => resolve(false));
      this.child.once("error", () => resolve(false));
      this.child.on("message", (message) => {
        if (message.t === "warm") resolve(true);
        if (message.t === "unfit") {
          this.unfit = message.key;
          resolve(false);
        }
      });
    });
    if (lesson) this.child.send({ t: "warm", ...lesson });
  }

  suits(env) {
    return this.lesson ? sameEnv(this.env, env) : !Object.keys(env).some((name) => READ_AT_START.test(name));
  }

  get alive() {
    return this.child.connected && this.child.exitCode === null && this.child.signalCode === null;
  }

  end() {
    if (this.alive) this.child.kill("SIGKILL");
  }
}

export class Spares {
  #spare = null;
  #timer = null;
  #closed = false;
  #env = {};
  #lesson = null;
  // Modules that must be loaded by each generation itself: they read its environment or its files as they load.
  #unfit = new Set();
  #broken = "";

  /** A process for a start: the spare if it suits, else a new one. */
  async take(env) {
    clearTimeout(this.#timer);
    const spare = this.#spare;
    this.#spare = null;
    if (spare?.suits(env)) {
      const fit = spare.lesson ? await orFalse(spare.fit, WARM_UP_PATIENCE_MS) : true;
      if (fit && spare.alive) return spare.child;
    }
    spare?.end();
    return new Worker(env, null).child;
  }

  /** What a ready generation has loaded; the next spare loads the same. */
  learn(env, lesson) {
    this.#env = env;
    this.#lesson = lesson;
  }

  /** Makes the next spare after a pause, unless there is one or one is being made. */
  replenish(pauseMs = PAUSE_MS) {
    clearTimeout(this.#timer);
    if (!this.#closed && !this.#spare) this.#timer = setTimeout(() => this.#make(), pauseMs);
  }

  /** Holds back while a generation starts. */
  hold() {
    clearTimeout(this.#timer);
  }

  close() {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#spare?.end();
  }

  #make() {
    const lesson = this.#fitLesson();
    const worker = new Worker(lesson ? this.#env : {}, lesson);
    this.#spare = worker;
    worker.fit.then((fit) => {
      if (fit || this.#spare !== worker || this.#closed) return;
      worker.end();
      this.#spare = null;
      if (worker.unfit) this.#unfit.add(worker.unfit);
      else if (lesson) this.#giveUpOn(lesson);
      else return; // Not even an empty one starts: the next start will say why.
      this.replenish();
    });
  }

  #fitLesson() {
    if (!this.#lesson || this.#unfit.size > MOST_UNFIT) return null;
    const lesson = { ...this.#lesson, unfit: [...this.#unfit] };
    return JSON.stringify([lesson.requires, lesson.imports]) === this.#broken ? null : lesson;
  }

  #giveUpOn(lesson) {
    this.#broken = JSON.stringify([lesson.requires, lesson.imports]);
    remark("A dependency ended the spare process that loaded it ahead: starts stay cold until the dependencies change");
  }
}

function orFalse(promise, timeoutMs) {
  return Promise.race([promise, new Promise((resolve) => setTimeout(() => resolve(false), timeoutMs).unref())]);
}

function sameEnv(one, other) {
  // APIMARKET_ variables tell a program about its generation; no dependency reads them as it loads.
  const own = (env) => JSON.stringify(Object.entries(env).filter(([name]) => !name.startsWith("APIMARKET_")).sort());
  return own(one) === own(other);
}
