#include <string.h>

#include "command.h"

extern const eq_command eq_command_demo, eq_command_generate, eq_command_evaluate, eq_command_label,
    eq_command_train_adp, eq_command_compare, eq_command_downstream, eq_command_train_classifier, eq_command_help,
    eq_command_inspect, eq_command_invert, eq_command_synth_portraits, eq_command_train_diffusion,
    eq_command_train_tokenizer, eq_command_train_vae;

const eq_command *const eq_commands[] = {
    &eq_command_demo,
    &eq_command_generate,
    &eq_command_train_diffusion,
    &eq_command_train_vae,
    &eq_command_train_classifier,
    &eq_command_train_adp,
    &eq_command_train_tokenizer,
    &eq_command_label,
    &eq_command_evaluate,
    &eq_command_compare,
    &eq_command_downstream,
    &eq_command_invert,
    &eq_command_synth_portraits,
    &eq_command_inspect,
    &eq_command_help,
    NULL,
};

const eq_command *eq_command_find(int argc, char *const *argv, int *words)
{
    for (const eq_command *const *command = eq_commands; *command; command++) {
        const char *name = (*command)->name, *space = strchr(name, ' ');
        size_t first = space ? (size_t)(space - name) : strlen(name);
        *words = space ? 2 : 1;
        if (argc >= *words && strlen(argv[0]) == first && strncmp(argv[0], name, first) == 0 &&
            (!space || strcmp(argv[1], space + 1) == 0))
            return *command;
    }
    return NULL;
}

bool eq_command_is_group(const char *word)
{
    size_t length = strlen(word);
    for (const eq_command *const *command = eq_commands; *command; command++)
        if (length > 0 && strncmp((*command)->name, word, length) == 0 && (*command)->name[length] == ' ')
            return true;
    return false;
}
