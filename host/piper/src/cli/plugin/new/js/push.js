/** What to build after a push. Two deliveries of one push are one. */
export function push({ pipeline }, { repository: url, ref, after: revision }) {
  return {
    kind: "build",
    dedupKey: `${url} ${ref} ${revision}`,
    body: JSON.stringify({ pipeline, source: { url, ref, revision } }),
  };
}
