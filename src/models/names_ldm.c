#include "models/names_ldm.h"

#include <stdio.h>

#include "models/names_adm.h"

/* Blocks are numbered, and residual blocks spelt, as in guided-diffusion's network, which this one grew from. Within
 * transformers, diffusers has kept the names. */
static bool ldm_name(const void *user, const char *ours, char *theirs, size_t size, eq_weight_part *part)
{
    const eq_ldm_names *names = user;
    static const eq_module_name added[] = {
        {"add_embedding.linear_1", "label_emb.0.0"}, {"add_embedding.linear_2", "label_emb.0.2"}, {NULL, NULL}};
    eq_unet_place place = eq_unet_place_of(ours);
    if (place.part == EQ_PART_DOWN_ATTENTION || place.part == EQ_PART_MID_ATTENTION ||
        place.part == EQ_PART_UP_ATTENTION) {
        snprintf(theirs, size, "%s%s.%s", names->prefix, eq_adm_block_of(names->unet, &place).text, place.rest);
        return true;
    }
    const char *parameter;
    const eq_module_name *module = eq_module_find(added, ours, &parameter);
    if (module) {
        snprintf(theirs, size, "%s%s%s", names->prefix, module->theirs, parameter);
        return true;
    }
    char rest[192];
    eq_adm_names same = {.unet = names->unet};
    eq_name_map map = eq_adm_name_map(&same);
    if (!map.name(map.user, ours, rest, sizeof rest, part))
        return false;
    snprintf(theirs, size, "%s%s", names->prefix, rest);
    return true;
}

eq_name_map eq_ldm_name_map(const eq_ldm_names *names)
{
    return (eq_name_map){.name = ldm_name, .user = names, .prefix = names->prefix};
}
