/* Subcommands. Each is one file, cmd_<name>.c, that exports one eq_command; commands.c lists them. The table of options
 * makes the parser, --help, the manual page and the completions.
 *
 * To add a subcommand "label":
 *
 * 1. cmd_label.c:
 *        typedef struct settings {
 *            const char *images;
 *            int64_t batch;
 *        } settings;
 *
 *        static const eq_option options[] = {
 *            {.name = "images", .kind = EQ_FOLDER, .value = "DIR", .required = true,
 *             .member = offsetof(settings, images), .help = "folder of the images to label"},
 *            {.name = "batch", .kind = EQ_INTEGER, .value = "N", .standard = "32", .range = {1, 1024},
 *             .member = offsetof(settings, batch), .help = "images at a time"},
 *            {0}};
 *
 *        static eq_status run(const eq_invocation *call)
 *        {
 *            const settings *s = call->settings;
 *            eq_progress_begin(call->progress, "labelling", "images");
 *            ... eq_progress_set(call->progress, done, total, NULL) ...
 *            eq_progress_end(call->progress);
 *            return EQ_OK;
 *        }
 *
 *        const eq_command eq_command_label = {.name = "label", .summary = "label images with a classifier",
 *                                             .options = options, .settings_size = sizeof(settings), .run = run};
 *
 * 2. A declaration and a row in commands.c.
 * 3. A line "$ equipoise label --help" in tests/cli/help.txt, lines of bad usage in usage.txt, and a transcript
 * label.txt of what it does; `ninja update_transcripts` fills in the answers, to be read before they are committed.
 *
 * --help, --seed, --threads and --quiet come by themselves, and --json where `reports` is set. `run` prints results on
 * stdout and nothing else: progress, notes and warnings go through call->progress, failures through eq_fail, which
 * becomes one line on stderr and the exit code. */
#ifndef EQUIPOISE_COMMAND_H
#define EQUIPOISE_COMMAND_H

#include <stdio.h>

#include <jansson.h>

#include "options.h"
#include "progress.h"

/* Options that every command has. */
typedef struct eq_common {
    bool help, quiet, json;
    int64_t seed;
    int64_t threads; /* 0: all of the machine's */
} eq_common;

extern const eq_option eq_common_options[];

/* Rows that several commands have in their tables. Each fills the member of its name of the command's `settings`. */
#define EQ_OPTION_OUT(help_)                                                                                           \
    {                                                                                                                  \
        .name = "out", .letter = 'o', .kind = EQ_FOLDER, .value = "DIR", .required = true,                             \
        .member = offsetof(settings, out), .help = help_                                                               \
    }

#define EQ_OPTION_IMAGES(help_)                                                                                        \
    {                                                                                                                  \
        .name = "images", .kind = EQ_FOLDER, .value = "DIR", .required = true, .member = offsetof(settings, images),   \
        .help = help_                                                                                                  \
    }

#define EQ_OPTION_STRICT                                                                                               \
    {                                                                                                                  \
        .name = "strict", .kind = EQ_FLAG, .member = offsetof(settings, strict),                                       \
        .help = "fail at an unreadable image rather than skip it"                                                      \
    }

typedef struct eq_command eq_command;

/* One call of a command, as its `run` receives it. Valid during the call. */
typedef struct eq_invocation {
    eq_context *ctx;
    const eq_command *command;
    eq_progress *progress;
    void *settings; /* the command's own struct, filled from its options; owned */
    eq_common common;
    char *line; /* the whole command line, quoted for a shell; owned */
    int argument_count;
    const char **arguments; /* [argument_count], owned */
    bool *given;            /* [rows of the option table] see eq_given; owned */
    char **values;          /* [value_count] what the settings' texts point into; owned */
    int value_count;
} eq_invocation;

/* What a command takes besides options. */
typedef struct eq_arguments {
    const char *value; /* as in the help: "FILE|DIR"; NULL: none */
    int least, most;
    eq_option_kind kind; /* EQ_TEXT or EQ_FILE, for completion */
} eq_arguments;

struct eq_command {
    const char *name;            /* one word or two: "train diffusion" */
    const char *summary;         /* a phrase in lower case, at most 55 characters */
    const char *description;     /* paragraphs between empty lines, wrapped where printed; may be NULL */
    const char *const *examples; /* command lines, ends with NULL; may be NULL */
    const eq_option *options;
    eq_arguments arguments;
    size_t settings_size;
    bool reports; /* has --json */
    eq_status (*run)(const eq_invocation *call);
};

/* All commands, in the order of the help; ends with NULL. */
extern const eq_command *const eq_commands[];

/* The command whose name the first words of argv spell, and how many words that took; NULL if there is none. */
const eq_command *eq_command_find(int argc, char *const *argv, int *words);

/* Whether `word` is the first of two-word commands: "train". */
bool eq_command_is_group(const char *word);

/* Whether the command has this row of eq_common_options: --json is for commands that report. */
bool eq_command_has(const eq_command *command, const eq_option *common);

/* Parses argv, the words after the command's name, into `call`, whose ctx and progress the caller sets. After --help
 * nothing is required. EQ_BAD_USAGE otherwise, with a message. eq_invocation_close cleans up in every case. */
eq_status eq_invocation_open(eq_invocation *call, const eq_command *command, int argc, char *const *argv);
void eq_invocation_close(eq_invocation *call);

/* Whether the user gave that option of the command, rather than leaving its default. */
bool eq_given(const eq_invocation *call, const char *name);

/* Prints a JSON object on stdout and releases it. NULL counts as memory running out. */
eq_status eq_print_json(const eq_invocation *call, json_t *json);

/* Help, in help.c: plain text of 80 columns. */
void eq_help_overview(FILE *out);
void eq_help_group(FILE *out, const char *word);
void eq_help_command(FILE *out, const eq_command *command);
/* "equipoise synth portraits --count N --out DIR [options]". Like snprintf. */
int eq_help_usage(const eq_command *command, char *buffer, size_t size);

/* The overview's examples and the exit codes, for the help and the manual page; each ends with NULL. */
extern const char *const eq_overview_examples[];
extern const char eq_overview_text[];
extern const char *const eq_exit_codes[];

/* Generated files: manual.c, completions.c. */
void eq_write_manual(FILE *out);
void eq_write_bash(FILE *out);
void eq_write_zsh(FILE *out);
void eq_write_fish(FILE *out);

#endif
