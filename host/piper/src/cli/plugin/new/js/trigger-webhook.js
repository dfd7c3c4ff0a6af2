// Builds what a forge says was pushed. What it asks for is in push.js, which knows nothing of piper and is tested without it.

import { guard } from "./piper.js";
import { push } from "./push.js";

const answer = (status, text) => ({ status, headers: [], body: new TextEncoder().encode(text) });

export const triggerWebhook = {
  receive: guard(({ options }, { headers, body }) => {
    if (!headers.some(([name, value]) => name === "x-forge-event" && value === "push")) {
      return { response: answer(200, "only pushes are of interest"), asks: [] };
    }
    const said = JSON.parse(new TextDecoder().decode(body));
    return { response: answer(202, "accepted"), asks: [push(options, said)] };
  }),
};
