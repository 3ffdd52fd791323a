#!/usr/bin/env bash
# Checks the contract: `buf lint` must be clean, and `buf breaking` must find nothing against the last commit, nor
# against the one before it (so that a commit just made is checked too).
#
# buf comes from npm in a pinned version, once, into .cache/. Needs npm and git.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly buf_version=1.75.0
readonly buf_folder=$PWD/.cache/buf-$buf_version
readonly buf=$buf_folder/node_modules/.bin/buf

if [[ ! -x $buf ]]; then
  command -v npm >/dev/null || { echo "check-proto: npm is missing (apt-get install npm)" >&2; exit 1; }
  echo "check-proto: installing buf $buf_version"
  mkdir -p "$buf_folder"
  npm install --prefix "$buf_folder" --no-audit --no-fund --loglevel error "@bufbuild/buf@$buf_version"
fi

"$buf" lint proto
echo "check-proto: lint is clean"

for commit in HEAD HEAD~1; do
  git rev-parse --verify --quiet "$commit^{commit}" >/dev/null || continue
  # An unpacked copy, because buf cannot read the git folder of a worktree.
  before=$(mktemp -d)
  trap 'rm -rf "$before"' EXIT
  git archive "$commit" proto | tar -x -C "$before"
  "$buf" breaking proto --against "$before/proto"
  rm -rf "$before"
  echo "check-proto: nothing breaks against $(git rev-parse --short "$commit")"
done
