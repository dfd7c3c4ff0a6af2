import assert from "node:assert/strict";
import test from "node:test";
import { moves } from "./moves.js";

test("asks once for each move", () => {
  const options = { source: "hello", pipeline: "test" };
  const heads = [{ ref: "refs/heads/main", revision: "c0ffee" }];
  const { asks, seen } = moves(options, heads, []);
  assert.equal(asks.length, 1);
  assert.deepEqual(moves(options, heads, seen).asks, []);
});
