// Finds the file a program starts with, and loads it the way `node FILE` would.

import { existsSync, readFileSync, statSync } from "node:fs";
import Module from "node:module";
import { dirname, join, relative, resolve, sep } from "node:path";
import { pathToFileURL } from "node:url";

const STEMS = ["index", "server", "app"];
const EXTENSIONS = [".mjs", ".js", ".cjs", ...(process.features.typescript ? [".ts", ".mts", ".cts"] : [])];
const ESM_SYNTAX = /^\s*(?:import\b\s*[\w{*"']|export\b\s*(?:default|const|let|var|function|class|async|[{*]))/m;
const NAMED = ["handler", "app", "server"];

/** The program cannot be started as it is written; the message is for its author. */
export class EntryProblem extends Error {}

/** Answers {file, name}: the entry file's path, and the export that `file:name` asks for, or null. */
export function findEntry(dir, entry) {
  if (!entry) return { file: detect(dir), name: null };
  const [, path, name = null] = /^(.+?)(?::([\w$]+))?$/.exec(entry);
  const file = resolve(dir, path);
  if (!file.startsWith(resolve(dir) + sep)) throw new EntryProblem(`The entry ${entry} lies outside the project`);
  const asFile = [file, ...EXTENSIONS.map((extension) => file + extension)].find(isFile);
  const found = asFile ?? (isDirectory(file) ? detect(file) : null);
  if (!found) throw new EntryProblem(`The entry ${entry} does not exist: name a file of the project, as index.mjs`);
  return { file: found, name };
}

function detect(dir) {
  for (const named of fromPackage(dir)) {
    const file = resolve(dir, named);
    const found = [file, ...EXTENSIONS.map((extension) => file + extension), join(file, "index.js")].find(isFile);
    if (found) return found;
  }
  const usual = STEMS.flatMap((stem) => EXTENSIONS.map((extension) => join(dir, stem + extension)));
  const found = usual.find(isFile);
  if (found) return found;
  throw new EntryProblem(
    `No entry file: add index.mjs, set "main" in package.json, or set entry under [run] in apimarket.toml`,
  );
}

function fromPackage(dir) {
  const { main, exports } = readPackage(join(dir, "package.json")) ?? {};
  const root = exports && typeof exports === "object" && "." in exports ? exports["."] : exports;
  return [main, target(root)].filter((value) => typeof value === "string");
}

/** The file behind a package.json "exports" value, whose conditions may nest. */
function target(value) {
  if (value === null || typeof value !== "object") return value;
  return target(["node", "import", "module", "default", "require"].map((name) => value[name]).find(Boolean));
}

function readPackage(file) {
  if (!isFile(file)) return null;
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    throw new EntryProblem(`package.json is not valid JSON: ${error.message}`);
  }
}

/** Loads the file; answers the values it exports that may be what is to be served, the likeliest first. */
export async function load({ file, name }, dir) {
  const module = isEsm(file, dir) ? await import(pathToFileURL(file)) : Module._load(file, null, true);
  if (name === null) {
    const values = [module?.default, module];
    return [...values, ...values.flatMap((value) => NAMED.map((key) => value?.[key]))].filter(Boolean);
  }
  const value = module?.[name] ?? module?.default?.[name];
  if (value === undefined) throw new EntryProblem(`${relative(dir, file)} does not export ${name}`);
  return [value];
}

/**
 * Whether the file is an ES module. One without a "type" in its package.json counts as what its text looks like, on
 * every version of Node, as the newer ones do.
 */
function isEsm(file, dir) {
  if (/\.m[jt]s$/.test(file)) return true;
  if (/\.c[jt]s$/.test(file)) return false;
  for (let folder = dirname(file); folder.startsWith(dir); folder = dirname(folder)) {
    const found = readPackage(join(folder, "package.json"));
    if (found?.type) return found.type === "module";
    if (found) break;
  }
  return ESM_SYNTAX.test(readFileSync(file, "utf8"));
}

function isFile(path) {
  return existsSync(path) && statSync(path).isFile();
}

function isDirectory(path) {
  return existsSync(path) && statSync(path).isDirectory();
}

