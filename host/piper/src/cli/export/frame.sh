set -u

root=$(pwd)
tmp=$(mktemp -d "${TMPDIR:-/tmp}/piper-export.XXXXXX") || exit 3

# Artifacts outlive the script, unless there are none.
clean_up() {
  if [ -e "$tmp/limited" ]; then
    kill "$(cat "$tmp/limited")" 2>/dev/null
  fi
  kept=
  for folder in "$tmp"/*/artifacts; do
    rmdir "$folder" 2>/dev/null
    if [ -d "$folder" ]; then
      say "artifacts are in $folder"
      kept=1
    fi
  done
  if [ -z "$kept" ]; then
    rm -rf "$tmp"
  else
    rm -rf "$tmp"/*/params "$tmp"/*/outputs "$tmp"/*/cache "$tmp"/*/copy
  fi
}
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

say() {
  printf 'piper: %s\n' "$*" >&2
}

# A clone of HEAD, in which nothing lies that was not committed.
fresh_copy() {
  below=$(git rev-parse --show-prefix) || exit 3
  git clone -q --local "$(git rev-parse --show-toplevel)" "$dir/copy" || exit 3
  workspace=$dir/copy/$below
}

# open_build NAME
open_build() {
  cd "$workspace" || exit 3
  mkdir "$dir/params" "$dir/outputs" "$dir/artifacts" "$dir/cache" || exit 3
  CI=true
  PIPER_ARTIFACTS=${PIPER_ARTIFACTS:-$dir/artifacts}
  PIPER_ATTEMPT=1
  PIPER_BUILD=export-$$
  PIPER_CACHE=${PIPER_CACHE:-$dir/cache}
  PIPER_INVOKED_FROM=$root
  PIPER_NEEDS=$dir/outputs
  PIPER_PARAMS=$dir/params
  PIPER_PIPELINE=$1
  PIPER_REVISION=$(git rev-parse -q --verify HEAD 2>/dev/null) || PIPER_REVISION=
  PIPER_WORKSPACE=$workspace
  export CI PIPER_ARTIFACTS PIPER_ATTEMPT PIPER_BUILD PIPER_CACHE PIPER_INVOKED_FROM PIPER_NEEDS PIPER_PARAMS \
    PIPER_PIPELINE PIPER_REVISION PIPER_WORKSPACE
  failed=
  first_bad=0
  bad=' '
}

# enter FOLDER: goes to a step's folder of the workspace, unless a link there leads out.
enter() {
  inside=$(cd "$workspace" && pwd -P)
  cd "$workspace/$1" || exit 127
  case $(pwd -P)/ in
    "${inside%/}"/*) ;;
    *)
      say "its \`cwd\` \`$1\` leads out of the workspace, to $(pwd -P)"
      exit 127
      ;;
  esac
}

# param NAME VARIABLE VALUE
param() {
  printf %s "$3" >"$PIPER_PARAMS/$1" || exit 3
  export "$2=$3"
}

# limited SECONDS GRACE SIGNAL COMMAND...: becomes the command.
limited() {
  seconds=$1
  grace=$2
  signal=$3
  shift 3
  if ! command -v timeout >/dev/null 2>&1; then
    say "there is no timeout(1) here: nothing ends this step after $seconds s"
    exec "$@"
  elif [ -n "$tty" ]; then
    exec timeout --foreground -s "$signal" -k "$grace" "$seconds" "$@"
  else
    # timeout(1) leaves the group that Ctrl-C reaches, so the end of this script has to end it.
    sh -c 'echo "$PPID"' >"$tmp/limited"
    exec timeout -s "$signal" -k "$grace" "$seconds" "$@"
  fi
}

on_branch() {
  branch=$(git symbolic-ref -q --short HEAD 2>/dev/null) || branch=
  for pattern in "$@"; do
    # shellcheck disable=SC2254
    case $branch in $pattern) return 0 ;; esac
  done
  return 1
}

# waits COUNT [NUMBER...]: the first COUNT steps, and these. Was one of them in vain?
waits() {
  upset=
  if [ "$first_bad" -gt 0 ] && [ "$first_bad" -le "$1" ]; then
    upset=1
  fi
  shift
  for number in "$@"; do
    case $bad in *" $number "*) upset=1 ;; esac
  done
}

in_vain() {
  bad="$bad$number "
  if [ "$first_bad" -eq 0 ]; then
    first_bad=$number
  fi
}

worth_another_try() {
  [ -n "$on" ] || return 0
  kind='exit'
  if [ "$status" -ge 129 ] && [ "$status" -le 192 ]; then
    kind=signal
  fi
  if [ -n "$timed" ]; then
    case $status in 124 | 137) kind=timeout ;; esac
  fi
  case " $on " in *" $kind "* | *" exit:$status "*) return 0 ;; esac
  return 1
}

# step NUMBER TOTAL LABEL FURTHER-TRIES DELAY RETRY-ON OUTPUTS
step() {
  number=$1
  title="$1/$2: $3"
  PIPER_STEP=$3
  further=$4
  delay=$5
  on=$6
  PIPER_OUTPUTS=$PIPER_NEEDS/$7
  export PIPER_STEP PIPER_OUTPUTS
  if [ "$when" = success ] && { [ -n "$upset" ] || { [ -n "$failed" ] && [ -z "$keep_going" ]; }; }; then
    say "$title: skipped, because a step before it failed"
    in_vain
    return
  elif [ "$when" = failure ] && [ -z "$upset" ]; then
    say "$title: skipped, because nothing failed"
    return
  elif [ -z "$holds" ]; then
    say "$title: skipped, because its conditions do not hold"
    return
  fi
  tries=0
  while :; do
    rm -rf "$PIPER_OUTPUTS"
    mkdir "$PIPER_OUTPUTS" || exit 3
    say "$title"
    if [ -n "$tty" ]; then
      ("step_$number")
    else
      ("step_$number") </dev/null
    fi
    status=$?
    rm -f "$tmp/limited"
    if [ "$status" -eq 0 ]; then
      return
    fi
    tries=$((tries + 1))
    if [ "$tries" -gt "$further" ] || ! worth_another_try; then
      break
    fi
    say "$title: failed with exit status $status, tried again in $delay s"
    sleep "$delay"
  done
  if [ -n "$allowed" ]; then
    say "$title: failed with exit status $status, as it may"
    return
  fi
  say "$title: failed with exit status $status"
  failed=1
  in_vain
}

close_build() {
  if [ -n "$failed" ]; then
    say "$PIPER_PIPELINE failed"
    exit 1
  fi
  say "$PIPER_PIPELINE finished"
}
