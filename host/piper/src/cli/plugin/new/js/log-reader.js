// Reads lines back from a server. How they become a page is in page.js, which knows nothing of piper and is tested without it.

import { Request } from "piper:base/http@0.1.0";
import { page } from "./page.js";
import { failure, guard, ok } from "./piper.js";

export const logReader = {
  read: guard(({ config }, range) => {
    const { build, attempt } = JSON.parse(range);
    const request = new Request("GET", `${config.url}/${build}/${attempt}`);
    const { body } = ok(request.send(), "the store");
    return page(build, attempt, new TextDecoder().decode(body));
  }),
  search: guard(() => {
    throw failure("permanent", "reader.no-search", "this store cannot search");
  }),
};
