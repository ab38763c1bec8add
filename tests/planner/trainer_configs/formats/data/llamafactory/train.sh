#!/bin/bash
MODEL=meta-llama/Llama-2-7b-hf
export CUDA_VISIBLE_DEVICES=0,1
torchrun --nproc_per_node 2 src/train.py \
    --stage sft \
    --do_train True \
    --model_name_or_path $MODEL \
    --finetuning_type lora \
    --lora_rank 16 --lora_target q_proj,v_proj \
    --template llama2 --dataset alpaca_gpt4_en \
    --cutoff_len 1024 \
    --per_device_train_batch_size 8 \
    --gradient_accumulation_steps 2 \
    --num_train_epochs 3.0 --save_steps 100 \
    --optim adamw_torch \
    --output_dir ./out \
    --fp16 True --plot_loss True 2>&1 | tee log.txt
