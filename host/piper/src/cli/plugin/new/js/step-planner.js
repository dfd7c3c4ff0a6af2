// A step that stands for others. What it plans is in greeting.js, which knows nothing of piper and is tested without it.

import { greeting } from "./greeting.js";
import { guard } from "./piper.js";

export const stepPlanner = {
  plan: guard(({ options }) => JSON.stringify({ steps: { greet: { argv: ["echo", greeting(options)] } } })),
};
