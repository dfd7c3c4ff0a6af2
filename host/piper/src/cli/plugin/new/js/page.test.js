import assert from "node:assert/strict";
import test from "node:test";
import { page } from "./page.js";

test("has the lines of a log back to back", () => {
  const [batch] = page("b", 1, "one\nthree\n").batches;
  assert.equal(new TextDecoder().decode(batch.text), "onethree");
  assert.deepEqual([...batch.ends], [3, 8]);
});
