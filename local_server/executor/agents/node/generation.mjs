// One generation as the agent sees it: a process group, from the order to start it until it is gone.

import { spawn } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";

import { say } from "./channel.mjs";
import { Logs } from "./logs.mjs";
import { accepts, dialled, listenedOn, reserve } from "./ports.mjs";
import { BASE_ENV } from "./spares.mjs";

const PROBE_MS = 10;
const LOOK_AROUND_MS = 250;
// A program may open a port for metrics before it opens $PORT.
const ELSEWHERE_PATIENCE_MS = 3000;

export class Generation {
  state = "starting"; // starting, ready, failing, stopping, gone
  port = 0;
  #order;
  #hooks;
  #child = null;
  #logs;
  #failure = null;
  #last = "starting"; // The state in which it ended.
  #orderedAt = performance.now();
  #timers = new Set();
  #elsewhereSince = null;
  #reported = [];

  /** `hooks`: take(env) gives a worker, portsTaken() a set, learned(env, lesson), settled() and gone() tell. */
  constructor(order, hooks) {
    this.#order = order;
    this.#hooks = hooks;
    this.#logs = new Logs(order.gen);
  }

  get gen() {
    return this.#order.gen;
  }

  async start() {
    const { host, port, command, dir, timeout_s } = this.#order;
    this.port = port;
    if (!existsSync(dir) || !statSync(dir).isDirectory()) return this.#refuse("entry", `There is no directory ${dir}`);
    const reserved = await reserve(host, port, this.#hooks.portsTaken(this));
    if (this.state !== "starting") return this.#gone(null, null);
    if (reserved === null) return this.#refuse("port", `port ${port} is in use`);
    this.port = reserved;
    this.#after(timeout_s * 1000, () => this.#timeOut());
    if (command) this.#runCommand();
    else await this.#runEntry();
  }

  /** SIGTERM to the group now, SIGKILL after the grace time. */
  stop(graceS) {
    if (this.state === "gone") return void (this.#last = "stopping"); // It is about to be reported.
    this.state = "stopping";
    this.#clearTimers();
    this.#signal("SIGTERM");
    this.#after(graceS * 1000, () => this.#signal("SIGKILL"));
  }

  // -- Starting --

  #runCommand() {
    const { command, dir, env, host } = this.#order;
    const variables = { HOST: host, PORT: String(this.port) };
    const fill = (word) => word.replace(/\$(?:\{(PORT|HOST)\}|(PORT|HOST)\b)/g, (_, a, b) => variables[a ?? b]);
    const [program, ...args] = command.map(fill);
    const whole = { ...BASE_ENV, ...env, ...variables };
    whole.PATH = [...binariesAbove(dir), whole.PATH, dirname(process.execPath)].filter(Boolean).join(delimiter);
    const child = spawn(program, args, { cwd: dir, env: whole, detached: true, stdio: ["ignore", "pipe", "pipe"] });
    child.once("error", (error) => {
      if (child.pid === undefined) this.#refuse("entry", notStarted(program, error));
    });
    if (child.pid === undefined) return;
    this.#adopt(child);
    this.#awaitPort("command");
  }

  async #runEntry() {
    const { env, dir, entry, host } = this.#order;
    const child = await this.#hooks.take(env);
    if (child.pid === undefined) return this.#refuse("exit", "No process could be started: a limit is reached");
    this.#adopt(child);
    if (this.state !== "starting") return this.#signal("SIGKILL");
    child.on("message", (message) => this.#heard(message));
    child.send({ t: "start", dir, entry, env, host, port: this.port }, () => {}); // Told by `exit` when it fails.
  }

  #adopt(child) {
    this.#child = child;
    this.#logs.attach(child.stdout, child.stderr);
    child.once("exit", (code, signal) => this.#gone(code, signal));
    if (child.exitCode !== null || child.signalCode !== null) this.#gone(child.exitCode, child.signalCode);
  }

  #heard(message) {
    if (message.t === "ready") this.#becomeReady(message.kind, message.readyMs, message.advice);
    else if (message.t === "listens-itself") this.#awaitPort("listener");
    else if (message.t === "listening") this.#reported.push(message);
    else if (message.t === "lesson") this.#hooks.learned(this.#order.env, message);
    else if (message.t === "failed" && this.state === "starting") {
      const { t, exits, ...failure } = message;
      this.#failure = failure;
      if (!exits) this.state = "failing";
    }
  }

