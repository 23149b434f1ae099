// Which port a generation gets, whether something answers there, and what a program listens on instead.

import { readFileSync, readdirSync, readlinkSync } from "node:fs";
import { createConnection, createServer } from "node:net";
import { networkInterfaces } from "node:os";

const LISTEN = "0A";

/** A free port: the one asked for, or any when that is 0. Null when it is taken. */
export async function reserve(host, port, taken) {
  for (let attempt = 0; attempt < 20; attempt++) {
    const found = await tryBind(host, port);
    if (found === null || !taken.has(found)) return found;
    if (port !== 0) return null;
  }
  return null;
}

function tryBind(host, port) {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(null));
    server.listen({ host, port }, () => {
      const { port: found } = server.address();
      server.close(() => resolve(found));
    });
  });
}

/** The address the gateway will dial: in a container never loopback, so a program bound to that is not reached. */
export function dialled(host) {
  if (host !== "0.0.0.0" && host !== "::" && host !== "") return host;
  for (const addresses of Object.values(networkInterfaces())) {
    const outer = addresses.find((address) => !address.internal && address.family === "IPv4");
    if (outer) return outer.address;
  }
  return "127.0.0.1";
}

export function accepts(host, port, timeoutMs = 500) {
  return new Promise((resolve) => {
    const socket = createConnection({ host, port });
    const done = (answer) => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(timeoutMs, () => done(false));
    socket.once("connect", () => done(true));
    socket.once("error", () => done(false));
  });
}

/**
 * What the processes of a session listen on, as {port, loopback}; loopback: reached from the same machine only.
 * Empty where the system does not tell (only Linux does).
 */
export function listenedOn(session) {
  try {
    const inodes = socketsOf(session);
    return ["/proc/net/tcp", "/proc/net/tcp6"]
      .flatMap(readTable)
      .filter((socket) => inodes.has(socket.inode))
      .map(({ port, loopback }) => ({ port, loopback }));
  } catch {
    return [];
  }
}

function readTable(file) {
  let text;
  try {
    text = readFileSync(file, "utf8");
  } catch {
    return []; // A system without IPv6 has no such table.
  }
  return text
    .split("\n")
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => fields[3] === LISTEN)
    .map((fields) => {
      const [address, port] = fields[1].split(":");
      return { port: parseInt(port, 16), loopback: isLoopback(address), inode: fields[9] };
    });
}

function isLoopback(hex) {
  // The kernel writes each 32-bit word in the machine's own order, which is little-endian wherever Node runs.
  return hex.length === 8 ? hex.endsWith("7F") : hex === "00000000000000000000000001000000";
}

function socketsOf(session) {
  const inodes = new Set();
  for (const pid of readdirSync("/proc")) {
    if (!/^\d+$/.test(pid) || sessionOf(pid) !== session) continue;
    try {
      for (const fd of readdirSync(`/proc/${pid}/fd`)) {
        const match = /^socket:\[(\d+)\]$/.exec(readLink(`/proc/${pid}/fd/${fd}`));
        if (match) inodes.add(match[1]);
      }
    } catch {
      continue; // It ended, or belongs to another user.
    }
  }
  return inodes;
}

function readLink(path) {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}

function sessionOf(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[3]);
  } catch {
    return -1;
  }
}
