// Makes an http.Server of whatever a program exports.

import http from "node:http";
import net from "node:net";

import { fetchListener, guardedListener } from "./fetch.mjs";

// The gateway keeps connections open for reuse; a server that closes one first loses a request that is on its way.
const KEEP_ALIVE_MS = 120_000;
const NODES_KEEP_ALIVE_MS = 5_000;
const LARGEST_HEADERS = 64 * 1024;

/** Answers {kind, server} for the first value that can be served, or null. A server may be listening already. */
export async function adapt(values) {
  for (const value of values) {
    const adapted = await adaptOne(await value);
    if (adapted) return adapted;
  }
  return null;
}

async function adaptOne(value) {
  if (value instanceof http.Server) return { kind: "listener", server: value };
  if (typeof value?.fetch === "function") return fetchServer((request) => value.fetch(request));
  if (typeof value === "function" && (value.handle || value.use)) return listenerServer(value);
  if (typeof value === "function" && isClass(value)) return null;
  if (typeof value === "function" && value.length >= 2) return listenerServer(guardedListener(value));
  if (typeof value === "function") return fetchServer(value);
  if (typeof value?.callback === "function" && value.use) return listenerServer(value.callback()); // Koa
  if (value?.server instanceof http.Server && typeof value.ready === "function") {
    await value.ready(); // Fastify
    return { kind: "listener", server: value.server };
  }
  return null;
}

function isClass(value) {
  return Function.prototype.toString.call(value).startsWith("class");
}

function fetchServer(handler) {
  return { kind: "fetch", server: createServer(fetchListener(handler)) };
}

function listenerServer(listener) {
  return { kind: "listener", server: createServer(listener) };
}

function createServer(listener) {
  return http.createServer({ maxHeaderSize: LARGEST_HEADERS }, listener);
}

/** Sets the limits of a server that stands behind a gateway, which has limits of its own. */
export function standBehindGateway(server) {
  if (!(server instanceof http.Server)) return;
  if (server.keepAliveTimeout === NODES_KEEP_ALIVE_MS) server.keepAliveTimeout = KEEP_ALIVE_MS;
  server.requestTimeout = 0;
  server.headersTimeout = 0;
}

/**
 * Calls back for each server that the program itself sets listening: `onAsked(port, server)` as it asks, and
 * `onListening(address)` once it does. `isOurs` tells a server of the agent's. This is how a hard-wired port is noticed
 * on every system.
 */
export function observeListening({ isOurs, onAsked, onListening }) {
  const { listen } = net.Server.prototype;
  net.Server.prototype.listen = function (...args) {
    if (!isOurs(this)) {
      onAsked(askedPort(args), this);
      standBehindGateway(this);
      // A socket file has a name for an address, and nothing to do with ports.
      this.once("listening", () => typeof this.address() === "object" && onListening(this.address()));
    }
    return Reflect.apply(listen, this, args);
  };
}

function askedPort(args) {
  const [first] = args;
  const port = first !== null && typeof first === "object" ? first.port : first;
  return Number(port ?? 0);
}
