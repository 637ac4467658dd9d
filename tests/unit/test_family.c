/* Which network a checkpoint holds: told by the names of its tensors, and what is said where it is none that is known.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "diffusion/checkpoint.h"
#include "unit/tiny.h"

static eq_context *ctx;
static char warnings[1000]; /* what was warned of since it was cleared */

static void keep_warning(void *user, eq_log_level level, const char *line)
{
    size_t used = strlen(warnings);
    if (level == EQ_LOG_WARNING)
        snprintf(warnings + used, sizeof warnings - used, "%s\n", line);
}

static void open_names(const char *const *names, eq_tensor_file *out)
{
    static float number;
    eq_tensor tensor = {EQ_F32, eq_shape_of(1), &number};
    assert_ok(eq_tensor_file_start(ctx, "x.ckpt", out));
    for (; *names; names++)
        assert_ok(eq_tensor_file_add(ctx, out, *names, &tensor));
    assert_ok(eq_tensor_file_finish(ctx, out));
}

static void families_by_their_names(void **state)
{
    for (int i = 0; eq_family_at(i); i++) {
        eq_tensor_file file;
        const eq_family *found;
        open_names(eq_family_at(i)->required, &file);
        assert_ok(eq_checkpoint_family(ctx, &file, &found));
        assert_ptr_equal(found, eq_family_at(i));
        eq_tensor_file_close(&file);
    }
}

static void unknown_families_say_what_is_near(void **state)
{
    static const struct {
        const char *names[8], *parts[3];
    } cases[] = {
        {{"time_embed.0.weight", "input_blocks.0.0.weight", "middle_block.0.in_layers.0.weight", "out.0.weight",
          "out.2.weight", "input_blocks.1.1.transformer_blocks.0.norm1.weight"},
         {"guided-diffusion", "5 of 6 tensors", "not part of that are input_blocks.1.1.transformer_blocks"}},
        {{"temb.dense.0.weight", "conv_in.weight", "down.0.block.0.norm1.weight", "conv_out.weight"},
         {"SDEdit", "4 of 4 tensors", "it lacks mid.block_1.norm1.weight, norm_out.weight"}},
        {{"layer1.0.conv1.weight", "fc.bias"}, {"not a network that is known here", "fc.bias", "SDEdit"}},
        {{NULL}, {"not a network that is known here", "there are none", ""}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        eq_tensor_file file;
        const eq_family *found;
        open_names(cases[i].names, &file);
        for (int k = 0; k < 3; k++)
            assert_fails(eq_checkpoint_family(ctx, &file, &found), EQ_BAD_INPUT, cases[i].parts[k]);
        eq_tensor_file_close(&file);
    }
}

/* Required names alone are a family's, but no network. */
static void bare_files_are_refused(void **state)
{
    for (int i = 0; eq_family_at(i); i++) {
        eq_tensor_file file;
        eq_unet_config unet;
        eq_schedule schedule;
        eq_params *params = eq_params_new(ctx);
        open_names(eq_family_at(i)->required, &file);
        eq_status status = eq_checkpoint_load(ctx, eq_family_at(i), &file, &unet, params, &schedule);
        assert_int_equal(status, eq_family_at(i)->id == EQ_FAMILY_LDM ? EQ_BAD_USAGE : EQ_BAD_INPUT);
        eq_params_free(params);
        eq_tensor_file_close(&file);
    }
}

/* Tensors of nobody's beside those of a family: refused by their names, or left out and warned of. */
static void unused_tensors_are_refused_or_listed(void **state)
{
    const char *const *adm = eq_family_at(0)->required;
    const char *names[16] = {"discriminator.weight", "discriminator.bias"};
    int count = 2;
    for (; adm[count - 2]; count++)
        names[count] = adm[count - 2];
    eq_tensor_file file;
    const eq_family *found;
    open_names(names, &file);
    assert_fails(eq_checkpoint_family(ctx, &file, &found), EQ_BAD_INPUT, "discriminator.bias, discriminator.weight");
    assert_fails(eq_checkpoint_family(ctx, &file, &found), EQ_BAD_INPUT, "--allow-unused");
    eq_set_allow_unused(ctx, true);
    warnings[0] = '\0';
    assert_ok(eq_checkpoint_family(ctx, &file, &found));
    assert_int_equal(found->id, EQ_FAMILY_ADM);
    assert_non_null(strstr(warnings, "x.ckpt: not used: discriminator.bias\n"));
    assert_non_null(strstr(warnings, "x.ckpt: not used: discriminator.weight\n"));
    assert_null(strstr(warnings, adm[0]));
    eq_tensor_file_close(&file);

    /* What a family needs is not made up for. */
    names[count - 1] = NULL;
    open_names(names, &file);
    assert_fails(eq_checkpoint_family(ctx, &file, &found), EQ_BAD_INPUT, "it lacks out.2.weight");
    eq_set_allow_unused(ctx, false);
    eq_tensor_file_close(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(families_by_their_names),
        cmocka_unit_test(unknown_families_say_what_is_near),
        cmocka_unit_test(bare_files_are_refused),
        cmocka_unit_test(unused_tensors_are_refused_or_listed),
    };
    ctx = eq_context_new();
    eq_set_log(ctx, keep_warning, NULL);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    eq_context_free(ctx);
    return failed;
}
