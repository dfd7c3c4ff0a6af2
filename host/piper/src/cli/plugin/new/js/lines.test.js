import assert from "node:assert/strict";
import test from "node:test";
import { lines } from "./lines.js";

test("gives each line its id", () => {
  const text = new TextEncoder().encode("onetwo");
  const batch = { build: "b", attempt: 1, firstSeq: 7n, text, ends: Uint32Array.of(3, 6) };
  assert.equal(lines(batch), '{"id":"b/1/7","text":"one"}\n{"id":"b/1/8","text":"two"}\n');
});
