/** What to build after a push; nothing if it does not say that. Two deliveries of one push are one. */
export function push({ pipeline }, { repository: url, ref, after: revision }) {
  if (![url, ref, revision].every((text) => typeof text === "string")) {
    return undefined;
  }
  return {
    kind: "build",
    dedupKey: `${url} ${ref} ${revision}`,
    body: JSON.stringify({ pipeline, source: { url, ref, revision } }),
  };
}
