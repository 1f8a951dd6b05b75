#!/usr/bin/env bash
# On a machine with a GPU: bash .gpu/src/benchmarks/gpu/evidence.sh checks | busy | parity | speed SECONDS PARTS METHODS ROUNDS |
# rate SECONDS RUNG... | rungs SECONDS auto|SCALE SEEDS RUNG... | table SECONDS
# METHODS="fixmatch flexmatch" chooses the methods of checks and table, LABELS=250 the labels of table.
# CARRIED is the folder that prepare.sh made, found beside the clone. What is worth keeping goes under $OUT, a line as each result
# is there, so that what is cut short keeps what it had. DEVICE=cpu SMALL=1 tries the script where there is no GPU.
set -u
cd "$(dirname "$0")/../.."
what=${1:-checks}; seconds=${2:-420}; OUT=${OUT:-/tmp/out}; DEVICE=${DEVICE:-cuda}; PY=${PY:-python3}; CARRIED=${CARRIED:-$PWD/..}
WORK=${WORK:-/tmp/ssl_zoo_evidence}; mkdir -p "$OUT" "$WORK"; began=$(date +%s)
left() { echo $(( seconds - ($(date +%s) - began) )); }
export PYTHONUNBUFFERED=1 PYTHONPATH="$PWD:$WORK/site" SSL_ZOO_CACHE="$WORK/cache" TORCHINDUCTOR_COMPILE_THREADS=4
export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0="$PWD"  # a copy may belong to somebody else
[ -d "$WORK/site" ] || $PY -m pip install -q --no-index --no-deps --no-compile --target "$WORK/site" "$CARRIED"/whl/*.whl >/dev/null 2>&1
unpack() {  # into a folder that every row names alike
  [ -f "$WORK/cifar.done" ] || { mkdir -p "$WORK/cifar"; tar -xf "$CARRIED"/*.tar.* -C "$WORK/cifar" && touch "$WORK/cifar.done"; }
  mkdir -p data; [ -L data/cifar10_jpeg ] || [ ! -e data/cifar10_jpeg ] && ln -sfn "$WORK/cifar" data/cifar10_jpeg  # a link of another machine is made anew
}
say() { echo "$@" | tee -a "$OUT/$what.txt"; }
say "$(nvidia-smi -L 2>/dev/null | sed 's/ (UUID.*//'); $($PY -c "import torch; print('torch', torch.__version__, 'GPU' if torch.cuda.is_available() else 'no GPU')"); $(nproc) cores; commit $(git rev-parse --short HEAD 2>/dev/null || echo none)"
STEPS_=240; METHODS=${METHODS:-supervised pimodel tempens meanteacher}; [ -n "${SMALL:-}" ] && { STEPS_=8; METHODS=${SMALL_METHODS:-meanteacher}; }
NET=${NET:-wrn28_2}; R=$WORK/runs; mkdir -p "$R"

