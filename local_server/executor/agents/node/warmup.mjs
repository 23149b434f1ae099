// Loads, in the spare process, the dependencies that the last generation loaded, and notices those that must not be
// loaded ahead because what they do depends on the generation: its environment or its files.

import fs from "node:fs";
import Module, { createRequire } from "node:module";
import { join, resolve, sep } from "node:path";

import { importGraph } from "./imports.mjs";

const MODULES = `${sep}node_modules${sep}`;
const READS = ["readFileSync", "existsSync", "statSync", "readdirSync", "openSync", "accessSync"];

const require = createRequire(import.meta.url);

/** What the program in `dir` has loaded from node_modules: files by require, specifiers by import. */
export function lesson(dir, entryFile) {
  const own = fs.realpathSync(dir) + sep;
  const requires = Object.keys(require.cache).filter((file) => file.includes(MODULES) && !file.startsWith(own));
  return { dir, requires, imports: importGraph(entryFile).packages };
}

/** Loads a lesson. Answers the key of the first module that must not be loaded ahead, or null. */
export async function warm({ dir, requires, imports, unfit }) {
  if (!fs.existsSync(dir)) return null; // That tree is gone; a cold spare serves as well.
  process.chdir(dir);
  const importFrom = importer(dir);
  const steps = [
    ...imports.map((key) => ({ key, load: () => importFrom(key) })),
    ...requires.map((key) => ({ key, load: () => key in require.cache || require(key) })),
  ];
  const watch = new Watch(dir);
  try {
    for (const { key, load } of steps) {
      if (unfit.includes(key)) continue;
      try {
        await load();
      } catch {
        continue; // It fails in the generation as well, which says so, or it is not needed there any more.
      }
      if (watch.noticed()) return key;
    }
    return null;
  } finally {
    watch.end();
  }
}

/** An `import()` that resolves as if it stood in a file of the tree. */
function importer(dir) {
  const file = join(dir, "apimarket-warm-up.cjs");
  const module = new Module(file);
  module._compile("module.exports = (specifier) => import(specifier)", file);
  return module.exports;
}

/** Notices when something that loads reads the tree's files or alters the environment. */
class Watch {
  #env = JSON.stringify(process.env);
  #touched = false;
  #originals = READS.map((name) => [name, fs[name]]);

  constructor(dir) {
    const inside = [dir, fs.realpathSync(dir)].map((path) => path + sep);
    for (const [name, original] of this.#originals) {
      fs[name] = (path, ...rest) => {
        if (typeof path === "string" && inside.some((prefix) => resolve(path).startsWith(prefix))) this.#touched = true;
        return original(path, ...rest);
      };
      Object.assign(fs[name], original); // realpathSync.native and its like
    }
  }

  noticed() {
    return this.#touched || JSON.stringify(process.env) !== this.#env;
  }

  end() {
    for (const [name, original] of this.#originals) fs[name] = original;
  }
}
