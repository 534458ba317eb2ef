#!/bin/bash
# Runs one fuzz target for FUZZ_SECONDS (20) from its committed corpus and FUZZ_SEED (1; by hand others); what it finds new goes
# to a scratch folder.
#   run.sh TARGET CORPUS
set -euo pipefail
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"$1" -seed="${FUZZ_SEED:-1}" -max_total_time="${FUZZ_SECONDS:-20}" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
  -artifact_prefix="$scratch/" "$scratch" "$2" || {
  for f in "$scratch"/{crash,leak,timeout,oom}-*; do [ -e "$f" ] && { echo "input of $f:"; base64 "$f" | head -50; }; done
  exit 1 # the fuzzer's own status, 77, would count as a skipped test
}
