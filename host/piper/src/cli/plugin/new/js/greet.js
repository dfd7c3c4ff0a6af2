export function greeting(options) {
  return `hello, ${options.name ?? "world"}`;
}

export function message({ build = {} }) {
  return `${build.project} ${build.pipeline}: ${build.outcome}`;
}
