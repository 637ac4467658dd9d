/* Settings in JSON: the accessors themselves, the config.json of a U-Net and of a text model, a scheduler_config.json.
 */
#include "diffusion/timesteps.h"
#include "fuzz.h"
#include "io/json.h"
#include "models/clip_text.h"
#include "models/diffusers_unet.h"

static void read_values(eq_context *ctx, const char *text, size_t size)
{
    eq_json json, inner;
    if (!fuzz_accepted(ctx, eq_json_parse(ctx, text, size, "input", &json), EQ_BAD_INPUT))
        return;
    int64_t integer, integers[4];
    double real;
    bool truth;
    int count;
    const char *string, *strings[4], *key;
    json_t *value;
    json_object_foreach(json.object, key, value)
    {
        if (fuzz_accepted(ctx, eq_json_int(ctx, &json, key, -5, 70, &integer), EQ_BAD_INPUT))
            FUZZ_CHECK(integer >= -5 && integer <= 70);
        if (fuzz_accepted(ctx, eq_json_float(ctx, &json, key, -1, 1, &real), EQ_BAD_INPUT))
            FUZZ_CHECK(real >= -1 && real <= 1);
        fuzz_accepted(ctx, eq_json_bool(ctx, &json, key, &truth), EQ_BAD_INPUT);
        fuzz_accepted(ctx, eq_json_string(ctx, &json, key, &string), EQ_BAD_INPUT);
        fuzz_accepted(ctx, eq_json_object(ctx, &json, key, &inner), EQ_BAD_INPUT);
        if (fuzz_accepted(ctx, eq_json_ints(ctx, &json, key, 0, 9, 4, integers, &count), EQ_BAD_INPUT))
            FUZZ_CHECK(count >= 0 && count <= 4);
        if (fuzz_accepted(ctx, eq_json_strings(ctx, &json, key, 4, strings, &count), EQ_BAD_INPUT))
            FUZZ_CHECK(count >= 0 && count <= 4);
    }
    eq_json_close(&json);
}

static void read_unet(eq_context *ctx, const char *text, size_t size)
{
    eq_unet_config config;
    if (!fuzz_accepted(ctx, eq_unet_config_parse(ctx, text, size, "input", &config), EQ_BAD_INPUT))
        return;
    FUZZ_CHECK(config.levels >= 1 && config.levels <= EQ_UNET_MAX_LEVELS);
    FUZZ_CHECK(config.sample_size % eq_unet_size_multiple(&config) == 0);
    /* What the check lets through can be built. */
    eq_params *params = eq_params_new(ctx);
    eq_status status = params ? eq_unet_declare(params, &config) : EQ_NO_MEMORY;
    FUZZ_CHECK(status == EQ_OK || status == EQ_NO_MEMORY);
    eq_params_free(params);
}

static void read_text_model(eq_context *ctx, const char *text, size_t size)
{
    eq_clip_text_config config;
    if (!fuzz_accepted(ctx, eq_clip_text_config_parse(ctx, text, size, "input", &config), EQ_BAD_INPUT))
        return;
    eq_params *params = eq_params_new(ctx);
    eq_status status = params ? eq_clip_text_declare(params, &config) : EQ_NO_MEMORY;
    FUZZ_CHECK(status == EQ_OK || status == EQ_NO_MEMORY);
    eq_params_free(params);
}

static void read_schedule(eq_context *ctx, const char *text, size_t size)
{
    eq_schedule schedule;
    if (!fuzz_accepted(ctx, eq_schedule_parse(ctx, text, size, "input", &schedule), EQ_BAD_INPUT))
        return;
    int count = schedule.config.num_train_timesteps, timesteps[7], previous[7];
    for (int t = 0; t < count; t++) {
        FUZZ_CHECK(schedule.alphas_cumprod[t] > 0 && schedule.alphas_cumprod[t] < 1);
        FUZZ_CHECK(t == 0 || schedule.alphas_cumprod[t] < schedule.alphas_cumprod[t - 1]);
    }
    eq_spacing spacing = schedule.config.spacing ? schedule.config.spacing : EQ_SPACING_LEADING;
    if (fuzz_accepted(ctx, eq_timesteps(ctx, &schedule, spacing, 7, timesteps, previous), EQ_BAD_USAGE))
        for (int i = 0; i < 7; i++)
            FUZZ_CHECK(timesteps[i] >= 0 && timesteps[i] < count && previous[i] >= -1 && previous[i] < timesteps[i]);
    eq_schedule_free(&schedule);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    eq_context *ctx = eq_context_new();
    read_values(ctx, (const char *)data, size);
    read_unet(ctx, (const char *)data, size);
    read_text_model(ctx, (const char *)data, size);
    read_schedule(ctx, (const char *)data, size);
    eq_context_free(ctx);
    return 0;
}
