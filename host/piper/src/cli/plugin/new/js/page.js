const encoder = new TextEncoder();

/** A whole log as one page: lines of a step's stdout, without their times. */
export function page(build, attempt, log) {
  const lines = log.split("\n").slice(0, -1);
  let end = 0;
  const batch = {
    build,
    attempt,
    facts: "{}",
    firstSeq: 0n,
    text: encoder.encode(lines.join("")),
    ends: Uint32Array.from(lines, (line) => (end += encoder.encode(line).length)),
    times: new BigUint64Array(lines.length),
    stepOf: new Uint16Array(lines.length),
    marks: new Uint8Array(lines.length),
    steps: [{ path: "build", try: 1, more: "{}" }],
    columns: [],
    last: true,
  };
  return { batches: lines.length > 0 ? [batch] : [], complete: true };
}
