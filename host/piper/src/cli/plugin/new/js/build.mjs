// Makes the component; `piper plugin build` calls it, and then puts the manifest and the schemas into what it made.

import { componentize } from "@bytecodealliance/componentize-js";
import { writeFileSync } from "node:fs";

const { component } = await componentize({
  sourcePath: "plugin.js",
  witPath: "wit",
  worldName: process.argv[2],
  // Plugins serve nothing; requests go through piper:base/http or fetch, both behind the same gate.
  disableFeatures: ["fetch-event"],
});
writeFileSync("plugin.wasm", component);
