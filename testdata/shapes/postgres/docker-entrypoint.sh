#!/usr/bin/env bash
set -Eeo pipefail
echo "would start $* as $(id -un) with $PGDATA and $LANG"
