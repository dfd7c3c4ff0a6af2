// Builds what a forge says was pushed. What it asks for is in push.js, which knows nothing of piper and is tested without it.

import { guard } from "./piper.js";
import { push } from "./push.js";

const answer = (status, text) => ({ status, headers: [], body: new TextEncoder().encode(text) });

function parsed(text) {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
}

export const triggerWebhook = {
  receive: guard(({ options }, { headers, body }) => {
    if (!headers.some(([name, value]) => name === "x-forge-event" && value === "push")) {
      return { response: answer(200, "only pushes are of interest"), asks: [] };
    }
    const ask = push(options, parsed(new TextDecoder().decode(body)));
    return ask
      ? { response: answer(202, "accepted"), asks: [ask] }
      : { response: answer(400, "this says nothing of a push"), asks: [] };
  }),
};
