/** What is said of a build that finished: `build` is the body of the event. */
export function message(build) {
  return `${build.project} ${build.target}: ${build.end.outcome}`;
}
