# Completion of piper for fish. Put into ~/.config/fish/config.fish: piper completions fish | source

function __piper_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l output ($words[1] __complete fish '' -- $words[2..] "$current" 2>/dev/null)
    if test $status -eq 1
        __fish_complete_path "$current"
    else
        string join \n -- $output
    end
end

complete -c piper -f -k -a '(__piper_complete)'
