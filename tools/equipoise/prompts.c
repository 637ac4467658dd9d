#include "prompts.h"

#include <stdlib.h>

static eq_status read_file(eq_context *ctx, const char *file, eq_prompt_choice *out, eq_generate_options *options)
{
    if (options->count > 0)
        return eq_fail(ctx, EQ_BAD_USAGE, "--count: %s says how many images of each prompt", file);
    EQ_TRY(eq_prompt_file_read(ctx, file, &out->list));
    out->texts = malloc(out->list.count * sizeof *out->texts);
    out->images = malloc(out->list.count * sizeof *out->images);
    if (!out->texts || !out->images)
        return eq_fail_memory(ctx, "the prompts");
    for (size_t i = 0; i < out->list.count; i++) {
        out->texts[i] = out->list.items[i].text;
        out->images[i] = out->list.items[i].count;
    }
    options->count = out->list.images;
    options->prompts = out->texts;
    options->prompt_images = out->images;
    options->prompt_count = (int)out->list.count;
    return EQ_OK;
}

eq_status eq_prompt_choice_read(eq_context *ctx, const char *prompt, const char *file, eq_prompt_choice *out,
                                eq_generate_options *options)
{
    if (prompt && file)
        return eq_fail(ctx, EQ_BAD_USAGE, "--prompt and --prompt-file cannot both be given");
    if (file)
        return read_file(ctx, file, out, options);
    if (options->count < 1)
        return eq_fail(ctx, EQ_BAD_USAGE, "--count is missing: how many images?");
    if (prompt) {
        out->one = prompt;
        options->prompts = &out->one;
        options->prompt_count = 1;
    }
    return EQ_OK;
}

void eq_prompt_choice_free(eq_prompt_choice *choice)
{
    eq_prompt_list_free(&choice->list);
    free(choice->texts);
    free(choice->images);
    *choice = (eq_prompt_choice){0};
}
