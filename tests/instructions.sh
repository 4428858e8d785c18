#!/usr/bin/env bash
# The core does not take more instructions than it did: bench/instructions says
# what is counted, and when that tells nothing.
. "$(dirname "$0")/support/common.sh"

have python3 || skip 'no python3'
"$root/tests/bench/instructions" "$build"
