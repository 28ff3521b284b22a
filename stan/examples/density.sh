#!/bin/sh
# Log density of a Stan program at a point, from a shell.
#
#   sh examples/density.sh ./normal examples/normal/data.json examples/normal/inits.json
#
# The last file holds a value of every parameter. The optimiser writes the log density,
# with every constant and the Jacobian, where it begins.
set -eu
program=$1 data=$2 inits=$3

folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
"$program" optimize jacobian=1 iter=1 save_iterations=1 init="$inits" \
    data file="$data" output file="$folder/path.csv" sig_figs=17 > "$folder/log" || {
    cat "$folder/log" >&2
    exit 1
}
# After comments and the header, the first row and its column lp__.
awk -F, '!/^#/ && ++row == 2 { print "log_density", $1; exit }' "$folder/path.csv"
