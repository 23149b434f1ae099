// Carries what a program prints to the server, line by line, and holds back one that floods.

import { say, whenDrained } from "./channel.mjs";

const LINES_A_SECOND = 2000;
const LONGEST_LINE = 16 * 1024;
// Beyond this much a second the program's pipe is no longer read, so that it waits instead of us burning its CPU share.
const LEFT_OUT_BYTES_A_SECOND = 4 * 1024 * 1024;
const TAIL_LINES = 40;
const NEWLINE = 10;

/** Both output streams of one generation, under one limit. */
export class Logs {
  #gen;
  #pumps = [];
  #passed = 0;
  #leftOut = 0;
  #leftOutBytes = 0;
  #windowEnds = 0;
  #timer = null;
  #ending = false;
  /** The last lines of standard error: what an exit is explained with. */
  tail = [];

  constructor(gen) {
    this.#gen = gen;
  }

  attach(stdout, stderr) {
    this.#pumps = [new Pump(stdout, "out", this), new Pump(stderr, "err", this)];
  }

  /** Resolves when both streams are read to their end, or after `patienceMs`: a grandchild may keep them open. */
  async finish(patienceMs = 300) {
    this.#ending = true;
    for (const pump of this.#pumps) pump.resume();
    const patience = new Promise((resolve) => setTimeout(resolve, patienceMs).unref());
    await Promise.race([Promise.all(this.#pumps.map((pump) => pump.ended)), patience]);
    for (const pump of this.#pumps) pump.end();
    clearTimeout(this.#timer);
    this.#closeWindow();
  }

  /** True when one more line may pass in this second. */
  admit() {
    const now = performance.now();
    if (now >= this.#windowEnds) {
      this.#closeWindow();
      this.#windowEnds = now + 1000;
      this.#passed = 0;
    }
    return this.#passed++ < LINES_A_SECOND;
  }

  pass(stream, bytes) {
    const line = bytes.toString("utf8");
    if (stream === "err") {
      this.tail.push(line);
      if (this.tail.length > TAIL_LINES) this.tail.shift();
    }
    if (say("log", { gen: this.#gen, stream, line }) || this.#ending) return;
    for (const pump of this.#pumps) pump.pause();
    whenDrained(() => this.#pumps.forEach((pump) => pump.resume()));
  }

  leaveOut(bytes) {
    this.#leftOut += 1;
    this.#leftOutBytes += bytes;
    this.#timer ??= setTimeout(() => this.#closeWindow(), Math.max(1, this.#windowEnds - performance.now()));
    if (this.#leftOutBytes > LEFT_OUT_BYTES_A_SECOND && !this.#ending) this.#pumps.forEach((pump) => pump.pause());
  }

  #closeWindow() {
    clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#leftOut === 0) return;
    const line = `${this.#leftOut} lines left out: more than ${LINES_A_SECOND} a second`;
    this.#leftOut = this.#leftOutBytes = 0;
    say("log", { gen: this.#gen, stream: "err", line });
    for (const pump of this.#pumps) pump.resume();
  }
}

/** One stream, cut into lines. */
class Pump {
  #stream;
  #name;
  #logs;
  #partial = [];
  #partialBytes = 0;

  constructor(stream, name, logs) {
    this.#stream = stream;
    this.#name = name;
    this.#logs = logs;
    this.ended = new Promise((resolve) => stream.once("close", resolve));
    stream.on("data", (chunk) => this.#read(chunk));
    stream.on("error", () => stream.destroy());
  }

  pause() {
    this.#stream.pause();
  }

  resume() {
    this.#stream.resume();
  }

  /** Passes on a last line that has no newline, and reads no more. */
  end() {
    this.#stream.destroy();
    if (this.#partialBytes > 0) this.#line(Buffer.alloc(0));
  }

  #read(chunk) {
    let from = 0;
    for (let end; (end = chunk.indexOf(NEWLINE, from)) >= 0; from = end + 1) this.#line(chunk.subarray(from, end));
    if (from < chunk.length) this.#keep(chunk.subarray(from));
  }

  #keep(piece) {
    // What lies beyond the cut is only counted: a program may print without ever ending the line.
    if (this.#partialBytes < LONGEST_LINE) this.#partial.push(piece.subarray(0, LONGEST_LINE));
    this.#partialBytes += piece.length;
  }

  #line(last) {
    const bytes = this.#partialBytes + last.length;
    if (this.#logs.admit()) {
      const whole = this.#partial.length === 0 ? last : Buffer.concat([...this.#partial, last]);
      const end = whole[whole.length - 1] === 13 ? whole.length - 1 : whole.length;
      this.#logs.pass(this.#name, whole.subarray(0, Math.min(end, LONGEST_LINE)));
    } else this.#logs.leaveOut(bytes + 1);
    this.#partial = [];
    this.#partialBytes = 0;
  }
}
