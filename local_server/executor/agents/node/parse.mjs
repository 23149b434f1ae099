// Run as a program of its own: parses the files it is given, and ends at the first that does not parse. Node tells the
// place of such an error only on standard error, as a process ends by it, and never to the program that imports.

import { readFileSync } from "node:fs";
import { SourceTextModule } from "node:vm";

for (const file of process.argv.slice(2)) new SourceTextModule(readFileSync(file, "utf8"), { identifier: file });
