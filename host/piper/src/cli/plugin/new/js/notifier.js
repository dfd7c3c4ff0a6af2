// Posts the outcome of builds to a chat. What it says is in message.js, which knows nothing of piper and is tested without it.

import { Request } from "piper:base/http@0.1.0";
import { message } from "./message.js";
import { failureOf, guard, ok } from "./piper.js";

export const notifier = {
  notify: guard(({ config }, events) =>
    events.flatMap((event, index) => {
      if (event.kind !== "build.finished") {
        return [];
      }
      try {
        const request = new Request("POST", config.url);
        request.header("content-type", "application/json");
        request.text(JSON.stringify({ text: message(JSON.parse(event.body)) }));
        ok(request.send(), "the chat");
        return [];
      } catch (error) {
        return [{ index, why: failureOf(error) }];
      }
    }),
  ),
};
