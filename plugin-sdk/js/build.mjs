// node build.mjs WORLD [SOURCE [OUT]] in a plugin's folder: makes the component and puts the manifest, and the schemas if they are there,
// into it, so that the .wasm alone is complete. Needs @bytecodealliance/componentize-js in the folder's node_modules. piper.js is copied
// beside the source, because the component is made of files below one folder.

import { copyFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const [world, source = "plugin.js", out = "plugin.wasm"] = process.argv.slice(2);
// By its file: the plugin's folder has it, not this one.
const tool = resolve("node_modules/@bytecodealliance/componentize-js/src/componentize.js");
if (!existsSync(tool)) {
  throw new Error("componentize-js is not there; run `npm ci` in the plugin's folder first");
}
copyFileSync(new URL("piper.js", import.meta.url), "piper.js");
const { componentize } = await import(pathToFileURL(tool));

const { component } = await componentize({
  sourcePath: source,
  witPath: fileURLToPath(new URL("../wit/v0.1", import.meta.url)),
  worldName: world,
  // Plugins serve nothing; requests go through piper:base/http or fetch, both behind the same gate.
  disableFeatures: ["fetch-event"],
});

/** A custom section: id 0, its size, then its name and content. */
function section(name, content) {
  const named = Buffer.concat([size(name.length), Buffer.from(name), content]);
  return Buffer.concat([Buffer.of(0), size(named.length), named]);
}

/** A number as WebAssembly writes it: LEB128. */
function size(number) {
  const bytes = [];
  for (; number > 0x7f; number >>>= 7) {
    bytes.push((number & 0x7f) | 0x80);
  }
  return Buffer.of(...bytes, number);
}

const sections = [
  ["piper:manifest", "piper-plugin.toml"],
  ["piper:config-schema", "config.schema.json"],
  ["piper:options-schema", "options.schema.json"],
].filter(([, file]) => existsSync(file));
writeFileSync(out, Buffer.concat([component, ...sections.map(([name, file]) => section(name, readFileSync(file)))]));
