// A step that greets somebody. What it does is in greeting.js, which knows nothing of piper and is tested without it.

import { print, setOutput } from "piper:step/step-context@0.1.0";
import { greeting } from "./greeting.js";
import { guard } from "./piper.js";

export const stepRunner = {
  run: guard(({ options }) => {
    print(false, new TextEncoder().encode(`${greeting(options)}\n`));
    setOutput("greeted", options.name);
    return { status: "passed", message: "" };
  }),
};
