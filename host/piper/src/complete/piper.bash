# Completion of piper for bash. Put into ~/.bashrc: eval "$(piper completions bash)"

_piper() {
  # bash ends a word at `=`, `:` and `@` too: what no blank parts is put together again, up to the cursor.
  local rest=$COMP_LINE at=0 words=() i word blank output line
  for ((i = 0; i <= COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    blank=${rest%%[![:space:]]*}
    rest=${rest:${#blank}}
    rest=${rest:${#word}}
    at=$((at + ${#blank}))
    if ((at + ${#word} > COMP_POINT)); then
      ((at < COMP_POINT)) && word=${word:0:COMP_POINT-at} || word=
    fi
    at=$((at + ${#COMP_WORDS[i]}))
    if [[ $i -eq 0 || -n $blank ]]; then
      words+=("$word")
    else
      words[${#words[@]}-1]+=$word
    fi
  done
  COMPREPLY=()
  output=$("${1/#\~/$HOME}" __complete bash "$COMP_WORDBREAKS" -- "${words[@]:1}" 2>/dev/null)
  if [[ $? -eq 1 ]]; then
    compopt -o default 2>/dev/null
    return
  fi
  while IFS= read -r line; do
    [[ -n $line ]] && COMPREPLY+=("$line")
  done <<<"$output"
  # More has to follow an equals sign.
  if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]]; then
    compopt -o nospace 2>/dev/null
  fi
}

# Older versions cannot keep the order.
complete -o nosort -F _piper piper 2>/dev/null || complete -F _piper piper
