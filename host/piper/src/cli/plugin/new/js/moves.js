/** What to build of the heads that are there now, and what to hold the next ones against. */
export function moves({ source: url, pipeline }, heads, seen) {
  const keyOf = ({ ref, revision }) => `${ref} ${revision}`;
  const asks = heads
    .filter((head) => !seen.includes(keyOf(head)))
    .map((head) => ({
      kind: "build",
      dedupKey: keyOf(head),
      body: JSON.stringify({ pipeline, source: { url, ref: head.ref, revision: head.revision } }),
    }));
  return { asks, seen: heads.map(keyOf) };
}
