// Posts lines to a server, as JSON. What it posts is in lines.js, which knows nothing of piper and is tested without it.

import { Request } from "piper:base/http@0.1.0";
import { lines } from "./lines.js";
import { careful, guard, ok } from "./piper.js";

let url;

export const logSink = {
  open: guard(({ config }) => {
    url = config.url;
  }),
  write: careful((batches) => {
    const text = batches.map(lines).join("");
    if (text !== "") {
      const request = new Request("POST", url);
      request.header("content-type", "application/x-ndjson");
      request.text(text);
      ok(request.send(), "the store");
    }
    return { again: [], rejected: [] };
  }),
  close() {},
};