  #awaitPort(kind) {
    const loadedAt = performance.now();
    const host = dialled(this.#order.host);
    let lookAt = performance.now() + LOOK_AROUND_MS;
    const probe = async () => {
      if (this.state !== "starting") return;
      if (await accepts(host, this.port)) return this.#becomeReady(kind, performance.now() - loadedAt, []);
      if (performance.now() >= lookAt) {
        lookAt = performance.now() + LOOK_AROUND_MS;
        this.#lookAround();
      }
      this.#after(PROBE_MS, probe);
    };
    probe();
  }

  /** Fails the start when the program has been listening elsewhere for some time, and not on $PORT. */
  #lookAround() {
    if (this.state !== "starting" || !this.#elsewhere()) return (this.#elsewhereSince = null);
    this.#elsewhereSince ??= performance.now();
    const patience = Math.min(ELSEWHERE_PATIENCE_MS, this.#order.timeout_s * 500);
    if (performance.now() - this.#elsewhereSince > patience) this.#fail("port", this.#elsewhere());
  }

  #elsewhere() {
    const tables = listenedOn(this.#child.pid);
    const sockets = tables.length ? tables : this.#reported;
    const own = sockets.find((socket) => socket.port === this.port);
    if (own?.loopback) {
      return `it listens on port ${this.port} of loopback only and is not reached: use $HOST (${this.#order.host})`;
    }
    if (own) return null;
    return sockets.length ? `it listens on port ${sockets[0].port} and not on $PORT (${this.port})` : null;
  }

  #timeOut() {
    const elsewhere = this.#child && this.#elsewhere();
    if (elsewhere) this.#fail("port", elsewhere);
    else this.#fail("timeout", `nothing listens on $PORT (${this.port}) after ${this.#order.timeout_s} s`);
  }

  #becomeReady(kind, readyMs, advice) {
    if (this.state !== "starting") return;
    this.state = "ready";
    this.#clearTimers();
    const wholeMs = performance.now() - this.#orderedAt;
    const ms = { import: round(wholeMs - readyMs), ready: round(readyMs) };
    say("ready", { gen: this.gen, port: this.port, kind, ms, advice });
    this.#hooks.settled(this);
  }

  // -- Ending --

  /** Fails before there is a process. */
  #refuse(kind, message) {
    this.#failure = failureOf(kind, message);
    this.#gone(null, null);
  }

  #fail(kind, message) {
    if (this.state !== "starting") return;
    this.state = "failing";
    this.#failure = failureOf(kind, message, this.#logs.tail.join("\n"));
    this.#signal("SIGKILL");
  }

  async #gone(code, signal) {
    if (this.state === "gone") return;
    this.#last = this.state;
    this.state = "gone";
    this.#clearTimers();
    this.#signal("SIGKILL"); // Whatever the program left behind in its group.
    if (this.#child) await this.#logs.finish();
    if (this.#last === "stopping") say("stopped", { gen: this.gen });
    else if (this.#last === "ready") say("exited", { gen: this.gen, code, signal });
    else say("failed", { gen: this.gen, ...(this.#failure ?? this.#earlyExit(code, signal)) });
    this.#hooks.gone(this);
  }

  #earlyExit(code, signal) {
    const how = signal ? `was ended by ${signal}` : `ended with code ${code}`;
    return failureOf("exit", `The program ${how} before it accepted connections`, this.#logs.tail.join("\n"));
  }

  #signal(name) {
    if (!this.#child?.pid) return;
    try {
      process.kill(-this.#child.pid, name);
    } catch (error) {
      // The group is gone, which is what was wanted; macOS says EPERM of one that is only a zombie.
      if (error.code !== "ESRCH" && error.code !== "EPERM") throw error;
    }
  }

  #after(ms, act) {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      act();
    }, ms);
    this.#timers.add(timer);
  }

  #clearTimers() {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
  }
}

function failureOf(kind, message, traceback = "") {
  return { kind, message, file: null, line: null, traceback };
}

function notStarted(program, error) {
  if (error.code === "ENOENT") return `There is no program ${program} in the project, its node_modules or on PATH`;
  return `${program} cannot be started: ${error.message}`;
}

/** The directories that `npm run` would put on PATH. */
function binariesAbove(dir) {
  const found = [];
  for (let folder = dir; ; folder = dirname(folder)) {
    found.push(join(folder, "node_modules", ".bin"));
    if (folder === dirname(folder)) return found.filter((path) => existsSync(path));
  }
}

function round(ms) {
  return Math.round(ms * 10) / 10;
}
