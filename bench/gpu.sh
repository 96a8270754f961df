#!/usr/bin/env bash
# What a real GPU has to say, in at most ten minutes: bash bench/gpu.sh [--small | --plan] [OUT]
#
#   --small   narrow shapes, for a driver in software or the CPU: shows that the script runs, and says nothing of speed
#   --plan    the parts with their limits in seconds, and their sum; runs nothing
#   OUT       directory for results (gpu-results); OUT/results.jsonl has a line of JSON for each part
#
#   AHA_GPU_DEVICES   what is measured, in this order; default "cuda webgpu" ("cpu" with --small). The first is measured
#                     whole, a further one in few parts: for all of it name that one alone
#   AHA_ORT_LIBRARY   for cuda, as docs/gpu.md says
#   PYTHON            a Python with torch and transformers, and for a whole step TRL, for the comparison; what it has not is
#                     left out
#
# Each part has its own limit and its own log, and a part that fails or is cut off leaves the others to run. The limits come to
# less than ten minutes, with two devices and the comparison, too. Installs nothing.
set -u
cd "$(dirname "$0")/.."

small=no
plan=no
if [ "${1:-}" = "--small" ]; then small=yes; shift; fi
if [ "${1:-}" = "--plan" ]; then plan=yes; shift; fi
out=${1:-gpu-results}
results=$out/results.jsonl
python=${PYTHON:-python3}
sum=0
if [ "$plan" = no ]; then
  mkdir -p "$out"
  : >"$results"
fi

if [ "$small" = yes ]; then
  devices=${AHA_GPU_DEVICES:-cpu}
else
  devices=${AHA_GPU_DEVICES:-cuda webgpu}
fi

# part NAME LIMIT_S COMMAND…: the last line of its output, where that is JSON, is its result.
part() {
  local name=$1 limit=$2 log code start end result
  shift 2
  if [ "$plan" = yes ]; then
    echo "$limit $name"
    sum=$((sum + limit))
    return
  fi
  log=$out/$name.log
  start=$(date +%s)
  timeout --kill-after=5 "$limit" "$@" >"$log" 2>&1 </dev/null
  code=$?
  end=$(date +%s)
  result=$(tail -n 1 "$log" | grep -E '^[[{].*[]}]$' || true)
  printf '{"part":"%s","code":%d,"seconds":%d,"limit":%d,"result":%s}\n' \
    "$name" "$code" "$((end - start))" "$limit" "${result:-null}" | tee -a "$results"
}

# Whether PYTHON has these packages; none is imported, which takes seconds.
has() {
  [ "$plan" = yes ] || "$python" -c 'import importlib.util as u, sys; sys.exit(not all(map(u.find_spec, sys.argv[1:])))' "$@" 2>/dev/null
}

bench() { npx tsx bench/main.ts "$@" --json; }
export -f bench

# Whether the environment part has found that this device samples in this dtype.
samples_in() {
  [ -f "$out/environment-devices.log" ] && tail -n 1 "$out/environment-devices.log" | node -e '
    const [device, dtype] = process.argv.slice(1);
    const { devices } = JSON.parse(require("fs").readFileSync(0, "utf8"));
    process.exit(devices.find((one) => one.device === device)?.dtypes?.includes(dtype) ? 0 : 1);
  ' "$1" "$2" 2>/dev/null
}

dtype_of() {
  case $1 in
    cuda) echo bfloat16 ;;
    # A driver may have no numbers of 16 bits (shader-f16), as those in software: float32 is measured there.
    webgpu) if samples_in webgpu float16; then echo float16; else echo float32; fi ;;
    *) echo bfloat16 ;;
  esac
}

# 1. What is here, and whether every program of a small model has all of its nodes on the device.
part environment-node 5 node -p 'JSON.stringify({ node: process.version, platform: process.platform, arch: process.arch })'
part environment-gpu 5 nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader
part environment-devices 25 npx tsx src/cli/main.ts doctor --devices --json

