#compdef piper
# Completion of piper for zsh. Put into ~/.zshrc, after compinit: eval "$(piper completions zsh)"

_piper() {
  local output line value about
  local -a values shown open open_shown
  output=$("${(Q)words[1]/#\~/$HOME}" __complete zsh '' -- "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)
  if (( $? == 1 )); then
    _files
    return
  fi
  for line in "${(@f)output}"; do
    value=${line%%$'\t'*}
    about=${line#*$'\t'}
    [[ -n $value ]] || continue
    [[ -n $about ]] && about="$value  -- $about" || about=$value
    # More has to follow an equals sign.
    if [[ $value == *= ]]; then
      open+=("$value")
      open_shown+=("$about")
    else
      values+=("$value")
      shown+=("$about")
    fi
  done
  (( $#values )) && compadd -V names -l -d shown -a values
  (( $#open )) && compadd -V params -S '' -l -d open_shown -a open
  return 0
}

if [[ "${funcstack[1]}" == _piper ]]; then
  _piper "$@"
else
  compdef _piper piper
fi
