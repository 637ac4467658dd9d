/* Skips with switches: all on, the network is the one without switches; off, only h tells the decoder of the image. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernels/program.h"
#include "unit/tiny.h"

enum { N = 2 };
static eq_context *ctx;

static eq_program *compile(eq_params *params, bool switches, eq_unet *unet)
{
    eq_unet_config config = tiny_unet();
    config.skip_switches = switches;
    eq_graph *graph = eq_graph_new(ctx, EQ_F32);
    eq_program *program;
    assert_ok(eq_unet_build(&(eq_builder){graph, params}, &config, N, TINY_SIDE, TINY_SIDE, unet));
    assert_ok(eq_program_compile(graph, &(eq_program_options){.frozen_params = true, .backend = "ref"}, &program));
    return program;
}

static void fill_sample(eq_program *program, const eq_unet *unet)
{
    float *sample = tiny_normals(3, N * TINY_PIXELS);
    memcpy(eq_program_data(program, unet->sample), sample, N * TINY_PIXELS * sizeof(float));
    for (int i = 0; i < N; i++)
        ((float *)eq_program_data(program, unet->timestep))[i] = 500;
    free(sample);
}

/* All switches of image i. */
static void set_switches(eq_program *program, const eq_unet *unet, int i, float value)
{
    for (int level = 0; level < tiny_unet().levels; level++)
        ((float *)eq_program_data(program, unet->skip_switch[level]))[i] = value;
}

static void all_on_is_the_network(void **state)
{
    eq_unet_config config = tiny_unet();
    eq_params *params = tiny_params(ctx, &config, 1);
    eq_unet plain, switched;
    eq_program *without = compile(params, false, &plain), *with = compile(params, true, &switched);
    assert_int_equal(plain.skip_switch[0], EQ_NONE);
    fill_sample(without, &plain);
    fill_sample(with, &switched);
    for (int i = 0; i < N; i++)
        set_switches(with, &switched, i, 1);
    assert_ok(eq_program_run(without));
    assert_ok(eq_program_run(with));
    assert_memory_equal(eq_program_data(with, switched.prediction), eq_program_data(without, plain.prediction),
                        N * TINY_PIXELS * sizeof(float));
    eq_program_free(with);
    eq_program_free(without);
    eq_params_free(params);
}

/* Two images, given one h: decoded to the same where their skips are off, and to different ones where they are on. */
static void all_off_leaves_h(void **state)
{
    eq_unet_config config = tiny_unet();
    eq_params *params = tiny_params(ctx, &config, 1);
    eq_unet unet;
    eq_program *program = compile(params, true, &unet);
    for (int on = 0; on < 2; on++) {
        fill_sample(program, &unet);
        for (int i = 0; i < N; i++)
            set_switches(program, &unet, i, (float)on);
        assert_ok(eq_program_run_stage(program, EQ_UNET_ENCODE));
        float *h = eq_program_data(program, unet.h);
        memcpy(h + TINY_H, h, TINY_H * sizeof(float));
        assert_ok(eq_program_run_stage(program, EQ_UNET_DECODE));
        const float *prediction = eq_program_data(program, unet.prediction);
        bool equal = memcmp(prediction, prediction + TINY_PIXELS, TINY_PIXELS * sizeof(float)) == 0;
        assert_int_equal(equal, !on);
    }
    eq_program_free(program);
    eq_params_free(params);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_on_is_the_network), cmocka_unit_test(all_off_leaves_h)};
    ctx = eq_context_new();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    eq_context_free(ctx);
    return failed;
}
