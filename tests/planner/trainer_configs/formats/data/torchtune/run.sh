#!/bin/bash
export CONFIG=lora.yaml
tune run --nproc_per_node 4 lora_finetune_distributed --config $CONFIG \
    batch_size=8 model=torchtune.models.llama3_2.qlora_llama3_2_1b model.lora_attn_modules=[q_proj,v_proj] \
    model.apply_lora_to_output=False optimizer.fused=True ~clip_grad_norm max_steps_per_epoch=None
