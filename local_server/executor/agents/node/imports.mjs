// Finds, from the text alone, which of its own files and which packages a program imports.

import { existsSync, readFileSync, statSync } from "node:fs";
import { builtinModules } from "node:module";
import { dirname, resolve } from "node:path";

const MOST_FILES = 300;
const MOST_SOURCE_BYTES = 512 * 1024;
// Static imports only: what a program imports on demand is not part of its start.
const SPECIFIER = /^\s*(?:import|export)\b(?:[^'"`;]*?\bfrom)?\s*["']([^"'\n]+)["']/gm;
const EXTENSIONS = ["", ".mjs", ".js", ".cjs", ".ts", ".mts", "/index.mjs", "/index.js", "/index.ts"];

/** {files, packages} that the entry imports, itself and the first found first. What cannot be read is left out. */
export function importGraph(entryFile) {
  const packages = new Set();
  const files = new Set([entryFile]);
  for (const file of files) {
    for (const specifier of files.size < MOST_FILES ? specifiersIn(file) : []) {
      if (/^\.{1,2}\//.test(specifier)) {
        const found = sourceFile(resolve(dirname(file), specifier));
        if (found) files.add(found);
      } else if (/^[@\w]/.test(specifier) && !specifier.includes(":") && !builtinModules.includes(specifier)) {
        packages.add(specifier);
      }
    }
  }
  return { files: [...files], packages: [...packages] };
}

function specifiersIn(file) {
  try {
    if (statSync(file).size > MOST_SOURCE_BYTES) return [];
    return [...readFileSync(file, "utf8").matchAll(SPECIFIER)].map((match) => match[1]);
  } catch {
    return []; // Gone meanwhile.
  }
}

function sourceFile(path) {
  const isFile = (name) => existsSync(name) && statSync(name).isFile();
  const file = EXTENSIONS.map((extension) => path + extension).find(isFile);
  return file && !file.endsWith(".json") ? file : null;
}
