#!/bin/sh
# Four chains of a Stan program, side by side, from a shell.
#
#   sh examples/sample.sh ./normal examples/normal/data.json draws
#
# writes draws/chain_1.csv to draws/chain_4.csv and prints the posterior means.
set -eu
program=$1 data=$2 folder=$3
mkdir -p "$folder"

running=
for chain in 1 2 3 4; do
    # One seed for all: the number of the chain, id, keeps them apart.
    "$program" sample num_warmup=1000 num_samples=1000 id=$chain \
        data file="$data" random seed=1 \
        output file="$folder/chain_$chain.csv" > "$folder/chain_$chain.log" &
    running="$running $!"
done
for chain in $running; do wait "$chain"; done

awk -F, '
    /^#/ || /^$/ { next }
    /^lp__/ { for (i = 1; i <= NF; i++) name[i] = $i; columns = NF; next }
    { for (i = 1; i <= columns; i++) sum[i] += $i; draws++ }
    END { for (i = 1; i <= columns; i++) if (name[i] !~ /__$/) print name[i], sum[i] / draws }
' "$folder"/chain_?.csv
