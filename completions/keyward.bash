
_clap_complete_keyward() {
    local IFS=$'\013'
    local _CLAP_COMPLETE_INDEX=${COMP_CWORD}
    local _CLAP_COMPLETE_COMP_TYPE=${COMP_TYPE}
    if compopt +o nospace 2> /dev/null; then
        local _CLAP_COMPLETE_SPACE=false
    else
        local _CLAP_COMPLETE_SPACE=true
    fi
    local words=() line="${COMP_LINE:0:COMP_POINT}" kept= part blanks i
    for ((i = 0; i <= COMP_CWORD; i++)); do
        part="${COMP_WORDS[i]}"
        blanks="${line%%[![:space:]]*}"
        line="${line#"$blanks"}"
        if ((i == 0)) || [[ -n "$blanks" ]]; then
            ((i < COMP_CWORD)) || part="$2"
            words+=("$part")
        else
            ((i < COMP_CWORD)) || part="$line"
            words[${#words[@]} - 1]+="$part"
            ((i < COMP_CWORD)) || kept="${words[${#words[@]} - 1]%"$2"}"
        fi
        line="${line#"$part"}"
    done
    _CLAP_COMPLETE_INDEX=$((${#words[@]} - 1))
    COMPREPLY=( $( \
        _CLAP_IFS="$IFS" \
        _CLAP_COMPLETE_INDEX="$_CLAP_COMPLETE_INDEX" \
        _CLAP_COMPLETE_COMP_TYPE="$_CLAP_COMPLETE_COMP_TYPE" \
        _CLAP_COMPLETE_SPACE="$_CLAP_COMPLETE_SPACE" \
        KEYWARD_COMPLETE_QUOTE="${COMP_WORDS[COMP_CWORD]:0:1}" \
        KEYWARD_COMPLETE="bash" \
        "keyward" -- "${words[@]}" \
    ) )
    if [[ $? != 0 ]]; then
        unset COMPREPLY
    elif [[ -n "$kept" ]]; then
        COMPREPLY=("${COMPREPLY[@]#"$kept"}")
    fi
    if [[ -z "${COMPREPLY-}" ]]; then
        :
    elif [[ $_CLAP_COMPLETE_SPACE == false ]] && [[ "${COMPREPLY-}" =~ [=/:]$ ]]; then
        compopt -o nospace
    fi
}
if [[ "${BASH_VERSINFO[0]}" -eq 4 && "${BASH_VERSINFO[1]}" -ge 4 || "${BASH_VERSINFO[0]}" -gt 4 ]]; then
    complete -o nospace -o bashdefault -o nosort -F _clap_complete_keyward keyward
else
    complete -o nospace -o bashdefault -F _clap_complete_keyward keyward
fi

