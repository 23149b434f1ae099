// The two ends of the line protocol with the server (docs/agent-protocol.md).

import { StringDecoder } from "node:string_decoder";

const LONGEST_LINE = 1024 * 1024;

// Set aside before anything else runs, so that nothing but `say` can reach the protocol stream.
const stdout = process.stdout;
// A server that went away is noticed on standard input; a write error on top of it must not end process 1.
stdout.on("error", () => {});

/** Sends one message. False: the stream is full, and whoever can should wait for `whenDrained`. */
export function say(t, fields) {
  return stdout.write(JSON.stringify({ t, ...fields }) + "\n");
}

/** The agent's own words. */
export function remark(line, stream = "out") {
  say("log", { gen: 0, stream, line });
}

export function whenDrained(then) {
  if (stdout.writableNeedDrain) stdout.once("drain", then);
  else setImmediate(then);
}

/** Calls back once everything said has left the process. */
export function flushed(then) {
  stdout.write("", then);
}

/** Reads messages until the end of the stream. A line that is no message is remarked on and left out. */
export function listen(stream, onMessage, onEnd) {
  const decoder = new StringDecoder("utf8");
  let rest = "";
  stream.on("data", (chunk) => {
    rest += decoder.write(chunk);
    let from = 0;
    for (let end; (end = rest.indexOf("\n", from)) >= 0; from = end + 1) {
      const message = parse(rest.slice(from, end));
      if (message) onMessage(message);
    }
    rest = rest.slice(from);
    if (rest.length > LONGEST_LINE) rest = "";
  });
  stream.on("end", onEnd);
  stream.on("error", onEnd);
}

function parse(line) {
  if (line.trim() === "") return null;
  try {
    const message = JSON.parse(line);
    if (message !== null && typeof message === "object" && typeof message.t === "string") return message;
  } catch {
    // Said below, the same for what is no JSON and what is JSON of another shape.
  }
  remark(`The agent left out a line that is not a message: ${line.slice(0, 200)}`, "err");
  return null;
}
