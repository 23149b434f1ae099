// Says what is wrong with a program that did not start, in terms of its own files.

import { spawnSync } from "node:child_process";
import { readFileSync, realpathSync } from "node:fs";
import { dirname, isAbsolute, relative, sep } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { inspect } from "node:util";

import { EntryProblem } from "./entry.mjs";
import { importGraph } from "./imports.mjs";

const PARSER = fileURLToPath(new URL("parse.mjs", import.meta.url));
const PARSER_TIMEOUT_MS = 3000;
const AGENT = pathToFileURL(dirname(fileURLToPath(import.meta.url)) + sep).href;
const LONGEST_MESSAGE = 4 * 1024;
const LONGEST_TRACE = 64 * 1024;

/** The fields of a `failed` message for what a program threw while it was loaded, from its entry file on. */
export function describe(error, dir, entryFile) {
  if (error instanceof EntryProblem) {
    return { kind: "entry", message: error.message, file: null, line: null, traceback: "" };
  }
  const stack = placed(error, typeof error?.stack === "string" ? error.stack : inspect(error), entryFile);
  const place = placeOf(error, stack, dir);
  const short = stripper(dir);
  const traceback = short(ownFrames(stack)).slice(0, LONGEST_TRACE);
  const message = short(messageOf(error)).slice(0, LONGEST_MESSAGE);
  return { kind: kindOf(error, stack), message, ...place, traceback };
}

function kindOf(error, stack) {
  if (error?.code === "EADDRINUSE") return "port";
  return isUnparsed(error) && headOf(stack) ? "syntax" : "import";
}

function isUnparsed(error) {
  return error instanceof SyntaxError && !/does not provide an export named/.test(error.message);
}

/** The stack, with the place on top where an ES module does not parse. */
function placed(error, stack, entryFile) {
  if (!isUnparsed(error) || !entryFile || headOf(stack)) return stack;
  const argv = ["--experimental-vm-modules", "--no-warnings", PARSER, ...importGraph(entryFile).files];
  const { stderr } = spawnSync(process.execPath, argv, { encoding: "utf8", timeout: PARSER_TIMEOUT_MS, env: {} });
  const said = stderr?.indexOf(`SyntaxError: ${error.message}`) ?? -1;
  return said > 0 ? stderr.slice(0, said) + stack : stack;
}

function messageOf(error) {
  if (!(error instanceof Error)) return `The program threw ${inspect(error, { depth: 1 })}`;
  const said = `${error.name}: ${error.message.split("\nRequire stack:")[0]}`;
  if (error.code === "EADDRINUSE") return `${said}. Two versions run side by side during a reload: listen on $PORT`;
  const missing = missingPackage(error);
  if (missing) return `${said}. Add it to "dependencies" in package.json: npm install ${missing}`;
  if (/Cannot use import statement outside a module|Unexpected token 'export'/.test(said)) {
    return `${said}. Name the file .mjs, or set "type": "module" in package.json`;
  }
  return said;
}

/** The package an import or a require did not find; null when it named a file. */
function missingPackage(error) {
  if (error.code !== "ERR_MODULE_NOT_FOUND" && error.code !== "MODULE_NOT_FOUND") return null;
  const name = /Cannot find (?:package|module) '([^']+)'/.exec(error.message)?.[1];
  if (!name || /^(\.|\/|file:|[A-Za-z]:\\)/.test(name)) return null;
  return name.startsWith("@") ? name.split("/").slice(0, 2).join("/") : name.split("/")[0];
}

/** {file, line} in the project: where a text does not parse, what imports a missing module, or the first own frame. */
function placeOf(error, stack, dir) {
  const head = headOf(stack);
  if (head && inProject(head.path, dir)) return { file: inProject(head.path, dir), line: head.line };
  const importer = /imported from (.+)$/m.exec(error?.message ?? "")?.[1] ?? error?.requireStack?.[0];
  if (importer && inProject(importer, dir)) {
    return { file: inProject(importer, dir), line: lineNaming(error, toPath(importer)) };
  }
  for (const [, path, line] of stack.matchAll(/^\s+at .*?\(?((?:file:\/\/)?\/[^()\n]+?):(\d+):\d+\)?$/gm)) {
    if (inProject(path, dir)) return { file: inProject(path, dir), line: Number(line) };
  }
  return { file: null, line: null };
}

/** Node puts the place of a text that does not parse on the first line: `file:///srv/app.mjs:12`. */
function headOf(stack) {
  const match = /^((?:file:\/\/)?(?:\/|[A-Za-z]:\\).+?):(\d+)\n/.exec(stack);
  return match && { path: match[1], line: Number(match[2]) };
}

function lineNaming(error, importer) {
  const name = /'([^']+)'/.exec(error.message)?.[1] ?? "";
  // A relative import is named by its absolute path in the message and by its own text in the file.
  const tail = name.split("/").pop().replace(/\.\w+$/, "");
  try {
    const lines = readFileSync(importer, "utf8").split("\n");
    const index = lines.findIndex((line) => /\b(import|require|from)\b/.test(line) && line.includes(tail));
    return index < 0 ? null : index + 1;
  } catch {
    return null;
  }
}

function toPath(path) {
  return path.startsWith("file:") ? fileURLToPath(path) : path;
}

/** The path relative to the project, or null outside of it and in dependencies. */
function inProject(path, dir) {
  const inner = relative(realpathSync(dir), toPath(path));
  return inner.startsWith("..") || isAbsolute(inner) || inner.includes("node_modules") ? null : inner;
}

function ownFrames(stack) {
  const foreign = /^\s+at .*(?:\(|\s)(?:node:|internal\/)/;
  return stack
    .split("\n")
    .filter((line) => !foreign.test(line) && !line.includes(AGENT) && !line.includes(fileURLToPath(AGENT)))
    .join("\n");
}

function stripper(dir) {
  const roots = [realpathSync(dir), dir].map((path) => path + sep);
  const prefixes = roots.flatMap((root) => [pathToFileURL(root).href, root]);
  return (text) => prefixes.reduce((left, prefix) => left.replaceAll(prefix, ""), text);
}
