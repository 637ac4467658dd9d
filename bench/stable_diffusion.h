/* The networks of Stable Diffusion 1.5. */
#ifndef EQ_BENCH_STABLE_DIFFUSION_H
#define EQ_BENCH_STABLE_DIFFUSION_H

#include "models/unet.h"
#include "models/vae.h"

static const eq_unet_config bench_sd15 = {.sample_size = 64,
                                          .in_channels = 4,
                                          .out_channels = 4,
                                          .levels = 4,
                                          .block_out_channels = {320, 640, 1280, 1280},
                                          .down_attention = {true, true, true, false},
                                          .up_attention = {false, true, true, true},
                                          .mid_attention = true,
                                          .layers_per_block = 2,
                                          .heads = {8, 8, 8, 8},
                                          .norm_num_groups = 32,
                                          .norm_eps = 1e-5f,
                                          .flip_sin_to_cos = true,
                                          .downsample_padding = 1,
                                          .mid_block_scale_factor = 1.0f,
                                          .cross_attention_dim = 768,
                                          .context_length = 77,
                                          .transformer_layers = {1, 1, 1, 1}};

static const eq_vae_config bench_sd15_vae = {.in_channels = 3,
                                             .out_channels = 3,
                                             .latent_channels = 4,
                                             .levels = 4,
                                             .block_out_channels = {128, 256, 512, 512},
                                             .layers_per_block = 2,
                                             .norm_num_groups = 32,
                                             .scaling_factor = 0.18215f};

#endif
