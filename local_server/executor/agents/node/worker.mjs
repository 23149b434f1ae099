// The process of one generation: waits, warmed up or not, for the order to start, then loads and serves the program.

import { realpathSync } from "node:fs";
import http from "node:http";
import process from "node:process";

import { adapt, observeListening, standBehindGateway } from "./adapters.mjs";
import { findEntry, load } from "./entry.mjs";
import { describe } from "./failure.mjs";
import { lesson, warm } from "./warmup.mjs";

const LESSON_AFTER_MS = 50;

const send = process.send.bind(process);
// The program must not mistake this channel for its own parent's, as process managers have one.
process.send = undefined;
// Without its agent nobody would ever end this process, nor what it started.
process.once("disconnect", () => process.kill(-process.pid, "SIGKILL"));
process.on("message", onMessage);
// Node loads these at first use; a spare has the time for it, a start has not.
void [globalThis.Request, globalThis.Response, globalThis.Headers, globalThis.ReadableStream, http.Server];

async function onMessage(message) {
  if (message.t === "warm") {
    const key = await warm(message);
    send(key === null ? { t: "warm" } : { t: "unfit", key });
  } else if (message.t === "start") {
    process.off("message", onMessage);
    process.channel.unref(); // From here on the program alone decides how long the process lives.
    await new Start(message).run();
  }
}

class Start {
  #order;
  #dir;
  #file = null;
  #ours = null;
  #servers = new Set();
  #asked = [];
  #loaded = false;
  #ready = false;

  constructor(order) {
    this.#order = order;
    this.#dir = realpathSync(order.dir);
  }

  async run() {
    this.#endWithGrace();
    this.#noticeTrouble();
    try {
      this.#becomeProgram();
      const entry = findEntry(this.#dir, this.#order.entry);
      this.#file = process.argv[1] = entry.file;
      this.#observe();
      const values = await load(entry, this.#dir);
      this.#loaded = true;
      const loadedAt = performance.now();
      const adapted = this.#asked.includes(this.#order.port) ? null : await adapt(values);
      if (adapted && !this.#servers.has(adapted.server)) await this.#serve(adapted, loadedAt);
      else send({ t: "listens-itself" });
      setTimeout(() => send({ t: "lesson", ...lesson(this.#dir, entry.file) }), LESSON_AFTER_MS).unref();
    } catch (error) {
      this.#fail(describe(error, this.#dir, this.#file));
    }
  }

  #becomeProgram() {
    const { env, host, port } = this.#order;
    Object.assign(process.env, env, { HOST: host, PORT: String(port) });
    process.argv.splice(2);
    process.chdir(this.#dir);
  }

  #observe() {
    observeListening({
      isOurs: (server) => server === this.#ours,
      onAsked: (port, server) => {
        this.#asked.push(port);
        this.#servers.add(server);
      },
      onListening: (address) => send({ t: "listening", port: address.port, loopback: isLoopback(address.address) }),
    });
  }

  async #serve({ kind, server }, loadedAt) {
    const { host, port } = this.#order;
    this.#ours = server;
    this.#servers.add(server);
    standBehindGateway(server);
    await new Promise((resolve, reject) => {
      server.once("error", reject);
      server.listen({ host, port }, resolve);
    });
    this.#ready = true;
    send({ t: "ready", kind, readyMs: performance.now() - loadedAt, advice: this.#advice() });
  }

  #advice() {
    const others = this.#asked.filter((port) => port > 0);
    if (others.length === 0) return [];
    return [`it listens on port ${others[0]} too, which the next version cannot share: leave listening to the export`];
  }

  #noticeTrouble() {
    // Only looks: what the program does about its own errors stays as it is.
    process.on("uncaughtExceptionMonitor", (error) => {
      if (this.#ready) return;
      const failure = describe(error, this.#dir, this.#file);
      const kind = this.#loaded && failure.kind === "import" ? "exit" : failure.kind;
      send({ t: "failed", ...failure, kind, exits: true });
    });
    process.once("beforeExit", () => {
      if (!this.#ready && !this.#asked.length) this.#fail(this.#nothingServed());
    });
  }

  #nothingServed() {
    const message = this.#loaded
      ? "The entry neither exports something to serve nor listens on $PORT. Export default { fetch(request) {…} }, " +
        "an app or a (req, res) function, or call listen(process.env.PORT)"
      : "The entry never finishes loading: a top-level await waits for something that does not come";
    return { kind: "entry", message, file: null, line: null, traceback: "" };
  }

  #fail(failure) {
    send({ t: "failed", ...failure }, () => process.exit(1));
  }

  /** On SIGTERM: no new connections, what is under way is finished. A program with a handler of its own decides. */
  #endWithGrace() {
    process.on("SIGTERM", () => {
      if (process.listenerCount("SIGTERM") > 1 && !this.#ours) return;
      if (!this.#loaded) process.exit(143);
      const open = [...this.#servers].filter((server) => server.listening);
      const closed = open.map((server) => new Promise((resolve) => server.close(resolve)));
      // A kept connection becomes idle only when its last answer is out.
      setInterval(() => open.forEach((server) => server.closeIdleConnections?.()), 20).unref();
      open.forEach((server) => server.closeIdleConnections?.());
      Promise.all(closed).then(() => process.listenerCount("SIGTERM") > 1 || process.exit(0));
    });
  }
}

function isLoopback(address) {
  return address === "::1" || address.startsWith("127.");
}
