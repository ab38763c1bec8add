accelerate launch --num_processes 8 --use_deepspeed --zero_stage 3 --mixed_precision bf16 \
  --main_process_port 29501 examples/scripts/sft.py \
  --model_name_or_path meta-llama/Llama-3.1-8B --dtype bfloat16 --attn_implementation flash_attention_2 \
  --dataset_name timdettmers/openassistant-guanaco --use_peft --lora_target_modules all-linear \
  --per_device_train_batch_size 1 --gradient_accumulation_steps 4 --max_length 4096 --packing \
  --max_steps 500 --save_strategy no --output_dir out