is_first=yes
for device in $devices; do
  dtype=$(dtype_of "$device")
  if [ $is_first = yes ]; then checking=65; else checking=40; fi
  # 2. The CPU's numbers, in float32 and, against its emulation, in 16 bits; how far they are apart is in numbers-DEVICE.jsonl.
  # CUDA samples in 16 bits alone, so of float32 its passes are compared.
  check="env AHA_CHECKED_DEVICE=$device AHA_WEBGPU_TABLE=$out/numbers-$device.jsonl npx vitest run --config vitest.webgpu.config.ts"
  if [ "$plan" = no ]; then rm -f "$out/numbers-$device.jsonl"; fi
  if [ "$small" = yes ]; then
    if [ "$device" = cpu ]; then files=test/webgpu/half; else files="test/webgpu/numbers test/webgpu/half"; fi
    part "conformance-$device" 400 $check $files -t "cross-entropy|16 on"
  elif [ "$device" = cuda ]; then
    part "conformance-$device" "$checking" $check test/webgpu/half test/webgpu/numbers \
      -t "16 on|cross-entropy|GRPO|chunks|checkpointing"
  else
    part "conformance-$device" "$checking" $check test/webgpu/half test/webgpu/numbers test/webgpu/prompts
  fi
  # 3. Speed.
  if [ "$small" = yes ]; then
    shape="--random bench/qwen2-narrow.json --device $device --dtype $dtype"
    part "decode-$device" 240 bash -c "bench sample $shape --batch 4 --prompt 8 --tokens 8 --repeat 1"
    part "train-$device" 240 bash -c "bench train $shape --batch 2 --length 16 --repeat 1"
    part "step-$device" 240 bash -c "bench step $shape --prompts 2 --group 2 --prompt 8 --tokens 8 --repeat 0"
    continue
  fi
  for model in 0.5b 3b; do
    # Of the larger one most of the time goes into making weights and compiling.
    if [ $model = 0.5b ]; then decoding=20 training=25; else decoding=40 training=50; fi
    shape="--random bench/qwen2.5-$model.json --device $device --dtype $dtype --gradient-checkpointing --micro-batch 8192"
    decode="bench sample $shape --prompt 128 --tokens 128 --repeat 1"
    if [ $is_first = yes ]; then part "decode-$device-$model-64" $decoding bash -c "$decode --batch 64"; fi
    part "decode-$device-$model-192" $decoding bash -c "$decode --batch 192"
    if [ $is_first = no ]; then break; fi
    part "train-$device-$model" $training bash -c "bench train $shape --batch 16 --length 1024 --repeat 1"
  done
  if [ $is_first = no ]; then continue; fi
  is_first=no
  # Mini-R1's step: 24 prompts, 8 completions of 1,024 tokens each, once. Four H100 took 45 to 60 seconds for it.
  part "step-$device-3b" 110 bash -c "bench step --random bench/qwen2.5-3b.json --device $device --dtype $dtype \
    --gradient-checkpointing --micro-batch 8192 --prompts 24 --group 8 --prompt 256 --tokens 1024 --repeat 0"
done

# 4. The same shapes by transformers, and the step by TRL, where a Python has them. TRL's step is Mini-R1's with 256 of its
# 1,024 tokens, and is generated by transformers: with more of them, or while vLLM starts, the limit would pass. Its result says so.
if has torch transformers; then
  if [ "$small" = yes ]; then
    part peer-small 240 "$python" bench/peers/gpu_generate.py --config bench/qwen2-narrow.json --work decode train \
      --batch 4 --prompt 8 --tokens 8 --rows 2 --length 16
  else
    part peer-3b 55 "$python" bench/peers/gpu_generate.py --config bench/qwen2.5-3b.json --work decode train \
      --batch 192 --prompt 128 --tokens 128 --rows 16 --length 1024
  fi
fi
if has torch transformers trl datasets; then
  step="bench/peers/trl_grpo.py --steps 0 --beta 0 --gradient-checkpointing"
  if [ "$small" = yes ]; then
    part peer-step-small 240 "$python" $step --config bench/qwen2-narrow.json --prompts 2 --group 2 --prompt 8 --tokens 8 --batch 2
  else
    part peer-step-3b 75 "$python" $step --config bench/qwen2.5-3b.json --prompts 24 --group 8 --prompt 256 --tokens 256 --batch 8
  fi
fi

if [ "$plan" = yes ]; then echo "$sum in all"; else echo "results: $results"; fi
