import { print, setOutput } from "piper:step/step-context@0.1.0";
import { guard } from "./piper.js";

export const stepRunner = {
  run: guard(({ options }) => {
    const name = options.name ?? "world";
    print(false, new TextEncoder().encode(`hello, ${name}\n`));
    setOutput("greeted", name);
    return { status: "passed", message: "" };
  }),
};
