// node build.mjs WORLD [SOURCE [OUT]] in a plugin's folder: makes the component and puts the manifest, and the schemas if they are there,
// into it, so that the .wasm alone is complete: config.schema.json is that of the configuration, options.schema.json that of a step's
// `with`, for all types of the world's kind; where they differ, `piper plugin build` takes what the manifest names for each. Needs @bytecodealliance/componentize-js in the folder's node_modules. piper.js is copied
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

/** The options' schema, under its kind and under no name: hosts look for a type's own name first. */
function byKind(schema) {
  const [, kind] = world.match(/([a-z-]+)-plugin(@|$)/);
  return Buffer.from(JSON.stringify({ [kind]: { "": JSON.parse(schema) } }));
}

// Before the component is made, which takes long: a schema that is no JSON is found here.
const sections = [
  ["piper:manifest", "piper-plugin.toml", (text) => text],
  ["piper:config-schema", "config.schema.json", (text) => text],
  ["piper:options-schema", "options.schema.json", byKind],
].filter(([, file]) => existsSync(file));
const made = sections.map(([name, file, content]) => section(name, content(readFileSync(file))));

const { component } = await componentize({
  sourcePath: source,
  witPath: fileURLToPath(new URL("../wit/v0.1", import.meta.url)),
  worldName: world,
  // Plugins serve nothing; requests go through piper:base/http or fetch, both behind the same gate.
  disableFeatures: ["fetch-event"],
});
writeFileSync(out, Buffer.concat([component, ...made]));
