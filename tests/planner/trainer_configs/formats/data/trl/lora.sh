#!/bin/bash
# LoRA on one card; isn't packed
set -euo pipefail
export CUDA_VISIBLE_DEVICES=0
MODEL="meta-llama/Llama-3.1-8B"
LORA_ARGS=(
  --use_peft
  --lora_r 32
  --lora_alpha 16   # half the rank
  --lora_target_modules q_proj k_proj v_proj o_proj
)
cd /workspace/trl && python trl/scripts/sft.py \
    --model_name_or_path "$MODEL" \
    --dtype bfloat16 \
    --dataset_name trl-lib/Capybara \
    --learning_rate 2.0e-4 \
    --num_train_epochs ${EPOCHS:-2} \
    --per_device_train_batch_size 4 \
    --gradient_accumulation_steps=4 \
    --max-length 2048 \
    --gradient_checkpointing_kwargs '{"use_reentrant": true}' \
    --eval_strategy no \
    "${LORA_ARGS[@]}" \
    --output_dir "$1" 2>&1 | tee train.log
