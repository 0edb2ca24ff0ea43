/**
 * Makes rnnic.js, one small module, of the modules in src/. It needs esbuild (`npm install`) and is only run after a change there;
 * rnnic.js is committed, with a digest of what it was made of, which a test compares.
 */

import { createHash } from "node:crypto";
import { readFileSync, readdirSync, realpathSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const FOLDER = new URL("src/", import.meta.url);

// Properties that are no part of what the module gives or takes, so that they may have short names.
const INTERNAL = new RegExp(`^(${[
  "P", "ROW", "ROWS", "KIND", "ABOVE", "CODES", "SUMS", "ACTIVITY", "CHROMA", "FAR", "END", "RARE", "STATE", "SHAPES", "VECTORS", "CLASSES", "NEXT", "SYMBOLS", "RANGES", "RARE_RANGES", "clearRows", "lumaAlongX", "lumaAlongY", "chromaAlongX", "chromaAlongY",
  "addEnergies", "makeChildren", "rgbRow", "readPairs", "kernels", "tables", "parents", "children", "planes", "isSmooth", "payload", "coded", "filters", "weights", "reader",
  "parameterBytes", "lumaTaps", "chromaTaps", "activity", "bandEdges", "bands", "orbits", "magnitudes", "common", "rare", "contexts", "rareContexts", "header", "level", "view", "left", "top", "tile",
  "quantisers", "classes", "shapes", "vectors", "stride", "band", "readOwn", "readBase", "readRows", "extend", "install", "colour", "sections", "parsed", "weigh", "fillRare", "adaptive", "folded",
].join("|")})$`);

/** Digest of all source modules. */
export function digest() {
  const hash = createHash("sha256");
  for (const name of readdirSync(FOLDER).sort()) hash.update(name).update(readFileSync(new URL(name, FOLDER)));
  return hash.digest("hex").slice(0, 16);
}

/** The bundle's text. */
export async function bundle() {
  const { build } = await import("esbuild");
  const result = await build({
    entryPoints: [fileURLToPath(new URL("index.js", FOLDER))],
    bundle: true,
    minify: true,
    format: "esm",
    mangleProps: INTERNAL,
    charset: "utf8",
    target: "es2022",
    legalComments: "none",
    write: false,
  });
  return `/* RNNIC decoder; BSD-3-Clause. Made of web/src (${digest()}) by web/build.mjs */\n${result.outputFiles[0].text}`;
}

if (realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const output = await bundle();
  writeFileSync(new URL("rnnic.js", import.meta.url), output);
  console.log(`rnnic.js: ${Buffer.byteLength(output)} bytes`);
}
