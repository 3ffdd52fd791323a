#!/usr/bin/env bash
# Measures this machine and writes bench/RESULTS.md: engine, primitives, server, start-up, memory.
#   bench/run.sh [MODEL_DIR]      about 15 minutes; let nothing else run meanwhile.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/install-deps.sh build bench >&2
model=${1:-$(scripts/get-model.sh)}
build=build/release
cmake --preset release -DATTND_BENCH=ON >/dev/null
cmake --build "$build" --target attnd attnctl engine_bench growth_bench options_bench primitives_bench >&2

out=bench/RESULTS.md
cpu=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1)
family=$(awk -F': ' '/^cpu family/{f=$2} /^model[[:space:]]*:/{m=$2} END{print "family " f ", model " m}' /proc/cpuinfo)
{
  echo "# Results"
  echo
  echo "$cpu ($family), $(nproc) cores, $(date -u +%F), commit $(git rev-parse --short HEAD). Command: \`bench/run.sh\`."
  echo "Tokens are real tokens; the machine is shared and noisy, so read ratios and medians."
  for shape in minilm bert-base; do
    echo
    echo "## Engine, $shape shape"
    echo
    echo "\`engine_bench --model $shape\`"
    echo
    "$build/bench/engine_bench" --model "$shape" --workers "$(nproc)" --repeats "$([ $shape = minilm ] && echo 7 || echo 3)"
  done
  echo
  echo "## Engine, minilm shape, one worker"
  echo
  "$build/bench/engine_bench" --model minilm --workers 1 --repeats 5
  echo
  echo "## How time grows, minilm shape"
  echo
  echo "\`growth_bench\`"
  echo
  "$build/bench/growth_bench" 5
  echo
  echo "## What options cost, one worker"
  echo
  echo "\`options_bench\`"
  echo
  "$build/bench/options_bench" 5
  echo
  echo "## Server, all-MiniLM-L6-v2, the W3 mix as token ids, pooled replies"
  echo
  echo "\`bench/server_bench.py --model DIR\`; the load generator runs on the same cores."
  echo
  python3 bench/server_bench.py --build "$build" --model "$model"
  echo
  echo "## Primitives"
  echo
  echo "\`primitives_bench\`"
  echo
  echo '```'
  "$build/bench/primitives_bench" --benchmark_min_time=0.1 2>/dev/null | sed -n '/^-----/,$p'
  echo '```'
  # bench/peers/run.sh writes this part; it stays as it is.
  echo
  sed -n '/<!-- peers: begin -->/,/<!-- peers: end -->/p' "$out"
} > "$out.new"
mv "$out.new" "$out"
echo "$out"
