/* Names and configuration of the autoencoder in single files, there and back: a file with the tensors that a
 * configuration asks for tells that configuration. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "models/names_ldm_vae.h"

static eq_context *ctx;

#define assert_ok(call)                                                                                                \
    do {                                                                                                               \
        if ((call) != EQ_OK)                                                                                           \
            fail_msg("%s: %s", #call, eq_last_error(ctx));                                                             \
    } while (0)

/* The params' shapes under the format's names; without: a part of the name that is left out; extra: one more, or NULL.
 */
static void make_file(const eq_vae_config *config, const char *without, const char *extra, eq_tensor_file *out)
{
    static float number;
    eq_params *params = eq_params_new(ctx);
    assert_non_null(params);
    assert_ok(eq_vae_declare(params, config));
    eq_name_map names = eq_ldm_vae_names(config);
    assert_ok(eq_tensor_file_start(ctx, "model.safetensors", out));
    for (int i = 0; i < params->count; i++) {
        char theirs[256];
        eq_weight_part part = {0};
        assert_true(names.name(names.user, params->items[i].name, theirs, sizeof theirs, &part));
        if (without && strstr(theirs, without))
            continue;
        assert_ok(eq_tensor_file_add(ctx, out, theirs, &(eq_tensor){EQ_F32, params->items[i].tensor.shape, &number}));
    }
    if (extra)
        assert_ok(eq_tensor_file_add(ctx, out, extra, &(eq_tensor){EQ_F32, eq_shape_of(1), &number}));
    assert_ok(eq_tensor_file_finish(ctx, out));
    eq_params_free(params);
}

static void the_configuration_comes_back(void **state)
{
    const eq_vae_config configs[] = {
        {3, 3, 4, 4, {128, 256, 512, 512}, 2, 32, 0.18215f},
        {3, 3, 8, 3, {32, 96, 64}, 1, 32, 0.13025f},
        {4, 2, 16, 1, {64}, 3, 32, 0.18215f},
    };
    for (size_t i = 0; i < sizeof configs / sizeof configs[0]; i++) {
        eq_tensor_file file;
        eq_vae_config found;
        make_file(&configs[i], NULL, i == 1 ? "conditioner.embedders.0.weight" : "cond_stage_model.weight", &file);
        assert_ok(eq_ldm_vae_config(ctx, &file, &found));
        assert_memory_equal(&found, &configs[i], sizeof found);
        eq_tensor_file_close(&file);
    }
}

static void names(void **state)
{
    static const eq_vae_config config = {3, 3, 4, 4, {32, 32, 64, 64}, 2, 32, 1};
    static const char *const pairs[][2] = {
        {"encoder.down_blocks.2.resnets.1.conv_shortcut.weight",
         "first_stage_model.encoder.down.2.block.1.nin_shortcut.weight"},
        {"encoder.down_blocks.0.downsamplers.0.conv.bias", "first_stage_model.encoder.down.0.downsample.conv.bias"},
        {"encoder.mid_block.resnets.1.norm2.weight", "first_stage_model.encoder.mid.block_2.norm2.weight"},
        {"decoder.mid_block.attentions.0.query.weight", "first_stage_model.decoder.mid.attn_1.q.weight"},
        {"decoder.mid_block.attentions.0.proj_attn.bias", "first_stage_model.decoder.mid.attn_1.proj_out.bias"},
        {"decoder.up_blocks.0.resnets.2.conv1.weight", "first_stage_model.decoder.up.3.block.2.conv1.weight"},
        {"decoder.up_blocks.2.upsamplers.0.conv.weight", "first_stage_model.decoder.up.1.upsample.conv.weight"},
        {"decoder.conv_norm_out.weight", "first_stage_model.decoder.norm_out.weight"},
        {"post_quant_conv.bias", "first_stage_model.post_quant_conv.bias"},
    };
    eq_name_map map = eq_ldm_vae_names(&config);
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        char theirs[256];
        eq_weight_part part = {0};
        assert_true(map.name(map.user, pairs[i][0], theirs, sizeof theirs, &part));
        assert_string_equal(theirs, pairs[i][1]);
        assert_int_equal(part.block, 0);
    }
    char theirs[256];
    eq_weight_part part = {0};
    assert_false(map.name(map.user, "decoder.unheard_of.weight", theirs, sizeof theirs, &part));
}

static void incomplete_files_are_refused(void **state)
{
    const eq_vae_config config = {3, 3, 4, 2, {32, 64}, 1, 32, 0.18215f};
    static const char *const missing[] = {"encoder.conv_in", "decoder.conv_out", "post_quant_conv", "encoder.down.0"};
    for (size_t i = 0; i < sizeof missing / sizeof missing[0]; i++) {
        eq_tensor_file file;
        eq_vae_config found;
        make_file(&config, missing[i], NULL, &file);
        assert_int_equal(eq_ldm_vae_config(ctx, &file, &found), EQ_BAD_INPUT);
        eq_tensor_file_close(&file);
    }
    /* Channels that norms of 32 groups do not divide. */
    const eq_vae_config odd = {3, 3, 4, 1, {48}, 1, 16, 0.18215f};
    eq_tensor_file file;
    eq_vae_config found;
    make_file(&odd, NULL, NULL, &file);
    assert_int_equal(eq_ldm_vae_config(ctx, &file, &found), EQ_BAD_INPUT);
    eq_tensor_file_close(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_configuration_comes_back), cmocka_unit_test(names),
                                       cmocka_unit_test(incomplete_files_are_refused)};
    ctx = eq_context_new();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    eq_context_free(ctx);
    return failed;
}
