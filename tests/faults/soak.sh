#!/bin/sh
# The tests of faults again and again, each time with another seed and more faults:
#
#   sh tests/faults/soak.sh [--seeds N] [--from SEED] [--build FOLDER]
#
# Needs a build with tests (default: build/). Ends at the first failure, with the seed that brings it back:
# NSM_SEED=SEED ctest --test-dir build -R faults
set -eu

seeds=20 from=1
cd "$(dirname "$0")/../.."
NSM_SOURCE_DIR=$(pwd)
build=$NSM_SOURCE_DIR/build
while [ $# -gt 1 ]; do
    case $1 in
        --seeds) seeds=$2 ;;
        --from) from=$2 ;;
        --build) build=$(cd "$2" && pwd) ;;
        *) break ;;
    esac
    shift 2
done
[ $# -eq 0 ] || { sed -n 's/^#   //p' "$0" >&2; exit 2; }

NSMIGRATE=$build/nsmigrate NSM_FAULT_PROXY=$build/tests/fault_proxy
NSM_KINDS="reset close half delay trickle stop swallow corrupt" NSM_POINTS=${NSM_POINTS:-2}
export NSM_SOURCE_DIR NSMIGRATE NSM_FAULT_PROXY NSM_KINDS NSM_POINTS
for seed in $(seq "$from" $((from + seeds - 1))); do
    for test in tests/faults/test_*.sh; do
        NSM_SEED=$seed sh "$test" || { echo "seed $seed fails in $test" >&2; exit 1; }
        echo "seed $seed: $test"
    done
done
