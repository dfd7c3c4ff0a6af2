import { Request } from "piper:base/http@0.1.0";
import { guard, ok } from "./piper.js";

export const notifier = {
  notify: guard(({ config }, events) =>
    events.flatMap((event, index) => {
      const { project, target, end } = JSON.parse(event.body);
      const request = new Request("POST", config.url);
      request.header("content-type", "application/json");
      request.text(JSON.stringify({ text: `${project} ${target}: ${end?.outcome ?? "running"}` }));
      try {
        ok(request.send(), "the chat");
        return [];
      } catch (error) {
        return [{ index, why: error.payload ?? error }];
      }
    }),
  ),
};
