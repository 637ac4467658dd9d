#include <string.h>

#include "command.h"

typedef struct settings {
    bool manual, bash, zsh, fish;
} settings;

static const eq_option options[] = {
    {.name = "man",
     .kind = EQ_FLAG,
     .member = offsetof(settings, manual),
     .help = "print the manual page, equipoise(1)"},
    {.name = "bash", .kind = EQ_FLAG, .member = offsetof(settings, bash), .help = "print the completions for bash"},
    {.name = "zsh", .kind = EQ_FLAG, .member = offsetof(settings, zsh), .help = "print the completions for zsh"},
    {.name = "fish", .kind = EQ_FLAG, .member = offsetof(settings, fish), .help = "print the completions for fish"},
    {0}};

static const char *const examples[] = {
    "equipoise help train diffusion",
    "equipoise help --man | man -l -",
    "eval \"$(equipoise help --bash)\"",
    NULL,
};

static eq_status help_on(const eq_invocation *call)
{
    int words;
    if (call->argument_count == 0) {
        eq_help_overview(stdout);
        return EQ_OK;
    }
    const eq_command *command = eq_command_find(call->argument_count, (char *const *)call->arguments, &words);
    if (command && words == call->argument_count)
        eq_help_command(stdout, command);
    else if (call->argument_count == 1 && eq_command_is_group(call->arguments[0]))
        eq_help_group(stdout, call->arguments[0]);
    else
        return eq_fail(call->ctx, EQ_BAD_USAGE, "no command '%.100s%s%.100s'; 'equipoise --help' lists them",
                       call->arguments[0], call->argument_count > 1 ? " " : "",
                       call->argument_count > 1 ? call->arguments[1] : "");
    return EQ_OK;
}

static eq_status run(const eq_invocation *call)
{
    const settings *s = call->settings;
    if (s->manual + s->bash + s->zsh + s->fish + (call->argument_count > 0) > 1)
        return eq_fail(call->ctx, EQ_BAD_USAGE, "one of COMMAND, --man, --bash, --zsh and --fish at a time");
    if (s->manual)
        eq_write_manual(stdout);
    else if (s->bash)
        eq_write_bash(stdout);
    else if (s->zsh)
        eq_write_zsh(stdout);
    else if (s->fish)
        eq_write_fish(stdout);
    else
        return help_on(call);
    return EQ_OK;
}

const eq_command eq_command_help = {
    .name = "help",
    .summary = "explain a command; print manual page and completions",
    .examples = examples,
    .options = options,
    .arguments = {.value = "COMMAND", .most = 2, .kind = EQ_TEXT},
    .settings_size = sizeof(settings),
    .run = run,
};