go() {  # NAME WORDS...: a run, into a folder of its own
  local name=$1; shift; local s=$(date +%s)
  timeout "${LIMIT:-150}" $PY benchmarks/run.py --net $NET --out "$R/$name" "$@" >>"$R/$name.log" 2>&1
  echo "status $? after $(( $(date +%s) - s )) s" >>"$R/$name.log"
}
look() { $PY benchmarks/gpu/checks.py "$@" 2>&1 | tail -40; }
checks() {  # does everything run, is it the same twice, resumed too, is it as on the CPU, what else is there
  export OMP_NUM_THREADS=1
  unpack &
  every="--set evaluation.every=$(( STEPS_ / 2 )) --steps $STEPS_"
  for alg in $METHODS; do
    on="--alg $alg --device $DEVICE $every"
    go $alg-plain $on --set evaluation.log_every=10 &
    go $alg-compile $on --set evaluation.log_every=10 --compile &
    go $alg-det $on --deterministic & go $alg-again $on --deterministic &
    { # ended by a signal once there is a checkpoint, and gone on with
      LIMIT=150 go $alg-resumed $on --deterministic & me=$!
      for _ in $(seq 2000); do [ -f "$R/$alg-resumed/checkpoint.pt" ] && break; sleep 0.05; kill -0 $me 2>/dev/null || break; done
      kill -TERM $(pgrep -P $me) 2>/dev/null; wait $me  # `timeout` passes it on
      go $alg-resumed $on --deterministic; } &
    [ -n "${SMALL:-}" ] && wait
  done
  look parts --device $DEVICE ${SMALL:+--short} >"$R/parts.txt" &
  wait
  for alg in $METHODS; do
    exact="--alg $alg --steps 10 --set precision=fp32 --set views.weak={} --set evaluation.log_every=1"
    go $alg-fp32 --device $DEVICE $exact & NVIDIA_TF32_OVERRIDE=0 go $alg-ieee --device $DEVICE $exact & go $alg-cpu --device cpu $exact &
  done
  go skip --alg meanteacher --device $DEVICE $every --on-nan skip --set optimizer.clip=1 &
  go averaged --alg pimodel --device $DEVICE $every --set eval_ema=0.99 --set input=zca &
  wait
  for alg in $METHODS; do look runs "$R" $alg | while read -r line; do say "$line"; done; done
  look others "$R" skip averaged | while read -r line; do say "$line"; done
  while read -r line; do say "$line"; done <"$R/parts.txt"
  tar -czf "$OUT/logs.tar.gz" -C "$R" $(cd "$R" && ls *.log *.txt)
}
speed() {  # SECONDS PARTS METHODS ROUNDS: overhead, images a second, memory; each part is kept as soon as it is there
  local to="$OUT/speed${NUMBER:-}.json"
  TORCHINDUCTOR_COMPILE_THREADS=12 timeout "$seconds" $PY benchmarks/speed.py --device "$DEVICE" ${SMALL:+--short} --parts "${3:-cifar,views,run,rows,digits,starts}" --compiled "${4:-}" --rounds "${5:-11}" --out "$to" >"$WORK/speed.log" 2>&1
  say "speed${NUMBER:-}: status $? after $(( $(date +%s) - began )) s"; tr '\r' '\n' < "$WORK/speed.log" | tail -3 | cut -c1-400 >> "$OUT/speed.txt"
  [ -f "$to" ] && $PY benchmarks/speed.py --read "$to"
}
busy() { $PY benchmarks/gpu/checks.py busy --device "$DEVICE" 2>&1 | grep 'ms a step\|Error' | while read -r line; do say "$line"; done; }
parity() {  # is a compiled loss the eager one, where both are exact
  export OMP_NUM_THREADS=1 NVIDIA_TF32_OVERRIDE=0
  for alg in ${PARITY:-supervised meanteacher}; do
    exact="--alg $alg --device $DEVICE --steps 10 --set precision=fp32 --set views.weak={} --set evaluation.log_every=2"
    go $alg-ieee $exact & go $alg-ieee-compile $exact --compile &
  done; wait
  look parity "$R" ${PARITY:-supervised meanteacher} | while read -r line; do say "$line"; done
}
rate() {  # steps a second of compiled rungs side by side on one GPU
  unpack; shift 2
  $PY -c "import sys; from pathlib import Path; from ssl_zoo import DATASETS; DATASETS.create('folder', Path(sys.argv[1]))" data/cifar10_jpeg 2>/dev/null
  say "decoded after $(( $(date +%s) - began )) s"
  timeout "$(left)" $PY benchmarks/gpu/checks.py rate "$WORK" ${@:-S0 A0 A2} --device "$DEVICE" 2>&1 | while read -r line; do say "$line"; done
}
rungs() {  # SECONDS auto|SCALE SEEDS RUNG...: compiled, side by side on one GPU, at a share of their steps that the time allows
  unpack; scale=${3:-auto}; [ "$scale" = auto ] && scale=$($PY benchmarks/gpu/checks.py scale "$WORK" "$(left)"); seeds=${4:-0}; shift 4
  say "scale $scale, seeds $seeds, $(left) s left"
  $PY benchmarks/gpu/checks.py rungs "$WORK" "$OUT/rungs.jsonl" "$(( $(left) - 12 ))" "$scale" "$seeds" ${@:-S0 A0 A2} --device "$DEVICE" 2>&1 | while read -r line; do say "$line"; done
  tar -czf "$OUT/ladder.tar.gz" -C "$WORK" --exclude='*.pt' --exclude=tensorboard ladder 2>/dev/null
}
table() {  # METHODS at LABELS labels, or 4,000, with the recipe of CIFAR-10, all at once
  unpack
  for alg in $METHODS; do
    timeout "$(left)" $PY benchmarks/run.py --device "$DEVICE" --recipe cifar10 --set dataset=folder --data-root data/cifar10_jpeg --labels ${LABELS:-4000} --alg $alg --net wrn28_2 --seed ${SEED:-0} --split-seed ${SEED:-0} --steps ${STEPS:-20480} --out "$WORK/table/$alg" >"$WORK/table-$alg.log" 2>&1 &
  done; wait
  for alg in $METHODS; do $PY -c "import json, sys; print(json.dumps(json.load(open(sys.argv[1]))))" "$WORK/table/$alg/result.json" >> "$OUT/table.jsonl" 2>/dev/null || say "$alg: $(tail -1 "$WORK/table-$alg.log")"; done
}
"$what" "$@"
say "$what ended after $(( $(date +%s) - began )) s"
