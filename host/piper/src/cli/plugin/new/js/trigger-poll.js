// Builds every branch that moved. Which those are is in moves.js, which knows nothing of piper and is tested without it.

import { heads } from "piper:trigger/vcs@0.1.0-draft.1";
import { moves } from "./moves.js";
import { guard } from "./piper.js";

export const triggerPoll = {
  poll: guard(({ options }, cursor) => {
    const found = JSON.parse(heads(options.source)).heads;
    const { asks, seen } = moves(options, found, JSON.parse(cursor ?? "[]"));
    return { asks, cursor: JSON.stringify(seen), more: false };
  }),
};
