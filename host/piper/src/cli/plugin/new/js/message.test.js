import assert from "node:assert/strict";
import test from "node:test";
import { message } from "./message.js";

test("says how a build ended", () => {
  const build = { project: "a", target: "b", end: { outcome: "failed" } };
  assert.equal(message(build), "a b: failed");
});
