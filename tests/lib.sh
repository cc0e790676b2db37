# Shared by tests/run and tests/rehearse: folders, the toolchain, and a table of budgets that is printed and enforced.
# shellcheck shell=bash
tree=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export SKYKEEP_CACHE=${SKYKEEP_CACHE:-/var/cache/skykeep}
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$SKYKEEP_CACHE/target}
mkdir -p "$SKYKEEP_CACHE"
# The Go that tests/install-needs fetched where the machine had none.
[ ! -e "$SKYKEEP_CACHE/go-1.26.6/go-bin/go" ] || export PATH="$SKYKEEP_CACHE/go-1.26.6/go-bin:$PATH"
target=$CARGO_TARGET_DIR/x86_64-unknown-linux-gnu/debug
budget_table=()
# The whole of a run, seconds, on two cores: cold it should stay below the aim; beyond the total it is ended, because nobody waits longer
# than 90 minutes. Enforced as well as each stage's own.
aim=4500
total=5100

# stage NAME SECONDS COMMAND...: runs a command within a budget; a stage over its budget fails.
stage() {
  local name=$1 budget=$2 begin=$SECONDS code=0
  shift 2
  local left=$((total - SECONDS))
  [ "$left" -gt 0 ] || left=1
  [ "$budget" -le "$left" ] || budget=$left
  printf '\n== %s (budget %s s)\n' "$name" "$budget"
  timeout --foreground "$budget" "$@" || code=$?
  local took=$((SECONDS - begin))
  budget_table+=("$(printf '%-34s %6s s of %6s s' "$name" "$took" "$budget")")
  if [ "$code" -ne 0 ]; then
    [ "$code" -eq 124 ] && echo "what: the stage '$name' did not end within $budget s"
    budgets
    exit "$code"
  fi
}

budgets() {
  printf '\nBudgets:\n'
  printf '  %s\n' "${budget_table[@]}"
  printf '  %-34s %6s s of %6s s\n' "all of it" "$SECONDS" "$total"
  [ "$SECONDS" -le "$aim" ] || printf '  OVER THE AIM of %s s: something must become quicker or leave this run\n' "$aim"
}
