#include "models/names_diffusers.h"

#include <stdio.h>

static bool newer_attention_name(const void *user, const char *ours, char *theirs, size_t size, eq_weight_part *part)
{
    (void)user;
    (void)part;
    static const char *const pairs[][2] = {
        {".query.", ".to_q."}, {".key.", ".to_k."}, {".value.", ".to_v."}, {".proj_attn.", ".to_out.0."}};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        const char *at = strstr(ours, pairs[i][0]);
        if (at) {
            snprintf(theirs, size, "%.*s%s%s", (int)(at - ours), ours, pairs[i][1], at + strlen(pairs[i][0]));
            return true;
        }
    }
    return false;
}

const eq_name_map eq_names_diffusers = {.name = newer_attention_name};
