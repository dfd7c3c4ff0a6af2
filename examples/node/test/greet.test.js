import assert from "node:assert";
import { test } from "node:test";
import { greet } from "../greet.js";

test("it greets by name", () => {
  assert.equal(greet("you"), "hello, you");
});
