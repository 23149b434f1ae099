// Between Node's requests and the web's: runs a handler that takes a Request and answers a Response.

import { once } from "node:events";

// They belong to one connection, and Node writes its own.
const HOP_BY_HOP = new Set(["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "trailer"]);
const NOT_FOR_REQUEST = new Set(["TRACE", "CONNECT", "TRACK"]); // The Request constructor refuses them.

/** A listener for http.Server that runs a fetch handler. */
export function fetchListener(handler) {
  return async (incoming, outgoing) => {
    try {
      if (NOT_FOR_REQUEST.has(incoming.method)) return problem(outgoing, 405, "Method Not Allowed");
      const gone = new AbortController();
      outgoing.once("close", () => {
        if (!outgoing.writableFinished) gone.abort(new DOMException("The client is gone", "AbortError"));
      });
      const response = await handler(toRequest(incoming, gone.signal));
      if (outgoing.destroyed) return await discard(response);
      if (!isResponse(response)) throw new TypeError(`The handler answered ${nameOf(response)} and not a Response`);
      await send(response, outgoing, incoming.method);
    } catch (error) {
      fail(outgoing, error);
    }
  };
}

/** A listener that turns what a `(req, res)` function throws or rejects into a 500. */
export function guardedListener(listener) {
  return (incoming, outgoing) => {
    try {
      const answer = listener(incoming, outgoing);
      if (typeof answer?.catch === "function") answer.catch((error) => fail(outgoing, error));
    } catch (error) {
      fail(outgoing, error);
    }
  };
}

/** The author finds the stack in the log; the caller learns no more than that it failed. */
function fail(outgoing, error) {
  // A client that left makes reads and writes fail; there is nobody to tell and nothing to mend.
  if (outgoing.destroyed) return;
  console.error(error);
  if (outgoing.headersSent) outgoing.destroy();
  else problem(outgoing, 500, "Internal Server Error", "The API failed on this request; its log says why.");
}

function problem(outgoing, status, title, detail) {
  for (const name of outgoing.getHeaderNames()) outgoing.removeHeader(name);
  outgoing.writeHead(status, { "content-type": "application/problem+json" });
  outgoing.end(JSON.stringify({ type: "about:blank", title, status, detail }));
}

function toRequest(incoming, signal) {
  const headers = new Headers();
  const raw = incoming.rawHeaders;
  for (let index = 0; index < raw.length; index += 2) headers.append(raw[index], raw[index + 1]);
  const { method } = incoming;
  const bodiless = method === "GET" || method === "HEAD" || !hasBody(incoming.headers);
  const body = bodiless ? {} : { body: bodyOf(incoming), duplex: "half" };
  return new Request(urlOf(incoming), { method, headers, signal, ...body });
}

function hasBody(headers) {
  return headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > 0;
}

/** The URL the caller used, without the gateway's prefix: a handler that looks at the path runs unchanged behind it. */
function urlOf(incoming) {
  const first = (name) => String(incoming.headers[name] ?? "").split(",")[0].trim();
  const scheme = first("x-forwarded-proto") === "https" ? "https" : "http";
  const host = first("x-forwarded-host") || incoming.headers.host || "localhost";
  const absolute = /^https?:\/\/[^/]+(.*)$/i.exec(incoming.url);
  const path = absolute ? absolute[1] || "/" : incoming.url;
  const target = path.startsWith("/") ? path : `/${path}`;
  // A host that is no host must not make the request unanswerable: the path is what handlers look at.
  const origin = URL.canParse?.(`${scheme}://${host}`) === false ? "http://localhost" : `${scheme}://${host}`;
  return new URL(origin + target);
}

/** Touches the request only when the handler reads: what nobody reads, Node itself takes off the connection. */
function bodyOf(incoming) {
  let attached = false;
  const attach = (controller) => {
    attached = true;
    incoming.on("data", (chunk) => {
      incoming.pause();
      controller.enqueue(new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength));
    });
    incoming.once("end", () => controller.close());
    incoming.once("error", (error) => controller.error(error));
  };
  return new ReadableStream(
    {
      pull(controller) {
        if (!attached) attach(controller);
        incoming.resume();
      },
      cancel() {
        incoming.removeAllListeners("data");
        incoming.removeAllListeners("end");
        incoming.resume(); // What is unread must leave the connection before its next request.
      },
    },
    { highWaterMark: 0 },
  );
}

function isResponse(value) {
  // A polyfill's Response is another class with the same shape.
  return value instanceof Response || (typeof value?.status === "number" && Boolean(value.headers?.forEach));
}

function nameOf(value) {
  return value === null || typeof value !== "object" ? String(value) : `a ${value.constructor?.name ?? "plain object"}`;
}

async function discard(response) {
  await response?.body?.cancel?.();
}

async function send(response, outgoing, method) {
  const headers = headersOf(response);
  const { status, statusText } = response;
  const head = () => outgoing.writeHead(status, statusText || undefined, headers);
  if (!response.body || method === "HEAD") {
    head();
    outgoing.end();
    return await discard(response);
  }
  const reader = response.body.getReader();
  outgoing.once("close", () => outgoing.writableFinished || reader.cancel().catch(() => {}));
  const first = await reader.read();
  const second = first.done ? first : reader.read();
  if (!first.done) second.catch(() => {}); // Awaited below, unless writing the first part fails before.
  // A body that is whole already goes out in one piece with its length; one that still comes must not wait for more.
  const next = await Promise.race([second, new Promise((resolve) => setImmediate(resolve))]);
  if (next?.done) return sendWhole(first.value, headers, head, outgoing);
  head();
  await write(outgoing, first.value);
  for (let chunk = await second; !chunk.done; chunk = await reader.read()) await write(outgoing, chunk.value);
  outgoing.end();
}

function sendWhole(bytes, headers, head, outgoing) {
  if (!headers.some((value, index) => index % 2 === 0 && value === "content-length")) {
    headers.push("content-length", String(bytes?.byteLength ?? 0));
  }
  head();
  outgoing.end(bytes);
}

async function write(outgoing, chunk) {
  if (!outgoing.write(chunk) && !outgoing.destroyed) {
    const waiting = new AbortController();
    const close = () => waiting.abort();
    outgoing.once("close", close);
    await once(outgoing, "drain", { signal: waiting.signal }).finally(() => outgoing.off("close", close));
  }
}

/** Names and values in turn, the raw form of writeHead, which alone keeps two set-cookie lines apart on Node 18. */
function headersOf(response) {
  const raw = [];
  // `fetch` has undone the encoding of an answer that a handler passes on, and left the headers as they were.
  const decoded = Boolean(response.url) && response.headers.has("content-encoding");
  response.headers.forEach((value, name) => {
    if (HOP_BY_HOP.has(name) || name === "set-cookie") return;
    if (decoded && (name === "content-encoding" || name === "content-length")) return;
    raw.push(name, value);
  });
  for (const cookie of response.headers.getSetCookie?.() ?? []) raw.push("set-cookie", cookie);
  return raw;
}
