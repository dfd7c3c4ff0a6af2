// What every plugin in JavaScript wants: calls with their JSON read, and exceptions that become failures. An exception that leaves an
// export is a trap to the host, which then knows neither what went wrong nor where.

/** A failure to throw. Kinds: "transient", "permanent", "denied", "invalid", "cancelled". */
export function failure(kind, code, message, { retryAfterMs, ...details } = {}) {
  return { kind, code, message: String(message), retryAfterMs, details: JSON.stringify(details) };
}

/** Whatever was thrown, as a failure: what the host answered and what `failure` made as they are, all else permanent with its stack. */
export function failureOf(error) {
  const said = error?.payload ?? error;
  if (typeof said?.kind === "string" && typeof said?.code === "string") {
    return said;
  }
  return failure("permanent", "exception", said?.message ?? said, { stack: String(said?.stack ?? "").trim() });
}

/** An export whose first argument is a call: that has `config`, `options` and `facts` as objects, and what is thrown becomes a failure. */
export function guard(act) {
  return careful((call, ...rest) => {
    const [config, options, facts] = [call.config, call.options, call.facts].map((json) => JSON.parse(json));
    return act({ name: call.name, config, options, facts }, ...rest);
  });
}

/** Any other export: what it throws becomes a failure. */
export function careful(act) {
  return (...all) => {
    try {
      return act(...all);
    } catch (error) {
      throw failureOf(error);
    }
  };
}

/** The response if its status is one of 200 to 299, else a failure that says whether another attempt is worth it. */
export function ok(response, place = "the server") {
  if (response.status >= 200 && response.status < 300) {
    return response;
  }
  const isTransient = [408, 425, 429].includes(response.status) || response.status >= 500;
  const seconds = Number(response.headers.find(([name]) => name === "retry-after")?.[1]);
  throw failure(isTransient ? "transient" : "permanent", `http.${response.status}`, `${place} answered ${response.status}`, {
    retryAfterMs: seconds > 0 ? seconds * 1000 : undefined,
  });
}
