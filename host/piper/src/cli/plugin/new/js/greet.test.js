import assert from "node:assert/strict";
import test from "node:test";
import { greeting, message } from "./greet.js";

test("greets the world unless told otherwise", () => {
  assert.equal(greeting({}), "hello, world");
  assert.equal(greeting({ name: "you" }), "hello, you");
});

test("says how a build ended", () => {
  assert.equal(message({ build: { project: "a", pipeline: "b", outcome: "failed" } }), "a b: failed");
});
