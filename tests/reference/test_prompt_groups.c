/* A run of several prompts with the Stable Diffusion fixture: one network and one decoder serve them all, and each
 * prompt's images are those of a run of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "reference/compare.h"
#include "reference/fixtures.h"
#include "run/pipeline.h"
#include "unit/tiny.h"

enum { PROMPTS = 5, EACH = 2 };

static eq_context *ctx;
static const char *const prompts[PROMPTS] = {"a portrait of a doctor", "a castle", "", "a castle", "a portrait"};
static const int64_t images[PROMPTS] = {EACH, EACH, EACH, EACH, EACH};

static eq_generate_options options_of(int first, int count)
{
    return (eq_generate_options){.count = count * EACH,
                                 .first_index = first * EACH,
                                 .steps = 3,
                                 .prompts = prompts + first,
                                 .prompt_images = images,
                                 .prompt_count = count,
                                 .tokenizer = fixture_path("clip-tokenizer")};
}

static void prompts_share_networks(void **state)
{
    const eq_targets none = {0};
    eq_pipeline *together, *alone;
    eq_generation all, one;
    eq_generate_options options = options_of(0, PROMPTS);
    assert_ok(eq_pipeline_open(ctx, fixture_path("stable-diffusion-tiny"), &together));
    assert_ok(eq_generate(together, &options, &none, &all));
    assert_int_equal(together->networks.denoisers_compiled, 1);
    assert_int_equal(together->networks.codecs_compiled, 1);
    size_t image = (size_t)all.width * (size_t)all.height * 3;
    for (int i = 0; i < PROMPTS; i++) {
        options = options_of(i, 1);
        assert_ok(eq_pipeline_open(ctx, fixture_path("stable-diffusion-tiny"), &alone));
        assert_ok(eq_generate(alone, &options, &none, &one));
        assert_memory_equal(all.pixels + (size_t)(i * EACH) * image, one.pixels, EACH * image);
        eq_generation_free(&one);
        eq_pipeline_close(alone);
    }
    /* Another prompt for the same noise is another picture: contexts of groups before do not linger. */
    options = options_of(0, 1);
    options.prompts = prompts + 1;
    assert_ok(eq_generate(together, &options, &none, &one));
    assert_memory_not_equal(all.pixels, one.pixels, EACH * image);
    assert_int_equal(together->networks.denoisers_compiled, 1);
    eq_generation_free(&one);
    eq_generation_free(&all);
    eq_pipeline_close(together);
}

int main(void)
{
    if (!fixture_exists("stable-diffusion-tiny") || !fixture_exists("clip-tokenizer"))
        return FIXTURES_SKIP;
    ctx = eq_context_new();
    const struct CMUnitTest tests[] = {cmocka_unit_test(prompts_share_networks)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    eq_context_free(ctx);
    return failed;
}
