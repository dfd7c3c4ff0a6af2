import assert from "node:assert/strict";
import test from "node:test";
import { push } from "./push.js";

test("asks for a build of what was pushed", () => {
  const said = { repository: "https://git.example/a", ref: "refs/heads/main", after: "c0ffee" };
  const { source, pipeline } = JSON.parse(push({ pipeline: "test" }, said).body);
  assert.deepEqual([pipeline, source.revision], ["test", "c0ffee"]);
  assert.equal(push({ pipeline: "test" }, { ref: "refs/heads/main" }), undefined);
});
